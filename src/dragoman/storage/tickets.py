"""Tickets: what a mailed link stands for, by the hash of its token."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

_COLUMNS = "id, hash, purpose, account, about, created_at, ends_at, used_at"
_FIND = Statement(f"select {_COLUMNS} from ticket where hash = :hash")
_BY_ID = Statement(f"select {_COLUMNS} from ticket where id = :id")
_NEWEST_LIVE = Statement(
    """select id from ticket where account = :account and purpose = :purpose and used_at is null and ends_at > :now
       order by created_at desc, id limit 1"""
)
_INSERT = Statement(
    """insert into ticket(id, hash, purpose, account, about, created_at, ends_at)
       values (:id, :hash, :purpose, :account, :about, :now, :ends_at)"""
)
_KEEP_NEWEST = Statement(
    """delete from ticket where id in
         (select id from ticket where account = :account and purpose = :purpose and used_at is null and id <> :id
          order by created_at desc, id limit 1000 offset :others)"""
)
_USE = Statement(
    "update ticket set used_at = :now where id = :id and hash = :hash and used_at is null and ends_at > :now"
)
_RENEW = Statement(
    """update ticket set hash = :fresh, created_at = :now, ends_at = :ends_at
       where id = :id and hash = :hash and used_at is null"""
)
_DROP = Statement("delete from ticket where account = :account and purpose = :purpose and used_at is null")
_DROP_ALL = Statement("delete from ticket where account = :account and used_at is null")
_DROP_BUT = Statement("delete from ticket where account = :account and purpose <> :purpose and used_at is null")
_SWEEP = Statement(
    "delete from ticket where id in (select id from ticket where ends_at < :before order by ends_at limit 200)"
)


class Ticket(Struct, frozen=True, gc=False):
    """One ticket. `about` is what it is about: the folded address that was written to, or JSON of the act."""

    id: bytes
    """16 random bytes: names the ticket without being good for anything but having it sent again."""
    hash: bytes
    purpose: str
    account: Id
    about: str
    created_at: Millis
    ends_at: Millis
    used_at: Millis | None


async def find(db: Reader, hash: bytes) -> Ticket | None:
    """Return the ticket whose token has this SHA-256, used and dead ones included."""
    row = await db.one(_FIND, hash=hash)
    return Ticket(*row) if row else None


async def by_id(db: Reader, id: bytes) -> Ticket | None:
    """Return the ticket of this id, used and dead ones included."""
    row = await db.one(_BY_ID, id=id)
    return Ticket(*row) if row else None


async def newest_live(db: Reader, account: Id, purpose: str, now: Millis) -> bytes | None:
    """Return the id of the account's newest ticket of a purpose that is still good, or None."""
    row = await db.one(_NEWEST_LIVE, account=account, purpose=purpose, now=now)
    return row[0] if row else None


async def insert(tx: Tx, ticket: Ticket, keep: int) -> None:
    """Store a ticket and let the account's oldest live ones of that purpose beyond `keep` go (decision 44)."""
    await tx.run(
        _INSERT, id=ticket.id, hash=ticket.hash, purpose=ticket.purpose, account=ticket.account, about=ticket.about,
        now=ticket.created_at, ends_at=ticket.ends_at,
    )  # fmt: skip
    await tx.run(_KEEP_NEWEST, account=ticket.account, purpose=ticket.purpose, id=ticket.id, others=keep - 1)


async def use(tx: Tx, ticket: Ticket, now: Millis) -> bool:
    """Use a ticket up; tell whether it was still good, so that of two only one gets through."""
    return await tx.run(_USE, id=ticket.id, hash=ticket.hash, now=now) == 1


async def renew(tx: Tx, ticket: Ticket, fresh: bytes, now: Millis, ends_at: Millis) -> bool:
    """Give a ticket another token; the one mailed before is void. Tell whether it was still unused and unchanged."""
    return await tx.run(_RENEW, id=ticket.id, hash=ticket.hash, fresh=fresh, now=now, ends_at=ends_at) == 1


async def drop(tx: Tx, account: Id, purpose: str) -> None:
    """Let the account's unused tickets of a purpose go."""
    await tx.run(_DROP, account=account, purpose=purpose)


async def drop_all(tx: Tx, account: Id) -> None:
    """Let all unused tickets of the account go."""
    await tx.run(_DROP_ALL, account=account)


async def drop_but(tx: Tx, account: Id, purpose: str) -> None:
    """Let all unused tickets of the account go but those of one purpose."""
    await tx.run(_DROP_BUT, account=account, purpose=purpose)


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 200 tickets that ended before then; return how many."""
    return await tx.run(_SWEEP, before=before)
