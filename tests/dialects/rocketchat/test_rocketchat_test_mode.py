"""The test switch (contract section 16, no. 27; decisions 13, 26 and 36; threat 50).

Under it section 10 is tried as the original's own end-to-end tests do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman import test_mode
from dragoman.model import Password
from dragoman.settings import load
from kit.engines import ENGINES
from kit.house import PASSWORD, House, open_house, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

LOGIN, ME, SETTINGS = "/api/v1/login", "/api/v1/me", "/api/v1/settings"
BLOCK = "Block_Multiple_Failed_Logins_"
ON = {"dialects__rocketchat__test_mode": True, "dialects__rocketchat__rate_limit": True}
E2E = {
    f"{BLOCK}Enabled": True, f"{BLOCK}By_Ip": True, f"{BLOCK}By_User": True,
    f"{BLOCK}Attempts_Until_Block_by_User": 2, f"{BLOCK}Time_To_Unblock_By_User_In_Minutes": 3 / 60,
    f"{BLOCK}Attempts_Until_Block_By_Ip": 4, f"{BLOCK}Time_To_Unblock_By_Ip_In_Minutes": 8 / 60,
}  # fmt: skip
"""What the end-to-end tests set (contract section 10)."""


@pytest.fixture(params=ENGINES)
async def house(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    """A house under the switch, on either engine."""
    async with open_house_of(request.param, tmp_path, postgres_cluster, **ON) as opened:
        await opened.ada()
        await opened.add(username="carol", email="carol@example.com")
        await opened.add(username="bob", administrator=True)
        yield opened


async def log_in(house: House, user: str = "ada", password: str = PASSWORD, **sent: Any) -> httpx2.Response:
    return await house.post(LOGIN, json={"user": user, "password": password}, **sent)


async def keys(house: House, user: str = "bob", **sent: Any) -> dict[str, str]:
    data = (await log_in(house, user, **sent)).json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def arrange(house: House, values: dict[str, Any]) -> dict[str, str]:
    """Set settings from an address of the administrator's own; return the administrator's headers."""
    bob = await keys(house, address="198.51.100.1")
    for name, value in values.items():
        answer = await house.post(f"{SETTINGS}/{name}", json={"value": value}, headers=bob, address="198.51.100.1")
        assert (answer.status_code, answer.json()) == (200, {"success": True}), name
    return bob


async def said(house: House, user: str, password: str = "wrong", **sent: Any) -> str:
    """Sign in, again for as long as the hash pool is full (decision 40), and return what came of it."""
    answer = await log_in(house, user, password, **sent)
    for _ in range(200):
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.02)
        answer = await log_in(house, user, password, **sent)
    return "ok" if answer.status_code == 200 else str(answer.json()["error"])


USER, NETWORK, WRONG = "error-login-blocked-for-user", "error-login-blocked-for-ip", "Unauthorized"


# ---------------------------------------------------------------- section 10 as end-to-end tests try it


async def test_blocked_by_user_with_the_right_password_and_free_after_the_time(house: House) -> None:
    await arrange(house, E2E | {f"{BLOCK}By_Ip": False})
    assert await asyncio.gather(*(said(house, "ada") for _ in range(2))) == [WRONG] * 2
    answer = await log_in(house)
    assert (answer.status_code, answer.json()) == (401, {
        "success": False, "status": "error", "error": USER, "message": "Login has been temporarily blocked For User",
        "details": {"function": "Accounts.validateLoginAttempt"},
    })  # fmt: skip
    assert await said(house, "carol", PASSWORD) == "ok", "one user's failures do not block another"
    house.clock.move(2)
    assert await said(house, "ada", PASSWORD) == USER
    house.clock.move(1)
    assert await said(house, "ada", PASSWORD) == "ok"


async def test_a_success_resets_the_count(house: House) -> None:
    await arrange(house, E2E)
    for _ in range(4):
        assert await said(house, "ada") == WRONG
        assert await said(house, "ada", PASSWORD) == "ok"


async def test_blocked_by_address_whoever_comes(house: House) -> None:
    await arrange(house, E2E | {f"{BLOCK}By_User": False})
    names = ["ada", "carol", "ada", "nobody"]
    assert await asyncio.gather(*(said(house, name) for name in names)) == [WRONG] * 4
    for name in ("ada", "carol", "nobody"):
        assert await said(house, name, PASSWORD) == NETWORK
    assert await said(house, "ada", PASSWORD, address="192.0.2.2") == "ok"
    house.clock.move(7)
    assert await said(house, "carol", PASSWORD) == NETWORK
    house.clock.move(1)
    assert await said(house, "carol", PASSWORD) == "ok"


async def test_a_success_resets_that_users_part_of_the_address(house: House) -> None:
    """Table D: a success clears its own failures; the original forgets all of the address's."""
    await arrange(house, E2E | {f"{BLOCK}By_User": False})
    for _ in range(3):
        assert await said(house, "ada") == WRONG
    assert await said(house, "ada", PASSWORD) == "ok"
    for _ in range(3):
        assert await said(house, "ada") == WRONG
    assert await said(house, "ada", PASSWORD) == "ok"


