"""The small interface that the rest of Dragoman knows of a database.

SQL is written once, in the subset that SQLite and PostgreSQL share, as a module-level `Statement` beside the
function that uses it. The two engines are `storage/sqlite.py` and `storage/postgres.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = tuple[Any, ...]

STATEMENTS: list[Statement] = []
"""Every statement of the program, in order of import: the conformance suite runs each on both engines."""


class Statement:
    """One SQL text with named parameters (`:name`), written in the portable subset (decision 34).

    Parameters are int, str, bytes or None; times are integers in milliseconds since 1970, booleans 0 or 1.
    `hot` marks a statement of the sign-in, authenticate or refresh path: a test demands that it uses an index.
    """

    __slots__ = ("hot", "sql")

    def __init__(self, sql: str, *, hot: bool = False) -> None:
        self.sql = sql
        self.hot = hot
        STATEMENTS.append(self)


class StorageUnavailable(Exception):
    """The database could not take the call: nothing of it was kept. The caller may try again."""


class StorageBusy(StorageUnavailable):
    """The call waited in the writer's queue past its deadline; nothing of it was kept.

    `retry_after` is in whole seconds.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("the writer's queue is full")
        self.retry_after = retry_after


class ConstraintViolated(Exception):
    """A unique key, foreign key or check refused the row. The transaction may go on only on SQLite; do not."""


class SuspendedInTransaction(RuntimeError):
    """A transaction function awaited something other than its `tx`."""


class TooManyRows(RuntimeError):
    """`all` met more than 200 rows: the statement belongs in `scan`."""


class Reader(Protocol):
    """What both an engine and a transaction can do."""

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None. The statement is always run to its end."""

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200; raises TooManyRows beyond."""


class Tx(Reader, Protocol):
    """A transaction under way. Valid only inside the `fn` it was given to."""

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run a write and return the number of rows it changed. Raises ConstraintViolated."""


class Engine(Reader, Protocol):
    """A database: point reads outside any transaction, scans, and transactions."""

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Run a read that may be long (lists, searches) away from the event loop; no limit on rows."""

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `fn` in one durable transaction and return its value once the commit is on disk.

        `fn` may run more than once (decision 30): it touches only `tx` and its arguments. An exception from `fn`
        rolls its own writes back and reaches the caller. A caller that is cancelled does not cancel the write.

        Raises StorageUnavailable (nothing kept), StorageBusy, SuspendedInTransaction.
        """

    async def ready(self) -> bool:
        """Tell whether reads and writes would be taken now (what `/ready` says)."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of connections and threads."""
