"""uvicorn, set up for a server that strangers reach: bounded heads, bounded waiting, none of its own logs.

uvicorn bounds neither the size of a request's head nor the time it takes, nor a body nobody waits for (decision 39).
The protocol here adds these bounds; a usual request costs it one comparison.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import TimerHandle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dragoman.http.server import TOO_LARGE
from dragoman.http.socket import FRAME_BYTES
from dragoman.http.socket_protocol import GuardedSocketProtocol

HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 10.0
UNREAD_BYTES = 4 * 1024 * 1024
"""What is read and thrown away of a body that was answered before its end, so that the client sees the answer."""
UNREAD_SECONDS = 10.0

# The parser takes an announced change of protocol for the end of the message and drops the body of a client that would
# rather speak HTTP/2 (Java's, curl's). An offer may be ignored (RFC 9110, section 7.8), so it is not shown to it.
_H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c(?=[ \t]*(?:\r\n|\Z))", re.IGNORECASE)
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\ncontent-length: 20\r\nconnection: close\r\n\r\n"
    b"the request is slow\n"
)
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools with bounds on the head of a request and on unread bodies."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head = 0
        """Bytes of a head that has begun and not ended, as far as earlier chunks brought them."""
        self._in_head = False
        self._in_body = False
        self._large_chunk = False
        self._refused = False
        self._unread = 0
        self._upgrades = False
        """The message asks for a WebSocket, which another protocol takes over."""
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is closed as well."""
        super().connection_made(transport)
        self._arm(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a chunk; refuse when a head grows past its limit."""
        if self._refused:
            return
        if b"h2c" in data and not self._in_body:
            top, end, rest = data.partition(b"\r\n\r\n")
            data = _H2C.sub(b"\r\nx-declined: h2c", top) + end + rest
        self._large_chunk = self._head + len(data) > HEAD_BYTES
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse_head()
        if self._deadline is None and not self._upgrades and self._is_silent():
            self._arm(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._in_head, self._in_body, self._upgrades = True, False, False

    def on_headers_complete(self) -> None:
        """Note that the head has ended; measure it exactly if it could be too large."""
        self._in_head, self._in_body, self._head, self._unread = False, True, 0, 0
        self._disarm()
        if self._large_chunk and self._size() > HEAD_BYTES:
            self.scope["extensions"] = {TOO_LARGE: {}}
        self._upgrades = self.parser.should_upgrade() and self._should_upgrade()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, unless its head is too large or an answer is still owed on it."""
        self._disarm()
        if self.scope.get("extensions") or (self.cycle is not None and not self.cycle.response_complete):
            self.transport.write(_TOO_LARGE)
            self.transport.close()
            return
        super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        """Hand the body on, or count it when nobody waits for it."""
        super().on_body(body)
        if self._upgrades:
            return
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > UNREAD_BYTES:
                self.transport.close()

    def on_message_complete(self) -> None:
        """Note that the request has ended."""
        self._in_body = False
        super().on_message_complete()
        if self._upgrades:
            return
        if self.cycle.response_complete:
            self._disarm()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Give an unread body a bounded time to end."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._arm(UNREAD_SECONDS)

    def _is_silent(self) -> bool:
        """Whether nothing but this clock would ever close the connection: a head begun, or only blank lines sent."""
        if self._in_head or self.cycle is None:
            return not self._refused
        return self.cycle.response_complete and self.timeout_keep_alive_task is None

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        """Answer a head that has not ended and is too large already: the owner of its path says 431."""
        self._refused = True
        self._in_head = False
        self._disarm()
        self.expect_100_continue = False
        super_complete = super().on_headers_complete
        self.scope["extensions"] = {TOO_LARGE: {}}
        try:
            super_complete()
        except Exception:  # the request line itself is cut off or no request line
            self.send_400_response("Invalid HTTP request received.")
            return
        self.cycle.keep_alive = False
        self.cycle.more_body = False

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        """Close a connection whose head or unread body has not ended in time."""
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


def serve_config(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    certificate: Path | None = None,
    key: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> uvicorn.Config:
    """Return uvicorn's configuration for the gateway.

    Its proxy headers, access log and server header are off: addresses are judged by `http.address`, the log is ours.
    A graceful stop waits 10 s for answers under way.

    :param app: the gateway.
    :param certificate: PEM file of the TLS certificate chain; with `key`, the listener speaks TLS.
    :param options: further uvicorn settings, which win over these (`fd`, `uds`, `workers`, `limit_concurrency` ...).
    """
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "http": GuardedProtocol,
        "ws": GuardedSocketProtocol,
        "ws_max_size": FRAME_BYTES,
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,  # dialects have pings of their own
        "loop": "uvloop",
        "lifespan": "on",
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "access_log": False,
        "log_config": None,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
        "backlog": 2048,
    }
    if certificate is not None:
        settings |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key) if key is not None else None}
    return uvicorn.Config(app, **settings | dict(options or {}))
