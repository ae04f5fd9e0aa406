"""A second factor is asked by every dialect in its own form, and nothing goes around it (threats 5, 7, 8, 10)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragoman.model import Password
from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, POCKETM8, PROBE, ROCKETCHAT, Asked, Driver, Held, Refused, Said
from journeys.test_sign_in_everywhere import HOME, every_driver, live, on_sqlite, signed_in_everywhere, stranger
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow


async def asked(house: House, driver: Driver, *, address: str = HOME) -> Asked:
    """Sign in with the right password, which must be answered by asking for a code."""
    outcome = await driver.sign_in(house.request, address=address)
    assert isinstance(outcome, Asked), outcome.answer.text
    assert outcome.said == driver.words["asked"]
    return outcome


@every_driver
async def test_a_code_is_asked_in_the_dialects_own_form(house: House, driver: Driver) -> None:
    totp = await house.enrol_totp(await house.ada())
    paused = await asked(house, driver)
    assert not driver.yields_token(paused.answer)
    assert await house.sessions() == []
    wrong = await driver.with_code(house.request, paused, totp.wrong())
    assert isinstance(wrong, Refused)
    assert wrong.said == driver.words["wrong_code"]
    held = await driver.with_code(house.request, paused, totp.code())
    assert isinstance(held, Held)
    assert await driver.live(house.request, held)
    by_recovery = await driver.with_code(house.request, await asked(house, driver), totp.recovery[0])
    assert isinstance(by_recovery, Held)


async def test_a_recovery_code_is_good_once_in_all_dialects_together(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    first = await DRIVERS[0].with_code(house.request, await asked(house, DRIVERS[0]), totp.recovery[3])
    assert isinstance(first, Held)
    for driver in DRIVERS:
        again = await driver.with_code(house.request, await asked(house, driver), totp.recovery[3])
        assert isinstance(again, Refused)
        assert again.said == driver.words["wrong_code"]


@every_driver
async def test_a_totp_code_used_in_one_dialect_is_spent_in_the_others(house: House, driver: Driver) -> None:
    totp = await house.enrol_totp(await house.ada())
    code = totp.code()
    assert isinstance(await driver.with_code(house.request, await asked(house, driver), code), Held)
    for other in DRIVERS:
        if other is driver or other is ROCKETCHAT:
            continue
        again = await other.with_code(house.request, await asked(house, other), code)
        assert isinstance(again, Refused)
        assert again.said == other.words["wrong_code"]


async def test_enrolling_ends_every_other_client_and_every_sign_in_under_way(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    totp = await house.enrol_totp(ada)
    assert await live(house, held) == {"key"}, "table C: keys stay"
    refreshed = await FLASHBACK.refresh(house.request, held["flashback"][1].more["refresh"])
    assert isinstance(refreshed, Refused)
    paused = [(driver, await asked(house, driver)) for driver in (POCKETM8, FLASHBACK)]
    await house.core.factors.disable_totp(ada.account)
    await house.enrol_totp(ada)
    for driver, before in paused:
        refused = await driver.with_code(house.request, before, totp.code())
        assert isinstance(refused, Refused)


async def test_wrong_codes_count_over_all_dialects_and_close_that_lane_only(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    home = await ROCKETCHAT.with_code(house.request, await asked(house, ROCKETCHAT), totp.code())
    assert isinstance(home, Held)
    for number in range(20):
        driver = DRIVERS[number % len(DRIVERS)]
        paused = await asked(house, driver, address=stranger(number))
        refused = await driver.with_code(house.request, paused, totp.wrong(), address=stranger(number))
        assert isinstance(refused, Refused)
        assert refused.said == driver.words["wrong_code"]
    for driver in DRIVERS:
        paused = await asked(house, driver, address=stranger(70))
        refused = await driver.with_code(house.request, paused, totp.code(), address=stranger(70))
        assert isinstance(refused, Refused)
        assert refused.said == driver.words["codes_closed"]
    for driver in DRIVERS:
        held = await driver.with_code(house.request, await asked(house, driver), totp.code())
        assert isinstance(held, Held)


@pytest.mark.parametrize("driver", [POCKETM8, FLASHBACK], ids=str)
async def test_five_wrong_codes_end_the_attempt(house: House, driver: Driver) -> None:
    totp = await house.enrol_totp(await house.ada())
    paused = await asked(house, driver)
    for _ in range(5):
        assert isinstance(await driver.with_code(house.request, paused, totp.wrong()), Refused)
    assert isinstance(await driver.with_code(house.request, paused, totp.code()), Refused)
    assert isinstance(await driver.with_code(house.request, await asked(house, driver), totp.code()), Held)


@pytest.mark.parametrize("driver", [POCKETM8, FLASHBACK], ids=str)
async def test_a_paused_sign_in_is_worthless_once_anything_changed(house: House, driver: Driver) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    late = await asked(house, driver)
    house.clock.move(15 * 60 + 1)
    assert isinstance(await driver.with_code(house.request, late, totp.code()), Refused)
    before = await asked(house, driver)
    await house.core.accounts.set_password(ada.account, Password.from_plain("another long secret"))
    assert isinstance(await driver.with_code(house.request, before, totp.code()), Refused)
    outcome = await driver.sign_in(house.request, EMAIL, "another long secret")
    assert isinstance(outcome, Asked)
    await house.core.life.set_status(ada.account, "suspended")
    assert isinstance(await driver.with_code(house.request, outcome, totp.code()), Refused)
    assert await house.sessions() == []


async def test_a_limited_token_opens_its_one_operation_and_nothing_else(house: House) -> None:
    await house.enrol_totp(await house.ada())
    paused = await asked(house, FLASHBACK)
    limited = paused.go_on["limited"]
    profile = await house.get("/user/profile", headers={"Authorization": f"Bearer {limited}"})
    assert FLASHBACK.said(profile) == FLASHBACK.words["limited"]
    for token in (limited, (await asked(house, POCKETM8)).go_on["challengeId"]):
        for driver in (ROCKETCHAT, POCKETM8, PROBE):
            carried = (
                {"X-Auth-Token": token, "X-User-Id": "x"}
                if driver is ROCKETCHAT else {"Authorization": f"Bearer {token}"}
            )  # fmt: skip
            assert not await driver.live(house.request, Held(carried, "", paused.answer))
        assert isinstance(await FLASHBACK.refresh(house.request, token), Refused)
        assert isinstance(await ROCKETCHAT.resume(house.request, token), Refused)


BY_MAIL = (ROCKETCHAT, POCKETM8)
"""The dialects whose wires can carry a code by mail (table A)."""
NO_MAIL: dict[str, Said] = {
    "probe": (403, "permission denied: second factor cannot be used here"),
}


@pytest.mark.parametrize("driver", BY_MAIL, ids=str)
async def test_a_mailed_code_finishes_the_sign_in_in_the_dialects_own_form(house: House, driver: Driver) -> None:
    await house.enrol_email(await house.ada())
    paused = await asked(house, driver)
    assert await house.sessions() == []
    code = await house.mailed_code()
    wrong = await driver.with_code(house.request, paused, f"{(int(code) + 1) % 10**6:06d}")
    assert isinstance(wrong, Refused)
    assert wrong.said == driver.words["wrong_code"]
    held = await driver.with_code(house.request, paused, f"{code[:3]}-{code[3:]}")
    assert isinstance(held, Held)
    assert await driver.live(house.request, held)
    again = await driver.with_code(house.request, await asked(house, driver), code)
    assert isinstance(again, Refused)
    assert again.said == driver.words["wrong_code"]


async def test_a_code_mailed_for_one_dialect_is_nothing_in_the_other(house: House) -> None:
    await house.enrol_email(await house.ada())
    codes = {}
    for driver in BY_MAIL:
        await asked(house, driver)
        codes[driver.name] = await house.mailed_code()
        house.clock.move(61)
    for driver, foreign in ((ROCKETCHAT, codes["pocketm8"]), (POCKETM8, codes["rocketchat"])):
        refused = await driver.with_code(house.request, await asked(house, driver), foreign)
        assert isinstance(refused, Refused), "one in a million"
        assert refused.said == driver.words["wrong_code"]
        assert isinstance(await driver.with_code(house.request, await asked(house, driver), codes[driver.name]), Held)


async def test_where_no_code_by_mail_can_be_carried_it_is_never_weaker(house: House) -> None:
    ada = await house.ada()
    await house.enrol_email(ada)
    outcome = await PROBE.sign_in(house.request)
    assert isinstance(outcome, Refused)
    assert outcome.said == NO_MAIL["probe"]
    assert not PROBE.yields_token(outcome.answer)
    await asked(house, FLASHBACK)
    assert {letter.kind for letter in await house.letters()} == {"factor_added"}, (
        "its clients ask for a link themselves"
    )
    assert await house.sessions() == []
    totp = await house.enrol_totp(ada)
    for driver in (PROBE, FLASHBACK):
        assert isinstance(await driver.with_code(house.request, await asked(house, driver), totp.code()), Held)


async def test_enrolling_codes_by_mail_ends_every_other_client_in_all_dialects(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    await house.enrol_email(ada)
    assert await live(house, held) == {"key"}, "table C: keys stay"
    await asked(house, ROCKETCHAT)
    await house.core.factors.disable_email(ada.account)
    assert isinstance(await ROCKETCHAT.sign_in(house.request), Held)


def bodies(house: House, known: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return, for every declared operation with a body, every way to fill its fields with what the thief knows.

    The thief has the password and none of the codes; each field that could carry a password or name gets it.
    """
    found = []
    for mount in house.app.mounts:
        for each in mount.dialect.operations:
            if not (isinstance(each.body, type) and issubclass(each.body, msgspec.Struct)):
                continue
            names = [f.encode_name for f in msgspec.structs.fields(each.body)]
            whole = {name: known[name] for name in names if name in known}
            found.append((each.method, each.path, whole))
            found += [(each.method, each.path, {k: v for k, v in whole.items() if k != left}) for left in whole]
            found += [(each.method, each.path, dict(example)) for example in each.examples.values()]
    return found


