"""Documents: what a dialect keeps whole, as JSON, by owner and name.

An owner is an account, an organization, or the installation. Nothing of the core's judgement is ever in one.
"""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

INSTALLATION: Id = b""
"""The owner of what belongs to no account and no organization."""

_FIND = Statement("select body, version, updated_at from document where owner = :owner and name = :name", hot=True)
_PUT = Statement(
    """insert into document(owner, name, body, version, updated_at) values (:owner, :name, :body, 1, :now)
       on conflict (owner, name) do update set body = excluded.body, version = document.version + 1,
         updated_at = excluded.updated_at""",
    hot=True,
)
_DROP = Statement("delete from document where owner = :owner and name = :name", hot=True)
_DROP_ALL = Statement("delete from document where owner = :owner", hot=True)


class Document(Struct, frozen=True, gc=False):
    """One document as stored."""

    body: str
    """JSON."""
    version: int
    """1 at first, raised by each change."""
    updated_at: Millis


async def find(db: Reader, owner: Id, name: str) -> Document | None:
    """Return a document, or None. Read it in the transaction that changes it, and no change is lost."""
    row = await db.one(_FIND, owner=owner, name=name)
    return Document(str(row[0]), int(row[1]), int(row[2])) if row else None


async def put(tx: Tx, owner: Id, name: str, body: str, now: Millis) -> None:
    """Store a document in the place of what was stored."""
    await tx.run(_PUT, owner=owner, name=name, body=body, now=now)


async def drop(tx: Tx, owner: Id, name: str) -> bool:
    """Remove a document; tell whether there was one."""
    return await tx.run(_DROP, owner=owner, name=name) > 0


async def drop_all(tx: Tx, owner: Id) -> None:
    """Remove every document of an owner that goes."""
    await tx.run(_DROP_ALL, owner=owner)
