"""An engine between whose reads and writes something else happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dragoman.storage.engine import Engine, Row, Statement, T, Tx


class Meddling:
    """Passes every call on; what `before_next` was given happens once, right before the next transaction begins.

    So a test changes an account after its password was verified and before the sign-in is decided, every time alike.
    """

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self._act: Callable[[], Awaitable[Any]] | None = None

    def before_next(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Let something happen before the next transaction."""
        self._act = act

    @property
    def happened(self) -> bool:
        """Whether what was asked for has happened."""
        return self._act is None

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        return await self._inner.one(statement, **args)

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        return await self._inner.all(statement, **args)

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        return await self._inner.scan(statement, **args)

    async def run(self, statement: Statement, /, **args: Any) -> int:
        return await self._inner.run(statement, **args)

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        act, self._act = self._act, None
        if act is not None:
            await act()
        return await self._inner.transaction(fn)

    async def ready(self) -> bool:
        return await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()
