"""The file under the SQLite engine: its modes, its lock between processes, its connections, its failures."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from dragoman.storage.engine import ConstraintViolated, StorageBusy, StorageUnavailable
from dragoman.storage.statement import UnstorableValue

LOCK_NAME = "writer.lock"
WAL_BYTES = 4 * 1024 * 1024
"""How much of the write-ahead log may be in use before the writer checkpoints (decision 32)."""

_POLL_SECONDS = 0.0005

_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_ELSEWHERE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT})


def prepare_files(path: Path) -> None:
    """Make the folder (0700), the database and the lock file (0600) where missing; tighten them where wider.

    A shared folder (sticky bit, such as /tmp) keeps its mode: it is not ours to close. SQLite gives its `-wal` and
    `-shm` the mode of the database. No file is opened that exists: closing it would drop the locks that another
    connection of this process holds on it. Raises StorageUnavailable naming path and cause.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _tighten(path.parent, 0o700)
        for file in (path, path.parent / LOCK_NAME):
            try:
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                _tighten(file, 0o600)
        for suffix in ("-wal", "-shm"):
            left_over = path.with_name(path.name + suffix)
            if left_over.exists():
                _tighten(left_over, 0o600)
    except OSError as error:
        raise StorageUnavailable(f"cannot prepare {path}: {error.strerror}") from error


def _tighten(path: Path, mode: int) -> None:
    found = path.stat().st_mode
    if stat.S_IMODE(found) & ~mode and not found & stat.S_ISVTX:
        path.chmod(mode)


class WriterLock:
    """The `flock` that every write, checkpoint and backup of one database takes (decision 32).

    SQLite before 3.51.3 can corrupt a WAL database when a checkpoint meets the commit of another connection, so
    writers of all processes take turns here. Two objects exclude each other even within one process. Not for
    several threads at once.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def try_take(self) -> bool:
        """Take the lock if it is free now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self, seconds: float) -> bool:
        """Take the lock, waiting at most `seconds`; tell whether it was taken."""
        end = time.monotonic() + seconds
        while not self.try_take():
            if time.monotonic() > end:
                return False
            self.wait()
        return True

    def wait(self) -> None:
        """Sleep between two tries: long enough for a commit elsewhere, short enough to catch the gap after it."""
        time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the lock for a block; raises StorageBusy when it was not free within `seconds`."""
        if not self.take(seconds):
            raise StorageBusy
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        """Let go of the file, and of the lock if it is still held."""
        os.close(self._descriptor)


class Wal:
    """The write-ahead log of one database, looked at from outside to learn when a checkpoint is due.

    Its file is not shortened by a checkpoint, since overwriting is faster than growing; so its size says nothing.
    Frames carry the salt of the log's header while they belong to it: the frame at the limit is looked at. (SQLite
    holds no locks on this file, so that opening it beside SQLite is harmless, unlike the database itself.)
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._salt = b""
        self._limit = 0

    def is_long(self) -> bool:
        """Tell whether 4 MB are in use: once for each 4 MB, lest a log that a reader pins be tried again and again."""
        header = os.pread(self._descriptor, 32, 0)
        if len(header) < 32:
            return False
        frame_bytes = 24 + int.from_bytes(header[8:12], "big")
        step = WAL_BYTES // frame_bytes
        if header[16:24] != self._salt:
            self._salt, self._limit = header[16:24], step
        frame = os.pread(self._descriptor, 24, 32 + self._limit * frame_bytes)
        if frame[8:16] != self._salt:
            return False
        self._limit += step
        return True

    def size(self) -> int:
        """Return the bytes that the file takes on disk."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def connect(path: Path, *, query_only: bool, busy_seconds: float, cache_kib: int) -> sqlite3.Connection:
    """Open one connection with the settings of design section 4.

    Call it under the WriterLock: the first connection after a crash recovers the WAL.
    """
    connection = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        mode = connection.execute("pragma journal_mode=wal").fetchone()[0]
        if mode != "wal":
            raise StorageUnavailable(f"{path} is on a file system without WAL (journal mode {mode})")
        for setting in (
            "synchronous=full",
            "mmap_size=0",
            "wal_autocheckpoint=0",
            "foreign_keys=on",
            "trusted_schema=off",
            "temp_store=memory",
            f"cache_size=-{cache_kib}",
            f"query_only={'on' if query_only else 'off'}",
        ):
            connection.execute(f"pragma {setting}").fetchall()
        connection.execute("select count(*) from sqlite_master").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def failure_of(error: Exception) -> Exception:
    """Return what the interface says for an exception of the driver; an error of our own SQL stays as it is."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintViolated(str(error))
    if isinstance(error, sqlite3.Error) and _code(error) in _UNAVAILABLE:
        return StorageUnavailable(f"{error} ({error.sqlite_errorname})")
    if isinstance(error, (OverflowError, UnicodeEncodeError)):
        return UnstorableValue(_told_without_value(error))
    return error


def raise_failure(error: Exception) -> NoReturn:
    """Raise what `failure_of` says, without the driver's exception as its cause: that may hold values."""
    told = failure_of(error)
    if told is error:
        raise error
    raise told from None


def wants_patience(error: Exception) -> bool:
    """Tell whether a read that failed on the event loop may well succeed on a thread that can wait."""
    return isinstance(error, sqlite3.OperationalError) and _code(error) in _ELSEWHERE


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code; 0 for errors that the driver raised without one."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _told_without_value(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "a text parameter holds a lone surrogate"
    return "an integer parameter is beyond 64 bits"