@on_sqlite
@pytest.mark.parametrize("by_mail", [False, True], ids=["totp", "totp and mail"])
async def test_no_operation_yields_a_session_without_the_code(house: House, by_mail: bool) -> None:
    """Threat 5: whatever is sent with the right password and without a code, in JSON or as a form, no session comes."""
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    if by_mail:
        await house.enrol_email(ada)
    known: dict[str, Any] = {
        "token": await house.ticket("verify", ada), "old-password": PASSWORD, "new-password": "another long secret",
        "verify-token": await house.ticket("verify", ada, door=house.core.doors["probe"]),
        "user": EMAIL, "username": "ada", "email": EMAIL, "password": PASSWORD, "ldap": True, "ldap_pass": PASSWORD,
        "ldap_options": {}, "code": totp.wrong(), "resume": "x" * 43,
        "totp": {"login": {"user": {"email": EMAIL}, "password": PASSWORD}, "code": totp.wrong()},
        "challengeId": (await asked(house, POCKETM8)).go_on["challengeId"], "mfaType": "GOOGLE_AUTH",
        "refreshToken": "x", "refresh_token": "x", "long-term-token": False, "logout-other": False,
        "emailOrUsername": EMAIL,
    }  # fmt: skip
    limited = {"Authorization": f"Bearer {(await asked(house, FLASHBACK)).go_on['limited']}"}
    tried = bodies(house, known)
    assert {path for _, path, _ in tried} >= {
        "/api/v1/login", "/api/auth/user/sign-in", "/api/auth/user/verify-challenge",
        "/frontend/api/v1/auth/sign-in", "/user/login", "/user/refresh", "/mfa/verify-login", "/user/verify-email",
        "/api/v1/users.2fa.sendEmailCode",
    }  # fmt: skip
    for number, (method, path, body) in enumerate(tried):
        flat = {name: value for name, value in body.items() if isinstance(value, str)}
        for headers in ({}, limited, {"X-2FA-Code": totp.wrong()}):
            where = stranger(number)
            for form in ({"json": body}, {"data": flat}):
                answer = await house.request(method, path, headers=headers, address=where, **form)
                assert answer.status_code < 500, (path, body, answer.text)
                # Only the limited token of Flashback, which the contract calls accessToken, may come back.
                assert '"authToken"' not in answer.text
                assert '"jwt-token"' not in answer.text
                assert '"refreshToken"' not in answer.text
    assert await house.sessions() == []
