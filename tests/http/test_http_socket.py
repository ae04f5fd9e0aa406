"""WebSockets in the kit: who owns them, what bounds them, how they end; over real sockets, with rude clients too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import struct
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dragoman.http import Mount, Socket, SocketPlace, socket, socket_protocol
from dragoman.http.server import Gateway
from dragoman.http.socket import SocketLimits
from kit import echo
from kit.ddp import listening

pytestmark = pytest.mark.slow


async def converse(opened: Socket) -> None:
    """Echo frames; some words mean something else."""
    while True:
        frame = await opened.receive(2)
        match frame:
            case None | "end":
                return
            case "break":
                raise RuntimeError("the secret inside")
            case "who":
                call = opened.call
                said = {
                    "address": call.client.address, "network": call.client.network, "agent": call.client.user_agent,
                    "mark": call.client.mark is not None, "cookie": call.header("cookie"), "method": call.method,
                }  # fmt: skip
                await opened.send(json.dumps(said).encode())
            case "pour":
                while True:
                    await opened.send(b"x" * 60_000)
            case bytes():
                await opened.send(b"%d bytes" % len(frame))
            case _:
                await opened.send(frame.encode())


class Lines:
    """Log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))

    error = info


@pytest.fixture
def lines() -> Lines:
    return Lines()


def gateway(lines: Lines, *mounts: Mount, **more: Any) -> Gateway:
    place = SocketPlace(path="/echo/socket", converse=converse)
    placed = mounts or (Mount(dialect=echo.dialect(socket=place)),)
    return echo.gateway(*placed, log=lines, access_log=lines, **more)


@pytest.fixture
async def base(lines: Lines) -> AsyncIterator[str]:
    async with listening(gateway(lines, proxies=["127.0.0.1"])) as address:
        yield address


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, nothing is logged by libraries."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


def dial(address: str, **headers: str) -> Any:
    return connect(
        address, additional_headers=headers, compression=None, ping_interval=None, close_timeout=2, proxy=None
    )


async def code_of(connection: ClientConnection, seconds: float = 5) -> int:
    """Return the code with which the server closes."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    return connection.close_code or 0


class Raw:
    """A connection to the server, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def frame(self, payload: bytes, *, first: int = 0x81, mask: bytes | None = b"\0\0\0\0") -> None:
        bit = 0x80 if mask is not None else 0
        size = len(payload)
        length = bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack(">H", size)
        if size > 65535:
            length = bytes([bit | 127]) + struct.pack(">Q", size)
        self.writer.write(bytes([first]) + length + (mask or b"") + payload)

    async def closed(self, seconds: float = 10) -> bytes:
        """Read to the end; return what came."""
        said = b""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):  # it hangs up on what was still on its way
                while piece := await self.reader.read(1024):
                    said += piece
        return said

    async def code(self) -> int:
        """Return the code of the close frame with which everything ends."""
        said = await self.closed()
        assert said[-4:-2] == b"\x88\x02" or b"\x88" in said, said
        at = said.rindex(b"\x88")
        return int.from_bytes(said[at + 2 : at + 4])


@contextlib.asynccontextmanager
async def raw(base: str, path: str = "/echo/socket", head: str | None = None) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    try:
        if head is None:
            key = base64.b64encode(b"0123456789abcdef").decode()
            head = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            writer.write(head.encode())
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        else:
            writer.write(head.encode("latin-1"))
        yield Raw(reader, writer)
    finally:
        writer.close()


# ---------------------------------------------------------------- who owns it


async def test_a_conversation(base: str, lines: Lines) -> None:
    async with dial(base + "/echo/socket?token=secret") as connection:
        await connection.send("ä")
        assert await connection.recv() == "ä"
        await connection.send(b"123")
        assert await connection.recv() == "3 bytes"
        assert connection.protocol.extensions == []
        await connection.send("end")
        assert await code_of(connection) == 1000
    await asyncio.sleep(0.05)
    assert [event for event, _ in lines.lines] == ["socket"]
    facts = lines.lines[0][1]
    assert (facts["dialect"], facts["path"], facts["code"]) == ("echo", "/echo/socket", 1000)
    assert "secret" not in repr(lines.lines)


async def test_a_socket_is_asked_for_deflate_in_vain(base: str) -> None:
    async with connect(base + "/echo/socket", compression="deflate", proxy=None) as connection:
        assert connection.protocol.extensions == []


