"""Nothing secret lies in clear: not in the database or beside it, not in a log line (threats 24, 39 and 40)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import structlog

from dragoman.app import gateway, mounts
from dragoman.cli.logs import FLUSH_SECONDS, access_log
from dragoman.storage.engine import Statement
from dragoman.storage.schema import metadata
from kit.house import PASSWORD, House, open_house
from kit.recipes import RECIPES, Guest, bearer, declared

pytestmark = pytest.mark.slow

INITIAL = "an initial password, never used"


async def a_full_round(house: House) -> dict[str, bytes]:
    """Sign in everywhere, with and without a second factor; return every secret that anybody held, by name."""
    ada = Guest(house, await house.ada(), "ada@example.com", "ada", "192.0.2.1")
    await ada.arrive()
    bob = Guest(house, await house.add(email="bob@example.com", username="bob", password=INITIAL, verified=True),
                "bob@example.com", "bob", "198.51.100.1", INITIAL)  # fmt: skip
    await bob.pause()
    assert bob.totp is not None
    kept = {**{f"ada's {k}": v for k, v in ada.held.items()}, **{f"bob's {k}": v for k, v in bob.held.items()}}
    for recipe in RECIPES:
        if recipe.proves == "code":
            answer = await recipe.send(bob)
            assert answer.status_code == 200, answer.text
            for name, value in _leaves(answer.json(), recipe.dialect):
                kept[name] = value
    flat = {"email": bob.email, "password": bob.password}
    probe = await bob.call("POST", "/frontend/api/v1/auth/sign-in", json={**flat, "code": bob.totp.recovery[0]})
    kept["bob's probe token"] = probe.json()["jwt-token"]["token"]
    kept["bob's mark"] = probe.cookies["dragoman-mark"]
    refreshed = await ada.call("POST", "/user/refresh", json={"refreshToken": kept["ada's fb_refresh"]})
    kept["ada's next refresh token"] = refreshed.json()["refreshToken"]
    await house.core.tick()
    for public in ("ada's rc_user", "bob's rc_user", "ada's probe_session"):
        kept.pop(public, None)
    secrets = {name: value.encode() for name, value in kept.items()}
    for name, password in (("ada's password", PASSWORD), ("bob's password", INITIAL)):
        secrets[name] = password.encode()
        secrets[f"the digest of {name}"] = hashlib.sha256(password.encode()).hexdigest().encode()
        secrets[f"the raw digest of {name}"] = hashlib.sha256(password.encode()).digest()
    seed = bob.totp.seed
    secrets["the seed in base32"] = seed.encode()
    secrets["the seed"] = base64.b32decode(seed + "=" * (-len(seed) % 8))
    secrets |= {f"recovery code {n}": code.encode() for n, code in enumerate(bob.totp.recovery)}
    keys = house.core.keystore.keys()
    secrets |= {f"key of {use.use}": keys.current(use.use).material for use in house.core.keystore.uses}
    return secrets


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}")
    elif isinstance(value, str) and "oken" in name.rpartition(".")[2]:
        yield name, value


def spellings(secret: bytes) -> Iterator[bytes]:
    """Return what a secret looks like raw, in hex, and inside base64 of either alphabet at any offset."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    if secret.isascii() and len(secret) % 2 == 0 and set(secret) <= set(b"0123456789abcdef"):
        yield bytes.fromhex(secret.decode())
    for offset in range(3):
        inside = base64.b64encode(bytes(offset) + secret)[4 if offset else 0 :].rstrip(b"=")[:-1]
        if len(inside) >= 8:
            yield inside
            yield inside.replace(b"+", b"-").replace(b"/", b"_")


def found(secrets: dict[str, bytes], haystack: bytes) -> list[str]:
    return [name for name, secret in secrets.items() if any(text in haystack for text in spellings(secret))]


async def everything_stored(house: House) -> bytes:
    """Return every value of every table."""
    parts: list[bytes] = []
    for table in metadata.tables:
        for row in await house.db.scan(Statement(f"select * from {table}")):
            parts += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\x00".join(parts)


def test_the_search_finds_what_it_looks_for() -> None:
    secret = {"x": b"correct horse battery"}
    for spelt in (
        b"..correct horse battery..",
        base64.b64encode(b"a correct horse battery b"),
        base64.urlsafe_b64encode(b"correct horse battery?>"),
        b"correct horse battery".hex().encode(),
    ):
        assert found(secret, spelt) == ["x"]
    assert found(secret, b"correct horse") == []


async def test_no_secret_lies_in_a_table(any_house: House) -> None:
    secrets = await a_full_round(any_house)
    assert len(secrets) > 35
    assert found(secrets, await everything_stored(any_house)) == []


async def test_no_secret_lies_in_a_file(house: House, tmp_path: Path) -> None:
    secrets = await a_full_round(house)
    files = [path for path in house.settings.database.parent.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"dragoman.db", "dragoman.db-wal"}
    assert {path.name: names for path in files if (names := found(secrets, path.read_bytes()))} == {}
    ring = (tmp_path / "master.keys").read_bytes()
    for value in ring.split(b'"'):
        if len(value) > 40:
            master = base64.b64decode(value)
            for path in files:
                assert found({"master key": master}, path.read_bytes()) == [], path


