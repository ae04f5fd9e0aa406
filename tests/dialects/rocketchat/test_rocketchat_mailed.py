"""A forgotten password and confirming an address (contract section 8.3)."""

from __future__ import annotations

from typing import Any

import pytest

from kit.house import House, open_house

FORGOT = "/api/v1/users.forgotPassword"
CONFIRM = "/api/v1/users.sendConfirmationEmail"
VERIFY = "/api/v1/users.verifyEmail"
YES = (200, {"success": True})
UNKNOWN = (400, {"success": False, "error": "User not found."})
NO_TOKEN = (
    404,
    {
        "success": False, "error": "Token expired or invalid [error-invalid-token]",
        "errorType": "error-invalid-token",
    },
)  # fmt: skip
STALE = {"X-Auth-Token": "undefined", "X-User-Id": "undefined"}


async def said(house: House, path: str, **wanted: Any) -> tuple[int, Any]:
    answer = await house.post(path, **wanted)
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()


async def test_a_forgotten_password(house: House) -> None:
    await house.ada()
    assert await said(house, FORGOT, json={"email": "Ada@example.com"}, headers=STALE) == YES
    [letter] = await house.letters("reset")
    assert letter.values["link"].startswith("http://dragoman.test/reset-password/")


@pytest.mark.parametrize("email", ["nobody@example.com", "", "@", "ada", "x" * 3000, "ada@example.com\r\nBcc: x@y.z"])
async def test_unknown_and_malformed_addresses_are_no_error(house: House, email: str) -> None:
    await house.ada()
    assert await said(house, FORGOT, json={"email": email}) == YES
    assert await said(house, FORGOT, data={"email": email}) == YES
    assert await house.letters() == []


@pytest.mark.parametrize("path", [FORGOT, CONFIRM, VERIFY])
@pytest.mark.parametrize("body", [{}, {"email": 5, "token": 5}, {"email": None, "token": None}])
async def test_a_body_without_the_field_does_not_fit(house: House, path: str, body: object) -> None:
    status, shown = await said(house, path, json=body)
    assert (status, shown["success"], shown["errorType"]) == (400, False, "invalid-params")
    assert ("token" if path == VERIFY else "email") in shown["error"]


async def test_a_body_that_is_none_counts_as_an_empty_one(house: House) -> None:
    for wanted in ({}, {"content": b"{"}, {"content": b'{"email":"ada@example.com"}'}, {"json": []}):
        assert (await said(house, FORGOT, **wanted))[1]["errorType"] == "invalid-params"


@pytest.mark.parametrize("off", [{"mail__transport": "off"}, {"accounts__password_reset": False}], ids=str)
async def test_where_no_reset_is_mailed_it_says_so(tmp_path: Any, off: dict[str, Any]) -> None:
    async with open_house(tmp_path, **off) as house:
        await house.ada()
        for email in ("ada@example.com", "nobody@example.com"):
            no = (400, {"success": False, "error": "Password reset is not enabled"})
            assert await said(house, FORGOT, json={"email": email}) == no
        public = await house.get("/api/v1/settings.public?_id=Accounts_PasswordReset")
        assert public.json()["settings"] == [{"_id": "Accounts_PasswordReset", "value": False}]


async def test_the_setting_tells_that_resets_are_mailed(house: House) -> None:
    public = await house.get("/api/v1/settings.public?_id=Accounts_PasswordReset")
    assert public.json()["settings"] == [{"_id": "Accounts_PasswordReset", "value": True}]


async def test_an_address_is_confirmed_with_what_was_mailed_to_it(house: House) -> None:
    await house.ada(verified=False)
    assert await said(house, CONFIRM, json={"email": "ada@example.com"}, headers=STALE) == YES
    token = await house.token("verify")
    assert len(token) == 43
    assert await said(house, VERIFY, json={"token": token}) == YES
    assert await said(house, VERIFY, json={"token": token}) == NO_TOKEN
    found = await house.core.accounts.person(await house.core.accounts.named("ada"))
    assert found.emails[0].state == "verified"
    assert await house.sessions() == [], "it signs nobody in"


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 3000, "é\u202e", "a.b.c"])
async def test_a_token_that_is_none(house: House, token: str) -> None:
    assert await said(house, VERIFY, json={"token": token}) == NO_TOKEN


async def test_tokens_for_something_else_or_late_are_none(house: House) -> None:
    ada = await house.ada(verified=False)
    for purpose in ("reset", "open", "undo", "invite"):
        assert await said(house, VERIFY, json={"token": await house.ticket(purpose, ada)}) == NO_TOKEN
    late = await house.ticket("verify", ada)
    house.clock.move(24 * 3600)
    assert await said(house, VERIFY, json={"token": late}) == NO_TOKEN


async def test_an_address_that_is_confirmed_gets_no_mail_and_the_same_answer(house: House) -> None:
    await house.ada()
    assert await said(house, CONFIRM, json={"email": "ada@example.com"}) == YES
    assert await house.letters() == []


async def test_unknown_addresses_are_told_ten_times_an_hour_and_network(house: House) -> None:
    """Every answer that tells spends the budget, a yes as well as a no; after that all are yes (decision 29)."""
    await house.ada(verified=False)
    for n in range(5):
        assert await said(house, CONFIRM, json={"email": f"nobody{n}@example.com"}) == UNKNOWN
        assert await said(house, CONFIRM, json={"email": "ada@example.com"}) == YES
    assert await said(house, CONFIRM, json={"email": "nobody8@example.com"}) == YES
    assert await said(house, CONFIRM, json={"email": "nobody8@example.com"}, address="198.51.100.7") == UNKNOWN
    house.clock.move(3601)
    assert await said(house, CONFIRM, json={"email": "nobody9@example.com"}) == UNKNOWN


async def test_concealed_accounts_are_not_told(tmp_path: Any) -> None:
    async with open_house(tmp_path, accounts__conceal=True) as house:
        await house.ada(verified=False)
        for email in ("nobody@example.com", "ada@example.com", "", "@"):
            assert await said(house, CONFIRM, json={"email": email}) == YES
        assert [letter.to for letter in await house.letters("verify")] == ["ada@example.com"]


async def test_an_account_that_is_not_active_is_answered_as_any_other(house: House) -> None:
    gone = await house.add(email="gone@example.com")
    await house.core.life.set_status(gone.account, "suspended")
    assert await said(house, CONFIRM, json={"email": "gone@example.com"}) == YES
    assert await house.letters() == []


async def test_where_no_mail_is_sent_nothing_is_confirmed(tmp_path: Any) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        await house.ada(verified=False)
        for email in ("ada@example.com", "nobody@example.com"):
            status, shown = await said(house, CONFIRM, json={"email": email})
            assert (status, shown["errorType"]) == (400, "error-not-allowed")
