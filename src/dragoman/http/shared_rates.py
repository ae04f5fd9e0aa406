"""Request rates that several processes count together, in Valkey or Redis.

The rates are a courtesy among clients; what guesses may cost is stored elsewhere (table D). So a store that is out of
reach opens nothing and closes nothing: each process counts for itself until the store is back.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import Any, cast

import structlog
from limits.aio.storage import RedisStorage
from limits.storage import storage_from_string

from dragoman.core.ports import Clock
from dragoman.http.rates import Counted, Own, Rate
from dragoman.model import Millis

log = structlog.get_logger("dragoman.rates")
PATIENCE = 0.25
"""Seconds that one call may wait for the store."""
REST = 5.0
"""Seconds for which a store that did not answer is left alone."""


class Shared:
    """Counts in the store, in windows of whole seconds.

    :param url: `valkey://`, `valkeys://` or `valkey+unix://`, as the library reads it.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        options = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, "key_prefix": "dragoman"}
        self._store = cast(RedisStorage, storage_from_string(f"async+{url}", **cast(Any, options)))
        named = self._store.base_exceptions
        self._faults: tuple[type[Exception], ...] = (
            *(named if isinstance(named, tuple) else (named,)),
            OSError,
            TimeoutError,
        )
        self._seconds = clock.monotonic
        self._own = Own()
        self._rests_until = 0.0

    async def count(self, now: Millis, who: str, what: str, rate: Rate) -> Counted:
        """Count one call; by this process alone while the store does not answer."""
        if self._seconds() < self._rests_until:
            return self._own.count(now, who, what, rate)
        # Nobody who reads the store learns who called.
        key = hashlib.sha256(f"{what}\n{who}".encode()).hexdigest()[:32]
        length = math.ceil(rate.seconds)
        try:
            async with asyncio.timeout(PATIENCE):
                number = await self._store.incr(key, length)
                ends = await self._store.get_expiry(key)
        except self._faults as fault:
            self._rests_until = self._seconds() + REST
            log.warning("rates are counted by each process", setting="server.rates_url", fault=type(fault).__name__)
            return self._own.count(now, who, what, rate)
        left = min(max(round(ends * 1000) - now, 1), length * 1000)
        return Counted(rate, number, now + left)

    async def close(self) -> None:
        """Let go of the connections."""
        await cast(Any, self._store.bridge).storage.aclose()
