"""The outbox: what waits to be sent, written in the transaction of the act it tells of."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Statement, Tx
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


class Waiting(Struct, frozen=True, gc=False):
    """One row as it is written: payload sealed, to be sent at once."""

    id: Id
    channel: str
    kind: str
    account: Id | None
    sealed: bytes
    expires_at: Millis | None
    """When it is no longer of use to anybody, a code's end for one; it is dropped then, unsent."""


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


async def drop_of(tx: Tx, account: Id, kind: str) -> None:
    """Take back what waits to be sent of one kind to an account."""
    await tx.run(_DROP_OF, account=account, kind=kind)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 100 letters that died before then; return how many."""
    return await tx.run(_SWEEP, before=before)