async def test_cookies_and_origin_do_not_count_and_the_address_does(base: str) -> None:
    headers = {
        "Cookie": "mark=abc; jwt=x", "Origin": "https://elsewhere.example", "X-Forwarded-For": "203.0.113.9",
        "User-Agent": "a phone",
    }  # fmt: skip
    async with connect(base + "/echo/socket", additional_headers=headers, proxy=None, user_agent_header=None) as opened:
        await opened.send("who")
        assert json.loads(await opened.recv()) == {
            "address": "203.0.113.9", "network": "203.0.113.9/32", "agent": "a phone", "mark": False, "cookie": None,
            "method": "GET",
        }  # fmt: skip


@pytest.mark.parametrize("path", ["/echo", "/echo/me", "/echo/socket/more", "/elsewhere", "/"])
async def test_no_socket_there(base: str, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(base + path):
            pass
    answer = refused.value.response
    assert answer.status_code == 404
    assert json.loads(answer.body or b"").keys() <= {"problem", "fields", "error"}


async def test_host_and_prefix_hold_for_sockets(lines: Lines) -> None:
    place = SocketPlace(path="/echo/socket", converse=converse)
    off = echo.dialect("off", prefixes=("/off",), operations=(), socket=SocketPlace(path="/off", converse=converse))
    app = gateway(
        lines,
        Mount(dialect=echo.dialect("one", socket=place), prefix="/one"),
        Mount(dialect=echo.dialect("two", socket=place), host="two.example"),
        Mount(dialect=off, live=False),
    )  # fmt: skip
    async with listening(app) as base:
        for path, host, found in (
            ("/one/echo/socket", "x", True), ("/echo/socket", "x", False), ("/echo/socket", "two.example", True),
            ("/echo/socket", "TWO.example:80", True), ("/one/echo/socket", "two.example", False), ("/off", "x", False),
        ):  # fmt: skip
            head = (
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            async with raw(base, head=head) as connection:
                status = (await connection.reader.readuntil(b"\r\n"))[9:12]
                assert status == (b"101" if found else b"404"), (path, host)


def test_a_dialect_declares_sockets_on_its_own_paths_only(lines: Lines) -> None:
    with pytest.raises(ValueError, match="/elsewhere"):
        gateway(lines, Mount(dialect=echo.dialect(socket=SocketPlace(path="/elsewhere", converse=converse))))


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize("limits", [SocketLimits(total=2, per_network=9), SocketLimits(total=9, per_network=2)])
async def test_there_are_only_so_many(lines: Lines, limits: SocketLimits) -> None:
    app = gateway(lines, sockets=limits)
    async with listening(app) as base:
        async with dial(base + "/echo/socket"), dial(base + "/echo/socket"):
            with pytest.raises(InvalidStatus) as refused:
                async with dial(base + "/echo/socket"):
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"] == "10"
            assert b'dragoman_open_sockets{dialect="echo"} 2.0' in app.metrics.text()
        await asyncio.sleep(0.05)
        async with dial(base + "/echo/socket") as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
    assert b'dragoman_open_sockets{dialect="echo"} 0.0' in app.metrics.text()


async def test_addresses_that_cannot_be_trusted_share_no_limit(lines: Lines) -> None:
    app = gateway(lines, sockets=SocketLimits(total=9, per_network=1), proxies=["127.0.0.1"])
    async with listening(app) as base, dial(base + "/echo/socket"), dial(base + "/echo/socket") as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"


# ---------------------------------------------------------------- rude clients


async def test_the_largest_frame_and_one_byte_more(base: str) -> None:
    async with dial(base + "/echo/socket") as connection:
        await connection.send("x" * socket.FRAME_BYTES)
        assert len(await connection.recv()) == socket.FRAME_BYTES
        await connection.send("x" * (socket.FRAME_BYTES + 1))
        assert await code_of(connection) == 1009


async def test_fragments_count_together(base: str) -> None:
    async with raw(base) as connection:
        code = asyncio.create_task(connection.code())  # reads all the while: what is unread is lost by a reset
        connection.frame(b"x" * 40_000, first=0x01)
        connection.frame(b"x" * 40_000, first=0x80)
        assert await code == 1009
    async with raw(base) as connection:
        code = asyncio.create_task(connection.code())
        connection.frame(b"", first=0x01)
        for _ in range(1000):
            connection.frame(b"", first=0x00)
            await asyncio.sleep(0)
        assert await code == 1009


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
async def test_text_that_is_not_utf8(base: str, text: bytes) -> None:
    async with raw(base) as connection:
        connection.frame(text)
        assert await connection.code() == 1007
    async with raw(base) as connection:
        connection.frame(b"a", first=0x01)
        connection.frame(text, first=0x80)
        assert await connection.code() == 1007


@pytest.mark.parametrize(
    ("first", "mask"),
    [(0x81, None), (0xC1, b"abcd"), (0x83, b"abcd"), (0x80, b"abcd"), (0x09, b"abcd"), (0xF1, b"abcd")],
)
async def test_frames_that_are_none(base: str, first: int, mask: bytes | None) -> None:
    async with raw(base) as connection:
        connection.frame(b"x", first=first, mask=mask)
        assert await connection.code() == 1002


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n", 400),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Key: short\r\n\r\n", 400),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE.replace('13', '7')}{KEY}\r\n", 400),
        (f"POST /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}\r\n", 405),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}Content-Length: 5\r\n\r\nhello", 400),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}X-Long: {'x' * 9000}\r\n\r\n", 431),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}" + "X-A: b\r\n" * 200 + "\r\n", 431),
        (f"GET /echo/socket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}" + f"X-A: {'x' * 5000}\r\n" * 4 + "\r\n", 431),
        (f"GET /echo/{'x' * 9000} HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}\r\n", 414),
    ],
)
async def test_heads_that_are_no_handshake(base: str, head: str, status: int) -> None:
    async with raw(base, head=head) as connection:
        said = await connection.closed()
        assert said.startswith(b"HTTP/1.1 "), said
        assert int(said[9:12]) in (status, 400), said


