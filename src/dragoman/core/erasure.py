"""Erasing accounts: at once by an operator, and by itself 30 days after a deletion. Both end here."""

from __future__ import annotations

from dragoman.core import events
from dragoman.model import Id, Millis
from dragoman.storage import erasure
from dragoman.storage.engine import Engine, Tx

RETURN_DAYS = 30
"""How long a deleted account can be brought back; its identifiers stay reserved."""


async def erase(db: Engine, account: Id, now: Millis) -> bool:
    """Take an account whose erasing has begun out of every table, piece by piece; tell whether it was there.

    The audit trail keeps its lines under the id, without addresses and without every detail that may be somebody's
    name (`events.HARMLESS`). A crash in the middle leaves a deleted account that the next sweep takes up.
    """
    while await db.transaction(lambda tx: erasure.sessions(tx, account)) == erasure.PIECE:
        pass
    after = 0
    while True:
        there, after = await db.transaction(lambda tx: _piece(tx, account, after, now))  # noqa: B023
        if there is not None:
            return there


async def _piece(tx: Tx, account: Id, after: int, now: Millis) -> tuple[bool | None, int]:
    """Blank some lines; with the last of them take the account away and tell whether it was there."""
    number, last = await erasure.blank_lines(tx, account, after, keep=events.HARMLESS, whole=events.OF_THE_HOUSE)
    if number == erasure.PIECE:
        return None, last
    there = await erasure.account(tx, account)
    if there:
        await events.record(tx, "account_erased", now, account=account)
    return there, last


async def erase_due(db: Engine, before: Millis, now: Millis, most: int) -> int:
    """Erase up to `most` accounts that were deleted before then; return how many."""
    for gone in range(most):
        account = await erasure.due(db, before)
        if account is None:
            return gone
        await db.transaction(lambda tx: erasure.begin(tx, account, before))  # noqa: B023
        await erase(db, account, now)
    return most
