"""DDP over bare WebSockets: frames put together by hand, so that the client costs next to nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

from load import anonymous_mib, cpu_of

_CONNECT = b'{"msg":"connect","version":"1","support":["1"]}'


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, message: bytes) -> None:
        """Send a text frame, masked with zeros."""
        size = len(message)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        self.writer.write(b"\x81" + length + b"\0\0\0\0" + message)

    async def next(self) -> dict[str, Any]:
        """Return the next message."""
        size = (await self.reader.readexactly(2))[1]
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2))
        found: dict[str, Any] = json.loads(await self.reader.readexactly(size))
        return found

    async def login(self, **form: Any) -> dict[str, Any]:
        """Sign in; return the result message."""
        self.say(json.dumps({"msg": "method", "method": "login", "id": "1", "params": [form]}).encode())
        while (message := await self.next())["msg"] != "result":
            pass
        return message


async def dial(port: int, address: str = "") -> Client:
    """Open a connection, as if from this address, and agree on a version."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    forwarded = f"X-Forwarded-For: {address}\r\n" if address else ""
    writer.write(
        b"GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + forwarded.encode() + b"\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    client = Client(reader, writer)
    client.say(_CONNECT)
    assert (await client.next())["msg"] == "connected"
    return client


async def sign_ins(port: int, pid: int, seconds: float, form: Callable[[int], dict[str, Any]]) -> tuple[float, float]:
    """Sign in over and over, each time on a connection of its own; return how often a second, and CPU ms for each."""
    turn, done, ends_at = itertools.count(), 0, time.perf_counter() + seconds
    before, began = cpu_of((pid,)), time.perf_counter()

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < ends_at:
            number = next(turn)
            client = await dial(port, f"203.0.{number % 64 // 250}.{number % 64 % 250 + 1}")
            if "result" in await client.login(**form(number)):
                done += 1
            client.writer.close()

    await asyncio.gather(*(one() for _ in range(6)))
    took = time.perf_counter() - began
    return done / took, (cpu_of((pid,)) - before) * 1000 / max(1, done)


async def hold(port: int, pid: int, number: int) -> tuple[float, float]:
    """Hold idle connections; return the server's anonymous memory with them, and without them, in MiB."""
    before = anonymous_mib(pid)
    turns = asyncio.Semaphore(32)

    async def one() -> Client:
        async with turns:
            return await dial(port)

    held = await asyncio.gather(*(one() for _ in range(number)))
    await asyncio.sleep(2)
    after = anonymous_mib(pid)
    for client in held:
        client.writer.close()
    await asyncio.sleep(1)
    return after, before