async def test_address_before_user(house: House) -> None:
    await arrange(house, E2E)
    await asyncio.gather(*(said(house, "ada") for _ in range(2)), *(said(house, "nobody") for _ in range(2)))
    assert await said(house, "ada", PASSWORD) == NETWORK
    house.clock.move(4)
    assert await said(house, "ada", PASSWORD) == NETWORK, "the address is blocked for longer"


async def test_many_failures_at_once_are_all_counted(house: House) -> None:
    await arrange(house, E2E | {f"{BLOCK}Attempts_Until_Block_by_User": 12, f"{BLOCK}Attempts_Until_Block_By_Ip": 24})
    assert await asyncio.gather(*(said(house, "ada") for _ in range(12))) == [WRONG] * 12
    assert await said(house, "ada", PASSWORD) == USER
    await asyncio.gather(*(said(house, f"nobody{n}") for n in range(12)))
    assert await said(house, "carol", PASSWORD) == NETWORK


@pytest.mark.parametrize(
    "values",
    [
        {f"{BLOCK}Enabled": False},
        {f"{BLOCK}By_Ip": False, f"{BLOCK}By_User": False},
        {f"{BLOCK}Attempts_Until_Block_by_User": 0, f"{BLOCK}Attempts_Until_Block_By_Ip": 0},
        {f"{BLOCK}Ip_Whitelist": "203.0.113.7, 192.0.2.1", f"{BLOCK}By_User": False},
    ],
    ids=["off", "neither", "zero", "whitelist"],
)
async def test_blocking_is_switched_off_as_it_is_set(house: House, values: dict[str, Any]) -> None:
    bob = await arrange(house, E2E | values)
    for _ in range(6):
        assert await said(house, "ada") == WRONG
    assert await said(house, "ada", PASSWORD) == "ok"
    for name, value in values.items():
        shown = (await house.get(f"{SETTINGS}/{name}", headers=bob)).json()
        assert shown == {"_id": name, "value": value, "success": True}


# ---------------------------------------------------------------- the rest of the switch


async def test_no_rate_is_held(house: House) -> None:
    for _ in range(25):
        answer = await log_in(house)
        assert answer.status_code == 200
        assert "X-RateLimit-Limit" not in answer.headers


async def test_no_second_factor_at_login_or_on_endpoints(house: House) -> None:
    bob = await house.core.accounts.named("bob")
    await house.enrol_totp(await house.core.accounts.person(bob))
    await house.enrol_totp(await house.core.accounts.person(await house.core.accounts.named("ada")))
    assert await said(house, "ada", PASSWORD) == "ok"
    assert await said(house, "ada") == WRONG
    headers = await keys(house)
    house.clock.move(3 * 60 * 60)
    answer = await house.post(f"{SETTINGS}/Site_Name", json={"value": "x"}, headers=headers)
    assert answer.json() == {"success": True}
    # Other dialects ask all the same: the switch is this dialect's.
    answer = await house.post("/api/auth/user/sign-in", json={"email": "ada@example.com", "password": PASSWORD})
    assert "accessToken" not in answer.json().get("data", {})


