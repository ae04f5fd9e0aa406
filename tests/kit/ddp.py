"""A client that speaks DDP frame by frame, and a server for it in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from dragoman.http.serving import serve_config
from kit.house import PASSWORD

PATIENCE = 5.0


def digest(password: str = PASSWORD) -> dict[str, str]:
    """Return a password as most clients send it."""
    return {"digest": hashlib.sha256(password.encode()).hexdigest(), "algorithm": "sha-256"}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def listening(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve an ASGI app in this event loop; yield its address, `ws://127.0.0.1:PORT`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    server = _Server(serve_config(app, options={"timeout_graceful_shutdown": 3, "lifespan": "off", **options}))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done(), "the server did not start"
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)
        listener.close()


class Ddp:
    """One connection of a client."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._calls = 0

    async def raw(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        await self.connection.send(frame)

    async def say(self, **message: Any) -> None:
        """Send one message."""
        await self.raw(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        """Return the next message."""
        found: dict[str, Any] = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE))
        return found

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send one message and return the next one that comes."""
        await self.say(**message)
        return await self.next()

    async def open(self, version: str = "1", *support: str) -> dict[str, Any]:
        """Send `connect` and return the answer."""
        return await self.ask(msg="connect", version=version, support=list(support) or [version])

    async def call(self, name: str, *params: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Call a method; return what came before its result, and the result. Its `updated` must follow."""
        self._calls += 1
        id = f"call-{self._calls}"
        await self.say(msg="method", method=name, id=id, params=list(params))
        before = []
        while (message := await self.next())["msg"] != "result":
            before.append(message)
        assert message["id"] == id
        assert await self.next() == {"msg": "updated", "methods": [id]}
        return before, message

    async def done(self, name: str, *params: Any) -> Any:
        """Call a method that works; return its result."""
        _, message = await self.call(name, *params)
        assert "error" not in message, message
        return message.get("result")

    async def refused(self, name: str, *params: Any) -> dict[str, Any]:
        """Call a method that does not work; return its error."""
        _, message = await self.call(name, *params)
        assert "result" not in message, message
        error: dict[str, Any] = message["error"]
        assert error["isClientSafe"] is True
        assert error["errorType"] == "Meteor.Error"
        assert error["message"] == f"{error['reason']} [{error['error']}]"
        return error

    async def sign_in(self, username: str = "ada", password: str = PASSWORD) -> dict[str, Any]:
        """Sign in as most clients do; return the result."""
        found: dict[str, Any] = await self.done("login", {"user": {"username": username}, "password": digest(password)})
        return found

    async def closed(self, seconds: float = PATIENCE) -> int:
        """Wait until the server has closed the connection; return its close code."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0


@contextlib.asynccontextmanager
async def dialled(
    base: str, *, version: str | None = "1", headers: Mapping[str, str] | None = None, path: str = "/websocket"
) -> AsyncIterator[Ddp]:
    """Open a connection, and agree on a version unless it is None."""
    async with connect(
        base + path, compression=None, additional_headers=headers, close_timeout=1, ping_interval=None, proxy=None
    ) as connection:
        client = Ddp(connection)
        if version is not None:
            assert (await client.open(version))["msg"] == "connected"
        yield client
