"""What this dialect remembers while it serves, and may forget."""

from __future__ import annotations

from dragoman.http import Call
from dragoman.http.rates import Windows


class Memory:
    """Belongs to one process."""

    def __init__(self) -> None:
        self.methods = Windows()
        """Calls of methods (contract section 13.6)."""
        self.asked = Windows()
        """Calls that were told to bring a proof, by session (contract section 7.4)."""
        self.exempt: frozenset[str] = frozenset()
        """Roles that are held to no rate."""
        self.exempt_until = 0.0
        """Until when that is believed, in seconds as the clock measures durations; 0 for not at all."""


def of(call: Call) -> Memory:
    """Return the dialect's memory."""
    memory = call.dialect.memory
    if not isinstance(memory, Memory):
        raise TypeError("the dialect is mounted without its memory")
    return memory
