"""Sign-ins that wait for a second factor."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

_FIND = Statement(
    """select account, door, methods, auth_epoch, version, wrong_codes, wish, created_at, ends_at
       from attempt where handle_hash = :handle""",
    hot=True,
)
_INSERT = Statement(
    """insert into attempt(handle_hash, account, door, methods, auth_epoch, version, wish, created_at, ends_at)
       values (:handle, :account, :door, :methods, :auth_epoch, :version, :wish, :now, :ends_at)""",
    hot=True,
)
_KEEP_NEWEST = Statement(
    """delete from attempt where handle_hash in (select handle_hash from attempt where account = :account
         and handle_hash <> :newest order by created_at desc, handle_hash limit 1000 offset :others)""",
    hot=True,
)
_WRONG = Statement(
    "update attempt set wrong_codes = wrong_codes + 1 where handle_hash = :handle returning wrong_codes", hot=True
)
_TAKE = Statement("delete from attempt where handle_hash = :handle", hot=True)
_DROP_ALL = Statement("delete from attempt where account = :account")
_SWEEP = Statement(
    """delete from attempt where handle_hash in
         (select handle_hash from attempt where ends_at < :before order by ends_at limit 200)"""
)


class Attempt(Struct, frozen=True, gc=False):
    """What has been proved so far, and until when the rest may follow."""

    account: Id
    door: str
    methods: str
    auth_epoch: int
    version: int
    wrong_codes: int
    wish: str
    created_at: Millis
    ends_at: Millis


async def find(db: Reader, handle: bytes) -> Attempt | None:
    """Return the attempt whose handle has this SHA-256, dead ones included."""
    row = await db.one(_FIND, handle=handle)
    return Attempt(*row) if row else None


async def insert(tx: Tx, handle: bytes, attempt: Attempt, keep: int) -> None:
    """Store an attempt and let the account's oldest beyond `keep` go (decision 44)."""
    await tx.run(
        _INSERT, handle=handle, account=attempt.account, door=attempt.door, methods=attempt.methods,
        auth_epoch=attempt.auth_epoch, version=attempt.version, wish=attempt.wish, now=attempt.created_at,
        ends_at=attempt.ends_at,
    )  # fmt: skip
    await tx.run(_KEEP_NEWEST, account=attempt.account, newest=handle, others=keep - 1)


async def count_wrong(tx: Tx, handle: bytes) -> int:
    """Count a wrong code and return how many there were; 0 when the attempt is gone."""
    row = await tx.one(_WRONG, handle=handle)
    return int(row[0]) if row else 0


async def take(tx: Tx, handle: bytes) -> bool:
    """Use the attempt up; tell whether it was still there, so that only one caller finishes it."""
    return await tx.run(_TAKE, handle=handle) == 1


async def drop_all(tx: Tx, account: Id) -> None:
    """Drop every attempt of the account."""
    await tx.run(_DROP_ALL, account=account)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 200 attempts that ran out before then; return how many."""
    return await tx.run(_SWEEP, before=before)
