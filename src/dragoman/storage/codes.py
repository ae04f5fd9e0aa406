"""Codes that were sent to somebody, as HMAC: one per account, purpose and door."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

_FIND = Statement(
    """select mac, about, wrong, created_at, ends_at from code
       where account = :account and purpose = :purpose and door = :door""",
    hot=True,
)
_PUT = Statement(
    """insert into code(account, purpose, door, mac, about, wrong, created_at, ends_at)
       values (:account, :purpose, :door, :mac, :about, 0, :now, :ends_at)
       on conflict (account, purpose, door) do update set mac = excluded.mac, about = excluded.about, wrong = 0,
         created_at = excluded.created_at, ends_at = excluded.ends_at""",
    hot=True,
)
_TAKE = Statement(
    """delete from code where account = :account and purpose = :purpose and door = :door and mac = :mac
       and ends_at > :now""",
    hot=True,
)
_WRONG = Statement(
    """update code set wrong = wrong + 1 where account = :account and purpose = :purpose and door = :door
       returning wrong""",
    hot=True,
)
_DROP = Statement("delete from code where account = :account and purpose = :purpose and door = :door", hot=True)
_DROP_ALL = Statement("delete from code where account = :account")
_SWEEP = Statement(
    """delete from code where ends_at < :before and account in
         (select account from code where ends_at < :before order by ends_at limit 200)"""
)


class Code(Struct, frozen=True, gc=False):
    """One code that was sent. `about` says what it was sent for, so that it is void once that has changed."""

    mac: bytes
    about: str
    wrong: int
    created_at: Millis
    ends_at: Millis


async def find(db: Reader, account: Id, purpose: str, door: str) -> Code | None:
    """Return the code last sent for a purpose at a door, dead ones included."""
    row = await db.one(_FIND, account=account, purpose=purpose, door=door)
    return Code(*row) if row else None


async def put(tx: Tx, account: Id, purpose: str, door: str, code: Code) -> None:
    """Store a code in the place of the one before."""
    await tx.run(
        _PUT, account=account, purpose=purpose, door=door, mac=code.mac, about=code.about, now=code.created_at,
        ends_at=code.ends_at,
    )  # fmt: skip


async def take(tx: Tx, account: Id, purpose: str, door: str, *, mac: bytes, now: Millis) -> bool:
    """Use the code up if this is it and it is still good; tell whether it was."""
    return await tx.run(_TAKE, account=account, purpose=purpose, door=door, mac=mac, now=now) == 1


async def count_wrong(tx: Tx, account: Id, purpose: str, door: str) -> int:
    """Count a wrong code and return how many there were; 0 when none is out."""
    row = await tx.one(_WRONG, account=account, purpose=purpose, door=door)
    return int(row[0]) if row else 0


async def drop(tx: Tx, account: Id, purpose: str, door: str) -> None:
    """Let one code go."""
    await tx.run(_DROP, account=account, purpose=purpose, door=door)


async def drop_all(tx: Tx, account: Id) -> None:
    """Let every code of the account go."""
    await tx.run(_DROP_ALL, account=account)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete codes that ended before then, some hundred at a time; return how many."""
    return await tx.run(_SWEEP, before=before)
