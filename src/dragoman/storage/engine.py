"""The small interface that the rest of Dragoman knows of a database.

SQL is written once, in the subset that SQLite and PostgreSQL share, as a module-level `Statement` beside the
function that uses it. The two engines are `storage/sqlite.py` and `storage/postgres.py`; both pass
`tests/conformance/test_engine.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from dragoman.storage.statement import STATEMENTS, Statement, UnstorableValue

__all__ = [
    "ROW_LIMIT",
    "STATEMENTS",
    "ConstraintViolated",
    "Engine",
    "OutcomeUnknown",
    "Reader",
    "Row",
    "Statement",
    "StorageBusy",
    "StorageUnavailable",
    "SuspendedInTransaction",
    "TooManyRows",
    "Tx",
    "UnstorableValue",
    "Writer",
]

T = TypeVar("T")
Row = tuple[Any, ...]

ROW_LIMIT = 200
"""How many rows `all` returns at most (decision 33)."""


class StorageUnavailable(Exception):
    """The database could not take the call: nothing of it was kept. The caller may try again."""


class StorageBusy(StorageUnavailable):
    """The call waited for its turn past the deadline; nothing of it was kept.

    `retry_after` is in whole seconds.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("the call waited for its turn past the deadline")
        self.retry_after = retry_after


class OutcomeUnknown(StorageUnavailable):
    """The connection broke during COMMIT: all of the transaction was kept, or nothing. PostgreSQL only."""


class ConstraintViolated(Exception):
    """A unique key, foreign key or check refused the row. The message names the constraint, never a value.

    It ends the transaction on both engines: every further statement raises it again, and so does `transaction`
    when `fn` has swallowed it. Where a clash is expected, write `ON CONFLICT`.
    """


class SuspendedInTransaction(RuntimeError):
    """A transaction function awaited something other than its `tx`. Nothing of it was kept."""


class TooManyRows(RuntimeError):
    """`all` met more than 200 rows: the statement belongs in `scan`."""


class Reader(Protocol):
    """What both an engine and a transaction can do.

    Every call raises UnstorableValue for a parameter that no engine keeps, StorageUnavailable when the database
    cannot answer.
    """

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        """Return the first row, or None. The statement is always run to its end."""

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Return all rows, at most 200; raises TooManyRows beyond."""


class Writer(Protocol):
    """What both an engine and a transaction can do: one write."""

    async def run(self, statement: Statement, /, **args: Any) -> int:
        """Run a write and return the number of rows it changed. Raises ConstraintViolated.

        On an engine it is a transaction of its own, on disk when this returns, and never SERIALIZABLE: whatever it
        depends on stands in its own `where`, so that of many at once each finds the row as the one before left it.
        Raises StorageUnavailable (nothing kept), StorageBusy, OutcomeUnknown besides.
        """


class Tx(Reader, Writer, Protocol):
    """A transaction under way. Valid only inside the `fn` it was given to, and used by one `await` at a time."""


class Engine(Reader, Writer, Protocol):
    """A database: point reads and single writes outside any transaction, scans, and transactions.

    An engine belongs to the event loop it was opened in. Reads see every write that was acknowledged before.
    """

    async def scan(self, statement: Statement, /, **args: Any) -> list[Row]:
        """Run a read that may be long (lists, searches) away from the event loop; no limit on rows."""

    async def transaction(self, fn: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `fn` in one durable transaction and return its value once the commit is on disk.

        `fn` may run more than once (decision 30): it touches only `tx` and its arguments. An exception from `fn`
        rolls its own writes back and reaches the caller. A caller that is cancelled does not cancel the write.

        Raises StorageUnavailable (nothing kept), StorageBusy, OutcomeUnknown, ConstraintViolated,
        SuspendedInTransaction.
        """

    async def ready(self) -> bool:
        """Tell whether reads and writes would be taken now (what `/ready` says)."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of connections and threads."""
