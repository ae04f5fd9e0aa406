"""A whole house behind a real server on loopback, for clients that are programs of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.house import House, open_house
from kit.server import running

Furnish = Callable[[House], Awaitable[Any]]


async def with_ada(house: House) -> None:
    """Add Ada Example with the password every example uses."""
    await house.ada()


class _Served:
    """The house as an ASGI application that opens it in the server's own event loop."""

    def __init__(self, folder: Path, furnish: Furnish, changes: dict[str, Any]) -> None:
        self._folder = folder
        self._furnish = furnish
        self._changes = changes
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        async with open_house(self._folder, **self._changes) as house:
            await self._furnish(house)
            self._app = house.app
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def served(folder: Path, furnish: Furnish = with_ada, port: int = 0, **changes: Any) -> Iterator[str]:
    """Serve a house over a fresh SQLite file in `folder`; yield its base URL, `http://127.0.0.1:PORT`.

    `changes` are settings, as `open_house` takes them.
    """
    with running(_Served(folder, furnish, changes), port) as base:
        yield base
