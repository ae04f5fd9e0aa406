"""Second factors by their owner, and proof within a session (decisions 8, 15, 17 and 25, threats 10, 11 and 21)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pyotp
import pytest

from dragoman.core import refusals
from dragoman.core.own_factors import Begun
from dragoman.model import Caller, Client, NewKey, Password, SignedIn, Typed
from dragoman.storage import accounts
from dragoman.storage.engine import Statement, Tx
from kit.house import PASSWORD, House, Totp, client

pytestmark = pytest.mark.slow

HOME, AWAY = client("192.0.2.1"), client("198.51.100.7")
MINUTE = 60
_EVENTS = Statement("select kind, detail from event where account = :account order by id")
_CLAIM = Statement("update identifier set state = 'claimed', verified_at = null where account = :account")
_STALE = Statement("update session set proved_client = null where id = :id")


@pytest.fixture
async def house(any_house: House) -> House:
    """A house on SQLite, then one on PostgreSQL."""
    return any_house


async def enter(house: House, *, at: Client = HOME, door: str = "rocketchat", code: str | None = None) -> Caller:
    """Sign Ada in and return her as a caller."""
    outcome = await house.core.signin.with_password(
        house.core.doors[door], Typed("email", "ada@example.com"), Password.from_plain(PASSWORD), at, code=code
    )
    assert isinstance(outcome, SignedIn)
    return Caller(outcome.session, outcome.person.account)


async def again(house: House, caller: Caller) -> Caller:
    """Return a caller as the database has it now."""
    return await house.core.sessions.again(caller.session)


async def why(call: Awaitable[Any]) -> str:
    """Return the name of the refusal that a call meets."""
    with pytest.raises(refusals.Refusal) as caught:
        await call
    return type(caught.value).__name__


async def live(house: House) -> int:
    """Return how many sessions and keys there are."""
    return len(await house.sessions())


def app(house: House, begun: Begun) -> Totp:
    """Return the app that reads what Ada was shown."""
    return Totp(house, begun.seed.reveal(), tuple(code.reveal() for code in begun.recovery_codes))


async def enrolled(house: House, caller: Caller) -> tuple[Totp, Caller]:
    """Set an app up; return it with the caller as its next call comes."""
    found = app(house, await house.core.own_factors.begin_totp(caller, HOME))
    await house.core.own_factors.confirm_totp(caller, found.code(), HOME)
    return found, await again(house, caller)


# ---------------------------------------------------------------- setting up


async def test_an_app_is_in_force_once_a_code_of_it_came(house: House) -> None:
    ada = await house.ada()
    here, other = await enter(house), await enter(house, at=AWAY, door="flashback")
    begun = await house.core.own_factors.begin_totp(here, HOME)
    assert pyotp.parse_uri(begun.url.reveal()).secret == begun.seed.reveal()  # type: ignore[attr-defined]
    assert len(begun.recovery_codes) == 12
    assert isinstance(await house.core.signin.with_password(
        house.core.doors["rocketchat"], Typed("username", "ada"), Password.from_plain(PASSWORD), HOME), SignedIn
    ), "nothing is asked for before it is confirmed"  # fmt: skip
    device = app(house, begun)
    code = device.code()
    shown = await house.core.own_factors.confirm_totp(here, code, HOME)
    assert [c.reveal() for c in shown] == [c.reveal() for c in begun.recovery_codes]
    assert (await again(house, here)).session.id == here.session.id
    assert await why(house.core.sessions.again(other.session)) == "NotSignedIn"
    assert [door for door, _, owner in await house.sessions() if owner == ada.account.id] == ["rocketchat"]
    assert await why(enter(house, at=AWAY, code=code)) == "WrongCode", "the code that confirmed it is used up"
    await enter(house, code=device.code())
    await enter(house, code=device.recovery[0], at=AWAY)
    assert await house.core.own_factors.codes_left(here.account) == 11
    assert [letter.to for letter in await house.letters("factor_added")] == ["ada@example.com"]
    kinds = [kind for kind, detail in await house.db.scan(_EVENTS, account=ada.account.id) if '"owner"' in detail]
    assert kinds == ["factor_enrolled"]


async def test_what_was_begun_before_is_void(house: House) -> None:
    await house.ada()
    here = await enter(house)
    first = app(house, await house.core.own_factors.begin_totp(here, HOME))
    second = app(house, await house.core.own_factors.begin_totp(here, HOME))
    assert await why(house.core.own_factors.confirm_totp(here, first.code(), HOME)) == "WrongCode"
    await house.core.own_factors.confirm_totp(here, second.code(), HOME)
    assert await why(house.core.own_factors.confirm_totp(here, second.code(), HOME)) == "NotEnrolled"
    assert await why(house.core.own_factors.begin_totp(here, HOME)) == "AlreadyEnrolled"


async def test_what_was_begun_lives_a_quarter_of_an_hour(house: House) -> None:
    await house.ada()
    here = await enter(house)
    assert await why(house.core.own_factors.confirm_totp(here, "123456", HOME)) == "NotEnrolled"
    begun = app(house, await house.core.own_factors.begin_totp(here, HOME))
    house.clock.move(15 * MINUTE)
    assert await why(house.core.own_factors.confirm_totp(here, begun.code(), HOME)) == "NotEnrolled"
    assert await house.core.sweep() == 0
    house.clock.move(24 * 60 * MINUTE + 1)
    assert await house.core.sweep() >= 1


async def test_five_wrong_codes_void_what_was_begun_and_end_nothing(house: House) -> None:
    await house.ada()
    here = await enter(house)
    begun = app(house, await house.core.own_factors.begin_totp(here, HOME))
    for _ in range(5):
        assert await why(house.core.own_factors.confirm_totp(here, begun.wrong(), HOME)) == "WrongCode"
    assert await why(house.core.own_factors.confirm_totp(here, begun.code(), HOME)) == "NotEnrolled"
    await again(house, here)


async def test_two_confirm_at_once_and_one_gets_through(house: House) -> None:
    await house.ada()
    here = await enter(house)
    begun = app(house, await house.core.own_factors.begin_totp(here, HOME))
    code = begun.code()
    both = await asyncio.gather(
        *(house.core.own_factors.confirm_totp(here, code, HOME) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) in (["AlreadyEnrolled", "tuple"], ["NotEnrolled", "tuple"])


@pytest.mark.parametrize("changed", ["stale", "another client", "before the upgrade"])
async def test_a_factor_takes_a_fresh_proof_of_the_same_client(house: House, changed: str) -> None:
    await house.ada()
    here, at = await enter(house), HOME
    if changed == "stale":
        house.clock.move(10 * MINUTE + 1)
    elif changed == "another client":
        at = AWAY
    else:

        async def fn(tx: Tx) -> None:
            await tx.run(_STALE, id=here.session.id)

        await house.db.transaction(fn)
        here = await again(house, here)
    own = house.core.own_factors
    assert not await house.core.proving.is_fresh(here, at)
    assert await why(own.begin_totp(here, at)) == "FreshProofRequired"
    assert await why(own.enable_email(here, at)) == "FreshProofRequired"
    fresh = await house.core.proving.with_password(here, Password.from_plain(PASSWORD), at)
    assert await house.core.proving.is_fresh(fresh, at)
    assert await house.core.proving.is_fresh(await again(house, here), at)
    await own.begin_totp(here, at)


async def test_another_session_of_the_same_proof_is_no_fresher(house: House) -> None:
    await house.ada()
    here = await enter(house)
    stolen = await house.core.signin.derive(here, AWAY)
    assert not await house.core.proving.is_fresh(Caller(stolen.session, here.account), AWAY)
    assert await house.core.proving.is_fresh(Caller(stolen.session, here.account), HOME)


async def test_keys_never(house: House) -> None:
    await house.ada()
    here = await enter(house)

    async def nothing(_: Tx) -> None:
        return None

    form = house.core.doors["rocketchat"].token
    for bypass in (False, True):
        minted = await house.core.signin.mint(here, form, NewKey("ci", bypass), HOME, nothing)  # type: ignore[arg-type]
        key, own = Caller(minted.session, here.account), house.core.own_factors
        assert await house.core.proving.is_fresh(key, HOME) is bypass
        for call in (
            own.begin_totp(key, HOME), own.confirm_totp(key, "123456", HOME), own.enable_email(key, HOME),
            own.regenerate(key, "123456", HOME), own.disable(key, "totp", HOME),
            own.disable(key, "totp", HOME, code="1"),
            house.core.factors.remove(key, here.account, ("totp",), HOME),
        ):  # fmt: skip
            assert await why(call) == "NotForKeys"


async def test_claimed_addresses_hold_no_factor(house: House) -> None:
    ada = await house.ada()
    here = await enter(house)

    async def fn(tx: Tx) -> None:
        await tx.run(_CLAIM, account=ada.account.id)
        await accounts.changed(tx, ada.account.id)

    await house.db.transaction(fn)
    assert await why(house.core.own_factors.begin_totp(here, HOME)) == "VerificationRequired"
    assert await why(house.core.own_factors.enable_email(here, HOME)) == "VerificationRequired"


async def test_codes_by_mail(house: House) -> None:
    ada = await house.ada()
    here, other = await enter(house), await enter(house, at=AWAY, door="probe")
    drawn = await house.core.own_factors.enable_email(here, HOME, recovery=True)
    assert len(drawn) == 12
    await again(house, here)
    assert await why(house.core.sessions.again(other.session)) == "NotSignedIn"
    assert await why(house.core.own_factors.enable_email(here, HOME)) == "AlreadyEnrolled"
    assert len(await house.letters("factor_added")) == 1
    assert '"owner"' in (await house.db.scan(_EVENTS, account=ada.account.id))[-1][1]
    await house.core.own_factors.disable(here, "email", HOME)
    assert await why(house.core.own_factors.disable(here, "email", HOME)) == "NotEnrolled"
    assert await why(house.core.own_factors.codes_left(here.account)) == "NotEnrolled"


# ---------------------------------------------------------------- with a code


async def test_recovery_codes_are_replaced_on_a_code(house: House) -> None:
    await house.ada()
    here = await enter(house)
    assert await why(house.core.own_factors.regenerate(here, "123456", HOME)) == "NotEnrolled"
    device, here = await enrolled(house, here)
    assert await why(house.core.own_factors.regenerate(here, device.wrong(), HOME)) == "WrongCode"
    drawn = [code.reveal() for code in await house.core.own_factors.regenerate(here, device.code(), HOME)]
    assert len(set(drawn)) == 12
    assert not set(drawn) & set(device.recovery)
    assert await why(enter(house, code=device.recovery[0])) == "WrongCode"
    await enter(house, code=drawn[0])
    assert await house.core.own_factors.codes_left(here.account) == 11
    fresh = await house.core.own_factors.regenerate(here, drawn[1], HOME)
    assert len(fresh) == 12, "a recovery code is a code, too"


async def test_letting_go_takes_a_code_or_a_fresh_proof(house: House) -> None:
    await house.ada()
    here = await enter(house)
    device, here = await enrolled(house, here)
    other = await enter(house, at=AWAY, door="probe", code=device.code())
    house.clock.move(10 * MINUTE + 1)
    own = house.core.own_factors
    assert await why(own.disable(here, "totp", HOME)) == "FreshProofRequired"
    assert await why(own.disable(here, "totp", HOME, code=device.wrong())) == "WrongCode"
    await own.disable(here, "totp", HOME, code=device.code())
    await again(house, here)
    await again(house, other)
    assert await why(own.disable(here, "totp", HOME)) == "NotEnrolled"
    assert await why(own.codes_left((await again(house, here)).account)) == "NotEnrolled"
    await enter(house)
    assert len(await house.letters("factor_removed")) == 1


async def test_a_code_makes_the_session_fresh(house: House) -> None:
    await house.ada()
    here = await enter(house)
    device, here = await enrolled(house, here)
    house.clock.move(10 * MINUTE + 1)
    here = await again(house, here)
    assert not await house.core.proving.is_fresh(here, HOME)
    assert await why(house.core.proving.with_password(here, Password.from_plain(PASSWORD), HOME)) == (
        "FreshProofRequired"
    ), "the password stands for no second factor"
    code = device.code()
    assert await why(house.core.proving.with_code(here, code, HOME, only=("email",))) == "WrongCode"
    fresh = await house.core.proving.with_code(here, code, HOME)
    assert await house.core.proving.is_fresh(fresh, HOME)
    assert await house.core.proving.is_fresh(await again(house, here), HOME)
    assert not await house.core.proving.is_fresh(fresh, AWAY)
    assert await why(house.core.proving.with_code(here, code, HOME)) == "WrongCode", "each step once"


async def test_five_misses_in_a_row_end_the_session(house: House) -> None:
    ada = await house.ada()
    here = await enter(house)
    device, here = await enrolled(house, here)
    prove = house.core.proving.with_code
    for _ in range(4):
        assert await why(prove(here, device.wrong(), HOME)) == "WrongCode"
    await prove(here, device.code(), HOME)
    for _ in range(4):
        assert await why(prove(here, device.wrong(), HOME)) == "WrongCode"
    assert await why(prove(here, device.wrong(), HOME)) == "TooManyCodes"
    assert await why(house.core.sessions.again(here.session)) == "NotSignedIn"
    assert await why(prove(here, device.code(), HOME)) == "NotSignedIn"
    said = [detail for kind, detail in await house.db.scan(_EVENTS, account=ada.account.id) if kind == "sessions_ended"]
    assert "misses" in said[-1]


async def test_wrong_codes_count_in_the_lane_of_sign_ins(house: House) -> None:
    await house.ada()
    device, _ = await enrolled(house, await enter(house))
    sessions = [await enter(house, code=device.code()) for _ in range(4)]
    said = [await why(house.core.proving.with_code(each, device.wrong(), HOME)) for each in sessions for _ in range(4)]
    assert said == ["WrongCode"] * 10 + ["TooManyCodes"] * 6, "a known network takes ten in an hour"
    assert await why(house.core.proving.with_code(sessions[3], device.code(), HOME)) == "TooManyCodes"
    assert await why(enter(house, code=device.code())) == "TooManyCodes"
    assert await live(house) >= 4, "a budget that is spent is no miss"


async def test_a_code_is_mailed_where_mail_is_the_best(house: House) -> None:
    await house.ada()
    here = await enter(house)
    await house.core.own_factors.enable_email(here, HOME)
    here = await again(house, here)
    asked = await house.core.proving.challenge(here, HOME)
    assert asked.offers == ("email",)
    assert not asked.password
    assert asked.mailed is not None
    assert asked.mailed.sent
    second = await house.core.proving.challenge(here, HOME)
    assert second.mailed is not None
    assert not second.mailed.sent
    assert second.mailed.ends_at is not None
    assert len(await house.letters("code")) == 1
    code = await house.mailed_code()
    await house.core.proving.with_code(here, code, HOME, only=("email",))
    assert await why(house.core.proving.with_code(here, code, HOME)) == "WrongCode", "once"


async def test_without_a_second_factor_the_password_is_asked_for_and_nothing_is_written(house: House) -> None:
    ada = await house.ada()
    here = await enter(house)
    before = await house.db.scan(_EVENTS, account=ada.account.id)
    asked = await house.core.proving.challenge(here, HOME)
    assert (asked.offers, asked.password, asked.mailed) == ((), True, None)
    assert await house.db.scan(_EVENTS, account=ada.account.id) == before


# ---------------------------------------------------------------- somebody else's


async def administrator(house: House) -> Caller:
    """Sign the administrator in."""
    outcome = await house.core.signin.with_password(
        house.core.doors["rocketchat"], Typed("username", "root"), Password.from_plain("root's own password"), HOME
    )
    assert isinstance(outcome, SignedIn)
    return Caller(outcome.session, outcome.person.account)


async def test_an_administrator_removes_a_factor_and_everything_of_its_owner_ends(house: House) -> None:
    person = await house.ada()
    root, here = await administrator(house), await enter(house)
    await enrolled(house, here)
    house.clock.move(10 * MINUTE + 1)
    remove = house.core.factors.remove
    assert await why(remove(root, person.account, ("totp",), HOME)) == "FreshProofRequired"
    await house.core.proving.with_password(root, Password.from_plain("root's own password"), HOME)
    await remove(root, person.account, ("totp",), HOME)
    assert await why(house.core.sessions.again(here.session)) == "NotSignedIn"
    letter = (await house.letters("factor_removed"))[-1]
    assert (letter.to, letter.values["by"]) == ("ada@example.com", "root")
    assert await why(remove(root, person.account, ("totp",), HOME)) == "NotEnrolled"
    await enter(house)


async def test_nobody_below_removes_a_factor_and_strangers_are_unknown(house: House) -> None:
    await house.ada()
    bob = await house.add(email="bob@example.com", username="bob", rank=253)
    elsewhere = await house.core.accounts.organization("Elsewhere")
    eve = await house.add(email="eve@example.com", username="eve", organization=elsewhere)
    here = await enter(house)
    await house.enrol_totp(bob)
    await house.enrol_totp(eve)
    assert await why(house.core.factors.remove(here, bob.account, ("totp",), HOME)) == "NotAllowed"
    assert await why(house.core.factors.remove(here, eve.account, ("totp",), HOME)) == "NotFound"


async def test_ones_own_factor_is_reset_with_every_client(house: House) -> None:
    await house.ada()
    here = await enter(house)
    await enrolled(house, here)
    await house.core.factors.remove(here, here.account, ("totp",), HOME)
    assert await why(house.core.sessions.again(here.session)) == "NotSignedIn"
