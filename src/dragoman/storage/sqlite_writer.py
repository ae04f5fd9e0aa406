"""The one thread that writes to SQLite: it commits whatever has gathered, together (decisions 30 to 32)."""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Literal

import structlog

from dragoman.storage.engine import (
    ROW_LIMIT,
    Row,
    Statement,
    StorageBusy,
    StorageUnavailable,
    SuspendedInTransaction,
    TooManyRows,
    Tx,
)
from dragoman.storage.sqlite_file import WAL_BYTES, Wal, WriterLock, failure_of, raise_failure

GROUP_LIMIT = 256
GATHER_SECONDS = 0.002
_GATHER_STEP = 0.0005
SLOW_SECONDS = 0.05
_GRACE_SECONDS = 15.0

log = structlog.get_logger("dragoman.storage")


def end_process() -> None:
    """End this process because its writer is gone: politely, and after 15 seconds by force.

    SIGTERM lets the server answer what is under way and close its sockets; a process that cannot write must not
    outlive that, whatever its other threads do. The exit status is 70 (EX_SOFTWARE).
    """
    forced = threading.Timer(_GRACE_SECONDS, os._exit, (70,))
    forced.daemon = True
    forced.start()
    os.kill(os.getpid(), signal.SIGTERM)


class SqliteTx:
    """The transaction function's view of the writer's connection, for as long as the function runs."""

    __slots__ = ("_connection", "failure")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.failure: Exception | None = None
        """Why no further statement is taken: PostgreSQL gives a transaction up at its first error, so do we."""

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None."""
        rows: list[Row] = self._execute(statement, args).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200; raises TooManyRows beyond."""
        cursor = self._execute(statement, args)
        rows: list[Row] = cursor.fetchmany(ROW_LIMIT + 1)
        if len(rows) > ROW_LIMIT:
            cursor.close()
            raise TooManyRows(repr(statement))
        return rows

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run a write and return the number of rows it changed."""
        cursor = self._execute(statement, args)
        cursor.fetchall()
        if statement.first_word == "with":  # the driver counts only what begins with insert, update or delete
            changed: int = self._connection.execute("select changes()").fetchone()[0]
            return changed
        return max(cursor.rowcount, 0)

    def _execute(self, statement: Statement, args: dict[str, Any]) -> sqlite3.Cursor:
        if self.failure is not None:
            raise self.failure
        values = statement.bind(args)
        try:
            return self._connection.execute(statement.question, values)
        except (OverflowError, UnicodeEncodeError) as error:
            raise_failure(error)
        except sqlite3.Error as error:
            self.failure = failure_of(error)
            raise_failure(self.failure)


@dataclass(slots=True, eq=False)
class Job:
    """One caller's transaction on its way through the writer."""

    fn: Callable[[Tx], Awaitable[Any]]
    future: asyncio.Future[Any]
    deadline: float
    context: contextvars.Context
    result: Any = None
    failure: BaseException | None = None
    kept: bool = False

    def settle(self) -> None:
        """Answer the caller. On the event loop only."""
        if self.future.done():  # the caller went away; the write did not
            return
        if self.failure is not None:
            self.future.set_exception(self.failure)
        elif self.kept:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(StorageUnavailable("the writer stopped before the commit"))


