"""What is weak or stuck in what is stored, for `dragoman doctor`: counted, never changed."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dragoman.core.credentials import hashes
from dragoman.core.keys import SigningKey
from dragoman.model import Millis
from dragoman.storage import credentials, health
from dragoman.storage.engine import Engine
from dragoman.storage.health import MOST

DAY: Millis = 24 * 60 * 60_000
LATE: Millis = 10 * 60_000
OLD_KEY: Millis = 180 * DAY
SLACK: Millis = DAY
KEPT: Mapping[str, Millis] = {
    "account": 30 * DAY, "attempt": DAY, "code": DAY, "event": 400 * DAY, "known_network": 90 * DAY, "mark": 90 * DAY,
    "outbox": 14 * DAY, "session": 90 * DAY, "ticket": DAY,
}  # fmt: skip
"""How long each table keeps its rows, as storage/schema.py says and a test compares."""

__all__ = ["MOST", "Health", "look"]


class Health(Struct, frozen=True):
    """What was found. No number goes beyond `MOST` + 1."""

    administrators: tuple[str, ...]
    """Usernames of the active ones."""
    without_factor: tuple[str, ...]
    """Those of them who have no second factor."""
    initial_passwords: int
    only_claimed: int
    """Accounts whose every address is merely claimed."""
    dead_letters: int
    late_letters: int
    """Letters that have waited for more than ten minutes."""
    old_keys: tuple[str, ...]
    """Uses whose newest signing key is older than 180 days."""
    behind: tuple[str, ...]
    """Tables that hold rows a day past their retention."""
    schemes: Mapping[str, int]
    """How many passwords are stored in each form."""
    too_costly: int
    """Passwords whose hash asks for more than one sign-in may take: nobody can sign in with them."""


async def look(db: Engine, keys: list[SigningKey], now: Millis) -> Health:
    """Count what an operator should know. `keys` are those that are believed now."""
    administrators = await health.administrators(db)
    newest: dict[str, Millis] = {}
    for key in keys:
        newest[key.use] = max(newest.get(key.use, 0), key.created_at)
    schemes = await credentials.schemes(db)
    return Health(
        administrators=tuple(one.username for one in administrators),
        without_factor=tuple(one.username for one in administrators if not one.factors),
        initial_passwords=await health.initial_passwords(db),
        only_claimed=await health.only_claimed(db),
        dead_letters=await health.dead_letters(db),
        late_letters=await health.letters_before(db, (now - LATE).to_bytes(6, "big") + bytes(10)),
        old_keys=tuple(sorted(use for use, made_at in newest.items() if made_at < now - OLD_KEY)),
        behind=tuple(await health.behind(db, {table: now - kept - SLACK for table, kept in KEPT.items()})),
        schemes=schemes,
        too_costly=sum(number for label, number in schemes.items() if hashes.too_costly(label)),
    )
