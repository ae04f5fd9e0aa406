"""The listening socket, what keeps it from being opened, and the one process that serves on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import uvicorn

from dragoman import app, test_mode
from dragoman.cli.logs import access_log
from dragoman.cli.prepare import prepared
from dragoman.core import Core
from dragoman.core.ports import SystemClock
from dragoman.http.address import Proxies, is_loopback
from dragoman.http.serving import serve_config
from dragoman.settings import Settings

BACKLOG = 2048
OTHER_FILES = 1024
"""Open files beside WebSockets: requests, the database, logs."""


def faults(settings: Settings) -> list[str]:
    """Return everything in the settings that keeps Dragoman from serving, one line each with its remedy."""
    server = settings.server
    found = []
    for name, path in (("server.tls_cert", server.tls_cert), ("server.tls_key", server.tls_key)):
        if path and not os.access(path, os.R_OK):
            found.append(f"{name}: found {path!r}, which cannot be read")
    if not found and server.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, server.tls_key)
        except (ssl.SSLError, OSError) as why:
            found.append(f"server.tls_cert, server.tls_key: no PEM certificate with its key: {why}")
    try:
        Proxies.named(server.trusted_proxies, server.forwarded_header)
    except ValueError as why:
        found.append(f"server.trusted_proxies: {why}")
    exposed = not is_loopback(server.host) and not server.tls_cert and not server.trusted_proxies
    if exposed and not server.insecure:
        found.append(
            f"server.host: found {server.host!r}, which others can reach, without TLS: passwords would cross the"
            " network in clear. Give --tls-cert and --tls-key, name your proxy in server.trusted_proxies, or --insecure"
        )
    found += test_mode.faults(settings)
    try:
        app.mounts(settings)
    except ValueError as why:
        found.append(f"dialects: {why}")
    for part in (app.directory, app.counts):
        try:
            part(settings, SystemClock())
        except app.NotReady as why:
            found.append(str(why))
    return found


def make_room(settings: Settings) -> None:
    """Let the process open as many files as it may hold sockets, as far as the system allows it to."""
    wanted = settings.server.sockets + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reach = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reach:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reach, hard))


def bound(settings: Settings) -> socket.socket:
    """Return a socket bound to the configured address, not listening yet. Raises app.NotReady."""
    host, port = settings.server.host.strip("[]"), settings.server.port
    listener = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as why:
        if listener is not None:
            listener.close()
        raise app.NotReady(f"cannot listen on {host} port {port} (server.host, server.port): {why.strerror}") from None
    return listener


def address_of(listener: socket.socket, settings: Settings) -> str:
    """Return the address people call, `http://127.0.0.1:8080`."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.server.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's server, told to stop by `stop` alone, and saying when it answers."""

    def __init__(self, config: uvicorn.Config, answering: Callable[[], None]) -> None:
        super().__init__(config)
        self._answering = answering

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to us: uvicorn would raise them again before the database is closed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._answering()

    def stop(self) -> None:
        """Stop when the answers under way are given; at a second call, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


async def serve_here(
    settings: Settings, listener: socket.socket, answering: Callable[[], None], *, life: int | None = None
) -> None:
    """Serve in this process until it is told to stop by SIGTERM or SIGINT, or `life` (a descriptor) ends.

    Raises app.NotReady.
    """
    make_room(settings)
    opened = prepared(settings, os.environ) if life is None else app.opened(settings)
    async with opened as core:
        lines = access_log(settings, core.clock)
        gateway = app.gateway(
            core, settings, app.mounts(settings), lifespan=partial(_beating, core, settings), access_log=lines
        )
        tls = settings.server.tls_cert
        config = serve_config(
            gateway,
            certificate=Path(tls) if tls else None,
            key=Path(settings.server.tls_key) if tls else None,
            options={"backlog": BACKLOG},
        )
        server = Server(config, answering)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        if life is not None:
            loop.add_reader(life, server.stop)
        await server.serve([listener])


@contextlib.asynccontextmanager
async def _beating(core: Core, settings: Settings) -> AsyncIterator[None]:
    """Do what is due once a second while requests are answered, and deliver the outbox unless another process does."""
    deliver = app.delivering(core, settings) if settings.mail.in_serve else contextlib.nullcontext()
    async with app.beating(core), deliver:
        yield
