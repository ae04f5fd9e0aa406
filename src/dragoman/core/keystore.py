"""The signing keys of an installation: loaded, made where missing, rotated with overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from dragoman.core import events, refusals
from dragoman.core.doors import Door
from dragoman.core.keys import MOST_TRIED, KeySet, SigningKey, make
from dragoman.core.ports import Clock, Random
from dragoman.core.tokens import Sealed, Signed
from dragoman.model import Millis
from dragoman.storage import keys
from dragoman.storage.engine import ConstraintViolated, Engine, Tx
from dragoman.storage.sealing import Sealer


class KeyUse(Struct, frozen=True):
    """What a key is for, and how long an old one must still be believed."""

    use: str
    algorithm: str
    overlap: int
    """Seconds: the longest life of what it made."""


class TooManyKeys(Exception):
    """The oldest key of this use may still have live tokens, and no more than three are tried (decision 22)."""


def uses_of(doors: Iterable[Door]) -> tuple[KeyUse, ...]:
    """Return every key that these doors need."""
    found: dict[str, KeyUse] = {}
    for door in doors:
        for form in (door.token, door.attempt, door.ticket, door.reset_ticket, door.update_ticket):
            if isinstance(form, Signed | Sealed):
                algorithm = form.algorithm if isinstance(form, Signed) else "A256GCM"
                life = form.life_seconds or door.absolute or 0
                found[form.use] = KeyUse(form.use, algorithm, life)
        if door.refreshes:
            found[door.chain_use] = KeyUse(door.chain_use, "HMAC-SHA256", door.absolute or door.idle or 0)
    return tuple(found.values())


class KeyStore:
    """Holds the current KeySet and keeps it in step with the database."""

    def __init__(self, db: Engine, sealer: Sealer, clock: Clock, random: Random, uses: tuple[KeyUse, ...]) -> None:
        self._db, self._sealer, self._clock, self._random = db, sealer, clock, random
        self.uses = uses
        self._set = KeySet(())
        self._seen: tuple[Any, ...] = ()

    def keys(self) -> KeySet:
        """Return the keys of this moment."""
        return self._set

    async def load(self) -> list[SigningKey]:
        """Read the keys; the set is replaced only when something changed. Returns them, newest first."""
        now = self._clock.now()
        stored = await keys.load(self._db, self._sealer)
        alive = [
            SigningKey(k.id, k.use, k.algorithm, k.material, k.created_at)
            for k in stored
            if k.retired_at is None or k.retired_at > now
        ]
        seen = tuple(k.id for k in alive)
        if seen != self._seen:
            self._set, self._seen = KeySet(alive), seen
        return alive

    async def listed(self) -> list[SigningKey]:
        """Return the keys that are believed now, newest first, each with the time until which it is."""
        now = self._clock.now()
        return [
            SigningKey(k.id, k.use, k.algorithm, k.material, k.created_at, k.retired_at)
            for k in await keys.load(self._db, self._sealer)
            if k.retired_at is None or k.retired_at > now
        ]

    async def ensure(self) -> None:
        """Make every key that is missing."""
        await self.load()
        for use in self.uses:
            if not self._set.live(use.use):
                await self._make(use)
        await self.load()

    async def rotate(self, only: str | None = None, *, force: bool = False) -> list[str]:
        """Make a new key for each use (or one); old ones are believed until what they made has ended.

        Returns the uses. Raises NotFound for an unknown use, TooManyKeys unless forced.
        """
        await self.load()
        chosen = [u for u in self.uses if only in (None, u.use)]
        if not chosen:
            raise refusals.NotFound
        for use in chosen:
            if len(self._set.live(use.use)) >= MOST_TRIED and not force:
                raise TooManyKeys(f"{use.use} has {MOST_TRIED} live keys; the oldest may still have live tokens")
        for use in chosen:
            await self._make(use)
        await self.load()
        return [u.use for u in chosen]

    async def _make(self, use: KeyUse) -> None:
        material = make(use.algorithm, self._random)
        while True:
            now = self._clock.now()
            id = await keys.next_id(self._db)
            sealed = keys.seal(self._sealer, id, use.use, material)
            try:
                await self._db.transaction(lambda tx: self._insert(tx, use, id, sealed, now))  # noqa: B023
            except ConstraintViolated:
                continue
            return

    async def _insert(self, tx: Tx, use: KeyUse, id: int, sealed: bytes, now: Millis) -> None:
        dead_at = now + use.overlap * 1000
        key = keys.NewKey(id, use.use, use.algorithm, sealed, now)
        await keys.insert(tx, key, dead_at)
        await events.record(tx, "keys_rotated", now, use=use.use, id=str(id))
