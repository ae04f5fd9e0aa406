"""Taking an account out of every table, in pieces small enough that nobody waits (decision 31)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from dragoman.model import Id, Millis
from dragoman.storage import documents, families
from dragoman.storage.engine import Reader, Statement, Tx

PIECE = 200

_DUE = Statement("select id from account where deleted_at < :before order by deleted_at limit 1")
_SESSIONS = Statement(
    "delete from session where id in (select id from session where account = :account order by ended_at limit 200)"
)
_LINES = Statement(
    """select id, kind, address, detail from event where account = :account and id > :number order by id limit 200"""
)
_BLANK = Statement("update event set address = '', detail = :detail where id = :number")
_COUNTERS = Statement("delete from counter where account = :account")
_BEGIN = Statement("update account set deleted_at = 0 where id = :id and deleted_at < :before")
_ACCOUNT = Statement("delete from account where id = :id and deleted_at = 0")


async def due(db: Reader, before: Millis) -> Id | None:
    """Return the account that was deleted longest ago, if that was before then."""
    row = await db.one(_DUE, before=before)
    return bytes(row[0]) if row else None


async def sessions(tx: Tx, account: Id) -> int:
    """Delete up to 200 sessions of an account; return how many."""
    return await tx.run(_SESSIONS, account=account)


async def blank_lines(
    tx: Tx, account: Id, after: int, *, keep: Collection[str], whole: Collection[str]
) -> tuple[int, int]:
    """Take addresses, and all details but `keep`, out of up to 200 lines of the trail numbered above `after`.

    Lines of a kind in `whole` keep every detail. Returns how many were looked at, and the number of the last one.
    """
    rows = await tx.all(_LINES, account=account, number=after)
    for number, kind, address, detail in rows:
        held = msgspec.json.decode(detail, type=dict[str, str])
        kept = {name: value for name, value in held.items() if name in keep or kind in whole}
        if address or kept != held:
            await tx.run(_BLANK, number=number, detail=msgspec.json.encode(kept).decode())
    return len(rows), rows[-1][0] if rows else after


async def begin(tx: Tx, account: Id, before: Millis) -> bool:
    """Let an account that was deleted before then be erased: nobody can bring it back any more."""
    return await tx.run(_BEGIN, id=account, before=before) == 1


async def account(tx: Tx, account: Id) -> bool:
    """Delete an account whose erasing has begun, with all that hangs on it; tell whether it was there.

    Its children hang on its own parent from then on.
    """
    await families.move_up(tx, account)
    if await tx.run(_ACCOUNT, id=account) != 1:
        return False
    await tx.run(_COUNTERS, account=account)
    await documents.drop_all(tx, account)
    return True
