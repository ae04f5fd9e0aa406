"""Section 10 of the contract with table D, without the test switch: one count, whatever the form, and no gap in it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kit.engines import ENGINES
from kit.house import PASSWORD, House, open_house, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

LOGIN = "/api/v1/login"
USER, NETWORK, WRONG = "error-login-blocked-for-user", "error-login-blocked-for-ip", "Unauthorized"
BAD = hashlib.sha256(b"wrong").hexdigest()
FORMS: dict[str, dict[str, Any]] = {
    "name": {"user": "ada", "password": "wrong"},
    "address": {"user": "ada@example.com", "password": "wrong"},
    "username": {"username": "ADA", "password": "wrong"},
    "object": {"user": {"email": "ada@example.com"}, "password": "wrong"},
    "digest": {"user": {"username": "ada"}, "password": {"digest": BAD, "algorithm": "sha-256"}},
    "directory": {"ldap": True, "username": "ada", "ldapPass": "wrong", "ldapOptions": {}},
    "code": {"user": "ada", "password": "wrong", "code": "123456"},
    "explicit code": {"totp": {"code": "123456", "login": {"user": {"username": "ada"}, "password": "wrong"}}},
}


@pytest.fixture(params=ENGINES)
async def house(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    """A house on either engine that blocks an account after eight failures and a network after twenty."""
    limits = {"limits__account_5_minutes": len(FORMS), "limits__network_5_minutes": 20}
    async with open_house_of(request.param, tmp_path, postgres_cluster, **limits) as opened:
        await opened.ada()
        await opened.add(username="carol")
        yield opened


async def said(house: House, body: dict[str, Any], address: str = "192.0.2.1") -> str:
    """Send a login, again for as long as the hash pool is full, and return what came of it."""
    answer = await house.post(LOGIN, json=body, address=address)
    for _ in range(300):
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.02)
        answer = await house.post(LOGIN, json=body, address=address)
    return "ok" if answer.status_code == 200 else str(answer.json()["error"])


def right(user: str = "ada") -> dict[str, Any]:
    return {"user": user, "password": PASSWORD}


async def test_every_form_counts_as_the_others(house: House) -> None:
    for body in FORMS.values():
        assert await said(house, body) == WRONG
    for body in (right(), right("ada@example.com"), *FORMS.values()):
        assert await said(house, body) == USER
    assert await said(house, right("carol")) == "ok"
    house.clock.move(301)
    assert await said(house, right()) == "ok"


async def test_failures_at_the_same_moment_are_all_counted(house: House) -> None:
    """However many come at once, so many are judged as the limit says, and the right password is refused after them."""
    bodies = list(itertools.islice(itertools.cycle(FORMS.values()), 3 * len(FORMS)))
    # From networks of their own, so that only the account's count can stop them.
    outcomes = await asyncio.gather(*(said(house, body, f"198.51.100.{n}") for n, body in enumerate(bodies)))
    counted = Counter(outcomes)
    assert set(counted) == {WRONG, USER}
    # Those under way when the limit was reached were judged already, and told so; none is counted twice or not at all.
    assert counted[WRONG] >= len(FORMS)
    assert await said(house, right(), "203.0.113.1") == USER


async def test_failures_of_one_network_at_the_same_moment(house: House) -> None:
    names = [{"user": f"nobody{n}", "password": "wrong"} for n in range(20)]
    assert set(await asyncio.gather(*(said(house, body) for body in names))) == {WRONG}
    assert await said(house, right()) == NETWORK
    assert await said(house, right("carol")) == NETWORK
    assert await said(house, right(), "192.0.2.2") == "ok"


async def test_one_short_of_the_limit_at_the_same_moment(house: House) -> None:
    bodies = list(FORMS.values())[:-1]
    assert set(await asyncio.gather(*(said(house, body) for body in bodies))) == {WRONG}
    assert await said(house, right()) == "ok"
    assert set(await asyncio.gather(*(said(house, body) for body in bodies))) == {WRONG}
    assert await said(house, FORMS["name"]) == WRONG
    assert await said(house, right()) == USER


async def test_a_network_that_the_file_exempts_is_not_blocked(tmp_path: Path) -> None:
    limits = {"limits__network_5_minutes": 2, "limits__exempt_networks": ["192.0.2.0/30"]}
    async with open_house(tmp_path, **limits) as house:
        await house.ada()
        for n in range(5):
            assert await said(house, {"user": f"nobody{n}", "password": "wrong"}) == WRONG
            assert await said(house, {"user": f"nobody{n}", "password": "wrong"}, "192.0.2.9") in (WRONG, NETWORK)
        assert await said(house, right()) == "ok"
        assert await said(house, right(), "192.0.2.9") == NETWORK
        for _ in range(10):
            await said(house, FORMS["name"])
        assert await said(house, right()) == USER, "the account's own limit stays"
