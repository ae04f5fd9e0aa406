"""What the core asks of the outside: time and randomness, so that tests can move and fix both, and delivery."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from dragoman.model import Id


class Clock(Protocol):
    """Time. One per process."""

    def now(self) -> int:
        """Return milliseconds since 1970 UTC, never less than any earlier answer (threat 43)."""

    def monotonic(self) -> float:
        """Return seconds on a clock that only serves to measure durations."""


class Random(Protocol):
    """Randomness fit for secrets."""

    def bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound` - 1, each alike."""


class Letter(Struct, frozen=True):
    """One message to one destination, in no particular form yet."""

    id: Id
    """Stays the same however often it is handed over, so that whoever gets it twice can tell."""
    kind: str
    """A name of `core/letters.py`'s KINDS."""
    to: str
    """The address as its owner typed it."""
    language: str
    """`en` or `de`."""
    values: Mapping[str, str]
    """What KINDS lists for the kind, empty text for what is unknown. Free of nothing: markup and line ends may come."""


class DeliveryFailed(Exception):
    """A letter could not be handed over. The text is a reason for logs and never holds anything of the letter."""


class Refused(DeliveryFailed):
    """Nobody will ever take the letter like this: trying again is of no use."""


class Unreachable(DeliveryFailed):
    """Nobody took the letter just now: it is to be tried again."""


class Mailer(Protocol):
    """Delivers letters by mail."""

    async def send(self, letter: Letter) -> None:
        """Hand one letter over; it is taken when this returns. Raises Refused, Unreachable; ends in bounded time."""

    async def close(self) -> None:
        """Let go of what was kept open."""


class SystemClock:
    """The machine's clock, kept from going back within this process."""

    def __init__(self) -> None:
        self._largest = 0

    def now(self) -> int:
        """Return milliseconds since 1970 UTC; a clock set back stands still until it has caught up."""
        now = time.time_ns() // 1_000_000
        if now < self._largest:
            return self._largest
        self._largest = now
        return now

    def monotonic(self) -> float:
        """Return seconds for measuring durations."""
        return time.monotonic()


class SystemRandom:
    """The operating system's generator."""

    def bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return os.urandom(size)

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound` - 1, each alike."""
        return secrets.randbelow(bound)


def new_id(clock: Clock, random: Random) -> bytes:
    """Return a fresh UUIDv7 as 16 bytes (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits."""
    value = bytearray(clock.now().to_bytes(6, "big") + random.bytes(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return bytes(value)


def text(random: Random, alphabet: str, length: int) -> str:
    """Return `length` characters drawn evenly from `alphabet`."""
    return "".join(alphabet[random.below(len(alphabet))] for _ in range(length))