async def test_any_setting_is_kept_and_told(house: House) -> None:
    bob = await arrange(house, {"Nothing_Known": "a", "API_CORS_Origin": 7, "CAS_enabled": True, "Nothing_Else": False})
    await arrange(house, {"Nothing_Known": "b"})
    for name, value in {"Nothing_Known": "b", "API_CORS_Origin": 7, "CAS_enabled": True, "Nothing_Else": False}.items():
        assert (await house.get(f"{SETTINGS}/{name}", headers=bob)).json()["value"] == value
    listed = (await house.get(SETTINGS, headers=bob, params={"count": 0})).json()["settings"]
    assert {"_id": "Nothing_Known", "value": "b"} in listed
    for value in (None, [], {"a": 1}):
        refused = await house.post(f"{SETTINGS}/Nothing_Known", json={"value": value}, headers=bob)
        assert (refused.status_code, refused.json()["errorType"]) == (400, "error-invalid-setting-value")
    assert (await house.get(f"{SETTINGS}/Never_Set", headers=bob)).status_code == 400
    ada = await keys(house, "ada")
    assert (await house.post(f"{SETTINGS}/Nothing_Known", json={"value": "c"}, headers=ada)).status_code == 403


async def test_settings_loosen(house: House) -> None:
    bob = await keys(house)
    form = "Accounts_RegistrationForm"
    assert (await house.get(f"{SETTINGS}/{form}", headers=bob)).json()["value"] == "Public"
    await arrange(house, {form: "Disabled"})
    await arrange(house, {form: "Public", f"{BLOCK}Attempts_Until_Block_by_User": 500})
    assert (await house.get(f"{SETTINGS}/{form}", headers=bob)).json()["value"] == "Public"
    refused = await house.post(f"{SETTINGS}/{BLOCK}Enabled", json={"value": "maybe"}, headers=bob)
    assert refused.status_code == 400
    assert "configuration file" not in refused.json()["error"]


async def test_weak_passwords_are_taken(house: House) -> None:
    account = await house.core.accounts.named("ada")
    await house.core.accounts.set_password(account, Password.from_plain("1"))
    assert await said(house, "ada", "1") == "ok"
    body = {"username": "dora", "email": "dora@example.com", "pass": "dora", "name": "Dora Example"}
    for n in range(2):
        more = {"username": f"dora{n}", "email": f"dora{n}@example.com"}
        answer = await house.post("/api/v1/users.register", json=body | more)
        assert answer.status_code == 200, answer.text
        assert await said(house, f"dora{n}", "dora") == "ok"


async def test_without_the_switch_nothing_of_this_holds(tmp_path: Path) -> None:
    async with open_house(tmp_path, limits__exempt_networks=["203.0.113.0/24"]) as house:
        await house.add(username="bob", administrator=True)
        bob = await keys(house)
        for name, value in {
            f"{BLOCK}Enabled": False, f"{BLOCK}By_Ip": False, f"{BLOCK}Ip_Whitelist": "192.0.2.1", "Nothing": 1,
            f"{BLOCK}Attempts_Until_Block_by_User": 0, f"{BLOCK}Time_To_Unblock_By_User_In_Minutes": 3 / 60,
        }.items():  # fmt: skip
            answer = await house.post(f"{SETTINGS}/{name}", json={"value": value}, headers=bob)
            assert answer.status_code == 400, name
        shown = (await house.get(f"{SETTINGS}/{BLOCK}Ip_Whitelist", headers=bob)).json()["value"]
        assert shown == "203.0.113.0/24"
        assert not house.core.settings.latest().test


# ---------------------------------------------------------------- where it may be on


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"server.host": "0.0.0.0"}, "server.host"),
        ({"server.host": "::"}, "server.host"),
        ({"server.host": "192.0.2.1", "server.insecure": True}, "server.host"),
        ({"server.host": "id.example.com", "server.tls_cert": "c", "server.tls_key": "k"}, "server.host"),
        ({"server.public_url": "https://id.example.com"}, "server.public_url"),
        ({"dialects.rocketchat.site_url": "http://192.0.2.1"}, "dialects.rocketchat.site_url"),
        ({"server.trusted_proxies": ["127.0.0.1"]}, "server.trusted_proxies"),
    ],
)
def test_refused_where_others_could_call(more: dict[str, Any], named: str) -> None:
    settings = load(None, {}, {test_mode.NAME: True, **more})
    [fault] = test_mode.faults(settings)
    assert fault.startswith(f"{test_mode.NAME}: {named} ")
    assert test_mode.faults(load(None, {}, more)) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_taken_on_loopback(host: str) -> None:
    more = {"server.host": host, "server.public_url": "http://localhost:3000"}
    assert test_mode.faults(load(None, {}, {test_mode.NAME: True, **more})) == []
