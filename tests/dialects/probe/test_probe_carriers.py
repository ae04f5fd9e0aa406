"""The five credential carriers, their order, and what is refused in each: Probe's contract, section 2.1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.app import gateway
from dragoman.core.tokens import Signed
from dragoman.dialects import probe
from dragoman.dialects.probe.door import DOOR
from dragoman.http import Mount
from dragoman.model import Password, Typed
from kit.house import PASSWORD, House, client

BASE = "/frontend/api/v1/auth"
SESSION = f"{BASE}/session"
SIGN_OUT = f"{BASE}/sign-out"
NO_SESSION = {"status": "UNAUTHENTICATED", "code": 0, "error": "unauthenticated: session is not active", "context": {}}

Carrier = Callable[[str], dict[str, Any]]
HEADER: Carrier = lambda token: {"headers": {"Authorization": f"Bearer {token}"}}  # noqa: E731
LOWER: Carrier = lambda token: {"headers": {"authorization": f"bearer  {token}"}}  # noqa: E731
TOKEN: Carrier = lambda token: {"params": {"token": token}}  # noqa: E731
JWT: Carrier = lambda token: {"params": {"jwt": token}}  # noqa: E731
COOKIE: Carrier = lambda token: {"headers": {"Cookie": f"other=1; jwt={token}"}}  # noqa: E731
CARRIERS = {"header": HEADER, "lower": LOWER, "token": TOKEN, "jwt": JWT, "cookie": COOKIE}
TAKES = {"header": {"api", "jwt"}, "lower": {"api", "jwt"}, "token": {"api"}, "jwt": {"jwt"}, "cookie": {"jwt"}}


async def tokens(house: House) -> dict[str, str]:
    await house.ada()
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = (await house.post(f"{BASE}/sign-in", json=body)).json()
    return {"api": answer["api-token"], "jwt": answer["jwt-token"]["token"]}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("kind", ["api", "jwt"])
async def test_each_carrier_takes_its_own_kind_of_token(house: House, carrier: str, kind: str) -> None:
    token = (await tokens(house))[kind]
    answer = await house.get(SESSION, **CARRIERS[carrier](token))
    if kind in TAKES[carrier]:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()) == (401, NO_SESSION)


async def test_the_first_credential_present_decides(house: House) -> None:
    good = await tokens(house)
    cookie = {"Cookie": f"jwt={good['jwt']}"}
    bearer = {"Authorization": f"Bearer {good['jwt']}"}
    bad = {"Authorization": "Bearer nothing"}
    for headers, params, status in (
        (bearer, {"token": "bad", "jwt": "bad"}, 200),
        ({**bad, **cookie}, {"token": good["api"], "jwt": good["jwt"]}, 401),
        ({"Authorization": "Bearer", **cookie}, {}, 401),
        ({"Authorization": "Bearer "}, {"token": good["api"]}, 401),
        (cookie, {"token": "bad", "jwt": good["jwt"]}, 401),
        (cookie, {"token": good["api"], "jwt": "bad"}, 200),
        (cookie, {"token": ""}, 401),
        (cookie, {"jwt": "bad"}, 401),
        ({"Cookie": "jwt=bad"}, {"jwt": good["jwt"]}, 200),
        ({"Authorization": "Basic YWRhOng=", **cookie}, {}, 200),
        ({"Authorization": "Basic YWRhOng="}, {}, 401),
        ({}, {}, 401),
    ):
        answer = await house.get(SESSION, headers=headers, params=params)
        assert answer.status_code == status, (headers, params)


async def test_tokens_in_the_query_can_be_switched_off(house: House) -> None:
    good = await tokens(house)
    dialect = probe.dialect(probe.Config(query_tokens=False))
    house.app = gateway(house.core, house.settings, (Mount(dialect=dialect),))
    for params in ({"token": good["api"]}, {"jwt": good["jwt"]}):
        assert (await house.get(SESSION, params=params)).status_code == 401
    assert (
        await house.get(SESSION, headers={"Cookie": f"jwt={good['jwt']}"}, params={"token": "x"})
    ).status_code == 200


# ---------------------------------------------------------------- writes with the cookie


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://dragoman.test", 200),
        ("https://app.example.com", 200),
        ("https://evil.example", 403),
        ("https://dragoman.test", 403),
        ("http://dragoman.test:81", 403),
        ("null", 403),
        (None, 403),
    ],
)
async def test_a_write_with_the_cookie_needs_an_allowed_origin(
    configured: House, origin: str | None, status: int
) -> None:
    jwt = (await tokens(configured))["jwt"]
    headers = {"Cookie": f"jwt={jwt}"} | ({} if origin is None else {"Origin": origin})
    for path in (f"{SESSION}/3c90c3cc-0d44-4b50-8888-8dd25736052a", SIGN_OUT):
        wanted = 404 if status == 200 and path != SIGN_OUT else status
        answer = await configured.delete(path, headers=headers)
        assert answer.status_code == wanted
    if status == 403:
        assert answer.json()["context"] == {"header:Origin": ["#: is not an allowed origin"]}
        assert (await configured.get(SESSION, headers=headers)).status_code == 200, "reading needs no origin"


@pytest.mark.parametrize("carrier", ["header", "jwt"])
async def test_a_write_with_a_token_that_no_browser_adds_needs_no_origin(house: House, carrier: str) -> None:
    jwt = (await tokens(house))["jwt"]
    wanted = CARRIERS[carrier](jwt)
    wanted["headers"] = {**wanted.get("headers", {}), "Origin": "https://elsewhere.example", "Cookie": f"jwt={jwt}"}
    assert (await house.delete(SIGN_OUT, **wanted)).status_code == 200


# ---------------------------------------------------------------- forged, foreign, out of time


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def changed(token: str, *, header: Any = None, key: bytes | None = None, **claims: Any) -> str:
    """Return the token with another header or other claims, signed with `key` or with the old signature."""
    head, payload, signature = token.split(".")
    body = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **claims}
    text = f"{part(header) if header is not None else head}.{part(body)}"
    if key is not None:
        signature = base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode().rstrip("=")
    return f"{text}.{signature}"


FORGED: dict[str, Callable[[str], str]] = {
    "other claims": lambda t: changed(t, sub="1"),
    "later end": lambda t: changed(t, exp=2_000_000_000_000),
    "no algorithm": lambda t: changed(t, header={"alg": "none", "typ": "JWT"}),
    "no algorithm, no signature": lambda t: changed(t, header={"alg": "none", "typ": "JWT"}).rpartition(".")[0] + ".",
    "signed by a stranger": lambda t: changed(t, key=b"k" * 32),
    "signed with nothing": lambda t: changed(t, key=b""),
    "own key in the header": lambda t: changed(
        t, header={"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": "aw"}}, key=b"k"
    ),
    "unknown crit": lambda t: changed(t, header={"alg": "HS256", "typ": "JWT", "crit": ["x"], "x": 1}),
    "cut off": lambda t: t[:-1],
    "longer": lambda t: t + "A",
    "padded": lambda t: t + "=",
    "blank": lambda t: " ",
    "two dots": lambda t: "..",
    "dots": lambda t: "." * 5000,
    "not ASCII": lambda t: "ü.ö.ä",
    "huge": lambda t: "a" * 12_000 + ".b.c",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused_in_every_carrier(house: House, name: str) -> None:
    jwt = (await tokens(house))["jwt"]
    for carrier in CARRIERS.values():
        wanted = carrier(FORGED[name](jwt))
        headers = {key: value.encode("latin-1") for key, value in wanted.get("headers", {}).items()}
        answer = await house.get(SESSION, headers=headers, params=wanted.get("params"))
        assert (answer.status_code, answer.json()) == (401, NO_SESSION)
    assert (await house.get(SESSION, **HEADER(jwt))).status_code == 200


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_made_up_api_token_is_refused(house: House, carrier: str) -> None:
    api = (await tokens(house))["api"]
    for token in ("0" * 64, api.upper(), api[:-1], api + "0", f"{api}\x00", ""):
        wanted = CARRIERS[carrier](token)
        headers = {key: value.encode("latin-1") for key, value in wanted.get("headers", {}).items()}
        assert (await house.get(SESSION, headers=headers, params=wanted.get("params"))).status_code == 401


async def test_tokens_of_another_door_or_purpose_are_refused(house: House) -> None:
    """The right key is not enough: audience and type are Probe's, and the session must be one of its own."""
    await tokens(house)
    ada = await house.core.accounts.named("ada@example.com")
    person = await house.core.accounts.person(ada)
    (session,) = [s for s in await house.core.sessions.list_own(ada.id) if s.kind == "client"]
    other_kind = Signed(use="probe_jwt", algorithm="HS256", kind="password_update")
    assert isinstance(DOOR.token, Signed)
    issued = [
        house.core.tokens.issue(other_kind, "probe", session, person, session.ends_at),
        house.core.tokens.issue(DOOR.token, "flashback", session, person, session.ends_at),
    ]
    doors = [m.dialect.door for m in house.app.mounts if m.dialect.door is not None and m.dialect.name != "probe"]
    for door in doors:
        typed, password = Typed("email", "ada@example.com"), Password.from_plain(PASSWORD)
        outcome = await house.core.signin.with_password(door, typed, password, client())
        issued.append(outcome.token)  # type: ignore[union-attr]
        foreign = house.core.tokens.issue(DOOR.token, "probe", outcome.session, person, session.ends_at)  # type: ignore[union-attr]
        issued.append(foreign)
    for token in issued:
        for carrier in CARRIERS.values():
            assert (await house.get(SESSION, **carrier(token))).status_code == 401
