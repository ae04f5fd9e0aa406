"""Retention of every table: an old row goes, a young one stays, on both engines (schema.py, core/retention.py)."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.core.limits import Budget, Budgets, Window
from dragoman.core.retention import sweep
from dragoman.storage.engine import ConstraintViolated, Row, Statement, Tx
from dragoman.storage.schema import RETENTION, metadata
from kit.house import House

pytestmark = pytest.mark.slow

HOUR = 60 * 60_000
DAY = 24 * HOUR
LONG_AGO = 3000 * DAY


class Kept:
    """How to write a row of a table that was last used `age` ago, and how to find it again by its key."""

    def __init__(self, insert: str, count: str) -> None:
        self.insert = Statement(insert)
        self.count = Statement(count)


_ACCOUNT = (
    "insert into account(id, organization, kind, status, first_name, last_name, created_at, updated_at, deleted_at)"
    " values (:key, (select id from organization where is_default = 1), 'person', 'deleted', '', '', :at, :at, :at)"
)
_SESSION = (
    "insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address, user_agent,"
    " methods, proved_at, ended_at) values (:key, :account, :account, 'probe', 'client', 'x', :at, :at, '', '', '',"
    " :at, :at)"
)
TABLES: dict[str, Kept] = {
    "account": Kept(_ACCOUNT, "select count(*) from account where id = :key"),
    "attempt": Kept(
        "insert into attempt(handle_hash, account, door, methods, auth_epoch, version, wish, created_at, ends_at)"
        " values (:key, :account, 'probe', '', 0, 1, '{}', :at, :at)",
        "select count(*) from attempt where handle_hash = :key",
    ),
    "ticket": Kept(
        "insert into ticket(id, hash, purpose, account, about, created_at, ends_at)"
        " values (:key, :key, 'reset', :account, '', :at, :at)",
        "select count(*) from ticket where id = :key",
    ),
    "code": Kept(
        "insert into code(account, purpose, door, mac, about, created_at, ends_at)"
        " values (:account, cast(:text as text), '', :key, '', :at, :at)",
        "select count(*) from code where mac = :key",
    ),
    "enrolment": Kept(
        "insert into enrolment(account, kind, sealed, created_at, ends_at)"
        " values (:account, cast(:text as text), :key, :at, :at)",
        "select count(*) from enrolment where sealed = :key",
    ),
    "outbox": Kept(
        "insert into outbox(id, channel, kind, sealed, created_at, dead_at) values (:key, 'mail', '', :key, :at, :at)",
        "select count(*) from outbox where id = :key",
    ),
    "session": Kept(_SESSION, "select count(*) from session where id = :key"),
    "signing_key": Kept(
        "insert into signing_key(id, use, algorithm, sealed, created_at, retired_at)"
        " values (:number, 'old', 'HS256', :key, :at, :at)",
        "select count(*) from signing_key where sealed = :key",
    ),
    "counter": Kept(
        "insert into counter(scope, subject, marks, streak, updated_at) values ('strangers', :key, :key, 99, :at)",
        "select count(*) from counter where subject = :key",
    ),
    "device": Kept(
        "insert into device(id, account, fingerprint, name, type, os, browser, user_agent, address, created_at,"
        " seen_at)"
        " values (:key, :account, :key, '', '', '', '', '', '', :at, :at)",
        "select count(*) from device where id = :key",
    ),
    "known_network": Kept(
        "insert into known_network(account, network, last_at) values (:account, cast(:text as text), :at)",
        "select count(*) from known_network where network = :text",
    ),
    "mark": Kept(
        "insert into mark(hash, account, created_at, last_at) values (:key, :account, :at, :at)",
        "select count(*) from mark where hash = :key",
    ),
    "spent_token": Kept(
        "insert into spent_token(hash, ends_at) values (:key, :at)",
        "select count(*) from spent_token where hash = :key",
    ),
    "event": Kept(
        "insert into event(at, kind, address, detail) values (:at, 'signed_out', cast(:text as text), '{}')",
        "select count(*) from event where address = :text",
    ),
}
"""Every table that lets rows go."""

FOR_GOOD = {
    "meta": "facts of the installation",
    "sequence": "numbers given out are never given again",
    "organization": "stays though nobody is in it",
    "identifier": "goes with its account",
    "provider_link": "goes with its account",
    "alias": "goes with its account",
    "credential": "goes with its account",
    "recovery_code": "goes with its account",
    "passkey": "goes with its account",
    "picture": "goes with its account",
    "document": "goes with its owner",
    "setting": "holds until it is changed or unset",
}
"""Tables whose rows have no age of their own, and why."""


def test_every_table_is_here() -> None:
    assert set(TABLES) == {name for name, kept in RETENTION.items() if kept is not None}
    assert set(FOR_GOOD) == {name for name, kept in RETENTION.items() if kept is None}
    tied = {t.name for t in metadata.tables.values() if any(f.column.table.name == "account" for f in t.foreign_keys)}
    assert {name for name, why in FOR_GOOD.items() if "account" in why} < tied


async def _write(house: House, table: str, n: int, at: int, account: bytes) -> dict[str, Any]:
    row = {"key": bytes([n]) * 16, "text": f"row {n}", "number": 1000 + n, "at": at, "account": account}

    async def fn(tx: Tx) -> None:
        statement = TABLES[table].insert
        await tx.run(statement, **{name: row[name] for name in statement.names})

    await house.db.transaction(fn)
    return {name: row[name] for name in TABLES[table].count.names}


async def _there(house: House, table: str, found_by: dict[str, Any]) -> bool:
    return (await house.db.scan(TABLES[table].count, **found_by))[0][0] == 1


@pytest.mark.parametrize("table", sorted(TABLES))
async def test_an_old_row_goes_and_a_young_one_stays(any_house: House, table: str) -> None:
    house, now = any_house, any_house.clock.now()
    ada = (await house.ada()).account.id
    kept = RETENTION[table]
    assert kept is not None
    old = await _write(house, table, 1, now - kept - HOUR, ada)
    young = await _write(house, table, 2, now - kept + HOUR, ada)
    assert await house.core.sweep() == 1
    assert not await _there(house, table, old)
    assert await _there(house, table, young)
    house.clock.move(2 * 60 * 60)
    assert await house.core.sweep() == 1
    assert not await _there(house, table, young)


async def test_what_lives_is_kept_however_old(any_house: House) -> None:
    """An account, its names and secrets, a key without end, the present signing keys, a closed lane."""
    house = any_house
    ada = await house.ada()
    await house.enrol_totp(ada)
    body = {"email": "ada@example.com", "password": "wrong"}
    for _ in range(10):
        await house.post("/user/login", json=body)
    before = await _counts(house)
    house.clock.move(LONG_AGO / 1000)
    await house.core.sweep()
    after = await _counts(house)
    untouched = ("account", "alias", "credential", "identifier", "meta", "organization", "recovery_code", "sequence",
                 "signing_key")  # fmt: skip
    assert {t: after[t] for t in untouched} == {t: before[t] for t in untouched}
    assert after["event"] == 0


@pytest.mark.slow
async def test_a_closed_lane_stays_closed(any_house: House) -> None:
    """A hundred failures without a success close the strangers' lane until somebody opens it: not until tomorrow."""
    house = any_house
    ada = await house.ada()
    body = {"email": "ada@example.com", "password": "wrong"}
    for _ in range(100):
        assert (await house.post("/user/login", json=body)).status_code == 401
        house.clock.move(3 * 60 * 60)
    assert (await house.post("/user/login", json=body)).status_code == 429
    house.clock.move(LONG_AGO / 1000)
    await house.core.sweep()
    assert (await house.post("/user/login", json=body)).status_code == 429
    await house.core.accounts.unlock(ada.account)
    assert (await house.post("/user/login", json=body)).status_code == 401


