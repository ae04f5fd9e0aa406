"""Settings that were changed at run time, and the number that every change of them raises."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.accounts import next_number
from dragoman.storage.engine import Reader, Statement, Tx

_SEQUENCE = "settings"
_VERSION = Statement("select next from sequence where name = :name", hot=True)
_LIST = Statement(
    """select s.name, s.value, s.updated_at, s.changed_by, i.shown from setting s
       left join identifier i on i.account = s.changed_by and i.kind = 'username' order by s.name"""
)
_FIND = Statement("select value from setting where name = :name")
_PUT = Statement(
    """insert into setting(name, value, updated_at, changed_by) values (:name, :value, :now, :by)
       on conflict (name) do update set value = excluded.value, updated_at = excluded.updated_at,
         changed_by = excluded.changed_by"""
)
_DROP = Statement("delete from setting where name = :name")


class Stored(Struct, frozen=True, gc=False):
    """One setting as stored."""

    name: str
    value: str
    """JSON."""
    at: Millis
    by: Id | None
    """The account that stored it; None for the command line."""
    username: str | None
    """Of that account, while there is one."""


async def version(db: Reader) -> int:
    """Return the number that every change raises, 0 while nothing was ever stored."""
    row = await db.one(_VERSION, name=_SEQUENCE)
    return int(row[0]) if row else 0


async def load(db: Reader) -> list[Stored]:
    """Return every stored setting by name."""
    return [
        Stored(name, value, at, None if by is None else bytes(by), username)
        for name, value, at, by, username in await db.all(_LIST)
    ]


async def find(db: Reader, name: str) -> str | None:
    """Return the stored JSON of one setting, or None."""
    row = await db.one(_FIND, name=name)
    return str(row[0]) if row else None


async def put(tx: Tx, name: str, value: str, now: Millis, by: Id | None) -> None:
    """Store a setting in the place of what was stored, and raise the version."""
    await tx.run(_PUT, name=name, value=value, now=now, by=by)
    await next_number(tx, _SEQUENCE)


async def drop(tx: Tx, name: str) -> bool:
    """Remove a stored setting and raise the version; tell whether there was one."""
    gone = await tx.run(_DROP, name=name) > 0
    if gone:
        await next_number(tx, _SEQUENCE)
    return gone
