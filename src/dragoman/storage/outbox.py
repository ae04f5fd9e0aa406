"""The outbox: what waits to be sent, written in the transaction of the act it tells of, and its way out.

A row waits while `due_at` is set. Whoever hands it over moves `due_at` ahead and leaves a `lease`, and everything done
to the row afterwards names that lease: of two who try, one gets a row and the other gets nothing.
"""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Engine, Reader, Statement, Tx
from dragoman.storage.sealing import Sealer, where

_INSERT = Statement(
    """insert into outbox(id, channel, kind, account, sealed, created_at, due_at, expires_at)
       values (:id, :channel, :kind, :account, :sealed, :now, :now, :expires_at)""",
    hot=True,
)

_DROP_OF = Statement("delete from outbox where account = :account and kind = :kind")
_SWEEP = Statement(
    "delete from outbox where id in (select id from outbox where dead_at < :before order by dead_at limit 100)"
)
_DUE = Statement(
    """select id, kind, account, sealed, due_at, expires_at, tries from outbox
       where due_at <= :now and channel = :channel order by due_at limit :limit""",
    hot=True,
)
_LEASE = Statement(
    "update outbox set due_at = :until, lease = :lease where id = :id and due_at = :due_at",
    hot=True,
)
_RENEW = Statement("update outbox set due_at = :until where id = :id and lease = :lease", hot=True)
_RELEASE = Statement("update outbox set due_at = :now, lease = null where id = :id and lease = :lease", hot=True)
_DELIVERED = Statement("delete from outbox where id = :id and lease = :lease", hot=True)
_PUT_OFF = Statement(
    """update outbox set due_at = :due_at, lease = null, tries = tries + 1, fault = :fault
       where id = :id and lease = :lease""",
    hot=True,
)
_BURY = Statement(
    """update outbox set due_at = null, lease = null, tries = tries + 1, fault = :fault, dead_at = :now
       where id = :id and lease = :lease""",
    hot=True,
)
_EXPIRE = Statement(
    "delete from outbox where id = :id and due_at = :due_at and expires_at <= :now",
    hot=True,
)
_LISTED = "id, channel, kind, account, created_at, due_at, expires_at, tries, lease, fault, dead_at"
_LIST = Statement(f"select {_LISTED} from outbox order by id limit :limit")
_LIST_DEAD = Statement(f"select {_LISTED} from outbox where dead_at > 0 order by dead_at, id limit :limit")
_FIND = Statement(f"select {_LISTED} from outbox where id = :id")
_REVIVE = Statement(
    """update outbox set due_at = :now, lease = null, tries = 0, dead_at = null
       where id = :id and (lease is null or due_at <= :now)"""
)
_REVIVE_MANY = Statement(
    """update outbox set due_at = :now, tries = 0, dead_at = null
       where id in (select id from outbox where (dead_at > 0 or due_at > :now) and lease is null limit 100)"""
)
_DROP = Statement("delete from outbox where id = :id")
_COUNT_WAITING = Statement("select count(*) from outbox where due_at > 0", hot=True)
_COUNT_DEAD = Statement("select count(*) from outbox where dead_at > 0", hot=True)
_OLDEST = Statement("select created_at from outbox where dead_at is null order by id limit 1")
"""Ids begin with the time of their making: the first is the oldest."""


class Waiting(Struct, frozen=True, gc=False):
    """One row as it is written: payload sealed, to be sent at once."""

    id: Id
    channel: str
    kind: str
    account: Id | None
    sealed: bytes
    expires_at: Millis | None
    """When it is no longer of use to anybody, a code's end for one; it is dropped then, unsent."""


class Due(Struct, frozen=True, gc=False):
    """A row that is to be handed over, as it was read."""

    id: Id
    kind: str
    account: Id | None
    sealed: bytes
    due_at: Millis
    expires_at: Millis | None
    tries: int
    """How often it was tried before."""


class Listed(Struct, frozen=True, gc=False):
    """A row as an operator may see it: nothing of what it says, nor to whom."""

    id: Id
    channel: str
    kind: str
    account: Id | None
    created_at: Millis
    due_at: Millis | None
    """When it is tried next; under a lease, when the lease ends. None: dead."""
    expires_at: Millis | None
    tries: int
    lease: bytes | None
    fault: str | None
    """Why the last try failed."""
    dead_at: Millis | None


def seal(sealer: Sealer, id: Id, account: Id | None, payload: bytes) -> bytes:
    """Seal a payload so that it opens in its own row only: it holds live links and codes (threat 39)."""
    return sealer.seal("outbox", where("outbox", "sealed", id, account), payload)


