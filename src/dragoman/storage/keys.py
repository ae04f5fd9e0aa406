"""Signing keys of tokens and refresh chains, sealed."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Millis
from dragoman.storage.engine import Engine, Statement, Tx
from dragoman.storage.sealing import Sealer, where

_LIST = Statement("select id, use, algorithm, sealed, created_at, retired_at from signing_key order by id desc")
_NEXT = Statement("select coalesce(max(id), 0) + 1 from signing_key")
_INSERT = Statement(
    """insert into signing_key(id, use, algorithm, sealed, created_at)
       values (:id, :use, :algorithm, :sealed, :now)"""
)
_RETIRE = Statement(
    "update signing_key set retired_at = :dead_at where use = :use and id < :before and retired_at is null"
)
_SWEEP = Statement("delete from signing_key where retired_at < :before")


class StoredKey(Struct, frozen=True):
    """One signing key with its secret material open. Stays in memory."""

    id: int
    use: str
    algorithm: str
    material: bytes
    created_at: Millis
    retired_at: Millis | None
    """From when it is believed no more; may lie ahead."""

    def __repr__(self) -> str:
        return f"StoredKey(id={self.id}, use={self.use!r})"


class NewKey(Struct, frozen=True):
    """A key about to be stored, its material sealed."""

    id: int
    use: str
    algorithm: str
    sealed: bytes
    created_at: Millis


def _place(id: int, use: str) -> bytes:
    return where("signing_key", use, id, None)


async def load(db: Engine, sealer: Sealer) -> list[StoredKey]:
    """Return all keys, newest first."""
    return [
        StoredKey(id_, use, algorithm, sealer.open("signing_key", _place(id_, use), sealed), created_at, retired_at)
        for id_, use, algorithm, sealed, created_at, retired_at in await db.scan(_LIST)
    ]


async def next_id(db: Engine) -> int:
    """Return the id that a new key will bear; two that race for it are told apart by the primary key."""
    return int((await db.scan(_NEXT))[0][0])


def seal(sealer: Sealer, id: int, use: str, material: bytes) -> bytes:
    """Seal a key's material for its own row."""
    return sealer.seal("signing_key", _place(id, use), material)


async def insert(tx: Tx, key: NewKey, dead_at: Millis) -> None:
    """Add a key; the older ones of its use are believed until `dead_at`. Raises ConstraintViolated: the id is taken."""
    await tx.run(_INSERT, id=key.id, use=key.use, algorithm=key.algorithm, sealed=key.sealed, now=key.created_at)
    await tx.run(_RETIRE, use=key.use, before=key.id, dead_at=dead_at)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete keys retired before then; return how many."""
    return await tx.run(_SWEEP, before=before)
