"""What the core asks of the outside: time and randomness, so that tests can move and fix both, and delivery."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


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


class Letter(Struct, frozen=True):
    """What is delivered to one destination."""

    id: bytes
    """16 bytes; the Message-ID comes from it, so that a second hand-over is recognised."""
    kind: str
    to: str
    """The destination as stored."""
    language: str
    """`en` or `de`; a mailer falls back to `en`."""
    values: Mapping[str, str]
    """Never trusted to be free of markup or line ends."""


class DeliveryFailed(Exception):
    """A letter was not delivered. The reason holds none of the letter's values."""


class Refused(DeliveryFailed):
    """For good: this letter will never be taken."""


class Unreachable(DeliveryFailed):
    """For now: another try may succeed."""


class Mailer(Protocol):
    """Delivers letters."""

    async def send(self, letter: Letter) -> None:
        """Hand one letter over. Raises Refused or Unreachable."""

    async def close(self) -> None:
        """Let go of what is kept open."""


def new_id(clock: Clock, random: Random) -> bytes:
    """Return a fresh UUIDv7 as 16 bytes (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits."""
    value = bytearray(clock.now().to_bytes(6, "big") + random.bytes(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return bytes(value)


def text(random: Random, alphabet: str, length: int) -> str:
    """Return `length` characters drawn evenly from `alphabet`."""
    return "".join(alphabet[random.below(len(alphabet))] for _ in range(length))
