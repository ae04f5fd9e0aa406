"""Time that a test moves."""

from __future__ import annotations

import time

START = 1_795_305_600_000


class MovableClock:
    """Stands still until moved; durations are the machine's."""

    def __init__(self, now: int = START) -> None:
        self._now = now

    def now(self) -> int:
        """Return milliseconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """Return the machine's own seconds: the hash pool measures real work."""
        return time.monotonic()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += int(seconds * 1000)
