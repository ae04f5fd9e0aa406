"""A real PostgreSQL for the tests: one cluster per test process, a fresh database per test.

The cluster dies with the process that started it, even when that is killed: the server's parent is a shell that
waits for its standard input to end.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

REMEDY = "PostgreSQL is not installed: run `make components` (tests/components.sh) and try again"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}
_GUARDED = '"$@" & server=$!; read -r end; kill -QUIT $server; wait $server'
_USER = "postgres"


class Cluster:
    """One PostgreSQL server on a free port of loopback, with its data in a temporary folder.

    Quick and forgetful, for tests; `durable` writes to the disk as an operator's would, for measuring.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._programs = _programs()
        self._settings = {k: v for k, v in _SETTINGS.items() if not (durable and v == "off")}
        place = None if durable else _roomy_memory()
        self._folder = Path(tempfile.mkdtemp(prefix="dragoman-postgres-", dir=place))
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            account = pwd.getpwnam(_USER)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._data = str(self._folder / "data")
        self._log = self._folder / "log"
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                self._data,
                "-U",
                _USER,
                "-A",
                "trust",
                "-N",
                "--no-locale",
                "-E",
                "UTF8",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self._identity,
        )
        self.port = _free_port()
        self.start()

    def dsn(self, database: str) -> str:
        """Return the address of one database of this cluster."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers; also again after `stop`, on the same port."""
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        server = [str(self._programs / "postgres"), "-D", self._data, "-p", str(self.port), *settings]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen[bytes](
                ["/bin/sh", "-c", _GUARDED, "sh", *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._identity,
            )
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(300):
            if subprocess.run(probe, check=False).returncode == 0:
                return
            time.sleep(0.03)
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Stop the server at once, as a crash would; `start` recovers."""
        if self._server is not None and self._server.stdin is not None:
            self._server.stdin.close()
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """Stop the server and forget its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def template(self, name: str, build: Callable[[str], Awaitable[None]]) -> str:
        """Make a database `name` once, let `build(dsn)` fill it, and return the name for `create`."""
        if name not in self._templates:
            await self._command(f'create database "{name}"')
            await build(self.dsn(name))
            self._templates.add(name)
        return name

    async def create(self, template: str = "template1") -> str:
        """Make a fresh database and return its address."""
        name = f"fresh_{next(self._numbers)}"
        await self._command(f'create database "{name}" template "{template}"')
        return self.dsn(name)

    async def drop(self, dsn: str) -> None:
        """Remove a database, whoever is still connected."""
        await self._command(f'drop database "{dsn.rpartition("/")[2]}" with (force)')

    async def _command(self, command: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(command)
        finally:
            await connection.close()


def _programs() -> Path:
    """Return the folder of the newest server programs; fails the test where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    beside = shutil.which("initdb")
    if not found and beside is None:
        pytest.fail(REMEDY)
    return found[-1].parent if found else Path(str(beside)).resolve().parent


def _roomy_memory() -> str | None:
    """Return the folder in memory if it has room (a fresh database takes 40 ms there, 250 on disk), else None."""
    try:
        room = shutil.disk_usage("/dev/shm").free
    except OSError:
        return None
    return "/dev/shm" if room > 1 << 30 and os.access("/dev/shm", os.W_OK) else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """The cluster of this test process, started when the first test asks for it."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
async def postgres_dsn(postgres_cluster: Cluster) -> AsyncIterator[str]:
    """The address of a fresh, empty database."""
    dsn = await postgres_cluster.create()
    yield dsn
    await postgres_cluster.drop(dsn)
