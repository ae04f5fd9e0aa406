"""Calls to a provider within bounds: a deadline each, so many at a time, and a rest while it is down.

A provider that is dead, slow or silent costs whoever asks for it a bounded time, and nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import Clock, ProviderBusy, ProviderUnreachable

if TYPE_CHECKING:
    from dragoman.adapters.upstream.wire import Line

T = TypeVar("T")
Ask = Callable[["Line"], Awaitable[T]]
REST_SECONDS = 5.0
"""For how long a provider that gave no answer is not asked again."""
WAITING_PER_CONNECTION = 4
log = structlog.get_logger("dragoman.provider")


class Silent(ProviderUnreachable):
    """Nothing came back: whoever asks next would only wait as long. An answer that says nothing usable is none of it,
    else a request made to provoke one would shut everybody out.
    """


class Calls:
    """Makes calls over one line."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._slots = asyncio.Semaphore(place.connections)
        self._asking = 0
        self._rests_until = 0.0
        self._loading = asyncio.Lock()
        self._line: Line | None = None

    async def within(self, ask: Ask[T]) -> T:
        """Return what `ask` brings. Raises ProviderUnreachable, ProviderBusy, and what `ask` raises."""
        if self._clock.monotonic() < self._rests_until:
            raise ProviderUnreachable("it gave no answer a moment ago")
        if self._asking >= self._place.connections * (1 + WAITING_PER_CONNECTION):
            raise ProviderBusy("too many wait for it")
        line = await self._loaded()
        self._asking += 1
        try:
            return await self._in_turn(line, ask)
        except Silent as why:
            if self._clock.monotonic() >= self._rests_until:
                log.warning("provider out of reach", issuer=self._place.issuer, reason=str(why), rests=REST_SECONDS)
            self._rests_until = self._clock.monotonic() + REST_SECONDS
            raise
        finally:
            self._asking -= 1

    async def _in_turn(self, line: Line, ask: Ask[T]) -> T:
        ends_at = self._clock.monotonic() + self._place.timeout
        try:
            async with asyncio.timeout(self._place.timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise ProviderBusy("no turn came in time") from None
        try:
            async with asyncio.timeout(max(0.0, ends_at - self._clock.monotonic())):
                return await ask(line)
        except TimeoutError:
            raise Silent("no answer in time") from None
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close kept connections."""
        if self._line is not None:
            await self._line.close()

    async def _loaded(self) -> Line:
        """Import the libraries, once and before any deadline: a busy machine takes its time."""
        async with self._loading:
            if self._line is None:
                self._line = await asyncio.to_thread(self._load)
            return self._line

    def _load(self) -> Line:
        from dragoman.adapters.upstream import wire

        return wire.Line(self._place)
