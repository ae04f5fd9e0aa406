"""uvicorn's WebSocket protocol over websockets' sans-I/O parser, bounded and silent.

Beyond uvicorn's own: a head that is no handshake is answered, not asserted; text that is not UTF-8 closes the socket
without a traceback; pings and empty fragments cost a bounded amount; a server that stops says 1001; and a connection
whose client reads nothing is dropped in bounded time. Nothing is logged here: uvicorn would print query strings
(decision 39).
"""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

CLOSE_SECONDS = 2.0
"""How long a client may take to answer our close, and to take what was sent before."""
UNSENT_BYTES = 256 * 1024
FRAGMENTS = 256
GOING_AWAY, BAD_TEXT, TOO_BIG = 1001, 1007, 1009
_SILENT = logging.Logger("dragoman.socket", logging.CRITICAL)
_SILENT.disabled = True
_BAD_HEAD = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedSocketProtocol(WebSocketsSansIOProtocol):
    """One connection after the upgrade."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _SILENT
        self.conn.logger = _SILENT
        self.close_timeout = CLOSE_SECONDS

    def data_received(self, data: bytes) -> None:
        """Parse a chunk; answer a head that is no handshake, for which uvicorn does nothing."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.close_sent:
            self.close_sent = self.handshake_complete = True
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HEAD)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment, but not one of hundreds."""
        if len(self.frames) >= FRAGMENTS:
            self._fail(TOO_BIG)
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping of a client that reads the answers."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNSENT_BYTES:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, if it is what it says it is."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._fail(BAD_TEXT)
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close after what was no frame, also when nothing more can be said."""
        if self.conn.close_sent is None:
            self.close_sent = True
            self.transport.abort()
            return
        super().handle_parser_exception()
        self._drop_later()

    def shutdown(self) -> None:
        """Say that the server goes away."""
        self.stop_keepalive()
        if not self.handshake_complete:
            super().shutdown()
        elif not self.close_sent:
            self._fail(GOING_AWAY)
        self._drop_later()

    async def run_asgi(self) -> None:
        """Run the application, then let go of the connection in bounded time."""
        await super().run_asgi()
        self._drop_later()

    def _fail(self, code: int) -> None:
        self.frames = []
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.conn.fail(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _drop_later(self) -> None:
        if not self.disconnected:
            self.loop.call_later(CLOSE_SECONDS, self._drop)

    def _drop(self) -> None:
        if not self.disconnected:
            self.transport.abort()
