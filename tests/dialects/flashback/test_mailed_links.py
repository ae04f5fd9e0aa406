"""Verifying an address, invitations, a forgotten password (contract sections 4.10 to 4.14)."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2
import pytest

from dialects.flashback.talk import CREDENTIALS, EMAIL, assert_no, bearer, log_in, profile
from dragoman.core.accounts import NewAccount
from dragoman.model import Person
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House, open_house

_TICKETS = Statement("select id from ticket")
NEW = "Another horse battery 7"


async def send(house: House, path: str, body: Any = None, **more: Any) -> httpx2.Response:
    return await house.post(f"/user/{path}", **({} if body is None else {"json": body}), **more)


async def invited(house: House) -> Person:
    return await house.core.accounts.add(
        NewAccount(email="bob@example.com", username="bob", first_name="Bob", last_name="Example", status="invited"),
        None,
    )


# ---------------------------------------------------------------- verifying


async def test_looking_first_tells_what_to_ask_for_and_leaves_the_token_good(house: House) -> None:
    token = await house.ticket("verify", await house.ada(verified=False))
    for _ in range(2):
        answer = await send(house, "pre-verify-email", {"token": token}, headers=bearer("stale"))
        assert answer.status_code == 200
        assert list(answer.json()) == ["success", "message", "authMethod", "hasPassword"]
        assert answer.json()["success"] is True
        assert (answer.json()["authMethod"], answer.json()["hasPassword"]) == ("LOCAL", True)
    assert (await send(house, "verify-email", {"token": token})).status_code == 200


async def test_verifying_signs_in_like_a_login(house: House) -> None:
    await house.ada(verified=False)
    logged_in = await log_in(house)
    answer = await send(house, "verify-email", {"token": await house.ticket("verify", await the_person(house))})
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["success", "accessToken", "refreshToken", "tokenId", "expiresAt", "user"]
    assert body["user"] == logged_in["user"]
    assert body["expiresAt"] == house.clock.now() + 3_600_000
    shown = (await profile(house, body["accessToken"])).json()["data"]
    assert shown["validated"] is True
    assert (await profile(house, logged_in["accessToken"])).json()["data"]["validated"] is True, "and nobody is ended"


async def the_person(house: House) -> Person:
    return await house.core.accounts.person(await house.core.accounts.named(EMAIL))


async def test_a_second_factor_is_asked_for_all_the_same(house: House) -> None:
    ada = await house.ada(verified=False)
    totp = await house.enrol_totp(ada)
    token = await house.ticket("verify", ada)
    before = await send(house, "pre-verify-email", {"token": token})
    assert "factor" not in before.text.lower()
    limited = (await send(house, "verify-email", {"token": token})).json()
    assert list(limited) == ["success", "accessToken", "expiresAt", "message", "user"]
    assert await house.sessions() == []
    body = {"mfaType": "GOOGLE_AUTH", "code": totp.code()}
    full = await house.post("/mfa/verify-login", json=body, headers=bearer(limited["accessToken"]))
    assert (await profile(house, full.json()["fullAccessToken"])).json()["data"]["validated"] is True


@pytest.mark.parametrize("path", ["pre-verify-email", "verify-email"])
@pytest.mark.parametrize("token", ["x", "x" * 43, "a.b.c", "é\u202e", "x" * 1024])
async def test_a_token_that_is_none(house: House, path: str, token: str) -> None:
    assert_no(await send(house, path, {"token": token}), 400, "INVALID_VERIFICATION_TOKEN")
    assert_no(await send(house, path, {"token": token, "password": NEW}), 400, "INVALID_VERIFICATION_TOKEN")


@pytest.mark.parametrize("path", ["pre-verify-email", "verify-email"])
async def test_tokens_for_something_else_used_or_late(house: House, path: str) -> None:
    ada = await house.ada(verified=False)
    for purpose in ("reset", "undo", "open", "magic"):
        token = await house.ticket(purpose, ada)
        assert_no(await send(house, path, {"token": token}), 400, "INVALID_VERIFICATION_TOKEN")
    used, late = await house.ticket("verify", ada), await house.ticket("verify", ada)
    assert (await send(house, "verify-email", {"token": used})).status_code == 200
    assert_no(await send(house, path, {"token": used}), 400, "INVALID_VERIFICATION_TOKEN")
    house.clock.move(24 * 3600)
    assert_no(await send(house, path, {"token": late}), 400, "VERIFICATION_TOKEN_EXPIRED")


@pytest.mark.parametrize("path", ["pre-verify-email", "verify-email"])
@pytest.mark.parametrize("body", [{}, {"token": 5}, {"token": ""}, {"token": None}, [], {"token": "x" * 1025}])
async def test_a_body_that_does_not_fit(house: House, path: str, body: Any) -> None:
    assert_no(await send(house, path, body), 400, "INVALID_REQUEST")


# ---------------------------------------------------------------- invitations


async def test_an_invitation_is_taken_up_with_a_password(house: House) -> None:
    bob = await invited(house)
    await house.core.recovery.invite(bob.account, "flashback", by="Ada Example")
    token = await house.token("invite")
    answer = await send(house, "pre-verify-email", {"token": token})
    assert answer.json()["hasPassword"] is False
    for body in ({"token": token}, {"token": token, "password": ""}, {"token": token, "password": None}):
        assert_no(await send(house, "verify-email", body), 400, "PASSWORD_REQUIRED")
    for weak in ("Sh0rt", "no upper 1", "NO LOWER 1", "No digit at all", "Password1", "Example2026", "aB1" * 90):
        assert_no(await send(house, "verify-email", {"token": token, "password": weak}), 400, "WEAK_PASSWORD")
    answer = await send(house, "verify-email", {"token": token, "password": NEW})
    assert answer.json()["user"]["name"] == "Bob Example"
    assert (await profile(house, answer.json()["accessToken"])).json()["data"]["validated"] is True
    again = await house.post("/user/login", json={"email": "bob@example.com", "password": NEW})
    assert again.status_code == 200
    assert_no(await send(house, "verify-email", {"token": token, "password": NEW}), 400, "INVALID_VERIFICATION_TOKEN")


async def test_nobody_signs_in_before_the_invitation_is_taken_up(house: House) -> None:
    await house.core.life.set_status((await house.ada()).account, "invited")
    assert_no(await house.post("/user/login", json=CREDENTIALS), 401, "USER_INACTIVE")


# ---------------------------------------------------------------- once more


async def test_the_login_names_the_mail_that_is_out_and_it_is_sent_again(house: House) -> None:
    await house.ada(verified=False, email="Ada@Example.com")
    assert "verificationTokenId" not in await log_in(house)
    await house.core.recovery.send_verification((await the_person(house)).account, house.core.doors["flashback"])
    first = await house.token("verify")
    named = (await log_in(house))["verificationTokenId"]
    assert str(uuid.UUID(named)) == named
    assert first not in named
    too_soon = await send(house, f"resend-verification/{named}")
    assert_no(too_soon, 429, "RATE_LIMITED")
    assert too_soon.headers["retry-after"] == "60"
    house.clock.move(60)
    answer = await send(house, f"resend-verification/{named}", headers=bearer("stale"))
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert_no(await send(house, "verify-email", {"token": first}), 400, "INVALID_VERIFICATION_TOKEN")
    assert {letter.to for letter in await house.letters("verify")} == {"Ada@Example.com"}, "the stored spelling"
    assert (await log_in(house))["verificationTokenId"] == named
    assert (await send(house, "verify-email", {"token": await house.token("verify")})).status_code == 200
    assert "verificationTokenId" not in await log_in(house)
    assert_no(await send(house, f"resend-verification/{named}"), 400, "INVALID_VERIFICATION_TOKEN")


async def test_an_invitation_is_sent_again_too(house: House) -> None:
    bob = await invited(house)
    named = await house.core.recovery.invite(bob.account, "flashback")
    first = await house.token("invite")
    house.clock.move(61)
    assert (await send(house, f"resend-verification/{named}")).status_code == 200
    assert_no(await send(house, "pre-verify-email", {"token": first}), 400, "INVALID_VERIFICATION_TOKEN")
    assert (await send(house, "pre-verify-email", {"token": await house.token("invite")})).status_code == 200


@pytest.mark.parametrize("named", ["x", "0", str(uuid.UUID(int=7)), "é", "x" * 500])
async def test_an_id_of_no_mail(house: House, named: str) -> None:
    await house.ada(verified=False)
    assert_no(await send(house, f"resend-verification/{named}"), 400, "INVALID_VERIFICATION_TOKEN")


async def test_the_id_of_a_reset_sends_nothing(house: House) -> None:
    await house.ada()
    await send(house, "request-reset-password", {"email": EMAIL})
    rows = await house.core.newest_events(10)
    assert [event.kind for event in rows].count("link_asked_for") == 1
    found = await house.db.scan(_TICKETS)
    for (id,) in found:
        assert_no(await send(house, f"resend-verification/{uuid.UUID(bytes=id)}"), 400, "INVALID_VERIFICATION_TOKEN")
    assert len(found) == len(await house.letters()) == 1


async def test_a_mail_for_somebody_who_left_is_not_sent_again(house: House) -> None:
    ada = await house.ada(verified=False)
    await house.core.recovery.send_verification(ada.account)
    named = (await log_in(house))["verificationTokenId"]
    await house.core.life.set_status(ada.account, "suspended")
    house.clock.move(61)
    assert_no(await send(house, f"resend-verification/{named}"), 400, "INVALID_VERIFICATION_TOKEN")


async def test_sending_again_has_its_budget(house: House) -> None:
    ada = await house.ada(verified=False)
    await house.core.recovery.send_verification(ada.account)
    named = (await log_in(house))["verificationTokenId"]
    said = []
    for _ in range(7):
        house.clock.move(61)
        said.append((await send(house, f"resend-verification/{named}")).status_code)
    assert said == [200] * 5 + [429] * 2


# ---------------------------------------------------------------- a forgotten password


async def test_a_reset(house: House) -> None:
    await house.ada()
    held = await log_in(house)
    answer = await send(house, "request-reset-password", {"email": " ADA@example.com "}, headers=bearer("stale"))
    assert answer.status_code == 200
    assert list(answer.json()) == ["success", "message"]
    unknown = await send(house, "request-reset-password", {"email": "nobody@example.com"})
    assert (unknown.status_code, unknown.content) == (200, answer.content)
    token = await house.token("reset")
    answer = await send(house, "reset-password", {"token": token, "newPassword": NEW})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert "Token" not in answer.text, "it signs nobody in"
    assert_no(await profile(house, held["accessToken"]), 401, "NO_AUTH_USER")
    refreshed = await house.post("/user/refresh", json={"refreshToken": held["refreshToken"]})
    assert_no(refreshed, 401, "INVALID_REFRESH_TOKEN")
    assert_no(await house.post("/user/login", json=CREDENTIALS), 401, "INVALID_PASSWORD")
    assert (await house.post("/user/login", json={"email": EMAIL, "password": NEW})).status_code == 200
    assert_no(
        await send(house, "reset-password", {"token": token, "newPassword": PASSWORD}), 400, "INVALID_RESET_TOKEN"
    )


async def test_the_rules_of_a_new_password(house: House) -> None:
    token = await house.ticket("reset", await house.ada())
    for weak, word in (
        ("Sh0rt", "at least 8"), ("A1" + "x" * 255, "at most 256"), ("no upper case 1", "upper-case"),
        ("NO LOWER CASE 1", "lower-case"), ("No digit at all", "digit"), ("Password123", "common"), ("", "at least 8"),
    ):  # fmt: skip
        answer = await send(house, "reset-password", {"token": token, "newPassword": weak})
        assert_no(answer, 400, "WEAK_PASSWORD")
        assert word in answer.json()["message"]
    # Judged by Unicode category (open point 19): capital omega, small sigma, an Arabic-Indic digit.
    assert (
        await send(house, "reset-password", {"token": token, "newPassword": "\u03a9\u03c3\u0663 \u4e2d\u6587 xyz"})
    ).status_code == 200


@pytest.mark.parametrize("purpose", ["verify", "open", "undo", "invite"])
async def test_tokens_for_something_else_reset_nothing(house: House, purpose: Any) -> None:
    token = await house.ticket(purpose, await house.ada())
    for password in (NEW, "weak"):
        answer = await send(house, "reset-password", {"token": token, "newPassword": password})
        assert_no(answer, 400, "INVALID_RESET_TOKEN")


async def test_a_reset_token_runs_out_after_an_hour(house: House) -> None:
    token = await house.ticket("reset", await house.ada())
    house.clock.move(3600)
    assert_no(await send(house, "reset-password", {"token": token, "newPassword": NEW}), 400, "INVALID_RESET_TOKEN")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("request-reset-password", {}), ("request-reset-password", {"email": 5}),
        ("request-reset-password", {"email": ""}), ("request-reset-password", []),
        ("reset-password", {"token": "x"}), ("reset-password", {"newPassword": NEW}),
        ("reset-password", {"token": 1, "newPassword": NEW}), ("reset-password", {"token": "x", "newPassword": None}),
        ("reset-password", {"token": "x", "newPassword": "x" * 1025}),
    ],
)  # fmt: skip
async def test_a_reset_that_does_not_fit(house: House, path: str, body: Any) -> None:
    assert_no(await send(house, path, body), 400, "INVALID_REQUEST")


async def test_where_no_mail_is_sent_it_says_so(tmp_path: Any) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        await house.ada()
        for email in (EMAIL, "nobody@example.com"):
            assert_no(await send(house, "request-reset-password", {"email": email}), 403, "FORBIDDEN")
        assert_no(await send(house, f"resend-verification/{uuid.UUID(int=7)}"), 403, "FORBIDDEN")
