"""Everything held about an account, on both engines: nothing forgotten, nothing secret, nothing of anybody else."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from core.test_life import furnished
from dragoman.core import refusals
from dragoman.model import uuid_text
from dragoman.storage import held
from dragoman.storage.engine import Row, Statement, Tx
from dragoman.storage.schema import metadata
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

_SECRETS = {
    "credential.sealed", "recovery_code.mac", "attempt.handle_hash", "ticket.hash", "code.mac", "outbox.sealed",
    "session.token_hash", "session.sealed_token", "session.seed", "mark.hash",
}  # fmt: skip
_KEY_COLUMNS = ("account", "changed_by")


def test_every_table_and_column_is_exported_or_left_out_with_a_reason() -> None:
    """A new table, and a new column of one, fail here until somebody decides."""
    shown = {f"{s.table}.{column.name}" for s in held.SECTIONS for column in s.columns}
    every = {f"{t.name}.{c.name}" for t in metadata.tables.values() for c in t.columns if t.name not in held.LEFT_OUT}
    left_out = {place for place in held.LEFT_OUT if "." in place}
    assert every - shown - left_out == set(), "export it in storage/held.py, or say there why not"
    assert shown & left_out == set()
    assert left_out <= every
    assert {name for name in held.LEFT_OUT if "." not in name} <= set(metadata.tables)
    assert all(held.LEFT_OUT.values())
    assert left_out >= _SECRETS


def test_no_table_that_knows_accounts_is_left_out_whole() -> None:
    knowing = {t.name for t in metadata.tables.values() if any(c.name in _KEY_COLUMNS for c in t.columns)}
    assert len(knowing) > 10
    assert knowing - {section.table for section in held.SECTIONS} == set()


async def _exported(house: House, account: Any) -> dict[str, Any]:
    found = await house.core.life.export(account)
    told: dict[str, Any] = json.loads(json.dumps(dict(found)))
    return told


async def test_everything_that_is_there_is_told(any_house: House) -> None:
    house = any_house
    ada = await furnished(house)
    await house.db.transaction(lambda tx: tx.run(_SETTING, account=ada.account.id))
    await house.db.transaction(lambda tx: tx.run(_ENROLMENT, account=ada.account.id))
    await house.db.transaction(lambda tx: tx.run(_LINK, account=ada.account.id))
    await house.db.transaction(lambda tx: tx.run(_DOCUMENT, account=ada.account.id))
    await house.db.transaction(lambda tx: tx.run(_PASSKEY, account=ada.account.id))
    bob = await house.add(email="bob@example.com", username="bob", parent=ada.account.id)
    told = await _exported(house, ada.account)
    assert [name for name, value in told.items() if value == []] == [], "every section has something of hers"
    assert (told["format"], told["exportedAt"]) == (1, "2026-11-22T00:00:00.000Z")
    assert told["account"]["id"] == uuid_text(ada.account.id)
    assert {told["account"][name] for name in ("status", "language", "firstName", "parent")} == {
        "active", "de", "Ada", None,
    }  # fmt: skip
    assert told["organization"] == {
        "id": uuid_text(ada.account.organization), "name": "Default", "business": False, "default": True,
        "createdAt": "2026-11-22T00:00:00.000Z", "factorFrom": None,
    }  # fmt: skip
    assert {(i["kind"], i["value"], i["state"]) for i in told["identifiers"]} == {
        ("email", "ada@example.com", "verified"), ("phone", "+14155550100", "verified"), ("username", "ada", "vouched"),
    }  # fmt: skip
    assert {one["system"]: one["value"] for one in told["aliases"]} == ada.aliases
    assert {one["kind"] for one in told["credentials"]} == {"password", "totp"}
    assert (told["recoveryCodes"]["left"], len(told["recoveryCodes"]["used"])) == (11, 1)
    assert {(one["dialect"], one["kind"], one["endedWhy"]) for one in told["sessions"]} == {
        ("probe", "client", "factor_enrolled"), ("probe", "key", None), ("flashback", "client", "factor_enrolled"),
        ("pocketm8", "client", "factor_enrolled"), ("rocketchat", "client", "factor_enrolled"),
        ("probe", "client", None),
    }  # fmt: skip
    assert [one["network"] for one in told["knownNetworks"]] == ["192.0.2.1/32"]
    assert {one["purpose"] for one in told["tickets"]} >= {"reset", "undo"}
    assert {one["kind"] for one in told["letters"]} == {"reset", "code", "factor_added", "password_changed"}
    assert [(one["name"], one["value"]) for one in told["settings"]] == [("x", {"a": 1})]
    assert [one["kind"] for one in told["events"]][-1] == "account_exported"
    assert {one["detail"].get("reason") for one in told["events"]} >= {"wrong_password"}
    numbers = [one["number"] for one in told["events"]]
    assert numbers == sorted(numbers)
    others = await _exported(house, bob.account)
    assert others["account"]["parent"] == uuid_text(ada.account.id)
    assert others["sessions"] == others["tickets"] == others["settings"] == []
    assert [one["kind"] for one in others["events"]] == ["account_added", "account_exported"]


_ENROLMENT = Statement(
    "insert into enrolment(account, kind, sealed, created_at, ends_at) values (:account, 'passkey', :account, 5, 9)"
)
_LINK = Statement(
    """insert into provider_link(issuer, subject, account, provider, address, created_at, last_at)
       values ('https://id.example.com', '107', :account, 'google', 'ada@example.com', 5, 9)"""
)
_DOCUMENT = Statement(
    "insert into document(owner, name, body, version, updated_at) values (:account, 'flashback.settings', '{}', 1, 5)"
)
_PASSKEY = Statement(
    """insert into passkey(id, account, rp, public_key, sign_count, transports, name, created_at)
       values (:account, :account, 'id.example.com', :account, 0, '', 'phone', 5)"""
)
_SETTING = Statement("insert into setting(name, value, updated_at, changed_by) values ('x', '{\"a\":1}', 5, :account)")


async def test_times_are_rfc_3339_and_nothing_else_is_a_time(any_house: House) -> None:
    house = any_house
    told = await _exported(house, (await furnished(house)).account)

    def leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
        if isinstance(value, dict):
            return [leaf for key, each in value.items() for leaf in leaves(each, key)]
        if isinstance(value, list):
            return [leaf for each in value for leaf in leaves(each, name)]
        return [(name, value)]

    stamp = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    timed = [(name, value) for name, value in leaves(told) if name.endswith(("At", "Until")) or name in ("at", "used")]
    assert len(timed) > 50
    assert [(name, value) for name, value in timed if value is not None and not stamp.fullmatch(value)] == []
    assert [value for _, value in leaves(told) if isinstance(value, int) and value > 10**11] == []


async def test_nothing_secret_is_in_it(any_house: House) -> None:
    """Canaries: every secret that was handed out, and every stored value that stands for one, in any spelling."""
    house = any_house
    ada = await furnished(house)
    flat = {"email": "ada@example.com", "password": PASSWORD}
    asked = await house.post("/user/login", json=flat)
    text = json.dumps(await _exported(house, ada.account)).lower()
    canaries: dict[str, bytes] = {
        "password": PASSWORD.encode(), "digest": hashlib.sha256(PASSWORD.encode()).hexdigest().encode(),
        "limited token": asked.json()["accessToken"].encode(),
    }  # fmt: skip
    for letter in await house.letters():
        if link := letter.values.get("link"):
            canaries["link"] = link.encode()
    for place in sorted(_SECRETS):
        table, _, column = place.partition(".")
        for number, (value,) in enumerate(await _values(house, table, column)):
            canaries[f"{place} {number}"] = bytes(value)
    assert {name.partition(" ")[0] for name in canaries} >= _SECRETS
    for name, value in canaries.items():
        for spelled in (value.hex(), value.decode("latin-1").lower()):
            assert json.dumps(spelled)[1:-1] not in text, name


async def _values(house: House, table: str, column: str) -> list[Row]:
    return await house.db.scan(Statement(f"select {column} from {table} where {column} is not null"))


_EVENT = Statement(
    "insert into event(at, kind, account, session, address, detail) values (:at, 'signed_in', :account, :id, '', '{}')"
)
_ENDED = Statement(
    """insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address, user_agent,
         methods, proved_at, ended_at)
       values (:id, :account, :account, 'probe', 'client', 'x', :at, :at, '', '', '', :at, :at)"""
)


async def test_what_is_long_is_read_by_the_thousand(any_house: House) -> None:
    house, now = any_house, any_house.clock.now()
    ada = (await house.ada()).account

    async def fn(tx: Tx) -> None:
        for n in range(2000):
            session = bytes(8) + n.to_bytes(8, "big")
            await tx.run(_EVENT, id=session, account=ada.id, at=now)
            if n <= 1000:
                await tx.run(_ENDED, id=session, account=ada.id, at=now)

    await house.db.transaction(fn)
    told = await _exported(house, ada)
    assert len(told["events"]) == 2002
    assert len(told["sessions"]) == 1001


async def test_a_deleted_account_can_be_exported_and_an_erased_one_not(any_house: House) -> None:
    house = any_house
    ada = (await house.ada()).account
    await house.core.life.delete(ada)
    told = await _exported(house, ada)
    assert (told["account"]["status"], told["account"]["deletedFrom"]) == ("deleted", "active")
    await house.core.life.erase(ada)
    with pytest.raises(refusals.NotFound):
        await house.core.life.export(ada)