# ---------------------------------------------------------------- log lines

CANARY = "canary-0f7d3c91a2-Kanarienvogel"


@contextmanager
def everything_said() -> Iterator[list[str]]:
    """Collect what reaches structlog and the standard library's logging at debug level, and both output streams."""
    said: list[str] = []

    def keep(_: Any, name: str, event: Any) -> Any:
        said.append(f"{name} {event!r}")
        raise structlog.DropEvent

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("http"):  # the tests' own client
                said.append(self.format(record))

    before, root, handler = structlog.get_config(), logging.getLogger(), Keep()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    level, out, err = root.level, io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield said
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.configure(**before)
        for stream in (out, err):
            stream.flush()
            said += stream.buffer.getvalue().decode().splitlines()  # type: ignore[attr-defined]


FIELDS = (
    "user", "username", "email", "password", "code", "resume", "ldapPass", "challengeId", "refreshToken",
    "refresh_token", "ret-url", "current-user", "mfaType", "otp", "emailOrUsername",
)  # fmt: skip


def canaries(house: House) -> list[dict[str, Any]]:
    """Return one request for every operation, with the canary in path, query, headers, cookies and body."""
    requests = []
    names = ("token", "X-Auth-Token", "X-User-Id", "X-2fa-Code", "X-Forwarded-For", "User-Agent", "Referer", "X-Odd")
    for _, operation in declared(house):
        path = operation.path
        for name in operation.names:
            path = path.replace(f"{{{name}}}", CANARY)
        fields = dict.fromkeys(FIELDS, CANARY)
        headers = {**bearer(CANARY), **dict.fromkeys(names, CANARY)}
        headers["Cookie"] = f"jwt={CANARY}; dragoman-mark={CANARY}"
        common = {"method": operation.method, "path": f"{path}?token={CANARY}&jwt={CANARY}&x={CANARY}"}
        if operation.method == "GET":
            requests.append({**common, "headers": headers})
            continue
        address = {**fields, "email": f"{CANARY}@example.com"}
        for body in (fields, address, {**address, "totp": {"code": CANARY, "login": address}}):
            requests.append({**common, "headers": headers, "json": body})
        requests.append({**common, "headers": headers, "content": CANARY})
        requests.append({**common, "headers": {**headers, "Content-Type": CANARY}, "content": CANARY})
        requests.append({**common, "headers": headers, "data": fields})
    requests.append({"method": CANARY.replace("-", "").upper(), "path": f"/user/{CANARY}"})
    requests.append({"method": "GET", "path": f"/api/v1/{CANARY}"})
    return requests


@asynccontextmanager
async def talkative(folder: Path, form: str = "json") -> AsyncIterator[House]:
    """A house that writes every line it can."""
    async with open_house(folder, log__access=True, log__level="debug", log__format=form) as house:
        lines = access_log(house.settings, house.clock)
        house.app = gateway(house.core, house.settings, mounts(house.settings), access_log=lines)
        yield house
        await asyncio.sleep(2 * FLUSH_SECONDS)  # the last lines are written a moment later


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_canary_is_said(tmp_path: Path, form: str) -> None:
    with everything_said() as said:
        async with talkative(tmp_path, form) as house:
            for n, request in enumerate(canaries(house)):
                answer = await house.request(**request, address=f"10.{n % 250}.0.1")
                assert answer.status_code < 500, request
            await house.core.tick()
    assert len([line for line in said if "request_id" in line]) > 40, "the access log was not heard"
    assert [line for line in said if CANARY.lower() in line.lower()] == []


async def test_no_secret_of_a_full_round_is_said(tmp_path: Path) -> None:
    with everything_said() as said:
        async with talkative(tmp_path) as house:
            secrets = await a_full_round(house)
    assert len(said) > 10
    assert found(secrets, "\n".join(said).encode()) == []


async def test_a_broken_database_says_no_value(tmp_path: Path) -> None:
    """A fault while a secret is being handled: the answer and the log tell of the fault only."""
    with everything_said() as said:
        async with talkative(tmp_path) as house:
            await house.ada()
            await house.db.close()
            flat = {"email": "ada@example.com", "password": CANARY}
            for path, body in (("/user/login", flat), ("/api/v1/login", {"user": "ada", "password": CANARY})):
                answer = await house.post(path, json=body)
                assert answer.status_code == 503, answer.text
                assert CANARY not in answer.text
            house.db = await _reopened(house)
    assert len([line for line in said if "503" in line]) == 2
    assert [line for line in said if CANARY in line] == []


async def _reopened(house: House) -> Any:
    from dragoman.storage.sqlite import SqliteEngine

    return await SqliteEngine.open(house.settings.database)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_ear_hears_streams(stream: str) -> None:
    with everything_said() as said:
        print("heard", file=getattr(sys, stream))
        logging.getLogger("asyncpg").debug("heard too")
        structlog.get_logger("x").debug("heard as well")
    assert [any(word in line for line in said) for word in ("heard", "heard too", "heard as well")] == [True] * 3
