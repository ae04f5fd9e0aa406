"""The audit trail."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Engine, Statement, Tx

_INSERT = Statement(
    """insert into event(at, kind, account, session, door, address, detail, count)
       values (:at, :kind, :account, :session, :door, :address, :detail, :count)""",
    hot=True,
)
_INSERT_OF = Statement(
    """insert into event(at, kind, account, session, door, address, detail, count)
       values (:at, :kind, :account, :session, :door,
         coalesce((select :address from account where id = :account), ''), :detail, :count)""",
    hot=True,
)
_AFTER = Statement(
    """select id, at, kind, account, session, door, address, detail, count from event
       where id > :after order by id limit 1000"""
)
_NEWEST = Statement(
    """select id, at, kind, account, session, door, address, detail, count from event
       order by id desc limit :limit"""
)
_NEWEST_OF = Statement(
    """select id, at, kind, account, session, door, address, detail, count from event
       where account = :account order by id desc limit :limit"""
)
_SWEEP = Statement("delete from event where id in (select id from event where at < :before order by at limit 500)")


class Event(Struct, frozen=True, gc=False):
    """One line of the audit trail. `detail` is a small JSON object; `count` is how many alike it stands for."""

    at: Millis
    kind: str
    account: Id | None = None
    session: Id | None = None
    door: str | None = None
    address: str = ""
    detail: dict[str, str] = {}
    count: int = 1
    id: int = 0


async def insert(tx: Tx, event: Event) -> None:
    """Add a line. Its number comes from the database.

    A line about an account that was erased a moment ago is kept without the address: nothing would take it out later.
    """
    await tx.run(
        _INSERT if event.account is None else _INSERT_OF, at=event.at, kind=event.kind, account=event.account,
        session=event.session, door=event.door, address=event.address,
        detail=msgspec.json.encode(event.detail).decode(), count=event.count,
    )  # fmt: skip


def _event(row: tuple[object, ...]) -> Event:
    number, at, kind, account, session, door, address, detail, count = row
    return msgspec.convert(
        {
            "at": at, "kind": kind, "account": account, "session": session, "door": door, "address": address,
            "detail": msgspec.json.decode(str(detail)), "count": count, "id": number,
        },
        Event,
    )  # fmt: skip


async def after(db: Engine, number: int) -> list[Event]:
    """Return up to 1,000 events numbered above `number`, oldest first."""
    return [_event(row) for row in await db.scan(_AFTER, after=number)]


async def newest(db: Engine, limit: int, account: Id | None = None) -> list[Event]:
    """Return the newest events, of one account or of all, newest first."""
    if account is None:
        return [_event(row) for row in await db.scan(_NEWEST, limit=limit)]
    return [_event(row) for row in await db.scan(_NEWEST_OF, limit=limit, account=account)]


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 500 events older than then; return how many."""
    return await tx.run(_SWEEP, before=before)
