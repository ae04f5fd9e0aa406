"""Registering (contract section 8.1, decisions 13 to 15 and 29)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kit.house import PASSWORD, House, open_house

REGISTER, LOGIN = "/api/v1/users.register", "/api/v1/login"
ADA = {"username": "ada", "email": "ada@example.com", "pass": "Correct horse battery 9", "name": "Ada Example"}
BOB = {"username": "bob", "email": "bob@example.com", "pass": "Correct horse battery 9", "name": "Bob Example"}
SECRET = "a secret of many letters"


@pytest.fixture
async def open_to_all(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, accounts__registration="public") as opened:
        yield opened


async def register(house: House, body: Any = None, **more: Any) -> httpx2.Response:
    answer = await house.post(REGISTER, json=ADA if body is None else body, **more)
    assert answer.headers["content-type"] == "application/json"
    return answer


def no(answer: httpx2.Response) -> tuple[int, Any]:
    body = answer.json()
    assert body["success"] is False
    return answer.status_code, body["error"]


async def test_registering_and_logging_in(open_to_all: House) -> None:
    answer = await register(open_to_all)
    body = answer.json()
    assert (answer.status_code, list(body)) == (200, ["user", "success"])
    user = body["user"]
    assert user == {
        "_id": user["_id"], "createdAt": user["createdAt"], "username": "ada",
        "emails": [{"address": "ada@example.com", "verified": False}], "type": "user", "status": "offline",
        "active": True, "roles": ["user"], "name": "Ada Example", "settings": {},
    }  # fmt: skip
    assert len(user["_id"]) == 17
    assert await open_to_all.sessions() == [], "no token is issued"
    assert [letter.to for letter in await open_to_all.letters("verify")] == ["ada@example.com"]
    login = await open_to_all.post(LOGIN, json={"user": "ada", "password": ADA["pass"]})
    assert login.json()["data"]["userId"] == user["_id"]
    account = await open_to_all.core.accounts.named("ada")
    assert (account.default_organization, account.rank, account.administrator) == (True, 0, False)


async def test_a_form_and_the_headers_of_somebody_signed_in(open_to_all: House) -> None:
    await open_to_all.ada(username="root2", email="root2@example.com")
    login = (await open_to_all.post(LOGIN, json={"user": "root2", "password": PASSWORD})).json()["data"]
    for headers in ({"X-Auth-Token": login["authToken"], "X-User-Id": login["userId"]}, {"X-Auth-Token": "undefined"}):
        name = f"ada{len(headers)}"
        body = {**ADA, "username": name, "email": f"{name}@example.com"}
        assert (await open_to_all.post(REGISTER, data=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Ada <b>"}, "Name contains invalid characters"),
        ({"name": "a/b"}, "Name contains invalid characters"),
        ({"name": "a\\b"}, "Name contains invalid characters"),
        ({"name": "<", "username": "not this"}, "Name contains invalid characters"),
        ({"username": "not this"}, "The username provided is not valid"),
        ({"username": ""}, "The username provided is not valid"),
        ({"username": "é"}, "The username provided is not valid"),
        ({"username": "x" * 65}, "The username provided is not valid"),
        ({"username": "bob", "email": "bob@example.com"}, "Username is already in use"),
        ({"username": "BOB"}, "Username is already in use"),
        ({"email": "bob@example.com"}, "Email already exists. [403]"),
        ({"email": "BOB@Example.COM "}, "Email already exists. [403]"),
        ({"pass": "short"}, "The password does not meet the policy [error-password-policy-not-met]"),
        ({"pass": "password1"}, "The password does not meet the policy [error-password-policy-not-met]"),
    ],
)
async def test_what_is_refused_in_the_order_of_the_contract(
    open_to_all: House, change: dict[str, str], said: str
) -> None:
    await open_to_all.add(username="bob", email="bob@example.com")
    assert no(await register(open_to_all, {**ADA, **change})) == (400, said)
    assert await open_to_all.letters("verify") == []


@pytest.mark.parametrize("email", ["ada", "ada@", "@example.com", "ada@example", "a b@example.com", "ada@-x.com",
                                   "ada..b@example.com", "ada@example.com}", '"ada"@example.com', "ada@[192.0.2.1]",
                                   f"{'a' * 65}@example.com", "ada@example.123"])  # fmt: skip
async def test_an_address_that_no_mail_gets_to(open_to_all: House, email: str) -> None:
    answer = await register(open_to_all, {**ADA, "email": email})
    assert answer.status_code == 400
    assert answer.json()["errorType"] == "error-invalid-email"


@pytest.mark.parametrize("missing", ["username", "email", "pass"])
async def test_a_field_that_is_missing(open_to_all: House, missing: str) -> None:
    body = {name: value for name, value in ADA.items() if name != missing}
    answer = await register(open_to_all, body)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
    assert missing in answer.json()["error"]


async def test_closed_by_default_before_anything_is_looked_up(house: House) -> None:
    closed = (400, "User registration is disabled [error-user-registration-disabled]")
    assert no(await register(house)) == closed
    await house.ada()
    assert no(await register(house)) == closed
    assert no(await register(house, {**ADA, "username": "not this"})) == (400, "The username provided is not valid")


async def test_the_secret_url(tmp_path: Path) -> None:
    chosen = {"accounts__registration": "secret", "accounts__registration_secret": SECRET}
    async with open_house(tmp_path, **chosen) as house:
        shown = await house.get("/api/v1/settings.public?count=0")
        values = {each["_id"]: each["value"] for each in shown.json()["settings"]}
        assert values["Accounts_RegistrationForm"] == "Secret URL"
        assert "Accounts_RegistrationForm_SecretURL" not in values
        assert SECRET not in shown.text
        wanted = "User registration is only allowed via Secret URL [error-user-registration-secret]"
        for more in ({}, {"secret": ""}, {"secret": SECRET[:-1]}, {"secretURL": f"{SECRET} "}, {"secret": None}):
            assert no(await register(house, {**ADA, **more})) == (400, wanted)
        assert (await register(house, {**ADA, "secretURL": SECRET})).status_code == 200
        assert (await register(house, {**BOB, "secret": SECRET})).status_code == 200


async def test_newcomers_who_wait_for_approval(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__registration="public", accounts__approval=True) as house:
        assert (await register(house)).json()["user"]["active"] is False
        assert await house.letters() == []
        login = {"user": "ada", "password": ADA["pass"]}
        assert no(await house.post(LOGIN, json=login)) == (401, "error-user-is-not-activated")
        assert no(await house.post(LOGIN, json={**login, "password": "x"})) == (401, "Unauthorized")
        await house.core.life.set_status(await house.core.accounts.named("ada"), "active")
        assert (await house.post(LOGIN, json=login)).status_code == 200


async def test_only_verified_addresses_log_in_where_that_is_wanted(tmp_path: Path) -> None:
    wanted = {"accounts__registration": "public", "dialects__rocketchat__require_verified": True}
    async with open_house(tmp_path, **wanted) as house:
        await register(house)
        login = {"user": "ada", "password": ADA["pass"]}
        assert no(await house.post(LOGIN, json=login)) == (401, "error-invalid-email")
        assert no(await house.post(LOGIN, json={**login, "password": "x"})) == (401, "Unauthorized")
        assert (
            await house.post("/user/login", json={"email": ADA["email"], "password": ADA["pass"]})
        ).status_code == 200
        token = await house.token("verify")
        assert (await house.post("/api/v1/users.verifyEmail", json={"token": token})).status_code == 200
        assert (await house.post(LOGIN, json=login)).status_code == 200
        await house.add(username="carol", email="carol@example.com", administrator=True)
        assert (await house.post(LOGIN, json={"user": "carol", "password": PASSWORD})).status_code == 200


# ---------------------------------------------------------------- what is told (decision 29)


@pytest.mark.parametrize("how", [{"accounts__registration": "private"},
                                 {"accounts__registration": "public", "accounts__conceal": True}])  # fmt: skip
async def test_nothing_is_told_where_accounts_are_concealed(tmp_path: Path, how: dict[str, Any]) -> None:
    async with open_house(tmp_path, **how) as house:
        await house.add(username="bob", email="bob@example.com", first_name="Bob", last_name="Example", verified=True)
        free = await register(house)
        taken = await register(house, {**BOB, "username": "bobby"})
        name = await register(house, {**BOB, "email": "other@example.com"})
        assert [(each.status_code, each.json()) for each in (free, taken, name)] == [(200, {"success": True})] * 3
        assert {letter.to for letter in await house.letters("verify")} == {"ada@example.com", "other@example.com"}
        [there] = await house.letters("registered_already")
        assert (there.to, there.values["name"]) == ("bob@example.com", "Bob Example")
        other = await house.core.accounts.person(await house.core.accounts.named("other@example.com"))
        assert other.username.startswith("bob-"), "the name that was wanted is another's"
        assert (await house.post(LOGIN, json={"user": "bobby", "password": BOB["pass"]})).status_code == 401


async def test_after_ten_telling_answers_a_network_is_told_nothing(open_to_all: House) -> None:
    for number in range(11):
        await open_to_all.add(username=f"bob{number}", email=f"bob{number}@example.com", verified=True)
    said = [no(await register(open_to_all, {**BOB, "email": f"bob{n}@example.com"})) for n in range(10)]
    assert set(said) == {(400, "Email already exists. [403]")}
    concealed = [await register(open_to_all, {**BOB, "email": "bob10@example.com"}), await register(open_to_all)]
    assert {(each.status_code, each.text) for each in concealed} == {(200, '{"success":true}')}
    elsewhere = await register(open_to_all, {**BOB, "email": "bob1@example.com"}, address="198.51.100.1")
    assert no(elsewhere) == (400, "Email already exists. [403]")


async def test_a_network_registers_so_many_an_hour(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__registration="public", limits__registrations_hour=2) as house:
        bodies = [{**ADA, "username": f"ada{n}", "email": f"ada{n}@example.com"} for n in range(4)]
        said = [(await register(house, body)).status_code for body in bodies[:3]]
        assert said == [200, 200, 429]
        assert (await register(house, bodies[2], address="198.51.100.1")).status_code == 200
        house.clock.move(3601)
        assert (await register(house, bodies[3])).status_code == 200
