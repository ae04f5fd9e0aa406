"""Second factors over Flashback: setting up, proving, letting go, what an organization wants (contract section 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.flashback.talk import CREDENTIALS, assert_no, bearer, log_in, refresh
from dragoman.model import Person
from dragoman.storage.engine import Statement, Tx
from kit.authenticator import Authenticator
from kit.house import House, Totp, open_house

DAY = 24 * 60 * 60
_CLAIM = Statement("update identifier set state = 'claimed' where folded = 'carl@example.com'")


async def call(house: House, path: str, token: str, body: Any = None, method: str = "POST") -> httpx2.Response:
    return await house.request(
        method, f"/mfa/{path}", headers=bearer(token), **({} if body is None else {"json": body})
    )


async def status(house: House, token: str) -> dict[str, Any]:
    answer = await call(house, "status", token, method="GET")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


async def signed_in(house: House) -> str:
    return str((await log_in(house))["accessToken"])


async def with_app(house: House) -> tuple[str, Totp]:
    """Set an app up over the wire; return the session's token and the app."""
    token = await signed_in(house)
    shown = (await call(house, "setup", token, {"mfaType": "GOOGLE_AUTH"})).json()["data"]
    app = Totp(house, shown["secret"], tuple(shown["backupCodes"]))
    answer = await call(house, "verify-setup", token, {"mfaType": "GOOGLE_AUTH", "code": app.code()})
    assert answer.status_code == 200, answer.text
    house.clock.move(31)
    return token, app


