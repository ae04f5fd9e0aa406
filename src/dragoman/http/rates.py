"""Request rates: how often one client may call one operation, as contracts name them (decision 36).

They keep a client from asking too much of the server. What guesses may cost is table D's business: that is stored,
counted by account, and in force whatever is counted here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from dragoman.model import Millis

if TYPE_CHECKING:
    from dragoman.http.call import Call
    from dragoman.http.dialect import Dialect
    from dragoman.http.operation import Operation

MOST = 20_000
"""Windows of one length that are remembered at least; twice as many at most. One takes about 300 bytes."""


class Rate(Struct, frozen=True):
    """At most `calls` in a window of `seconds` that the first call begins."""

    calls: int
    seconds: float


UNLIMITED = Rate(0, 0.0)
"""Said of operations that may be called as often as a client likes."""


class Counted(Struct, frozen=True, gc=False):
    """A call that was counted."""

    rate: Rate
    number: int
    """Which call of its window it was, from 1."""
    ends_at: Millis
    """When the window ends."""

    @property
    def fits(self) -> bool:
        """Whether the call is let through."""
        return self.number <= self.rate.calls

    @property
    def left(self) -> int:
        """How many more calls the window takes."""
        return max(0, self.rate.calls - self.number)


class Windows:
    """Counts calls by key in the memory of this process. Bounded: under a flood of keys the oldest are forgotten.

    Windows of one length are kept in two halves, by when they began; the older half goes as a whole once all of it is
    over, so that nothing has to be searched for what has ended.

    :param most: how large a half may grow.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._halves: dict[float, _Halves] = {}

    def count(self, now: Millis, key: Hashable, rate: Rate) -> Counted:
        """Count one call.

        :param now: milliseconds on a clock that does not go back.
        """
        halves = self._halves.get(rate.seconds)
        if halves is None:
            halves = self._halves[rate.seconds] = _Halves(now)
        length = round(rate.seconds * 1000)
        if now - halves.begun >= length or len(halves.newer) >= self._most:
            halves.turn(now)
        window = halves.newer.get(key) or halves.older.get(key)
        if window is None or now >= window[1]:
            window = halves.newer[key] = [0, now + length]
        window[0] += 1
        return Counted(rate, window[0], window[1])


class _Halves:
    __slots__ = ("begun", "newer", "older")

    def __init__(self, now: Millis) -> None:
        self.begun = now
        self.newer: dict[Hashable, list[int]] = {}
        self.older: dict[Hashable, list[int]] = {}

    def turn(self, now: Millis) -> None:
        """Begin a new half and let go of the older one."""
        self.begun, self.older, self.newer = now, self.newer, {}


class Counts(Protocol):
    """Where calls are counted."""

    def count(self, now: Millis, who: str, what: str, rate: Rate) -> Counted | Awaitable[Counted]:
        """Count one call of `what` by `who`, now or when awaited. Never fails, and ends in bounded time."""


class Own:
    """Counts in the memory of this process: of several workers each counts for itself."""

    def __init__(self) -> None:
        self._windows = Windows()

    def count(self, now: Millis, who: str, what: str, rate: Rate) -> Counted:
        """Count one call."""
        return self._windows.count(now, (who, what), rate)


async def as_declared(call: Call, rate: Rate) -> Rate | None:
    """Return the rate as it is declared."""
    return rate


def who(call: Call) -> str:
    """Return whose calls are counted together: those of a network (IPv4 /32, IPv6 /64).

    While addresses cannot be trusted no network is known (threat 34): then those of the account, and calls of nobody
    are not counted at all, as everybody would share one count. Empty for them.
    """
    if network := call.client.network:
        return network
    return call.caller.account.id.hex() if call.caller is not None else ""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often the operations of a dialect may be called by one client."""

    usual: Rate = UNLIMITED
    """For every operation that is not in `own`."""
    own: Mapping[str, Rate] = field(default_factory=dict)
    """By path template, for all its methods, each counted by itself; `UNLIMITED` for none."""
    of: Callable[[Call, Rate], Awaitable[Rate | None]] = as_declared
    """Returns the rate in force for a call whose operation and caller are known, from the one above; None for none."""
    by: Callable[[Call], str] = who
    """Returns whose calls are counted together; empty for a call that is not counted."""
    together: bool = False
    """Whether the calls of all operations are one count."""
    headers: Callable[[Counted], list[tuple[bytes, bytes]]] = lambda counted: []
    """What every answer to a counted call carries, success or not, ready to send."""
    names: tuple[str, ...] = ()
    """Names of these headers, for documents."""
    retry_after: bool = True
    """Whether a refusal carries Retry-After."""


def rate_of(operation: Operation, dialect: Dialect) -> Rate | None:
    """Return how often one client may call an operation, as declared; None for as often as it likes."""
    if dialect.rates is None:
        return None
    rate = dialect.rates.own.get(operation.path, dialect.rates.usual)
    return None if rate is UNLIMITED else rate
