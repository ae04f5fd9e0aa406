"""How often one API token may call (contract section 2.6), and all operations by all five carriers (section 2.1)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.dialects import probe
from dragoman.http import Operation
from kit.house import PASSWORD, House, open_house

pytestmark = pytest.mark.slow

BASE = "/frontend/api/v1/auth"
SESSION = f"{BASE}/session"
TOKENS = f"{BASE}/api-token"
TOO_MANY = {
    "status": "RESOURCE_EXHAUSTED", "code": 0, "context": {},
    "error": "resource exhausted: too many requests, try again later",
}  # fmt: skip


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def tokens(house: House) -> tuple[str, str]:
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = (await house.post(f"{BASE}/sign-in", json=body)).json()
    return answer["jwt-token"]["token"], answer["api-token"]


async def made(house: House, jwt: str) -> str:
    answer = await house.post(TOKENS, json={}, headers=bearer(jwt))
    token: str = answer.json()["token"]
    return token


async def test_a_hundred_calls_a_minute_of_one_token_whatever_they_are(house: House) -> None:
    await house.ada()
    jwt, api = await tokens(house)
    other = await made(house, jwt)
    for number in range(100):
        wanted: dict[str, Any] = {"headers": bearer(api)} if number % 2 else {"params": {"token": api}}
        path = SESSION if number % 3 else f"{TOKENS}/{api}"
        assert (await house.get(path, address=f"192.0.2.{number}", **wanted)).status_code == 200
    for path in (SESSION, f"{TOKENS}/{api}"):
        answer = await house.get(path, headers=bearer(api))
        assert (answer.status_code, answer.json()) == (429, TOO_MANY)
        assert answer.headers["Retry-After"] == "60"
    house.clock.move(58.5)
    answer = await house.get(SESSION, headers=bearer(api))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert (await house.get(SESSION, headers=bearer(other))).status_code == 200, "another token has its own count"
    assert (await house.get(SESSION, headers=bearer(jwt))).status_code == 200, "a JWT is not counted"
    house.clock.move(1.5)
    assert (await house.get(SESSION, headers=bearer(api))).status_code == 200


async def test_what_is_refused_to_a_token_counts_too_and_what_is_no_token_does_not(house: House) -> None:
    await house.ada()
    _, api = await tokens(house)
    for _ in range(100):
        assert (await house.delete(SESSION, headers=bearer(api))).status_code == 403
    assert (await house.get(SESSION, headers=bearer(api))).status_code == 429
    for _ in range(101):
        answer = await house.get(SESSION, headers=bearer("0" * 64))
    assert answer.status_code == 401


@pytest.fixture
async def unbounded(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, dialects__probe__token_calls=0) as opened:
        await opened.ada()
        yield opened


async def test_the_number_is_a_setting_and_0_is_none(unbounded: House) -> None:
    _, api = await tokens(unbounded)
    for _ in range(150):
        assert (await unbounded.get(SESSION, headers=bearer(api))).status_code == 200


# ---------------------------------------------------------------- carriers

Carrier = Callable[[str], dict[str, Any]]
CARRIERS: dict[str, tuple[Carrier, frozenset[str]]] = {
    "header": (lambda token: {"headers": bearer(token)}, frozenset({"api", "jwt"})),
    "token in the query": (lambda token: {"params": {"token": token}}, frozenset({"api"})),
    "jwt in the query": (lambda token: {"params": {"jwt": token}}, frozenset({"jwt"})),
    "cookie": (
        lambda token: {"headers": {"Cookie": f"jwt={token}", "Origin": "http://dragoman.test"}},
        frozenset({"jwt"}),
    ),
}
SIGNED_IN = [each for each in probe.DIALECT.operations if each.access in ("client", "any")]


@pytest.mark.parametrize("each", SIGNED_IN, ids=lambda each: f"{each.method} {each.path}")
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_every_operation_takes_every_carrier(unbounded: House, carrier: str, each: Operation) -> None:
    """Whoever is let in is told about the request; a token in a carrier of the other kind is told that it is none."""
    put, takes = CARRIERS[carrier]
    held = dict(zip(("jwt", "api"), await tokens(unbounded), strict=True))
    path = each.path
    for name in each.names:
        path = path.replace(f"{{{name}}}", {"token": "0" * 64, "user_id": "99"}.get(name, str(uuid.UUID(int=7))))
    for kind in ("api", "jwt"):
        wanted = put(held[kind])
        answer: httpx2.Response = await unbounded.request(each.method, path, **wanted, **_body(each))
        if kind not in takes:
            assert (answer.status_code, answer.json()["error"]) == (
                401, "unauthenticated: session is not active",
            )  # fmt: skip
        elif kind == "api" and each.access == "client":
            assert (answer.status_code, answer.json()["error"]) == (403, "permission denied: not with an API token")
        else:
            assert answer.status_code != 401, answer.text
            assert "not with an API token" not in answer.text
    assert (await unbounded.request(each.method, path, **_body(each))).status_code == 401


def _body(each: Operation) -> dict[str, Any]:
    return {} if each.body is None else {"json": {}}
