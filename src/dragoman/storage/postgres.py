"""PostgreSQL: a pool of connections, prepared statements, SERIALIZABLE transactions that are tried again.

What each error of the driver means to us is in `postgres_errors.py`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from dragoman.storage.engine import (
    ROW_LIMIT,
    OutcomeUnknown,
    Row,
    Statement,
    StorageBusy,
    StorageUnavailable,
    SuspendedInTransaction,
    T,
    TooManyRows,
    Tx,
)
from dragoman.storage.postgres_errors import (
    DRIVER_ERRORS,
    Conflict,
    cannot_open,
    describe_dsn,
    failure_of,
    raise_failure,
)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

RETRIES = 5
_FIRST_PAUSE_SECONDS = 0.004
_SETTINGS = {
    "application_name": "dragoman",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
    "timezone": "UTC",
}

log = structlog.get_logger("dragoman.storage")


class PostgresTx:
    """A transaction under way on one connection."""

    __slots__ = ("_connection", "failure", "waiting")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.failure: Exception | None = None
        """Why no further statement is taken: the server gives a transaction up at its first error."""
        self.waiting = False
        """Whether the function is suspended in a statement of this transaction, as it may be."""

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None."""
        rows = await self._perform(self._connection.fetch, statement, args)
        return tuple(rows[0]) if rows else None

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200; raises TooManyRows beyond."""
        return _limited(await self._perform(self._connection.fetch, statement, args), statement)

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run a write and return the number of rows it changed."""
        return _count(await self._perform(self._connection.execute, statement, args))

    async def _perform(self, call: Callable[..., Awaitable[Any]], statement: Statement, args: dict[str, Any]) -> Any:
        if self.failure is not None:
            raise self.failure
        values = statement.bind(args)
        self.waiting = True
        try:
            return await call(statement.dollar, *values)
        except asyncpg.DataError as error:  # found before anything was sent: the transaction goes on
            raise_failure(error, statement)
        except DRIVER_ERRORS as error:
            self.failure = failure_of(error, statement)
            raise_failure(error, statement)
        finally:
            self.waiting = False


