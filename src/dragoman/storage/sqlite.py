"""SQLite: point reads inline on the event loop, long reads on threads, writes in groups on one thread.

A look-up by key costs a few microseconds where a hop to a thread costs ten times that; readers of a WAL database
never wait for the writer. The writer is in `sqlite_writer.py`, what concerns the file in `sqlite_file.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.storage.engine import (
    ROW_LIMIT,
    Row,
    Statement,
    StorageBusy,
    StorageUnavailable,
    T,
    TooManyRows,
    Tx,
)
from dragoman.storage.sqlite_file import Wal, WriterLock, connect, prepare_files, raise_failure, wants_patience
from dragoman.storage.sqlite_writer import Job, Writer, end_process

INLINE_SECONDS = 0.005
_OPCODES_BETWEEN_LOOKS = 1000
_SPELLINGS = 1000
"""More than the driver keeps statements."""
_PROBE = Statement("select count(*) from sqlite_master where rootpage = 1")


class SqliteEngine:
    """One SQLite file behind the interface of `storage/engine.py`. Made by `open`."""

    def __init__(self, connections: _Connections, lock: WriterLock, writer: Writer, queue_seconds: float) -> None:
        self._inline = connections.inline
        self._inline_until = 0.0
        self._spelt: dict[Statement, str] = {}
        self._number = 0
        self._inline.set_progress_handler(self._is_late, _OPCODES_BETWEEN_LOOKS)
        self._readers = _Readers(connections.readers, queue_seconds)
        self._written = connections.writer
        self._wal = connections.wal
        self._lock = lock
        self._writer = writer
        self._queue_seconds = queue_seconds
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        queue_seconds: float = 2.0,
        reader_threads: int = 2,
        rehearse: bool = False,
        switch_interval: float | None = 0.0005,
        on_death: Callable[[], None] = end_process,
    ) -> SqliteEngine:
        """Open or make the database at `path` for the running event loop.

        `queue_seconds` is how long a call may wait for its turn before StorageBusy. `rehearse` runs every
        transaction function once and rolls that back before it runs it for real (decision 30; for tests).
        `switch_interval` is set on the interpreter, so that the writer hands the event loop its turn soon
        (decision 33); None leaves it alone. `on_death` is called in the writer's thread if that ever fails.

        Raises StorageUnavailable when the file cannot be used, StorageBusy when another process holds the lock.
        """
        if switch_interval is not None:
            sys.setswitchinterval(switch_interval)
        prepare_files(path)
        lock = WriterLock(path.parent)
        try:
            connections = await asyncio.to_thread(_Connections.open, path, lock, queue_seconds, reader_threads)
        except BaseException:
            lock.close()
            raise
        writer = Writer(connections.writer, lock, connections.wal, rehearse=rehearse, on_death=on_death)
        return cls(connections, lock, writer, queue_seconds)

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None; inline, and on a reader thread when it takes over 5 ms (decision 33)."""
        values = statement.bind(args)
        self._inline_until = time.perf_counter() + INLINE_SECONDS
        try:
            rows: list[Row] = self._inline.execute(self._spelt.get(statement, statement.question), values).fetchall()
        except Exception as error:
            self._refuse_unless_patient(error, statement)
            rows = await self._readers.fetch(statement, values)
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200, as `one` does; raises TooManyRows beyond."""
        values = statement.bind(args)
        self._inline_until = time.perf_counter() + INLINE_SECONDS
        try:
            return _limited(self._inline.execute(self._spelt.get(statement, statement.question), values), statement)
        except Exception as error:
            self._refuse_unless_patient(error, statement)
            return await self._readers.fetch(statement, values, limited=True)

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Run a read that may be long on a reader thread; no limit on rows."""
        return await self._readers.fetch(statement, statement.bind(args))

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run one write in the writer's next group and return the number of rows it changed."""
        statement.bind(args)  # what cannot be kept is refused before it waits

        async def fn(tx: Tx) -> int:
            return await tx.run(statement, **args)

        return await self.transaction(fn)

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `fn` in the writer's next group and return its value once the commit is on disk (decision 31)."""
        future: asyncio.Future[T] = self._loop.create_future()
        deadline = time.monotonic() + self._queue_seconds
        self._writer.submit(Job(fn, future, deadline, contextvars.copy_context()))
        return await future

    async def ready(self) -> bool:
        """Tell whether a read is answered and an empty transaction passes the writer."""
        try:
            await self.one(_PROBE)
            await self.transaction(_nothing)
        except (StorageUnavailable, sqlite3.Error):
            return False
        return True

    async def close(self) -> None:
        """Finish what was accepted, checkpoint, and close every connection; the last one under the lock."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        await asyncio.to_thread(self._close)
        self._inline.close()
        await asyncio.to_thread(self._close_file)

    def _close(self) -> None:
        self._writer.join()
        self._readers.close()

    def _close_file(self) -> None:
        """Checkpoint and close under the lock, since closing the last connection is a checkpoint too (decision 32)."""
        if self._lock.take(self._queue_seconds):
            self._writer.checkpoint("truncate")
        self._written.close()
        self._wal.close()
        self._lock.close()

    def _is_late(self) -> bool:
        return time.perf_counter() > self._inline_until

    def _refuse_unless_patient(self, error: Exception, statement: Statement) -> None:
        """Raise what a failed inline read means; return where a reader thread is to try it.

        The driver of Python 3.11 takes a statement that was interrupted for busy from then on, and compiles its text
        anew for each use, which costs five times the read. Spelt with other spaces it is another statement to it.
        """
        if self._closed:
            raise StorageUnavailable("the database is closed") from None
        if not wants_patience(error):
            raise_failure(error)
        self._number = self._number % _SPELLINGS + 1
        self._spelt[statement] = statement.question + " " * self._number


@dataclass(slots=True)
class _Connections:
    """The connections of one engine: one that reads inline, some that may take long, one that writes."""

    inline: sqlite3.Connection
    readers: list[sqlite3.Connection]
    writer: sqlite3.Connection
    wal: Wal

    @classmethod
    def open(cls, path: Path, lock: WriterLock, seconds: float, readers: int) -> _Connections:
        """Open all under the lock; the writer first, so that it makes or recovers the file."""
        opened: list[sqlite3.Connection] = []
        try:
            with lock.held(seconds):
                opened.append(connect(path, query_only=False, busy_seconds=1.0, cache_kib=16384))
                opened.append(connect(path, query_only=True, busy_seconds=0.0, cache_kib=4096))
                for _ in range(readers):
                    opened.append(connect(path, query_only=True, busy_seconds=seconds, cache_kib=2048))
                return cls(opened[1], opened[2:], opened[0], Wal(path))
        except BaseException as error:
            for connection in reversed(opened):
                connection.close()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise StorageUnavailable(f"cannot open {path}: {error}") from error
            raise


class _Readers:
    """A few threads for reads that may take long, each with a connection that can wait."""

    def __init__(self, connections: list[sqlite3.Connection], queue_seconds: float) -> None:
        self._connections = connections
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._queue_seconds = queue_seconds
        self._threads = ThreadPoolExecutor(len(connections), "dragoman-reader")

    async def fetch(self, statement: Statement, values: list[Any], *, limited: bool = False) -> list[Row]:
        """Run the statement on a thread; raises StorageBusy when no thread was free in time."""
        deadline = time.monotonic() + self._queue_seconds
        try:
            waiting = asyncio.get_running_loop().run_in_executor(
                self._threads, self._fetch, statement, values, limited, deadline
            )
        except RuntimeError:
            raise StorageUnavailable("the database is closed") from None
        return await waiting

    def _fetch(self, statement: Statement, values: list[Any], limited: bool, deadline: float) -> list[Row]:
        if time.monotonic() > deadline:
            raise StorageBusy
        connection = self._free.get()
        try:
            cursor = connection.execute(statement.question, values)
            return _limited(cursor, statement) if limited else cursor.fetchall()
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise_failure(error)
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Let reads under way finish, then close. Not on the event loop."""
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()


def _limited(cursor: sqlite3.Cursor, statement: Statement) -> list[Row]:
    """Return the rows of `cursor`, never leaving it half-read: that would pin its snapshot."""
    rows: list[Row] = cursor.fetchmany(ROW_LIMIT + 1)
    if len(rows) > ROW_LIMIT:
        cursor.close()
        raise TooManyRows(repr(statement))
    return rows


async def _nothing(tx: Tx) -> None:
    """Do nothing, in a transaction."""
