"""WebSockets: what a dialect declares, one open connection as its handler sees it, and how many there may be.

A socket is a request that goes on: the same owner by host and prefix, the same rules for the client's address. It
knows no cookie and asks for no origin (threat 48), so that nothing a browser sends along by itself counts. The protocol
bounds frames (`http.socket_protocol`), this file how many sockets there are, how fast frames come and how long a send
may wait; the dialect says how long it waits for the next frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from dragoman.core.ports import Clock
from dragoman.core.refusals import Busy
from dragoman.http.body import Gone
from dragoman.http.call import Call
from dragoman.model import Session

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FRAME_BYTES = 64 * 1024
SEND_SECONDS = 10.0
"""How long a send may wait for a client that does not read; then the socket is closed."""
FRAMES, FRAMES_SECONDS = 1200, 60.0
"""Frames that one socket may send in this time; more are a flood."""
TURN = 16
"""Frames after which others get their turn, however many have come together."""
NORMAL, FLOODED, BROKEN = 1000, 1008, 1011
RETRY_AFTER = 10


@dataclass(frozen=True, kw_only=True)
class SocketLimits:
    """How many sockets may be open in one process."""

    total: int = 10_000
    per_network: int = 1_000
    """From one IPv4 address or IPv6 /64; not counted while addresses cannot be trusted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SocketPlace:
    """The one socket that a dialect may have."""

    path: str
    """As the original has it, `/websocket`."""
    converse: Callable[[Socket], Awaitable[None]]
    """Speaks with one client until it returns or Gone is raised; then the socket is closed."""


class Socket:
    """One open connection."""

    __slots__ = (
        "_clock",
        "_closed",
        "_closing",
        "_first_at",
        "_frames",
        "_raw",
        "_send",
        "_unfollow",
        "call",
        "report",
    )

    def __init__(
        self, call: Call, receive: Receive, send: Send, clock: Clock, report: Callable[[Exception], None]
    ) -> None:
        self.call = call
        """The request that opened it, without its cookies."""
        self._raw = receive
        self._send = send
        self._clock = clock
        self.report = report
        """Writes what broke to the log, with the request's id."""
        self._closed: int | None = None
        self._closing: asyncio.Task[None] | None = None
        self._unfollow: Callable[[], None] | None = None
        self._first_at = 0.0
        self._frames = 0

    async def hold(self, place: SocketPlace) -> None:
        """Open it, let the dialect speak, and close it. Raises Gone."""
        code = NORMAL
        try:
            await self._bounded({"type": "websocket.accept"})
            await place.converse(self)
        except Gone:
            raise
        except Exception as broken:
            self.report(broken)
            code = BROKEN
        finally:
            self.unfollow()
        await self.close(code)

    async def receive(self, seconds: float) -> str | bytes | None:
        """Return the next frame, a binary one as bytes; None when none came in this time. Raises Gone."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._raw()
        except TimeoutError:
            return None
        if message["type"] == "websocket.disconnect":
            self._closed = self._closed or message.get("code") or NORMAL
            raise Gone
        await self._count()
        text: str | None = message.get("text")
        frame: bytes = message.get("bytes") or b""
        return frame if text is None else text

    async def send(self, frame: bytes) -> None:
        """Send a text frame of UTF-8. Raises Gone, also when the client has not read for too long."""
        if self._closed is not None:
            raise Gone
        await self._bounded({"type": "websocket.send", "text": frame.decode()})

    async def close(self, code: int = NORMAL) -> None:
        """Close the socket, if it is not closed yet; later sends and receives raise Gone."""
        if self._closed is None:
            self._closed = code
            await self._bounded({"type": "websocket.close", "code": code})

    def follow(self, session: Session) -> None:
        """Close the socket as soon as this session has ended, wherever that was (decision 23); no other any more."""
        self.unfollow()
        self._unfollow = self.call.core.feed.follow(session, self._ended)

    def unfollow(self) -> None:
        """Let the socket stay whatever happens to the session that it followed."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None

    @property
    def code(self) -> int:
        """With which code it was closed."""
        return self._closed or NORMAL

    def _ended(self) -> None:
        self._unfollow = None
        self._closing = asyncio.create_task(self._shut())

    async def _shut(self) -> None:
        try:
            await self.close()
        except Gone:
            return

    async def _bounded(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except (TimeoutError, OSError, RuntimeError):  # the last: the protocol had closed it already
            self._closed = self._closed or BROKEN
            raise Gone from None

    async def _count(self) -> None:
        """Give others their turn, and close a socket that floods."""
        self._frames += 1
        if self._frames % TURN == 0:
            await asyncio.sleep(0)
        now = self._clock.monotonic()
        if now - self._first_at >= FRAMES_SECONDS:
            self._first_at, self._frames = now, 1
        elif self._frames > FRAMES:
            await self.close(FLOODED)
            raise Gone


class OpenSockets:
    """Counts the sockets of a process by network and by dialect."""

    def __init__(self, limits: SocketLimits) -> None:
        self._limits = limits
        self._networks: dict[str, int] = {}
        self.by_dialect: dict[str, int] = {}

    def enter(self, dialect: str, network: str) -> None:
        """Count one more. Raises Busy when there are too many."""
        if sum(self.by_dialect.values()) >= self._limits.total:
            raise Busy(RETRY_AFTER)
        if network and self._networks.get(network, 0) >= self._limits.per_network:
            raise Busy(RETRY_AFTER)
        self.by_dialect[dialect] = self.by_dialect.get(dialect, 0) + 1
        if network:
            self._networks[network] = self._networks.get(network, 0) + 1

    def leave(self, dialect: str, network: str) -> None:
        """Count one less."""
        self.by_dialect[dialect] -= 1
        if network:
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]
