"""Reset Password and Verify Token (contract section 4.1, numbers 2 and 5)."""

import json
from typing import Any

import pytest

from dialects.pocketm8.calls import bearer, sign_in
from kit.house import PASSWORD, House, open_house

RESET = "/api/auth/user/reset-password"
VERIFY = "/api/auth/user/verify-token"
NEW = "another horse battery"
SENT = {"message": "EMAIL_WITH_RESET_LINK_SENT"}
NO_TOKEN = (400, {"message": "INVALID_OR_EXPIRED_TOKEN"})


def misfit(*fields: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    """Return the answer to fields that do not fit."""
    return 400, {"message": "VALIDATION_FAILED", "errors": [{"field": f, "code": c} for f, c in fields]}


async def asked(house: House, body: object, **more: Any) -> tuple[int, Any]:
    answer = await house.post(RESET, json=body, **more)
    return answer.status_code, answer.json()


async def token(house: House, **body: Any) -> tuple[int, Any]:
    answer = await house.post(VERIFY, json=body)
    return answer.status_code, answer.json()


async def test_the_whole_way(house: House) -> None:
    ada = await house.ada()
    held = (await sign_in(house)).json()["data"]
    assert await asked(house, {"email": " Ada@Example.com "}) == (200, SENT)
    [letter] = await house.letters("reset")
    assert (letter.to, letter.values["hours"]) == ("ada@example.com", "1")
    mailed = await house.token("reset")
    assert len(mailed) == 43
    good = (200, {"message": "TOKEN_IS_VALID", "data": {"userId": ada.aliases["pocketm8"]}})
    assert await token(house, token=mailed) == good
    assert await token(house, secret=mailed) == good, "it stays usable, and secret is another name for token"
    assert await token(house, token=mailed, password=NEW) == (200, {"message": "PASSWORD_HAS_BEEN_UPDATED"})
    assert await token(house, token=mailed, password=NEW) == NO_TOKEN
    assert await token(house, token=mailed) == NO_TOKEN
    assert (await house.get("/api/profile", headers=bearer(held["accessToken"]))).status_code == 401
    assert (await sign_in(house)).json() == {"message": "INVALID_CREDENTIALS"}
    assert (await sign_in(house, password=NEW)).status_code == 200


async def test_unknown_and_other_addresses_are_answered_alike(house: House) -> None:
    await house.ada()
    bob = await house.add(email="bob@example.com", verified=True)
    await house.core.life.set_status(bob.account, "suspended")
    for n, email in enumerate(("ada@example.com", "bob@example.com", "nobody@example.com", "ada@exämple.com")):
        assert await asked(house, {"email": email}, address=f"198.51.100.{n}") == (200, SENT)
    assert [letter.to for letter in await house.letters()] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({}, misfit(("email", "REQUIRED"))),
        ({"email": None}, misfit(("email", "INVALID_TYPE"))),
        ({"email": 7}, misfit(("email", "INVALID_TYPE"))),
        ({"email": ""}, misfit(("email", "INVALID_FORMAT"))),
        ({"email": "ada"}, misfit(("email", "INVALID_FORMAT"))),
        ({"email": "ada@"}, misfit(("email", "INVALID_FORMAT"))),
        ({"email": f"{'a' * 250}@example.com"}, misfit(("email", "TOO_LONG"))),
        ([], (400, {"message": "INVALID_JSON"})),
    ],
)
async def test_an_address_that_is_none_is_told(house: House, body: object, answer: object) -> None:
    assert await asked(house, body) == answer


@pytest.mark.parametrize("off", [{"mail__transport": "off"}, {"accounts__password_reset": False}], ids=str)
async def test_where_no_reset_is_mailed_it_says_so(tmp_path: Any, off: dict[str, Any]) -> None:
    async with open_house(tmp_path, **off) as house:
        await house.ada()
        for email in ("ada@example.com", "nobody@example.com"):
            assert await asked(house, {"email": email}) == (403, {"message": "FORBIDDEN"})
        assert await house.letters() == []


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({}, misfit(("token", "REQUIRED"))),
        ({"token": ""}, misfit(("token", "TOO_SHORT"))),
        ({"token": 5}, misfit(("token", "INVALID_TYPE"))),
        ({"secret": []}, misfit(("token", "INVALID_TYPE"))),
        ({"token": "x", "password": 5}, misfit(("password", "INVALID_TYPE"))),
        ({"token": "x", "password": ""}, misfit(("password", "TOO_SHORT"))),
        ({"token": "x" * 5000}, misfit(("token", "TOO_LONG"))),
        ({"token": "x"}, NO_TOKEN),
        ({"token": "x", "password": NEW}, NO_TOKEN),
        ({"token": "x", "password": "short"}, NO_TOKEN),
        ({"token": "é" * 43}, NO_TOKEN),
        ({"token": "....", "password": NEW}, misfit(("password", "NOT_ALLOWED"))),
        ({"token": "...."}, NO_TOKEN),
        ({"token": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAAAAAAAAAAAAAA.BBBB.CCCCCCCCCCCCCCCCCCCCCA"}, NO_TOKEN),
    ],
)
async def test_a_token_that_is_none(house: House, body: dict[str, Any], answer: object) -> None:
    assert await token(house, **body) == answer


@pytest.mark.parametrize(
    ("password", "code"),
    [("short", "TOO_SHORT"), ("x" * 257, "TOO_LONG"), ("password123", "NOT_ALLOWED"), ("Example2026", "NOT_ALLOWED")],
)
async def test_a_weak_password_is_named_and_the_token_stays_good(house: House, password: str, code: str) -> None:
    mailed = await house.ticket("reset", await house.ada())
    assert await token(house, token=mailed, password=password) == misfit(("password", code))
    assert (await token(house, token=mailed, password=NEW))[0] == 200


async def test_a_token_runs_out_after_an_hour(house: House) -> None:
    mailed = await house.ticket("reset", await house.ada())
    house.clock.move(3599)
    assert (await token(house, token=mailed))[0] == 200
    house.clock.move(1)
    assert await token(house, token=mailed, password=NEW) == NO_TOKEN


async def test_an_access_token_is_only_checked(house: House) -> None:
    """The second reading: four dots."""
    ada = await house.ada()
    held = (await sign_in(house)).json()["data"]
    good = (200, {"message": "TOKEN_IS_VALID", "data": {"userId": ada.aliases["pocketm8"]}})
    assert await token(house, token=held["accessToken"]) == good
    assert await token(house, secret=held["accessToken"], password=NEW) == misfit(("password", "NOT_ALLOWED"))
    assert await token(house, token=held["chat"]["token"]) == NO_TOKEN
    await house.core.sessions.end_everything(ada.account, "test")
    assert await token(house, token=held["accessToken"]) == NO_TOKEN
    assert (await sign_in(house, password=PASSWORD)).status_code == 200


async def test_the_reset_leaves_the_second_factor(house: House) -> None:
    ada = await house.ada()
    await house.enrol_totp(ada)
    mailed = await house.ticket("reset", ada)
    answers = [await token(house, token=mailed), await token(house, token=mailed, password=NEW)]
    assert [status for status, _ in answers] == [200, 200]
    assert "mfa" not in json.dumps(answers).lower(), "nothing tells of the factor before the password is typed"
    assert (await sign_in(house, password=NEW)).json()["message"] == "MFA_REQUIRED"