_CLOSED_CODES = Statement(
    """insert into counter(scope, subject, marks, streak, updated_at)
       values ('strangers-codes', :subject, :subject, 100, :at)"""
)
_CODES = Statement("select count(*) from counter where scope = 'strangers-codes'")


async def test_a_lane_closed_for_codes_stays_closed_where_passwords_may_fail_longer(any_house: House) -> None:
    house, now = any_house, any_house.clock.now()

    async def fn(tx: Tx) -> None:
        await tx.run(_CLOSED_CODES, subject=b"s" * 16, at=now - 30 * DAY)

    await house.db.transaction(fn)
    await sweep(house.db, now, Budgets(strangers=Budget((Window(10, 300),), closes_at=1000)))
    assert (await house.db.scan(_CODES))[0][0] == 1


async def test_a_deleted_account_takes_everything_with_it(any_house: House) -> None:
    house = any_house
    ada = await house.ada()
    await house.enrol_totp(ada)
    await house.post("/api/auth/user/sign-in", json={"email": "ada@example.com", "password": "correct horse battery"})
    await house.core.life.set_status(ada.account, "deleted")
    house.clock.move(29 * 24 * 60 * 60)
    await house.core.sweep()
    assert (await house.core.accounts.by_id(ada.account.id)).status == "deleted"
    house.clock.move(2 * 24 * 60 * 60)
    await house.core.sweep()
    for table in ("account", "identifier", "alias", "credential", "recovery_code", "attempt", "session"):
        column = "id" if table == "account" else "account"
        left = await house.db.scan(Statement(f"select 1 from {table} where {column} = :id"), id=ada.account.id)
        assert left == [], table
    assert (await house.ada()).account.id != ada.account.id


async def test_an_erased_parent_leaves_its_children(any_house: House) -> None:
    """A team's owner who is erased must not stop the sweep, nor take the team along (decision 11)."""
    house = any_house
    ada = await house.ada()
    bob = await house.add(email="bob@example.com", username="bob", parent=ada.account.id)
    await house.core.life.set_status(ada.account, "deleted")
    house.clock.move(31 * 24 * 60 * 60)
    await house.core.sweep()
    left = await house.core.accounts.by_id(bob.account.id)
    assert left.parent is None
    with pytest.raises(ConstraintViolated):
        await house.db.transaction(lambda tx: tx.run(_NOBODYS_CHILD, id=bob.account.id, parent=b"n" * 16))


_NOBODYS_CHILD = Statement("update account set parent = :parent where id = :id")


async def _counts(house: House) -> dict[str, int]:
    rows: dict[str, list[Row]] = {
        name: await house.db.scan(Statement(f"select count(*) from {name}")) for name in metadata.tables
    }
    return {name: int(found[0][0]) for name, found in rows.items()}


async def test_many_rows_go_in_pieces(any_house: House) -> None:
    house, now = any_house, any_house.clock.now()

    async def fn(tx: Tx) -> None:
        for n in range(1200):
            key = n.to_bytes(16, "big")
            await tx.run(TABLES["counter"].insert, key=key, at=now - 2 * DAY)

    await house.db.transaction(fn)
    assert await house.core.sweep() == 1200
