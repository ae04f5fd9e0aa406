"""An engine that notes which statements were run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dragoman.storage.engine import Engine, Row, Statement, T, Tx


class Recording:
    """Passes every call on; `seen` holds each statement once, in order of first use."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.seen: dict[Statement, None] = {}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Note nothing meanwhile."""
        before = dict(self.seen)
        yield
        self.seen.clear()
        self.seen.update(before)

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        self.seen[statement] = None
        return await self._inner.one(statement, **args)

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        self.seen[statement] = None
        return await self._inner.all(statement, **args)

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        self.seen[statement] = None
        return await self._inner.scan(statement, **args)

    async def run(self, statement: Statement, /, **args: Any) -> int:
        self.seen[statement] = None
        return await self._inner.run(statement, **args)

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        return await self._inner.transaction(lambda tx: fn(_RecordingTx(tx, self.seen)))

    async def ready(self) -> bool:
        return await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()


class _RecordingTx:
    def __init__(self, inner: Tx, seen: dict[Statement, None]) -> None:
        self._inner = inner
        self._seen = seen

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        self._seen[statement] = None
        return await self._inner.one(statement, **args)

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        self._seen[statement] = None
        return await self._inner.all(statement, **args)

    async def run(self, statement: Statement, /, **args: Any) -> int:
        self._seen[statement] = None
        return await self._inner.run(statement, **args)
