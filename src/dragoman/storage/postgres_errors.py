"""What an error of asyncpg means to a caller: one total function, and the words that keep secrets out of it."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import urlsplit

import asyncpg

from dragoman.storage.engine import ConstraintViolated, Statement, StorageUnavailable, UnstorableValue

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Everything that the driver raises by itself. TimeoutError is an OSError."""

_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError)
_UNAVAILABLE_CLASSES = frozenset({"08", "28", "3D", "53", "55", "57", "58"})
_READ_ONLY = "25006"  # a standby: the address has not moved to the new primary yet
_ARGUMENT = re.compile(r"argument \$(\d+)")


class Conflict(StorageUnavailable):
    """Another transaction was in the way (40001, 40P01), or a plan is older than the schema: to be tried again."""


def failure_of(error: Exception, statement: Statement | None = None) -> Exception:
    """Return what the interface says for an exception of the driver; an error of our own SQL stays as it is.

    No message repeats a value: the server's DETAIL line and the driver's DataError would (threat 40).
    """
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return ConstraintViolated(f"{error.constraint_name or type(error).__name__} on {error.table_name}")
    if isinstance(error, _CONFLICTS):
        return Conflict(type(error).__name__)
    if isinstance(error, asyncpg.DataError):
        return UnstorableValue(f"parameter {_parameter(error, statement)} cannot be stored")
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        return UnstorableValue("a parameter is too long for the index on its column")
    if _is_unavailable(error):
        return StorageUnavailable(f"{type(error).__name__}: {_first_line(error)}")
    return error


def raise_failure(error: Exception, statement: Statement | None = None) -> NoReturn:
    """Raise what `failure_of` says, without the driver's exception as its cause: that may hold values."""
    told = failure_of(error, statement)
    if told is error:
        raise error
    raise told from None


def cannot_open(dsn: str, error: Exception) -> StorageUnavailable:
    """Return the refusal of a database that cannot be opened. Faults of the DSN itself are not quoted."""
    cause = _first_line(error) if isinstance(error, (asyncpg.PostgresError, OSError)) else "the DSN cannot be used"
    return StorageUnavailable(f"cannot open {describe_dsn(dsn)}: {type(error).__name__}: {cause}")


def describe_dsn(dsn: str) -> str:
    """Return user, server and database of `dsn`, never the password."""
    try:
        parts = urlsplit(dsn)
        server = f"{parts.hostname or 'local'}:{parts.port or 5432}"
    except ValueError:
        return "a PostgreSQL database"
    return f"PostgreSQL {parts.username or ''}@{server}{parts.path}"


def _is_unavailable(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _UNAVAILABLE_CLASSES or state == _READ_ONLY
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error)  # "connection is closed", "pool is closing"; the others are our own mistakes
    return isinstance(error, (OSError, asyncpg.InternalClientError))


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else "").partition("\n")[0]


def _parameter(error: Exception, statement: Statement | None) -> str:
    place = _ARGUMENT.search(_first_line(error))
    return repr(statement.names[int(place[1]) - 1]) if place and statement else "of the statement"