async def test_a_handler_that_breaks(base: str, lines: Lines) -> None:
    async with dial(base + "/echo/socket") as connection:
        await connection.send("break")
        assert await code_of(connection) == 1011
        assert connection.close_reason == ""
    await asyncio.sleep(0.05)
    assert [event for event, _ in lines.lines] == ["unexpected", "socket"]
    assert lines.lines[0][1]["request_id"] == lines.lines[1][1]["request_id"]


async def test_a_client_that_does_not_read_is_dropped(base: str, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    monkeypatch.setattr(socket, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(socket_protocol, "CLOSE_SECONDS", 0.3)
    async with raw(base) as connection:
        connection.frame(b"pour")
        began = time.monotonic()
        while not lines.lines and time.monotonic() - began < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert lines.lines[0][1]["code"] == 1011
        await asyncio.sleep(0.5)
        assert len(await connection.closed()) < 16_000_000


async def test_a_client_that_pings_and_does_not_read_is_dropped(base: str, lines: Lines) -> None:
    async with raw(base) as connection:
        connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            for _ in range(3000):
                for _ in range(100):
                    connection.frame(b"x" * 120, first=0x89)
                async with asyncio.timeout(5):
                    await connection.writer.drain()
                if lines.lines:
                    break
        assert lines.lines, "the connection is still there"


async def test_a_flood_is_closed(base: str) -> None:
    async with raw(base) as connection:
        for _ in range(socket.FRAMES + 5):
            connection.frame(b"x")
        assert await connection.code() == 1008


async def test_others_get_their_turn_in_a_flood(base: str) -> None:
    async with raw(base) as connection, dial(base + "/echo/socket") as other:
        for _ in range(socket.FRAMES):
            connection.frame(b"x")
        began = time.monotonic()
        await other.send("hello")
        assert await other.recv() == "hello"
        assert time.monotonic() - began < 1


async def test_a_silent_or_half_open_client_is_let_go(base: str, lines: Lines) -> None:
    async with raw(base) as connection:
        connection.frame(b"a", first=0x01)
        await asyncio.sleep(0.1)
        connection.writer.write(b"\x80")
        began = time.monotonic()
        assert await connection.code() == 1000
        assert time.monotonic() - began < 8


async def test_a_connection_that_breaks_off(base: str, lines: Lines) -> None:
    async with raw(base) as connection:
        connection.frame(b"x")
        connection.writer.transport.abort()
    await asyncio.sleep(0.2)
    assert [event for event, _ in lines.lines] == ["socket"]


async def test_a_server_that_stops_says_so(lines: Lines) -> None:
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        async with listening(gateway(lines)) as base:
            opened = [await stack.enter_async_context(dial(base + "/echo/socket")) for _ in range(5)]
            deaf = await stack.enter_async_context(raw(base))
            deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
            deaf.frame(b"pour")
            await asyncio.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 8
        assert [await code_of(each) for each in opened] == [1001] * 5


async def test_the_clock_of_heads_stops_at_the_upgrade(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragoman.http import serving

    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.3)
    async with dial(base + "/echo/socket") as connection:
        await asyncio.sleep(0.7)
        await connection.send("hello")
        assert await connection.recv() == "hello"
