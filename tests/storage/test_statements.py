"""Every statement of the program, run on both engines over the same rows: same answers, an index where it counts."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import dragoman.storage
from dragoman.storage.engine import STATEMENTS, Engine, Row, Statement, Tx
from kit.engines import postgres_engine
from kit.house import PASSWORD, House, empty_database, empty_template, fast_settings, house_over, sqlite_copy
from kit.postgres import Cluster
from kit.recording import Recording

for _module in pkgutil.iter_modules(dragoman.storage.__path__):
    if _module.name not in ("migrate", "migrations", "schema"):
        importlib.import_module(f"dragoman.storage.{_module.name}")

OWN_OF_AN_ENGINE = "dragoman.storage.sqlite"
"""Statements by which an engine speaks to its own kind of database are not portable and need not be."""

PORTABLE = [s for s in STATEMENTS if s.origin.startswith("dragoman.") and not s.origin.startswith(OWN_OF_AN_ENGINE)]
HOT = [s for s in PORTABLE if s.hot]

ORGANIZATION, ACCOUNT, OTHER, FRESH, SESSION, ENDED = (bytes([n]) * 16 for n in range(1, 7))
HASH = b"h" * 32
TICKET = b"t" * 16
LEASE = b"l" * 16
NOW = 1_800_000_000_000

VALUES: dict[str, Any] = {
    "about": "ada@example.com", "active": 1, "barred": 1, "pending": 0, "top": ACCOUNT,
    "account": ACCOUNT, "address": "192.0.2.1", "administrator": 0, "after": 0, "algorithm": "HS256", "at": NOW,
    "auth_epoch": 1, "before": NOW, "business": 0, "by": ACCOUNT, "cap": 1, "client": b"c" * 8,
    "body": "{}", "bypass": 1, "code": "123456", "confirmed": 0,
    "browser": "Firefox", "count": 1, "created_at": NOW, "dead_at": NOW, "deleted_at": NOW, "deleted_from": "active",
    "detail": "{}", "device": None, "device_id": None, "dies_at": NOW,
    "display_name": "Ada", "door": "probe", "channel": "mail", "due_at": 5, "fault": "RCPT: 451",
    "ends_at": NOW + 1000, "expires_at": NOW + 1000, "fresh": b"r" * 32, "first_name": "Ada", "first_verified_at": NOW,
    "factor_from": NOW,
    "fingerprint": HASH,
    "folded": "ada@example.com", "generation": 1, "handle": HASH, "hash": HASH, "id": FRESH, "idle": 1000,
    "idle_until": NOW + 1000,  "initial": 1, "is_default": 0, "is_primary": 1, "keep": 0, "key_id": 1, "kind": "email",
    "language": "de", "lapses_at": NOW, "last_name": "Example", "lease": LEASE, "limit": 10,
    "until": NOW + 1000, "etag": "0a1b", "everybody": 1, "image": b"\xff\xd8",
    "mac": HASH, "media": "image/jpeg", "marks": b"12345678", "methods": "password", "name": "ada",
    "network": "192.0.2.1/32", "newest": HASH, "now": NOW, "number": 0, "odd_retries": 3, "others": 4,
    "hint": "abcdef", "permissions": "read:media", "owner": ACCOUNT, "proved_client": b"c" * 8,
    "old": b"sealed", "os": "Linux", "organization": ORGANIZATION,
    "parent": None, "public_key": b"p" * 77, "rp": "id.example.com", "transports": "internal",
    "proved_at": NOW, "purpose": "reset",
    "issuer": "https://id.example.com", "provider": "google", "provider_subject": "107",
    "rank": 0, "root": 0, "rotated_client": b"c" * 8, "scheme": "canonical",
    "scope": "strangers", "sealed": b"sealed", "sealed_token": None, "seed": b"s" * 16, "session": SESSION,
    "shown": "Ada@example.com", "since": 0, "state": "verified", "status": "active", "step": 2, "streak": 100,
    "subject": b"s" * 16, "system": "probe", "token_hash": b"n" * 32, "token_use": "probe_jwt",
    "type": "DESKTOP", "use": "probe_jwt",
    "user_agent": "test", "value": "1", "verified_at": NOW, "version": 1, "why": "revoked", "wish": "{}",
}  # fmt: skip
"""A value of the right type for every parameter, by name: times are milliseconds, ids 16 bytes."""

OTHERWISE: dict[tuple[str, str], Any] = {
    ("dragoman.storage.accounts", "after"): b"",
    ("dragoman.storage.codes", "door"): "",
    ("dragoman.storage.devices", "id"): TICKET,
    ("dragoman.storage.devices", "cap"): 0,
    ("dragoman.storage.erasure", "id"): OTHER,
    ("dragoman.storage.held", "after"): b"",
    ("dragoman.storage.tickets", "id"): TICKET,
    ("dragoman.storage.outbox", "id"): TICKET,
    ("dragoman.storage.accounts", "now"): NOW,
    ("dragoman.storage.keys", "id"): 99,
    ("dragoman.storage.keys", "before"): NOW,
    ("dragoman.storage.sessions", "keep"): SESSION,
    ("dragoman.storage.sessions", "kind"): "client",
}
"""Where a name means another type in one module."""


def arguments(statement: Statement) -> dict[str, Any]:
    """Return what a statement is run with. A row that exists is meant, except by INSERT."""
    missing = [n for n in statement.names if n not in VALUES and (statement.origin, n) not in OTHERWISE]
    assert not missing, f"give {missing} of {statement!r} a value in VALUES"
    chosen = {name: OTHERWISE.get((statement.origin, name), VALUES.get(name)) for name in statement.names}
    if statement.first_word != "insert":
        if statement.origin == "dragoman.storage.sessions" and "id" in chosen:
            chosen["id"] = SESSION
        if statement.origin == "dragoman.storage.accounts" and "id" in chosen:
            chosen["id"] = ACCOUNT
    elif " identifier(" in statement.sql or " alias(" in statement.sql:
        chosen.update({k: "fresh" for k in ("folded", "value", "system") if k in chosen})
    elif any(f" {table}(" in statement.sql for table in ("attempt", "mark", "outbox", "recovery_code", "ticket")):
        chosen.update({k: b"f" * 32 for k in ("handle", "hash", "mac") if k in chosen})
        chosen.update({k: FRESH for k in ("id",) if k in chosen})
    return chosen


SEED = [
    Statement(sql)
    for sql in (
        "insert into organization(id, name, business, is_default, created_at) values (:o, 'Default', 0, 1, 5)",
        "insert into account(id, organization, kind, status, first_name, last_name, created_at, updated_at)"
        " values (:a, :o, 'person', 'active', 'Ada', 'Example', 5, 5)",
        "insert into account(id, organization, kind, status, first_name, last_name, created_at, updated_at, deleted_at,"
        " parent) values (:b, :o, 'person', 'deleted', 'Bob', 'Example', 5, 5, 5, :a)",
        "insert into identifier(kind, folded, shown, state, is_primary, created_at, account)"
        " values ('email', 'ada@example.com', 'Ada@example.com', 'verified', 1, 5, :a)",
        "insert into identifier(kind, folded, shown, state, is_primary, created_at, account)"
        " values ('username', 'bob', 'Bob', 'vouched', 1, 5, :b)",
        "insert into alias(system, value, account) values ('probe', '1', :a)",
        "insert into credential(account, kind, scheme, sealed, version, created_at)"
        " values (:a, 'password', 'canonical', :sealed, 1, 5)",
        "insert into recovery_code(account, mac) values (:a, :hash)",
        "insert into attempt(handle_hash, account, door, methods, auth_epoch, version, wish, created_at, ends_at)"
        " values (:hash, :a, 'probe', 'password', 0, 1, '{}', 5, 10)",
        "insert into session(id, account, organization, door, kind, token_use, token_hash, created_at, seen_at,"
        " address, user_agent, methods, proved_at, generation, ends_at)"
        " values (:s, :a, :o, 'probe', 'client', 'probe_jwt', :hash, 5, 5, '', '', 'password', 5, 1, :later)",
        "insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address,"
        " user_agent, methods, proved_at, ended_at) values (:e, :a, :o, 'probe', 'client', 'probe_jwt', 5, 5, '', '',"
        " 'password', 5, 9)",
        "insert into signing_key(id, use, algorithm, sealed, created_at, retired_at)"
        " values (1, 'probe_jwt', 'HS256', :sealed, 5, 9)",
        "insert into counter(scope, subject, marks, streak, updated_at) values ('network', :s, :sealed, 1, 5)",
        "insert into known_network(account, network, last_at) values (:a, '192.0.2.1/32', 5)",
        "insert into mark(hash, account, created_at, last_at) values (:hash, :a, 5, 5)",
        "insert into event(at, kind, account, address, detail) values (5, 'signed_in', :a, '', '{}')",
        "insert into ticket(id, hash, purpose, account, about, created_at, ends_at)"
        " values (:t, :hash, 'reset', :a, 'ada@example.com', 5, :later)",
        "insert into code(account, purpose, door, mac, about, created_at, ends_at)"
        " values (:a, 'reset', '', :hash, 'ada@example.com', 5, :later)",
        "insert into enrolment(account, kind, sealed, created_at, ends_at) values (:a, 'totp', :sealed, 5, :later)",
        "insert into outbox(id, channel, kind, account, sealed, created_at, due_at, expires_at, lease)"
        " values (:t, 'mail', 'reset', :a, :sealed, 5, 5, 9, :lease)",
        "insert into outbox(id, channel, kind, account, sealed, created_at, fault, dead_at)"
        " values (:s, 'mail', 'reset', :a, :sealed, 4, 'RCPT: 550', 5)",
        "insert into picture(account, media, etag, image, updated_at) values (:a, 'image/png', 'ab', :sealed, 5)",
        "insert into device(id, account, fingerprint, name, type, os, browser, user_agent, address, created_at,"
        " seen_at, trusted_until)"
        " values (:t, :a, :hash, 'Firefox on Linux', 'DESKTOP', 'Linux', 'Firefox', '', '', 5, 5, :later)",
        "update session set device_id = :t where id = :s",
        "insert into setting(name, value, updated_at, changed_by) values ('ada', '20', 5, :b)",
        "insert into sequence(name, next) values ('ada', 7)",
        "insert into meta(name, value) values ('set_up', '1')",
    )
]
SEEDED = {
    "t": TICKET, "o": ORGANIZATION, "a": ACCOUNT, "b": OTHER, "s": SESSION, "e": ENDED, "hash": HASH,
    "sealed": b"sealed", "later": NOW + 5000, "lease": LEASE,
}  # fmt: skip


class _Undo(Exception):
    """Takes a transaction back after its answer was kept."""


async def _seed(tx: Tx) -> None:
    for statement in SEED:
        await tx.run(statement, **{name: SEEDED[name] for name in statement.names})


async def _answer(db: Engine, statement: Statement) -> list[Row] | int:
    """Run a statement; what it wrote is undone."""
    given = arguments(statement)
    if statement.first_word == "select":
        return await db.scan(statement, **given)
    kept: list[list[Row] | int] = []

    async def fn(tx: Tx) -> None:
        returns = " returning " in statement.sql
        kept.append(await tx.all(statement, **given) if returns else await tx.run(statement, **given))
        raise _Undo

    with pytest.raises(_Undo):
        await db.transaction(fn)
    return kept[-1]


@pytest.fixture
async def both(tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[tuple[Engine, Engine]]:
    """Both engines with the same rows."""
    template = await empty_template(postgres_cluster)
    async with (
        sqlite_copy(tmp_path) as one,
        # A rehearsal would leave a gap in the numbers that PostgreSQL gives out, and the answers would differ by it.
        postgres_engine(postgres_cluster, template=template, rehearse=False) as two,
    ):
        for db in (one, two):
            await db.transaction(_seed)
        yield one, two


def test_there_is_something_to_run() -> None:
    assert len(PORTABLE) > 80
    assert len(HOT) > 35


async def test_every_statement_runs_on_both_engines_and_answers_alike(both: tuple[Engine, Engine]) -> None:
    for statement in PORTABLE:
        answers = [await _answer(db, statement) for db in both]
        if isinstance(answers[0], list) and " order by " not in statement.sql:
            answers = [sorted(map(repr, rows)) for rows in answers if isinstance(rows, list)]
        assert answers[0] == answers[1], statement


async def _plan_of_sqlite(db: Engine, statement: Statement) -> list[str]:
    rows = await db.scan(Statement(f"explain query plan {statement.sql}"), **arguments(statement))
    return [str(row[3]) for row in rows]


_BORN_HERE = ("SCAN CONSTANT ROW", "SCAN (")
"""Rows of the statement itself, not of a table."""


def _walks(detail: str) -> bool:
    return detail.startswith("SCAN") and not detail.startswith(_BORN_HERE)


async def test_every_hot_statement_uses_an_index_on_sqlite(both: tuple[Engine, Engine]) -> None:
    slow = {s: plan for s in HOT if any(map(_walks, plan := await _plan_of_sqlite(both[0], s)))}
    assert not slow


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Scan" in node["Node Type"] and node["Node Type"] not in ("Subquery Scan", "Bitmap Heap Scan", "CTE Scan"):
        yield node
    for inner in node.get("Plans", ()):
        yield from _leaves(inner)


@asynccontextmanager
async def _planner(cluster: Cluster) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection whose planner walks a table only where no index serves."""
    dsn = await cluster.create(await empty_template(cluster))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set enable_seqscan = off")
        yield connection
    finally:
        await connection.close()
        await cluster.drop(dsn)