class Writer:
    """The writer thread, its connection and its queue.

    `connection` is used by this thread alone from now on; `wal` tells when to checkpoint; `on_death` is called
    once, in the writer's thread, when that ends otherwise than by `stop`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: WriterLock,
        wal: Wal,
        *,
        rehearse: bool,
        on_death: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._wal = wal
        self._rehearse = rehearse
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._dead = False
        self._together = 1
        """How many callers the last group served."""
        self._thread = threading.Thread(target=self._main, name="dragoman-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether jobs are still taken."""
        return not (self._dead or self._stopping)

    def submit(self, job: Job) -> None:
        """Queue a job; its future is resolved whatever happens. On the event loop only."""
        if not self.alive:
            raise StorageUnavailable("the writer has stopped")
        self._jobs.put(job)
        if self._dead:  # it died in between, and may have looked into the queue before
            self._refuse_queued()

    def stop(self) -> None:
        """Take no more jobs and end after those already taken. On the event loop only, as `submit`."""
        self._stopping = True
        self._jobs.put(None)

    def join(self) -> None:
        """Wait until the thread has ended. Not on the event loop."""
        self._thread.join()

    def _main(self) -> None:
        try:
            self._serve()
        except BaseException:
            log.critical("writer_died", exc_info=True)
            self._dead = True
            self._refuse_queued()
            self._on_death()

    def _serve(self) -> None:
        while group := self._next_group():
            try:
                if self._take_lock(group):
                    self._write(group)
            except BaseException:
                self._answer(group)
                raise

    def _next_group(self) -> list[Job]:
        """Wait for work; an empty group says that the queue has ended."""
        first = self._jobs.get()
        if first is None:
            return []
        group = [first]
        self._gather()
        self._top_up(group)
        return group

    def _gather(self) -> None:
        """Wait a moment for as many callers as came together last time, if several did.

        One commit then serves them all, and the event loop prepares their work undisturbed: every statement of ours
        takes the interpreter's lock from it and gives it back. A caller who is alone never waits.
        """
        until = time.monotonic() + GATHER_SECONDS
        while self._jobs.qsize() + 1 < self._together and time.monotonic() < until:
            time.sleep(_GATHER_STEP)

    def _top_up(self, group: list[Job]) -> None:
        with suppress(queue.Empty):
            while len(group) < GROUP_LIMIT:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # `stop` was last in the queue and stays last
                    return
                group.append(job)

    def _take_lock(self, group: list[Job]) -> bool:
        """Wait for the other processes; tell whether the lock was taken while somebody of the group still waits."""
        while not self._lock.try_take():
            now = time.monotonic()
            late = [job for job in group if job.deadline < now]
            if late:
                for job in late:
                    job.failure = StorageBusy()
                self._answer(late)
                group[:] = [job for job in group if job.failure is None]
            if not group:
                return False
            self._lock.wait()
        return True

    def _write(self, group: list[Job]) -> None:
        """Run the group, and whoever came while we waited for the lock; then let the other processes write."""
        try:
            self._top_up(group)
            self._together = len(group)
            self._run_group(group)
            self._checkpoint_when_large()
        finally:
            self._leave_transaction()
            self._lock.release()

    def _run_group(self, group: list[Job]) -> None:
        """Run every job in as few transactions as it takes, and answer each whatever happens."""
        waiting = deque(group)
        try:
            if not self._rehearse and self._run_plainly(group):
                return
            while waiting:
                self._run_transaction(waiting)
        finally:
            self._answer(group)

    def _run_plainly(self, group: list[Job]) -> bool:
        """Run the group without savepoints, two statements less for each job; tell whether it was kept.

        One job that fails undoes them all. Then nothing is kept and nothing lost: the group runs again, each job
        under a savepoint of its own, as a function may run more than once (decision 30).
        """
        try:
            self._connection.execute("begin immediate")
            for job in group:
                if job.deadline < time.monotonic():
                    job.failure = StorageBusy()
                    continue
                self._run_function(job)
                if job.failure is not None or not self._connection.in_transaction:
                    self._leave_transaction()
                    return False
            self._connection.execute("commit")
        except sqlite3.Error:  # the second run meets it again, and tells everybody what it is
            self._leave_transaction()
            return False
        for job in group:
            job.kept = True
        return True

    def _run_transaction(self, waiting: deque[Job]) -> None:
        """Take jobs from `waiting` into one transaction and commit it.

        When SQLite gave the whole transaction up (disk full, I/O error), the jobs so far fail and the rest is left
        in `waiting` (decision 31).
        """
        begun: list[Job] = []
        try:
            self._connection.execute("begin immediate")
        except sqlite3.Error as error:
            begun.extend(waiting)
            waiting.clear()
            self._give_up(begun, error)
            return
        try:
            while waiting:
                job = waiting.popleft()
                begun.append(job)
                self._run_job(job)
                if not self._connection.in_transaction:
                    _fail(begun, "the database gave the whole transaction up")
                    return
            self._connection.execute("commit")
        except sqlite3.Error as error:
            self._give_up(begun, error)
            return
        for job in begun:
            job.kept = True

    def _give_up(self, jobs: list[Job], error: sqlite3.Error) -> None:
        """Fail `jobs` for an error of begin, savepoint or commit; one that is no condition of the disk is our bug."""
        told = failure_of(error)
        if told is error:
            raise error
        self._leave_transaction()
        _fail(jobs, str(told))
        log.error("transaction_lost", cause=str(told), callers=len(jobs))

    def _run_job(self, job: Job) -> None:
        if job.deadline < time.monotonic():
            job.failure = StorageBusy()
            return
        if self._rehearse:
            self._run_in_savepoint(job, keep=False)
        if self._connection.in_transaction:
            self._run_in_savepoint(job, keep=True)

    def _run_in_savepoint(self, job: Job, *, keep: bool) -> None:
        """Run the job's function under a savepoint of its own, which holds only if it succeeded and is to `keep`."""
        self._connection.execute("savepoint job")
        self._run_function(job)
        if self._connection.in_transaction:
            if job.failure is not None or not keep:
                self._connection.execute("rollback to job")
            self._connection.execute("release job")

    def _run_function(self, job: Job) -> None:
        """Run the job's function and keep what it returned or raised."""
        tx, started = SqliteTx(self._connection), time.monotonic()
        job.result = job.failure = None
        try:
            job.result = job.context.run(_drive, job.fn, tx)
            job.failure = tx.failure  # swallowed by the function: still lost
        except BaseException as failure:
            job.failure = failure
        tx.failure = RuntimeError("a tx was used after its transaction")
        spent = time.monotonic() - started
        if spent > SLOW_SECONDS:
            log.warning("transaction_slow", fn=_name(job.fn), milliseconds=round(spent * 1000))

    def _checkpoint_when_large(self) -> None:
        """Checkpoint once the WAL has 4 MB in use; a log that a long read once let swell is cut back as well."""
        if self._wal.is_long():
            self.checkpoint("truncate" if self._wal.size() > 4 * WAL_BYTES else "restart")

    def checkpoint(self, mode: Literal["restart", "truncate"]) -> None:
        """Move the WAL into the database and begin it anew. Under the lock only.

        A reader with an old snapshot is waited for 50 ms at most: what it still needs stays in the WAL.
        """
        try:
            self._connection.execute("pragma busy_timeout=50").fetchall()
            self._connection.execute(f"pragma wal_checkpoint({mode})").fetchall()
            self._connection.execute("pragma busy_timeout=1000").fetchall()
        except sqlite3.Error as error:
            log.warning("checkpoint_failed", cause=str(error))

    def _leave_transaction(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("rollback")

    def _refuse_queued(self) -> None:
        rest = []
        with suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    rest.append(job)
        self._answer(rest)

    def _answer(self, jobs: list[Job]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: list[Job]) -> None:
    for job in jobs:
        job.settle()


def _fail(jobs: Iterable[Job], cause: str) -> None:
    for job in jobs:
        if job.failure is None:
            job.failure = StorageUnavailable(cause)


def _drive(fn: Callable[[Tx], Awaitable[Any]], tx: SqliteTx) -> Any:
    """Run `fn(tx)` to its end without an event loop: no `await` on this engine's tx ever suspends."""
    awaitable = fn(tx)
    coroutine = awaitable if isinstance(awaitable, CoroutineType) else _awaiting(awaitable)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    except RuntimeError as error:
        if "event loop" in str(error):  # asyncio was asked for something before it could suspend
            raise SuspendedInTransaction(f"{_name(fn)} asked for an event loop") from error
        raise
    with suppress(Exception):
        coroutine.close()
    raise SuspendedInTransaction(f"{_name(fn)} awaited something other than its tx")


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__qualname__))