async def with_passkey(house: House) -> tuple[str, Authenticator]:
    token, key = await signed_in(house), Authenticator()
    options = (await call(house, "setup", token, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    answer = await call(house, "verify-setup", token, {"mfaType": "PASSKEY", "credential": key.create(options)})
    assert answer.status_code == 200, answer.text
    return token, key


# ---------------------------------------------------------------- an app


async def test_an_app_is_set_up_and_asked_for(house: House) -> None:
    await house.ada()
    token, app = await with_app(house)
    assert await status(house, token) == {
        "isEnabled": True, "isRequired": True, "isEnforced": False, "enabledMethods": ["GOOGLE_AUTH"],
        "primaryMethod": "GOOGLE_AUTH", "sessionVerified": True,
    }  # fmt: skip
    limited = (await log_in(house))["accessToken"]
    assert (await status(house, limited))["sessionVerified"] is False
    body = {"mfaType": "GOOGLE_AUTH", "code": app.code()}
    assert (await call(house, "verify-login", limited, body)).status_code == 200


async def test_what_is_shown_at_setup(house: House) -> None:
    await house.ada()
    answer = await call(house, "setup", await signed_in(house), {"mfaType": "GOOGLE_AUTH"})
    data = answer.json()["data"]
    assert set(data) == {"secret", "qrCode", "otpauthUrl", "backupCodes", "expiresAt"}
    assert data["qrCode"].startswith("data:image/svg+xml")
    assert data["otpauthUrl"].startswith("otpauth://totp/")
    assert len(set(data["backupCodes"])) == 12
    assert data["expiresAt"] == house.clock.now() + 15 * 60_000


async def test_nothing_is_in_force_before_a_code_came(house: House) -> None:
    await house.ada()
    token = await signed_in(house)
    await call(house, "setup", token, {"mfaType": "GOOGLE_AUTH"})
    assert_no(
        await call(house, "verify-setup", token, {"mfaType": "GOOGLE_AUTH", "code": "000000"}), 401, "INVALID_MFA_CODE"
    )
    assert (await status(house, token))["isEnabled"] is False
    assert "refreshToken" in await log_in(house)


async def test_setting_up_ends_the_other_clients(house: House) -> None:
    await house.ada()
    other = await log_in(house)
    token, _ = await with_app(house)
    assert (await status(house, token))["isEnabled"] is True
    assert_no(await refresh(house, other["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")


async def test_letting_go_of_an_app(house: House) -> None:
    await house.ada()
    token, _ = await with_app(house)
    assert (await call(house, "disable", token, {"mfaType": "GOOGLE_AUTH"})).status_code == 200
    assert (await status(house, token))["enabledMethods"] == []
    assert_no(await call(house, "disable", token, {"mfaType": "GOOGLE_AUTH"}), 400, "INVALID_REQUEST")
    assert "refreshToken" in await log_in(house)


WRITES = [
    ("setup", {"mfaType": "GOOGLE_AUTH"}), ("setup", {"mfaType": "MAGIC_LINK"}),
    ("disable", {"mfaType": "GOOGLE_AUTH"}), ("primary", {"mfaType": "GOOGLE_AUTH"}), ("reset", {}),
    ("organization/enforce", {"enforced": True}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), WRITES)
async def test_changing_factors_wants_a_fresh_proof(house: House, path: str, body: dict[str, Any]) -> None:
    await house.ada(rank=255)
    token, _ = await with_app(house)
    house.clock.move(11 * 60)
    answer = await call(house, path, token, body)
    if path == "setup" and body["mfaType"] == "GOOGLE_AUTH":
        assert answer.status_code in (400, 403)
    else:
        assert_no(answer, 403, "REAUTHENTICATION_REQUIRED")
    assert (await status(house, token))["enabledMethods"] == ["GOOGLE_AUTH"]


@pytest.mark.parametrize(("path", "body"), [*WRITES, ("enable", {"mfaType": "MAGIC_LINK"})])
async def test_who_never_verified_changes_nothing(house: House, path: str, body: dict[str, Any]) -> None:
    await house.ada(verified=False, rank=255)
    assert_no(await call(house, path, await signed_in(house), body), 403, "EMAIL_NOT_VERIFIED")


# ---------------------------------------------------------------- passkeys


async def test_a_passkey_is_made_and_signs_in(house: House) -> None:
    await house.ada()
    token, key = await with_passkey(house)
    assert (await status(house, token))["enabledMethods"] == ["PASSKEY"]
    for _ in range(2):
        limited = (await log_in(house))["accessToken"]
        options = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
        assert [each["transports"] for each in options["allowCredentials"]] == [["internal"]]
        answer = await call(house, "verify-login", limited, {"mfaType": "PASSKEY", "credential": key.get(options)})
        assert answer.status_code == 200, answer.text
        assert (await status(house, answer.json()["fullAccessToken"]))["sessionVerified"] is True


async def test_a_passkey_that_does_not_count_signs_in_again_and_again(house: House) -> None:
    await house.ada()
    token, key = await signed_in(house), Authenticator(counts=False)
    options = (await call(house, "setup", token, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    body = {"credential": key.create(options), "name": "Ada's phone"}
    assert (await call(house, "passkey/complete-registration", token, body)).status_code == 200
    for _ in range(2):
        limited = (await log_in(house))["accessToken"]
        asked = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
        answer = await call(house, "verify-login", limited, {"mfaType": "PASSKEY", "credential": key.get(asked)})
        assert answer.status_code == 200, answer.text


async def test_a_passkey_comes_with_recovery_codes(house: House) -> None:
    await house.ada()
    token, key = await signed_in(house), Authenticator()
    options = (await call(house, "setup", token, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    answer = await call(house, "verify-setup", token, {"mfaType": "PASSKEY", "credential": key.create(options)})
    codes = answer.json()["data"]["backupCodes"]
    assert len(codes) == 12
    limited = (await log_in(house))["accessToken"]
    body = {"mfaType": "GOOGLE_AUTH", "code": codes[0]}
    assert (await call(house, "verify-login", limited, body)).status_code == 200


FORGED = [
    {"origin": "https://evil.example"}, {"rp": "evil.example"}, {"challenge": "AAAA"}, {"challenge": ""},
]  # fmt: skip


@pytest.mark.parametrize("wrong", FORGED)
async def test_a_passkey_made_elsewhere_is_not_kept(house: House, wrong: dict[str, Any]) -> None:
    await house.ada()
    token, key = await signed_in(house), Authenticator()
    options = (await call(house, "setup", token, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    credential = key.create(options, **wrong)
    assert_no(
        await call(house, "verify-setup", token, {"mfaType": "PASSKEY", "credential": credential}),
        401,
        "INVALID_MFA_CODE",
    )
    assert (await status(house, token))["isEnabled"] is False


@pytest.mark.parametrize("wrong", FORGED)
async def test_a_signature_given_elsewhere_opens_nothing(house: House, wrong: dict[str, Any]) -> None:
    await house.ada()
    _, key = await with_passkey(house)
    limited = (await log_in(house))["accessToken"]
    options = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": key.get(options, **wrong)}
    assert_no(await call(house, "verify-login", limited, body), 401, "INVALID_MFA_CODE")


async def test_a_signature_is_good_for_its_own_attempt_once(house: House) -> None:
    await house.ada()
    _, key = await with_passkey(house)
    first, second = (await log_in(house))["accessToken"], (await log_in(house))["accessToken"]
    options = (await call(house, "passkey/auth-options", first)).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": key.get(options)}
    assert_no(await call(house, "verify-login", second, body), 401, "INVALID_MFA_CODE")
    assert (await call(house, "verify-login", first, body)).status_code == 200
    assert_no(await call(house, "verify-login", first, body), 401, "NO_AUTH_USER")


async def test_a_copy_of_a_passkey_is_found_out(house: House) -> None:
    await house.ada()
    _, key = await with_passkey(house)
    for _ in range(2):
        limited = (await log_in(house))["accessToken"]
        options = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
        body = {"mfaType": "PASSKEY", "credential": key.get(options)}
        assert (await call(house, "verify-login", limited, body)).status_code == 200
    key.count = 0  # the copy was made before
    limited = (await log_in(house))["accessToken"]
    options = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": key.get(options)}
    assert_no(await call(house, "verify-login", limited, body), 401, "INVALID_MFA_CODE")


async def test_a_challenge_dies(house: House) -> None:
    await house.ada()
    _, key = await with_passkey(house)
    limited = (await log_in(house))["accessToken"]
    options = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
    house.clock.move(10 * 60 + 1)
    body = {"mfaType": "PASSKEY", "credential": key.get(options)}
    assert_no(await call(house, "verify-login", limited, body), 401, "INVALID_MFA_CODE")


async def test_another_ones_passkey_opens_nothing(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    _, adas = await with_passkey(house)
    bob = (await log_in(house, email="bob@example.com"))["accessToken"]
    bobs = Authenticator()
    options = (await call(house, "setup", bob, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": bobs.create(options)}
    assert (await call(house, "verify-setup", bob, body)).status_code == 200
    limited = (await log_in(house, email="bob@example.com"))["accessToken"]
    asked = (await call(house, "passkey/auth-options", limited)).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": adas.get(asked)}
    assert_no(await call(house, "verify-login", limited, body), 401, "INVALID_MFA_CODE")


async def test_a_passkey_is_kept_for_one_account_only(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    _, key = await with_passkey(house)
    bob = (await log_in(house, email="bob@example.com"))["accessToken"]
    options = (await call(house, "setup", bob, {"mfaType": "PASSKEY"})).json()["data"]["options"]
    body = {"mfaType": "PASSKEY", "credential": key.create(options)}
    assert_no(await call(house, "verify-setup", bob, body), 400, "INVALID_REQUEST")


NONSENSE: list[Any] = [
    {"id": "x"}, {"rawId": 1, "response": {}}, {"rawId": "AA", "response": {"clientDataJSON": "e30"}},
    {"rawId": "AA", "response": None}, {"rawId": "AA", "response": {"clientDataJSON": {"$ne": 1}}},
    {"rawId": "AA", "id": "AA", "type": "public-key", "response": {"clientDataJSON": "ew", "attestationObject": "oA"}},
]  # fmt: skip


@pytest.mark.parametrize("credential", NONSENSE)
async def test_nonsense_proves_nothing(house: House, credential: Any) -> None:
    await house.ada()
    token, _ = await with_passkey(house)
    body = {"mfaType": "PASSKEY", "credential": credential}
    assert_no(await call(house, "verify-setup", token, body), 401, "INVALID_MFA_CODE")
    limited = (await log_in(house))["accessToken"]
    assert_no(await call(house, "verify-login", limited, body), 401, "INVALID_MFA_CODE")


async def test_an_address_has_no_passkeys(tmp_path: Path) -> None:
    async with open_house(tmp_path, server__public_url="http://127.0.0.1:8080") as house:
        await house.ada()
        token = await signed_in(house)
        assert_no(await call(house, "setup", token, {"mfaType": "PASSKEY"}), 403, "FORBIDDEN")
        shown = (await call(house, "methods", token, method="GET")).json()["data"]
    assert {each["type"]: each["isAvailable"] for each in shown} == {
        "GOOGLE_AUTH": True, "MAGIC_LINK": True, "PASSKEY": False,
    }  # fmt: skip


# ---------------------------------------------------------------- magic links


async def with_links(house: House) -> str:
    token = await signed_in(house)
    assert (await call(house, "enable", token, {"mfaType": "MAGIC_LINK"})).status_code == 200
    return token


async def test_the_links_token_completes_where_the_attempt_is(house: House) -> None:
    await house.ada()
    await with_links(house)
    limited = (await log_in(house))["accessToken"]
    assert await house.letters("magic") == [], "only on request"
    assert (await call(house, "magic-link/send", limited)).status_code == 200
    token = await house.token("magic")
    answer = await call(house, "verify-login", limited, {"mfaType": "MAGIC_LINK", "token": token})
    assert answer.status_code == 200, answer.text
    another = (await log_in(house))["accessToken"]
    assert_no(
        await call(house, "verify-login", another, {"mfaType": "MAGIC_LINK", "token": token}),
        400,
        "INVALID_VERIFICATION_TOKEN",
    )


async def test_elsewhere_a_link_shows_a_code_and_opens_nothing(house: House) -> None:
    await house.ada()
    await with_links(house)
    limited = (await log_in(house))["accessToken"]
    await call(house, "magic-link/send", limited)
    letter = (await house.letters("magic"))[-1]
    token, code = letter.values["link"].rpartition("/")[2], letter.values["code"]
    answer = await house.post("/mfa/magic-link/activate", json={"token": token})
    assert answer.status_code == 200
    assert f"{code[:3]}-{code[3:]}" in answer.json()["message"]
    assert set(answer.json()) == {"success", "message"}
    assert len(await house.sessions()) == 1, "of who enabled it"
    body = {"mfaType": "MAGIC_LINK", "code": f"{code[:3]}-{code[3:]}"}
    assert (await call(house, "verify-login", limited, body)).status_code == 200
    assert_no(await house.post("/mfa/magic-link/activate", json={"token": token}), 400, "INVALID_VERIFICATION_TOKEN")


async def test_a_new_link_voids_the_one_before(house: House) -> None:
    await house.ada()
    await with_links(house)
    limited = (await log_in(house))["accessToken"]
    await call(house, "magic-link/send", limited)
    old = await house.token("magic")
    house.clock.move(61)
    await call(house, "magic-link/send", limited)
    assert_no(
        await call(house, "verify-login", limited, {"mfaType": "MAGIC_LINK", "token": old}),
        400,
        "INVALID_VERIFICATION_TOKEN",
    )
    body = {"mfaType": "MAGIC_LINK", "token": await house.token("magic")}
    assert (await call(house, "verify-login", limited, body)).status_code == 200


async def test_no_link_for_who_never_enabled_it(house: House) -> None:
    person = await house.ada()
    await house.enrol_totp(person)
    limited = (await log_in(house))["accessToken"]
    answer = await call(house, "magic-link/send", limited)
    assert answer.status_code in (400, 403)
    assert await house.letters("magic") == []


async def test_a_page_shows_the_code_of_a_link(house: House) -> None:
    await house.ada()
    await with_links(house)
    await call(house, "magic-link/send", (await log_in(house))["accessToken"])
    letter = (await house.letters("magic"))[-1]
    page = await house.get(letter.values["link"].removeprefix("http://dragoman.test"))
    assert page.status_code == 200
    code = letter.values["code"]
    assert f"{code[:3]}-{code[3:]}" in page.text
    assert (await house.get("/magic/nothing")).status_code == 404


# ---------------------------------------------------------------- primary, reset


async def test_the_primary_method_is_chosen_among_the_enabled(house: House) -> None:
    await house.ada()
    token, _ = await with_app(house)
    assert_no(await call(house, "primary", token, {"mfaType": "PASSKEY"}), 400, "INVALID_REQUEST")
    await call(house, "enable", token, {"mfaType": "MAGIC_LINK"})
    assert (await status(house, token))["primaryMethod"] == "GOOGLE_AUTH"
    assert (await call(house, "primary", token, {"mfaType": "MAGIC_LINK"})).status_code == 200
    assert (await status(house, token))["primaryMethod"] == "MAGIC_LINK"
    await call(house, "disable", token, {"mfaType": "MAGIC_LINK"})
    assert (await status(house, token))["primaryMethod"] == "GOOGLE_AUTH"


async def bob_of(house: House, rank: int) -> tuple[Person, str]:
    person = await house.add(email="bob@example.com", username="bob", verified=True, rank=rank)
    return person, str((await log_in(house, email="bob@example.com"))["accessToken"])


@pytest.mark.parametrize(("rank", "done"), [(0, False), (2, False), (254, True), (255, True)])
async def test_who_resets_anothers_factors(house: House, rank: int, done: bool) -> None:
    ada = await house.ada()
    token, _ = await with_app(house)
    _, bob = await bob_of(house, rank)
    answer = await call(house, "reset", bob, {"resetUserId": str(_uuid(ada))})
    if not done:
        assert_no(answer, 403, "FORBIDDEN")
        return
    assert answer.status_code == 200, answer.text
    assert (await call(house, "status", token, method="GET")).status_code == 401, "its clients end"
    assert "refreshToken" in await log_in(house)


async def test_one_resets_ones_own(house: House) -> None:
    await house.ada()
    token, _ = await with_app(house)
    assert (await call(house, "reset", token)).status_code == 200
    assert "refreshToken" in await log_in(house)


@pytest.mark.parametrize("id", ["x", "", "00000000-0000-7000-8000-000000000000"])
async def test_strangers_are_not_reset(house: House, id: str) -> None:
    await house.ada(rank=255)
    token, _ = await with_app(house)
    if id:
        assert_no(await call(house, "reset", token, {"resetUserId": id}), 404, "USER_NOT_FOUND")
    assert (await status(house, token))["isEnabled"] is True


def _uuid(person: Person) -> Any:
    import uuid

    return uuid.UUID(bytes=person.account.id)


# ---------------------------------------------------------------- an organization that wants one


async def enforced(house: House, *, days: float = 0) -> tuple[dict[str, Any], str]:
    """Let an owner want a second factor; return Ada's session from before, and the owner's token."""
    await house.ada(rank=0)
    before = await log_in(house)
    _, owner = await bob_of(house, 255)
    shown = (await call(house, "setup", owner, {"mfaType": "GOOGLE_AUTH"})).json()["data"]
    app = Totp(house, shown["secret"], ())
    await call(house, "verify-setup", owner, {"mfaType": "GOOGLE_AUTH", "code": app.code()})
    assert (await call(house, "organization/enforce", owner, {"enforced": True})).status_code == 200
    house.clock.move(days * DAY)
    return before, owner


async def test_within_the_days_of_grace_nothing_is_asked(house: House) -> None:
    before, _ = await enforced(house, days=6)
    assert (await refresh(house, before["refreshToken"])).status_code == 200
    token = await signed_in(house)
    told = await status(house, token)
    assert (told["isEnforced"], told["isRequired"], told["isEnabled"]) == (True, False, False)


async def test_then_chains_end_and_sign_ins_wait_for_enrolling(house: House) -> None:
    before, _ = await enforced(house, days=7)
    assert_no(await refresh(house, before["refreshToken"]), 403, "MFA_REQUIRED")
    answer = await log_in(house)
    assert "refreshToken" not in answer
    limited = answer["accessToken"]
    told = await status(house, limited)
    assert (told["isEnforced"], told["isRequired"], told["isEnabled"]) == (True, True, False)
    assert_no(await house.get("/user/profile", headers=bearer(limited)), 403, "MFA_REQUIRED")
    shown = (await call(house, "setup", limited, {"mfaType": "GOOGLE_AUTH"})).json()["data"]
    app, mailed = Totp(house, shown["secret"], tuple(shown["backupCodes"])), await house.mailed_code()
    body = {"mfaType": "GOOGLE_AUTH", "code": app.code(), "emailCode": mailed}
    wrong = {**body, "emailCode": "000000" if mailed != "000000" else "000001"}
    assert_no(await call(house, "verify-setup", limited, {**body, "emailCode": ""}), 400, "INVALID_REQUEST")
    assert_no(await call(house, "verify-setup", limited, wrong), 401, "INVALID_MFA_CODE")
    assert_no(await call(house, "verify-setup", limited, {**body, "code": app.wrong()}), 401, "INVALID_MFA_CODE")
    done = await call(house, "verify-setup", limited, body)
    assert done.status_code == 200, done.text
    assert len(done.json()["data"]["backupCodes"]) == 12
    house.clock.move(31)
    again = (await log_in(house))["accessToken"]
    body = {"mfaType": "GOOGLE_AUTH", "code": app.code()}
    assert (await call(house, "verify-login", again, body)).status_code == 200
    assert [letter.kind for letter in await house.letters("factor_added")] != []


async def test_nobody_enrols_with_a_password_and_a_claimed_address(house: House) -> None:
    await enforced(house, days=8)
    await house.add(email="carl@example.com", username="carl")

    async def claimed(tx: Tx) -> None:
        await tx.run(_CLAIM)

    await house.db.transaction(claimed)
    limited = (await log_in(house, email="carl@example.com"))["accessToken"]
    assert_no(await call(house, "setup", limited, {"mfaType": "GOOGLE_AUTH"}), 403, "EMAIL_NOT_VERIFIED")


@pytest.mark.parametrize("door", ["rocketchat", "pocketm8"])
async def test_doors_that_cannot_enrol_refuse(house: House, door: str) -> None:
    await enforced(house, days=8)
    if door == "rocketchat":
        answer = await house.post("/api/v1/login", json={"user": "ada", "password": CREDENTIALS["password"]})
        assert answer.status_code == 401
        assert answer.json()["error"] == "totp-required"
    else:
        body = {"email": "ada@example.com", "password": CREDENTIALS["password"]}
        answer = await house.post("/api/auth/user/sign-in", json=body)
        assert answer.status_code == 403


async def test_the_last_factor_stays_while_one_is_wanted(house: House) -> None:
    _, owner = await enforced(house)
    assert_no(await call(house, "disable", owner, {"mfaType": "GOOGLE_AUTH"}), 403, "FORBIDDEN")
    assert (await call(house, "organization/enforce", owner, {"enforced": False})).status_code == 200
    assert (await call(house, "disable", owner, {"mfaType": "GOOGLE_AUTH"})).status_code == 200


@pytest.mark.parametrize("rank", [0, 1, 2])
async def test_who_may_not_want_it(house: House, rank: int) -> None:
    _, bob = await bob_of(house, rank)
    assert_no(await call(house, "organization/enforce", bob, {"enforced": True}), 403, "FORBIDDEN")


async def test_a_limited_token_enrols_nothing_where_a_factor_is(house: House) -> None:
    person = await house.ada()
    await house.enrol_totp(person)
    limited = (await log_in(house))["accessToken"]
    for path, body in (
        ("setup", {"mfaType": "GOOGLE_AUTH"}),
        ("verify-setup", {"mfaType": "GOOGLE_AUTH", "code": "123456", "emailCode": "123456"}),
    ):
        assert_no(await call(house, path, limited, body), 403, "MFA_REQUIRED")
    for path in ("enable", "disable", "primary", "passkey/complete-registration", "reset", "organization/enforce"):
        assert_no(
            await call(house, path, limited, {"mfaType": "GOOGLE_AUTH", "credential": {}, "enforced": True}),
            403,
            "MFA_REQUIRED",
        )
