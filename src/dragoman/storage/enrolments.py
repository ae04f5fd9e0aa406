"""Factors that are being set up: what their owner was shown, sealed, until a code of it proves it."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx
from dragoman.storage.sealing import Sealer, where

_FIND = Statement("select sealed, wrong, created_at, ends_at from enrolment where account = :account and kind = :kind")
_PUT = Statement(
    """insert into enrolment(account, kind, sealed, wrong, created_at, ends_at)
       values (:account, :kind, :sealed, 0, :now, :ends_at)
       on conflict (account, kind) do update set sealed = excluded.sealed, wrong = 0,
         created_at = excluded.created_at, ends_at = excluded.ends_at"""
)
_WRONG = Statement(
    "update enrolment set wrong = wrong + 1 where account = :account and kind = :kind and sealed = :sealed"
)
_TAKE = Statement("delete from enrolment where account = :account and kind = :kind and sealed = :sealed")
_DROP_ALL = Statement("delete from enrolment where account = :account")
_SWEEP = Statement(
    """delete from enrolment where ends_at < :before and account in
         (select account from enrolment where ends_at < :before order by ends_at limit 200)"""
)


class Enrolment(Struct, frozen=True, gc=False):
    """One factor that is being set up, still sealed."""

    sealed: bytes
    wrong: int
    """How many codes were not of it."""
    created_at: Millis
    ends_at: Millis


def seal(sealer: Sealer, account: Id, kind: str, secret: bytes) -> bytes:
    """Seal what a factor will be, so that it opens for this account and kind only (threat 20)."""
    return sealer.seal("enrolment", where("enrolment", kind, account, account), secret)


def unseal(sealer: Sealer, account: Id, kind: str, sealed: bytes) -> bytes:
    """Open what `seal` made. Raises SealBroken when it was made for another row or altered."""
    return sealer.open("enrolment", where("enrolment", kind, account, account), sealed)


async def find(db: Reader, account: Id, kind: str) -> Enrolment | None:
    """Return what is being set up of this kind, out of time or not."""
    row = await db.one(_FIND, account=account, kind=kind)
    return Enrolment(*row) if row else None


async def put(tx: Tx, account: Id, kind: str, *, sealed: bytes, now: Millis, ends_at: Millis) -> None:
    """Begin to set a factor up, in the place of what was begun before."""
    await tx.run(_PUT, account=account, kind=kind, sealed=sealed, now=now, ends_at=ends_at)


async def count_wrong(tx: Tx, account: Id, kind: str, sealed: bytes) -> None:
    """Count a code that is not of it."""
    await tx.run(_WRONG, account=account, kind=kind, sealed=sealed)


async def take(tx: Tx, account: Id, kind: str, sealed: bytes) -> bool:
    """Use it up, if it is still this one; tell whether it was, so that only one call finishes it."""
    return await tx.run(_TAKE, account=account, kind=kind, sealed=sealed) == 1


async def drop_all(tx: Tx, account: Id) -> None:
    """Let everything go that the account was setting up."""
    await tx.run(_DROP_ALL, account=account)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete what ran out before then, some hundred at a time; return how many."""
    return await tx.run(_SWEEP, before=before)
