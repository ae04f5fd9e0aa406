"""How often Rocket.Chat's operations may be called over REST: contract section 1.2, decision 36."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.dialects.rocketchat import DIALECT
from dragoman.dialects.rocketchat.rates import RATES
from kit.house import PASSWORD, House, open_house

LOGIN, ME, INFO = "/api/v1/login", "/api/v1/me", "/api/info"
SETTING = "API_Enable_Rate_Limiter"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house that counts, as the contract's defaults say."""
    async with open_house(tmp_path, dialects__rocketchat__rate_limit=True) as opened:
        await opened.ada()
        await opened.add(username="bob", administrator=True)
        await opened.add(username="carol")
        yield opened


async def log_in(house: House, user: str = "ada", **sent: Any) -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": PASSWORD}, **sent)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


def told(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    head = answer.headers
    return answer.status_code, head.get("X-RateLimit-Limit"), head.get("X-RateLimit-Remaining")


async def test_ten_in_a_minute_from_the_first(house: House) -> None:
    began = house.clock.now()
    for left in range(9, -1, -1):
        answer = await house.get(INFO)
        assert told(answer) == (200, "10", str(left))
        assert answer.headers["X-RateLimit-Reset"] == str(began + 60_000)
        house.clock.move(1)
    no = await house.get(INFO)
    assert told(no) == (429, "10", "0")
    assert no.json() == {
        "success": False,
        "error": "Error, too many requests. Please slow down. You must wait 50 seconds before trying this endpoint"
        " again. [error-too-many-requests]",
    }
    assert no.headers["Content-Type"] == "application/json"
    assert "Retry-After" not in no.headers
    house.clock.move(49.999)
    assert told(await house.get(INFO)) == (429, "10", "0")
    house.clock.move(0.001)
    assert told(await house.get(INFO)) == (200, "10", "9")


def test_every_rate_is_an_operations() -> None:
    """But for what other parts of the dialect may or may not bring."""
    paths = {each.path for each in DIALECT.operations}
    assert set(RATES.own) - paths <= {"/avatar/{username}"}


async def test_by_address_template_and_method(house: House) -> None:
    for _ in range(10):
        await house.get(INFO)
    assert (await house.get(INFO)).status_code == 429
    assert (await house.get(INFO + "/")).status_code == 429, "a trailing slash is the same route"
    assert (await house.request("HEAD", INFO)).status_code == 429
    assert told(await house.get("/api/v1/info")) == (200, "10", "9")
    assert told(await house.get(INFO, address="192.0.2.2")) == (200, "10", "9")
    ada = await log_in(house)
    for left in range(9, -1, -1):
        assert told(await house.get(f"/api/v1/settings/x{left}", headers=ada)) == (403, "10", str(left))
    assert (await house.get("/api/v1/settings/y", headers=ada)).status_code == 429
    assert told(await house.post("/api/v1/settings/y", headers=ada, json={"value": 1})) == (403, "10", "9")


async def test_failures_count_and_tell(house: House) -> None:
    wrong = {"user": "ada", "password": "wrong"}
    for left in range(9, -1, -1):
        answer = await house.post(LOGIN, json=wrong if left else {})
        assert told(answer) == (401, "10", str(left))
    assert (await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})).status_code == 429
    # Beyond the rate nothing is judged: no hash, no failure, no lock.
    before = house.hash_evaluations()
    for _ in range(20):
        assert (await house.post(LOGIN, json=wrong)).status_code == 429
    assert house.hash_evaluations() == before
    house.clock.move(301)
    await log_in(house)


async def test_strangers_to_a_protected_route_are_not_counted(house: House) -> None:
    for headers in ({}, {"X-Auth-Token": "a" * 43, "X-User-Id": "b" * 17}):
        for _ in range(12):
            assert told(await house.get(ME, headers=headers)) == (401, None, None)
    ada = await log_in(house)
    assert told(await house.get(ME, headers=ada)) == (200, "10", "9")


async def test_before_parameters_and_permissions(house: House) -> None:
    ada = await log_in(house)
    path = "/api/v1/settings/Site_Url"
    for _ in range(10):
        assert (await house.post(path, headers=ada, json={})).status_code == 400
    assert (await house.post(path, headers=ada, json={})).status_code == 429
    assert (await house.post(path, json={})).status_code == 401
    assert (await house.get("/api/v1/nothing")).headers.get("X-RateLimit-Limit") is None


async def test_administrators_and_bots_are_exempt_where_they_are_known(house: House) -> None:
    bob = await log_in(house, "bob")
    for _ in range(12):
        assert told(await house.get(ME, headers=bob)) == (200, None, None)
        assert told(await house.get(INFO, headers=bob)) == (200, None, None)
    # An operation that ignores the headers does not know them: an administrator signs in like everybody.
    for _ in range(9):
        await log_in(house, "bob")
    assert (await house.post(LOGIN, json={"user": "bob", "password": PASSWORD}, headers=bob)).status_code == 429
    assert told(await house.get(ME, headers=await log_in(house, "carol", address="192.0.2.9"))) == (200, "10", "9")