def unseal(sealer: Sealer, id: Id, account: Id | None, sealed: bytes) -> bytes:
    """Open what `seal` made. Raises SealBroken when it was made for another row or altered."""
    return sealer.open("outbox", where("outbox", "sealed", id, account), sealed)


async def put(tx: Tx, row: Waiting, now: Millis) -> None:
    """Write a row, to be sent as soon as this transaction is committed."""
    await tx.run(
        _INSERT, id=row.id, channel=row.channel, kind=row.kind, account=row.account, sealed=row.sealed, now=now,
        expires_at=row.expires_at,
    )  # fmt: skip


async def due(db: Reader, channel: str, now: Millis, limit: int) -> list[Due]:
    """Return up to `limit` rows (at most 200) that are to be handed over, the longest due first."""
    return [Due(*row) for row in await db.all(_DUE, channel=channel, now=now, limit=limit)]


async def lease(tx: Tx, row: Due, lease: bytes, until: Millis) -> bool:
    """Take a row until then; tell whether it was still as it was read, so that of two only one has it."""
    return await tx.run(_LEASE, id=row.id, due_at=row.due_at, lease=lease, until=until) == 1


async def renew(tx: Tx, id: Id, lease: bytes, until: Millis) -> bool:
    """Keep a row under the same lease until then; tell whether nobody else has taken it meanwhile."""
    return await tx.run(_RENEW, id=id, lease=lease, until=until) == 1


async def release(tx: Tx, id: Id, lease: bytes, now: Millis) -> bool:
    """Give a row back untried; tell whether the lease was still in force."""
    return await tx.run(_RELEASE, id=id, lease=lease, now=now) == 1


async def delivered(tx: Tx, id: Id, lease: bytes) -> bool:
    """Delete a row that was taken over; tell whether the lease was still in force."""
    return await tx.run(_DELIVERED, id=id, lease=lease) == 1


async def put_off(tx: Tx, id: Id, lease: bytes, due_at: Millis, fault: str) -> bool:
    """Have a row tried again then, and keep why; tell whether the lease was still in force."""
    return await tx.run(_PUT_OFF, id=id, lease=lease, due_at=due_at, fault=fault) == 1


async def bury(tx: Tx, id: Id, lease: bytes, now: Millis, fault: str) -> bool:
    """Try a row no more, and keep why; tell whether the lease was still in force."""
    return await tx.run(_BURY, id=id, lease=lease, now=now, fault=fault) == 1


async def expire(tx: Tx, row: Due, now: Millis) -> bool:
    """Delete a row that is of no use any more; tell whether it was still as it was read."""
    return await tx.run(_EXPIRE, id=row.id, due_at=row.due_at, now=now) == 1


async def listed(db: Engine, limit: int, *, dead: bool = False) -> list[Listed]:
    """Return the oldest rows, all or only the dead ones."""
    return [Listed(*row) for row in await db.scan(_LIST_DEAD if dead else _LIST, limit=limit)]


async def find(db: Reader, id: Id) -> Listed | None:
    """Return one row as an operator may see it."""
    row = await db.one(_FIND, id=id)
    return Listed(*row) if row else None


async def revive(tx: Tx, id: Id, now: Millis) -> bool:
    """Have a dead or put-off row tried at once, as if for the first time; tell whether there was one to be had."""
    return await tx.run(_REVIVE, id=id, now=now) == 1


async def revive_many(tx: Tx, now: Millis) -> int:
    """Have up to 100 dead or put-off rows tried at once; return how many."""
    return await tx.run(_REVIVE_MANY, now=now)


async def drop(tx: Tx, id: Id) -> bool:
    """Delete a row whatever its state; tell whether it was there."""
    return await tx.run(_DROP, id=id) == 1


async def counts(db: Engine) -> tuple[int, int]:
    """Return how many rows wait, and how many are dead. Both are read off an index."""
    waiting, dead = await db.scan(_COUNT_WAITING), await db.scan(_COUNT_DEAD)
    return waiting[0][0], dead[0][0]


async def oldest(db: Reader) -> Millis | None:
    """Return when the oldest row that waits was written."""
    row = await db.one(_OLDEST)
    return row[0] if row else None


async def drop_of(tx: Tx, account: Id, kind: str) -> None:
    """Take back what waits to be sent of one kind to an account."""
    await tx.run(_DROP_OF, account=account, kind=kind)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 100 letters that died before then; return how many."""
    return await tx.run(_SWEEP, before=before)
