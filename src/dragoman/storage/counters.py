"""Failure counters, known networks and marks: the memory behind core/limits.py."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

_FIND = Statement("select marks, streak from counter where scope = :scope and subject = :subject", hot=True)
_PUT = Statement(
    """insert into counter(scope, subject, account, marks, streak, updated_at)
       values (:scope, :subject, :account, :marks, :streak, :now)
       on conflict (scope, subject) do update set marks = excluded.marks, streak = excluded.streak,
         updated_at = excluded.updated_at""",
    hot=True,
)
_DROP = Statement("delete from counter where scope = :scope and subject = :subject", hot=True)
_DROP_OF = Statement("delete from counter where account = :account")
_SWEEP = Statement(
    """delete from counter where updated_at < :before and not (scope like 'strangers%' and streak >= :streak)
       and subject in (select subject from counter where updated_at < :before
         and not (scope like 'strangers%' and streak >= :streak) order by updated_at limit 500)"""
)
_COUNT_UNKNOWN = Statement("select count(*) from counter where account is null")
_SHRINK_UNKNOWN = Statement(
    """delete from counter where account is null and updated_at <=
         (select updated_at from counter where account is null order by updated_at desc limit 1 offset :keep)"""
)
_KNOWS = Statement(
    "select last_at from known_network where account = :account and network = :network and last_at >= :since",
    hot=True,
)
_KNOWS_ANY = Statement("select 1 from known_network where account = :account and last_at >= :since limit 1", hot=True)
_KNOW = Statement(
    """insert into known_network(account, network, last_at) values (:account, :network, :now)
       on conflict (account, network) do update set last_at = excluded.last_at""",
    hot=True,
)
_SWEEP_NETWORKS = Statement(
    """delete from known_network where last_at < :before and account in
         (select account from known_network where last_at < :before order by last_at limit 200)"""
)
_MARK = Statement("select account from mark where hash = :hash and last_at >= :since", hot=True)
_PUT_MARK = Statement(
    "insert into mark(hash, account, created_at, last_at) values (:hash, :account, :now, :now)", hot=True
)
_TOUCH_MARK = Statement("update mark set last_at = :now where hash = :hash", hot=True)
_DROP_MARK = Statement("delete from mark where hash = :hash", hot=True)
_DROP_MARKS = Statement("delete from mark where account = :account")
_FORGET_NETWORKS = Statement("delete from known_network where account = :account")
_SWEEP_MARKS = Statement(
    "delete from mark where hash in (select hash from mark where last_at < :before order by last_at limit 200)"
)


class Counter(Struct, frozen=True, gc=False):
    """One counter as stored: packed marks and the count of failures since the last success."""

    marks: bytes
    streak: int


EMPTY = Counter(b"", 0)


async def find(db: Reader, scope: str, subject: bytes) -> Counter:
    """Return a counter, empty where none is stored."""
    row = await db.one(_FIND, scope=scope, subject=subject)
    return Counter(row[0], row[1]) if row else EMPTY


async def put(tx: Tx, scope: str, subject: bytes, counter: Counter, now: Millis, *, account: Id | None) -> None:
    """Store a counter; an empty one is removed. `account` ties it to the account that `drop_of` clears."""
    if not counter.marks and not counter.streak:
        await tx.run(_DROP, scope=scope, subject=subject)
        return
    await tx.run(
        _PUT, scope=scope, subject=subject, account=account, marks=counter.marks, streak=counter.streak, now=now
    )


async def drop_of(tx: Tx, account: Id) -> int:
    """Remove every counter of an account: what `dragoman account unlock` does; return how many there were."""
    return await tx.run(_DROP_OF, account=account)


async def sweep(tx: Tx, before: Millis, closing_streak: int, keep_unknown: int) -> int:
    """Forget counters idle since `before` unless they hold a lane closed, and unknown names beyond `keep_unknown`."""
    gone = await tx.run(_SWEEP, before=before, streak=closing_streak)
    row = await tx.one(_COUNT_UNKNOWN)
    if row is not None and row[0] > keep_unknown:
        gone += await tx.run(_SHRINK_UNKNOWN, keep=keep_unknown)
    return gone


async def knows_network(db: Reader, account: Id, network: str, since: Millis) -> bool:
    """Tell whether the account has signed in from this network since then."""
    return await db.one(_KNOWS, account=account, network=network, since=since) is not None


async def knows_any(db: Reader, account: Id, since: Millis) -> bool:
    """Tell whether the account has signed in from any network since then."""
    return await db.one(_KNOWS_ANY, account=account, since=since) is not None


async def know_network(tx: Tx, account: Id, network: str, now: Millis) -> None:
    """Remember a network from which the account has signed in."""
    await tx.run(_KNOW, account=account, network=network, now=now)


async def marked_account(db: Reader, mark: bytes, since: Millis) -> Id | None:
    """Return the account whose mark this is, by the mark's SHA-256."""
    row = await db.one(_MARK, hash=mark, since=since)
    return bytes(row[0]) if row else None


async def put_mark(tx: Tx, mark: bytes, account: Id, now: Millis) -> None:
    """Store a new mark by its SHA-256."""
    await tx.run(_PUT_MARK, hash=mark, account=account, now=now)


async def touch_mark(tx: Tx, mark: bytes, now: Millis) -> None:
    """Keep a mark alive."""
    await tx.run(_TOUCH_MARK, hash=mark, now=now)


async def drop_mark(tx: Tx, mark: bytes) -> None:
    """Let a mark die (table D: at 10 failures)."""
    await tx.run(_DROP_MARK, hash=mark)


async def drop_marks(tx: Tx, account: Id) -> None:
    """Let all marks of an account die."""
    await tx.run(_DROP_MARKS, account=account)


async def forget_networks(tx: Tx, account: Id) -> None:
    """Let no network be known to the account any more."""
    await tx.run(_FORGET_NETWORKS, account=account)


async def sweep_known(tx: Tx, before: Millis) -> int:
    """Forget networks and marks not used since then, some hundred at a time; return how many."""
    return await tx.run(_SWEEP_NETWORKS, before=before) + await tx.run(_SWEEP_MARKS, before=before)