@pytest.mark.parametrize(
    ("path", "body", "calls"),
    [
        ("/api/v1/users.sendConfirmationEmail", {"email": "nobody@example.com"}, 1),
        ("/api/v1/users.2fa.sendEmailCode", {"emailOrUsername": "ada"}, 5),
        ("/api/v1/users.forgotPassword", {"email": "nobody@example.com"}, 10),
    ],
)
async def test_operations_with_a_rate_of_their_own(house: House, path: str, body: Any, calls: int) -> None:
    for left in range(calls - 1, -1, -1):
        assert told(await house.post(path, json=body))[1:] == (str(calls), str(left))
    assert told(await house.post(path, json=body)) == (429, str(calls), "0")


async def test_parallel_calls_are_counted_one_by_one(house: House) -> None:
    answers = await asyncio.gather(*(house.get(INFO) for _ in range(30)))
    assert sorted(a.status_code for a in answers) == [200] * 10 + [429] * 20
    assert sorted(int(a.headers["X-RateLimit-Remaining"]) for a in answers) == [0] * 21 + list(range(1, 10))


async def test_the_file_loosens_and_the_wire_tightens(tmp_path: Path) -> None:
    loose = {
        "dialects__rocketchat__rate_limit": True, "dialects__rocketchat__rate_limit_calls": 30,
        "dialects__rocketchat__rate_limit_seconds": 5.0,
    }  # fmt: skip
    async with open_house(tmp_path, **loose) as house:
        await house.add(username="bob", administrator=True)
        bob = await log_in(house, "bob")
        answer = await house.get(INFO)
        assert told(answer) == (200, "30", "29")
        assert answer.headers["X-RateLimit-Reset"] == str(house.clock.now() + 5_000)
        for name, value in ((f"{SETTING}_Limit_Calls_Default", 3), (f"{SETTING}_Limit_Time_Default", 90_000)):
            said = await house.post(f"/api/v1/settings/{name}", json={"value": value}, headers=bob)
            assert said.json() == {"success": True}
        for left in "210":
            assert told(await house.get(INFO)) == (200, "3", left)
        assert told(await house.get(INFO)) == (429, "3", "0")
        for name, value in ((SETTING, False), (f"{SETTING}_Limit_Calls_Default", 31)):
            said = await house.post(f"/api/v1/settings/{name}", json={"value": value}, headers=bob)
            assert said.status_code == 400


async def test_switched_off_in_the_file_it_can_be_switched_on(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__rocketchat__rate_limit=False) as house:
        await house.add(username="bob", administrator=True)
        bob = await log_in(house, "bob")
        for _ in range(12):
            assert told(await house.get(INFO)) == (200, None, None)
        await house.post(f"/api/v1/settings/{SETTING}", json={"value": True}, headers=bob)
        assert told(await house.get(INFO)) == (200, "10", "9")


async def test_headers_of_anybody_do_not_make_another_client(house: House) -> None:
    """Contract section 16, no. 34: X-Real-IP and the like evade nothing."""
    for n in range(10):
        await house.get(INFO, headers={"X-Real-IP": f"198.51.100.{n}", "X-Forwarded-For": f"198.51.100.{n}"})
    assert (await house.get(INFO, headers={"X-Real-IP": "198.51.100.99"})).status_code == 429


async def test_other_dialects_have_no_such_rate(house: House) -> None:
    for _ in range(15):
        answer = await house.post("/user/login", json={"email": "ada@example.com", "password": PASSWORD})
        assert told(answer) == (200, None, None)


async def test_registrations_have_a_setting_of_their_own(tmp_path: Path) -> None:
    more = {"dialects__rocketchat__rate_limit": True, "dialects__rocketchat__rate_limit_register": 2}
    async with open_house(tmp_path, accounts__registration="public", **more) as house:
        for n in range(3):
            body = {"username": f"new{n}", "email": f"new{n}@example.com", "pass": PASSWORD, "name": "New Example"}
            answer = await house.post("/api/v1/users.register", json=body)
            assert told(answer) == (200 if n < 2 else 429, "2", str(max(0, 1 - n)))


async def test_whoever_gets_the_permission_is_exempt_at_once(house: House) -> None:
    bob, carol = await log_in(house, "bob"), await log_in(house, "carol", address="192.0.2.9")
    path = "/api/v1/permissions.update"
    for roles, wanted in ((["user"], (200, None, None)), (["admin"], (200, "10", "9"))):
        body = {"permissions": [{"_id": "api-bypass-rate-limit", "roles": roles}]}
        assert (await house.post(path, json=body, headers=bob)).status_code == 200
        assert told(await house.get(ME, headers=carol)) == wanted
    # Without the permission an administrator is counted as well.
    body = {"permissions": [{"_id": "api-bypass-rate-limit", "roles": []}]}
    await house.post(path, json=body, headers=bob)
    assert told(await house.get(ME, headers=bob, address="198.51.100.1")) == (200, "10", "9")
