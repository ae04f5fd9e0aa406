"""How many methods may be called in how much time (contract section 13.6), counted as Meteor does: in fixed windows."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

OFTEN_GUESSED = frozenset({"login", "createUser", "resetPassword", "forgotPassword"})
"""Methods that Meteor limits by themselves."""


class Rule(Struct, frozen=True):
    """At most `calls` with one key in `seconds`."""

    key: tuple[str, ...]
    calls: int
    seconds: int


def rules(method: str, *, address: str, user: str, connection: str) -> list[Rule]:
    """Return the rules of one call; an empty text is for what is not known or not there."""
    found = []
    if address:
        found.append(Rule(("address", address), 120_000, 60))
    if user:
        found += [Rule(("user", user), 1_200, 60), Rule(("user method", user, method), 20, 10)]
    if connection:
        each = 5 if method in OFTEN_GUESSED else 10
        found += [Rule(("connection", connection), 600, 60), Rule(("connection method", connection, method), each, 10)]
    return found


class Windows:
    """Counts calls by key in windows that begin together, and forgets each window when it is over."""

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, dict[tuple[str, ...], int]]] = {}

    def count(self, now: float, asked: Iterable[Rule]) -> int:
        """Count one call; return in how many milliseconds it would be let through, 0 for at once.

        :param now: seconds on a clock that does not go back.
        """
        waits = 0.0
        for rule in asked:
            number = int(now // rule.seconds)
            begun, counts = self._windows.get(rule.seconds, (-1, {}))
            if begun != number:
                counts = {}
                self._windows[rule.seconds] = (number, counts)
            counts[rule.key] = counts.get(rule.key, 0) + 1
            if counts[rule.key] > rule.calls:
                waits = max(waits, (number + 1) * rule.seconds - now)
        return 0 if waits <= 0 else max(1, round(waits * 1000))
