"""Letting go: every table's retention, applied in pieces small enough that nobody waits (decision 31)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dragoman.core.erasure import RETURN_DAYS, erase_due
from dragoman.core.limits import Budgets
from dragoman.model import Millis
from dragoman.storage import (
    attempts,
    codes,
    counters,
    devices,
    enrolments,
    events,
    identifiers,
    keys,
    outbox,
    providers,
    sessions,
    tickets,
)
from dragoman.storage.engine import Engine, Tx

DAY: Millis = 24 * 60 * 60_000
UNKNOWN_NAMES_KEPT = 200_000
UNCLOSED = 1 << 60
PIECE = 100
MOST_PIECES = 100


async def sweep(db: Engine, now: Millis, budgets: Budgets) -> int:
    """Delete what is older than its table's retention; return how many rows went. What is left waits for the next."""
    # One statement sweeps both lanes of strangers, for passwords and for codes: whichever closes first decides.
    closing = min(budget.closes_at or UNCLOSED for budget in (budgets.strangers, budgets.codes_strangers))
    pieces: tuple[Callable[[Tx], Awaitable[int]], ...] = (
        lambda tx: sessions.sweep(tx, now - 90 * DAY),
        lambda tx: devices.sweep(tx, now - 90 * DAY),
        lambda tx: attempts.sweep(tx, now - DAY),
        lambda tx: tickets.sweep(tx, now - DAY),
        lambda tx: codes.sweep(tx, now - DAY),
        lambda tx: enrolments.sweep(tx, now - DAY),
        lambda tx: providers.sweep(tx, now - DAY),
        lambda tx: outbox.sweep(tx, now - 14 * DAY),
        lambda tx: identifiers.sweep_lapsed(tx, now),
        lambda tx: events.sweep(tx, now - 400 * DAY),
        lambda tx: counters.sweep(tx, now - DAY, closing, UNKNOWN_NAMES_KEPT),
        lambda tx: counters.sweep_known(tx, now - 90 * DAY),
        lambda tx: keys.sweep(tx, now - 180 * DAY),
    )
    gone = 0
    for piece in pieces:
        for _ in range(MOST_PIECES):
            number = await db.transaction(piece)
            gone += number
            if number < PIECE:
                break
    return gone + await erase_due(db, now - RETURN_DAYS * DAY, now, MOST_PIECES)
