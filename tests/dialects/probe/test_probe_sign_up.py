"""Signing up and verifying the address (contract sections 3.9 and 3.10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.probe.conftest import BASE, FRONT_END
from kit.house import House, open_house

CAPTCHA = {"X-Recaptcha-Token": "a-captcha"}
PASSWORD = "correct horse battery"
BOB = {"email": "Bob@example.com", "password": PASSWORD, "first-name": "Bob", "last-name": "Example"}


async def sign_up(house: House, body: dict[str, Any] | None = None, **more: Any) -> httpx2.Response:
    given = {"json": BOB if body is None else body, "headers": CAPTCHA, **more}
    return await house.post(f"{BASE}/auth/sign-up", **given)


async def sign_in(house: House, email: str = "bob@example.com", **more: Any) -> httpx2.Response:
    return await house.post(f"{BASE}/auth/sign-in", json={"email": email, "password": PASSWORD}, **more)


async def verify(house: House, token: str, **more: Any) -> httpx2.Response:
    return await house.post(f"{BASE}/auth/verify", json={"verify-token": token}, headers=CAPTCHA, **more)


async def test_the_whole_way(house: House) -> None:
    answer = await sign_up(house)
    assert (answer.status_code, answer.json()) == (
        200, {"success": True, "email": "Bob@example.com", "status": "pending", "ret-url": None},
    )  # fmt: skip
    assert "set-cookie" not in answer.headers
    assert await house.sessions() == []
    waiting = await sign_in(house)
    assert (waiting.status_code, waiting.json()["status"]) == (200, "pending")
    assert "jwt-token" not in waiting.json()
    assert "api-token" not in waiting.json()
    done = await verify(house, await house.token("verify"))
    assert done.json() == {"success": True, "email": "Bob@example.com", "status": "active"}
    assert await house.sessions() == [], "it signs nobody in"
    assert (await sign_in(house)).json()["status"] == "active"


async def test_the_new_account_has_an_organization_of_its_own(house: House) -> None:
    await sign_up(house)
    await verify(house, await house.token("verify"))
    person = await house.core.accounts.person(await house.core.accounts.named("bob@example.com"))
    assert (person.account.first_name, person.account.last_name) == ("Bob", "Example")
    assert person.account.default_organization is False
    assert person.account.administrator is False
    ada = await house.ada()
    assert person.account.organization != ada.account.organization


async def test_a_taken_address_is_answered_alike_and_its_owner_is_told(house: House) -> None:
    await house.ada()
    free = await sign_up(house, {"email": "new@example.com", "password": PASSWORD})
    taken = await sign_up(house, {"email": "ada@example.com", "password": PASSWORD})
    assert (free.status_code, set(free.json())) == (taken.status_code, set(taken.json()))
    assert {**free.json(), "email": ""} == {**taken.json(), "email": ""}
    assert [letter.to for letter in await house.letters("registered_already")] == ["ada@example.com"]
    assert [letter.to for letter in await house.letters("verify")] == ["new@example.com"]
    assert (await sign_in(house, "ada@example.com")).status_code == 200, "her own password is what it was"


async def test_signing_up_again_before_verifying(house: House) -> None:
    await sign_up(house)
    again = await sign_up(house, {**BOB, "password": "another horse battery"})
    assert again.status_code == 200
    assert (await sign_in(house)).json()["status"] == "pending", "the first password counts"


async def test_a_form(house: House) -> None:
    answer = await sign_up(house, json=None, data=BOB)
    assert answer.json()["status"] == "pending", answer.text


async def test_ret_url(configured: House) -> None:
    for url, shown in ((f"{FRONT_END}/welcome", f"{FRONT_END}/welcome"), ("https://evil.example", None), (None, None)):
        answer = await sign_up(configured, {**BOB, "ret-url": url})
        assert answer.json()["ret-url"] == shown


@pytest.mark.parametrize(
    ("change", "context"),
    [
        ({"email": None}, {"body": ["#/email: must be str, got null"]}),
        ({"email": "a@b"}, {"body": ["#/email: length must be >= 5"]}),
        ({"email": "a" * 250 + "@example.com"}, {"body": ["#/email: length must be <= 255"]}),
        ({"password": ""}, {"body": ["#/password: length must be >= 1"]}),
        ({"password": "short"}, {"body": ["#/password: is too short"]}),
        ({"password": "password1"}, {"body": ["#/password: is common"]}),
        ({"password": "x" * 1025}, {"body": ["#/password: length must be <= 1024"]}),
        ({"first-name": "x" * 256}, {"body": ["#/first-name: length must be <= 255"]}),
        ({"last-name": 7}, {"body": ["#/last-name: must be str, got int"]}),
    ],
)
async def test_shapes(house: House, change: dict[str, Any], context: Any) -> None:
    answer = await sign_up(house, {**BOB, **change})
    assert (answer.status_code, answer.json()["status"]) == (400, "INVALID_ARGUMENT")
    assert answer.json()["context"] == context


@pytest.mark.parametrize("missing", ["email", "password"])
async def test_what_is_required(house: House, missing: str) -> None:
    answer = await sign_up(house, {name: value for name, value in BOB.items() if name != missing})
    assert (answer.status_code, answer.json()["context"]) == (400, {"body": [f"#/{missing}: is required"]})


async def test_an_address_that_is_none(house: House) -> None:
    answer = await sign_up(house, {**BOB, "email": "bob@-.-"})
    assert answer.status_code == 400
    assert list(answer.json()["context"]) == ["body"]
    assert answer.json()["context"]["body"][0].startswith("#/email: ")


async def test_the_captcha_comes_first(house: House) -> None:
    answer = await sign_up(house, headers={})
    assert (answer.status_code, list(answer.json()["context"])) == (400, ["header:X-Recaptcha-Token"])
    assert await house.letters("verify") == []


async def test_too_many_from_one_network(tmp_path: Path) -> None:
    async with open_house(tmp_path, limits__registrations_hour=2) as house:
        for n in range(2):
            assert (await sign_up(house, {**BOB, "email": f"bob{n}@example.com"})).status_code == 200
        answer = await sign_up(house, {**BOB, "email": "bob3@example.com"})
        assert (answer.status_code, answer.json()["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(answer.headers["retry-after"]) > 0
        elsewhere = await sign_up(house, {**BOB, "email": "bob4@example.com"}, address="198.51.100.7")
        assert elsewhere.status_code == 200


@pytest.mark.parametrize("closing", [{"accounts__sign_up": "disabled"}, {"mail__transport": "off"}])
async def test_where_it_is_closed(tmp_path: Path, closing: dict[str, Any]) -> None:
    async with open_house(tmp_path, **closing) as house:
        answer = await sign_up(house)
        assert (answer.status_code, answer.json()["error"]) == (403, "permission denied: registration is closed")


async def test_verifying_from_elsewhere_unproves_the_password(house: House) -> None:
    """Whoever typed another's address and a password must not have an account once its owner confirms (threat 12)."""
    await sign_up(house)
    done = await verify(house, await house.token("verify"), address="198.51.100.7")
    assert done.json()["success"] is True
    assert (await sign_in(house)).status_code == 401
    body = {"email": "bob@example.com"}
    house.clock.move(61)
    await house.post(f"{BASE}/auth/password-restore", json=body, headers=CAPTCHA, address="198.51.100.7")
    assert [letter.to for letter in await house.letters("reset")] == ["Bob@example.com"]


async def test_verifying_from_elsewhere_with_a_password(house: House) -> None:
    await sign_up(house)
    body = {"verify-token": await house.token("verify"), "password": "another horse battery"}
    done = await house.post(f"{BASE}/auth/verify", json=body, headers=CAPTCHA, address="198.51.100.7")
    assert done.json()["success"] is True, done.text
    flat = {"email": "bob@example.com", "password": "another horse battery"}
    assert (await house.post(f"{BASE}/auth/sign-in", json=flat, address="198.51.100.7")).json()["status"] == "active"
    assert (await sign_in(house)).status_code == 401


async def test_a_verified_one_may_verify_again(house: House) -> None:
    await sign_up(house)
    first = await house.token("verify")
    house.clock.move(61)
    await sign_in(house)
    second = await house.token("verify")
    assert first != second
    assert (await verify(house, first)).json()["success"] is True
    assert (await verify(house, second)).json() == {"success": True, "email": "Bob@example.com", "status": "active"}
    assert (await verify(house, first)).json() == {"success": False}