class PostgresEngine:
    """One PostgreSQL database behind the interface of `storage/engine.py`. Made by `open`."""

    def __init__(self, pool: Pool, *, jitter: Callable[[], float], queue_seconds: float, rehearse: bool) -> None:
        self._pool = pool
        self._jitter = jitter
        self._queue_seconds = queue_seconds
        self._rehearse = rehearse
        self._under_way: set[asyncio.Task[Any]] = set()
        self._in_trouble = asyncio.Lock()
        self._closing = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        jitter: Callable[[], float],
        min_connections: int = 2,
        max_connections: int = 10,
        queue_seconds: float = 2.0,
        command_seconds: float = 30.0,
        rehearse: bool = False,
    ) -> PostgresEngine:
        """Connect to `dsn` (`postgresql://user:password@host:port/database`) for the running event loop.

        `jitter` returns a number from 0 to 1 and spreads the pauses between retries. `queue_seconds` is how long a
        call may wait for a connection before StorageBusy, `command_seconds` how long one statement may take.
        `rehearse` runs every transaction function once and rolls that back before it runs it for real
        (decision 30; for tests).

        Raises StorageUnavailable, which names server, database and user but never the password.
        """
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_connections,
                max_size=max_connections,
                timeout=command_seconds,
                command_timeout=command_seconds,
                statement_cache_size=1024,
                max_cached_statement_lifetime=0,
                reset=_keep_session,
                server_settings=_SETTINGS,
            )
        except (*DRIVER_ERRORS, ValueError) as error:
            raise cannot_open(dsn, error) from None
        log.info("database_opened", database=describe_dsn(dsn))
        return cls(pool, jitter=jitter, queue_seconds=queue_seconds, rehearse=rehearse)

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None."""
        rows = await self._fetch(statement, args)
        return tuple(rows[0]) if rows else None

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200; raises TooManyRows beyond."""
        return _limited(await self._fetch(statement, args), statement)

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Run a read that may be long; no limit on rows."""
        return [tuple(row) for row in await self._fetch(statement, args)]

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run one write as a transaction of its own, and return the number of rows it changed.

        At READ COMMITTED a write that met another's row judges its `where` again when that one is done, so there is
        nothing to try again; and one round trip does for three.
        """
        if self._closing:
            raise StorageUnavailable("the database is closed")
        task = asyncio.create_task(self._run_alone(statement, statement.bind(args)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `fn` SERIALIZABLE, up to 5 times more when it clashes with another (decision 30), and commit."""
        if self._closing:
            raise StorageUnavailable("the database is closed")
        task = asyncio.create_task(self._until_kept(fn))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def ready(self) -> bool:
        """Tell whether the server answers and would take a write (a standby would not)."""
        try:
            async with self._borrowed() as connection:
                read_only = await connection.fetchval("select current_setting('transaction_read_only')")
        except (StorageUnavailable, *DRIVER_ERRORS):
            return False
        return bool(read_only == "off")

    async def close(self) -> None:
        """Finish the transactions under way, whoever still waits for them, then close every connection."""
        self._closing = True
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._pool.close()

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        """Lend a connection of the pool, at once where one is idle: a deadline costs a task of its own."""
        deadline = None if self._pool.get_idle_size() else self._queue_seconds
        try:
            connection = await self._pool.acquire(timeout=deadline)
        except TimeoutError:
            raise StorageBusy from None
        except DRIVER_ERRORS as error:
            raise_failure(error)
        try:
            yield connection
        finally:
            with suppress(*DRIVER_ERRORS):  # a connection that broke is replaced at the next call
                await self._pool.release(connection)

    async def _fetch(self, statement: Statement, args: dict[str, Any]) -> list[asyncpg.Record]:
        values = statement.bind(args)
        async with self._borrowed() as connection:
            try:
                return await connection.fetch(statement.dollar, *values)
            except DRIVER_ERRORS as error:
                raise_failure(error, statement)

    async def _run_alone(self, statement: Statement, values: list[Any]) -> int:
        for _ in range(RETRIES):
            async with self._borrowed() as connection:
                try:
                    return _count(await connection.execute(statement.dollar, *values))
                except DRIVER_ERRORS as error:
                    failure = failure_of(error, statement)
            if isinstance(failure, Conflict):
                continue
            if isinstance(failure, StorageUnavailable):
                failure = OutcomeUnknown(str(failure))
            raise failure from None
        raise StorageUnavailable(f"other transactions were in the way {RETRIES} times")

    async def _until_kept(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        """Try `fn` until no other transaction is in its way.

        From the second retry on, transactions of this process go one at a time: among many writers of one row only
        one gets through per round, and five rounds would not do.
        """
        for attempt in range(RETRIES + 1):
            try:
                if attempt < 2:
                    return await self._attempt(fn)
                async with self._in_trouble:
                    return await self._attempt(fn)
            except Conflict:
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + self._jitter()))
        raise StorageUnavailable(f"other transactions were in the way {RETRIES + 1} times")

    async def _attempt(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        async with self._borrowed() as connection:
            tx = PostgresTx(connection)
            await _command(connection, "begin isolation level serializable")
            try:
                if self._rehearse:
                    await self._rehearsed(fn, tx, connection)
                result = await _watched(fn, tx)
                if tx.failure is not None:  # swallowed by the function: still lost
                    raise tx.failure
            except Exception:
                await _roll_back(connection)
                if isinstance(tx.failure, Conflict):  # whatever the function made of it
                    raise tx.failure from None
                raise
            tx.failure = RuntimeError("a tx was used after its transaction")
            try:
                await _command(connection, "commit")
            except StorageUnavailable as failure:
                if isinstance(failure, Conflict):
                    raise
                raise OutcomeUnknown(str(failure)) from None
            return result

    async def _rehearsed(self, fn: Callable[[Tx], Awaitable[Any]], tx: PostgresTx, connection: Connection) -> None:
        """Run `fn` and roll it back; what it raises, it will raise again when it runs for real."""
        await _command(connection, "savepoint rehearsal")
        with suppress(Exception):
            await _watched(fn, tx)
        if isinstance(tx.failure, StorageUnavailable):
            raise tx.failure
        tx.failure = None
        await _command(connection, "rollback to savepoint rehearsal")


async def _watched(fn: Callable[[Tx], Awaitable[T]], tx: PostgresTx) -> T:
    """Run `fn(tx)`, and end it when it waits for anything but its transaction, which SQLite could not do."""
    return await _only_for(tx, _awaiting(fn, tx))


async def _awaiting(fn: Callable[[Tx], Awaitable[T]], tx: PostgresTx) -> T:
    return await fn(tx)


@types.coroutine
def _only_for(tx: PostgresTx, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Drive `coroutine` as `await` would, and raise SuspendedInTransaction when it is suspended outside `tx`."""
    try:
        awaited = coroutine.send(None)
        while tx.waiting:
            try:
                answer = yield awaited
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(answer)
    except StopIteration as done:
        returned: T = done.value
        return returned
    with suppress(Exception):
        coroutine.close()
    raise SuspendedInTransaction("a transaction function awaited something other than its tx")


async def _command(connection: Connection, command: str) -> None:
    """Run a command of transactions; raises Conflict, ConstraintViolated (deferred) or StorageUnavailable."""
    try:
        await connection.execute(command)
    except DRIVER_ERRORS as error:
        raise_failure(error)


async def _roll_back(connection: Connection) -> None:
    with suppress(*DRIVER_ERRORS):  # a connection that broke has nothing to roll back
        await connection.execute("rollback")


async def _keep_session(connection: Any) -> None:
    """Leave the session as it is between two users: we never change it, and a reset costs a round trip."""


def _count(tag: Any) -> int:
    """Return how many rows a command tag speaks of: `INSERT 0 1`, `UPDATE 3`; `CREATE TABLE` of none."""
    count = str(tag).rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


def _limited(rows: list[asyncpg.Record], statement: Statement) -> list[Row]:
    if len(rows) > ROW_LIMIT:
        raise TooManyRows(repr(statement))
    return [tuple(row) for row in rows]
