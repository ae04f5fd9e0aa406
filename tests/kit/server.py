"""A real server on a free loopback port, and raw sockets to be rude to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from dragoman.http.serving import serve_config


@contextmanager
def running(app: Any, port: int = 0, **options: Any) -> Iterator[str]:
    """Serve an ASGI app with our uvicorn settings in a thread of its own; yield the base URL, `http://127.0.0.1:PORT`.

    :param port: 0 for a free one.
    :param options: uvicorn settings that differ from `serve_config`'s.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    ready = threading.Event()
    failed: list[BaseException] = []

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            ready.set()

    server = Announced(serve_config(app, options={"timeout_graceful_shutdown": 3, **options}))

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                runner.run(server.serve(sockets=[listener]))
        except BaseException as broken:
            failed.append(broken)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="server", daemon=True)
    thread.start()
    try:
        assert ready.wait(20), "the server did not start"
        if failed or not server.started:
            raise RuntimeError("the server did not start") from (failed[0] if failed else None)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


@dataclass(frozen=True)
class RawAnswer:
    """An answer read off a socket. Header names are lowered; of repeated ones, `headers` holds the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    lines: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.lines if key == name]


def raw(base: str, *pieces: bytes, timeout: float = 10.0, head: bool = False) -> RawAnswer | None:
    """Send bytes exactly as given over one connection and read one answer; None when it was closed without one.

    :param head: the request was a HEAD: no body follows whatever Content-Length says.
    """
    with connected(base, timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has answered already and reads no more
        return read_answer(connection, head=head)


def connected(base: str, timeout: float = 10.0) -> socket.socket:
    """Open a connection to a running server."""
    host, _, port = base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def read_answer(connection: socket.socket, *, head: bool = False) -> RawAnswer | None:
    """Read one answer off a connection; None when it was closed without one."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = _received(connection)
        if not chunk:
            return None
        received += chunk
    top, _, body = received.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    lines = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    headers = dict(lines)
    wanted = 0 if head or status in {204, 304} else int(headers.get("content-length", -1))
    while wanted < 0 or len(body) < wanted:
        chunk = _received(connection)
        if not chunk:
            break
        body += chunk
    return RawAnswer(status, headers, body, lines)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


Receive = Callable[[], Awaitable[dict[str, Any]]]


async def ask(
    app: Any,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    body: bytes | None = None,
    query: str = "",
    peer: str | None = "127.0.0.1",
    receive: Receive | None = None,
    extensions: dict[str, Any] | None = None,
) -> RawAnswer:
    """Call an ASGI app without a server and return its answer.

    :param body: sent in one piece, with its Content-Length.
    :param peer: address of the connection's other end; None as a unix socket has it.
    :param receive: stands in for the body, for slow and broken ones.
    """
    given = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
    if body is not None and not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in given):
        given.append(("content-length", str(len(body))))
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given],
        "client": (peer, 1234) if peer is not None else None,
        "server": ("127.0.0.1", 80),
    }
    if extensions is not None:
        scope["extensions"] = extensions
    sent: list[dict[str, Any]] = []

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive or whole, send)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"], sent
    lines = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"])
    return RawAnswer(sent[0]["status"], dict(lines), sent[1]["body"], lines)