async def test_every_hot_statement_uses_an_index_on_postgres(postgres_cluster: Cluster) -> None:
    slow: dict[Statement, Any] = {}
    async with _planner(postgres_cluster) as connection:
        for statement in HOT:
            values = statement.bind(arguments(statement))
            text = await connection.fetchval(f"explain (format json) {statement.dollar}", *values)
            leaves = list(_leaves(json.loads(text)[0]["Plan"]))
            walked = [leaf for leaf in leaves if "Index Cond" not in leaf]
            if walked:
                slow[statement] = walked
    assert not slow


async def test_the_plans_can_tell(both: tuple[Engine, Engine], postgres_cluster: Cluster) -> None:
    """Without an index both tests above would fail: a statement that has none says so."""
    statement = Statement("select id from session where address = :address")
    rows = await both[0].scan(Statement(f"explain query plan {statement.sql}"), address="")
    assert any(_walks(str(row[3])) for row in rows)
    async with _planner(postgres_cluster) as connection:
        text = await connection.fetchval(f"explain (format json) {statement.dollar}", "")
        assert any("Index Cond" not in leaf for leaf in _leaves(json.loads(text)[0]["Plan"]))


async def _usual_day(house: House, recording: Recording) -> None:
    """Be refused, sign in, ask, refresh, sign out and prove a second factor, over all dialects."""
    ada = await house.ada()
    recording.seen.clear()
    for password in ("wrong", PASSWORD):
        flat = {"email": "ada@example.com", "password": password}
        chat = await house.post("/api/v1/login", json={"user": "ada", "password": password})
        mobile = await house.post("/api/auth/user/sign-in", json=flat)
        probe = await house.post("/frontend/api/v1/auth/sign-in", json=flat)
        flash = await house.post("/user/login", json=flat)
    who = {"X-Auth-Token": chat.json()["data"]["authToken"], "X-User-Id": chat.json()["data"]["userId"]}
    assert (await house.get("/api/v1/me", headers=who)).status_code == 200
    bearer = {"Authorization": f"Bearer {mobile.json()['data']['accessToken']}"}
    assert (await house.get("/api/profile", headers=bearer)).status_code == 200
    bearer = {"Authorization": f"Bearer {probe.json()['jwt-token']['token']}"}
    assert (await house.get("/frontend/api/v1/auth/session", headers=bearer)).status_code == 200
    fresh = await house.post("/user/refresh", json={"refreshToken": flash.json()["refreshToken"]})
    bearer = {"Authorization": f"Bearer {fresh.json()['accessToken']}"}
    assert (await house.get("/user/profile", headers=bearer)).status_code == 200
    assert (await house.post("/user/logout", headers=bearer, json={})).status_code == 200
    with recording.paused():  # enrolling is an operator's act
        totp = await house.enrol_totp(ada)
    paused = await house.post("/api/auth/user/sign-in", json=flat)
    challenge = paused.json()["data"]["challengeId"]
    for code in (totp.wrong(), totp.code()):
        second = {"challengeId": challenge, "code": code}
        verified = await house.post("/api/auth/user/verify-challenge", json=second)
    assert verified.status_code == 200, verified.text
    with recording.paused():
        await house.core.factors.disable_totp(ada.account)
        await house.enrol_email(ada)
        house.clock.move(60)
    challenge = (await house.post("/api/auth/user/sign-in", json=flat)).json()["data"]["challengeId"]
    code = await house.mailed_code()
    for typed in ("not it", code):
        verified = await house.post("/api/auth/user/verify-challenge", json={"challengeId": challenge, "code": typed})
    assert verified.status_code == 200, verified.text


async def test_what_serves_a_sign_in_is_marked_hot(tmp_path: Path) -> None:
    async with sqlite_copy(tmp_path) as db:
        recording = Recording(db)
        async with house_over(recording, fast_settings(tmp_path), tmp_path) as house:
            await _usual_day(house, recording)
            used = [s for s in recording.seen if s.origin.startswith("dragoman.")]
    assert len(used) > 25
    assert [s for s in used if not s.hot] == []


def test_the_empty_database_is_not_touched_by_tests() -> None:
    """Copies are made of it; a WAL beside it would mean that a test wrote into the original."""
    assert not empty_database().with_name("dragoman.db-wal").exists()
