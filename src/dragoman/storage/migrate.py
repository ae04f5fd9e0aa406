"""Bringing a database to the newest schema: Alembic over either engine. Run by `dragoman migrate` only."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dragoman.storage.postgres_errors import DRIVER_ERRORS, cannot_open
from dragoman.storage.sqlite_file import WriterLock, prepare_files

LOCK_SECONDS = 60.0
_LOCK_KEY = 0x647261676F


class CannotMigrate(Exception):
    """The database cannot be brought to this schema. The text says why and what to do."""


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: sa.Connection) -> None:
    try:
        command.upgrade(_config(connection), "head")
    except CommandError as why:
        raise CannotMigrate(f"the schema is not one this version knows; run a newer Dragoman ({why})") from None


def _leave_transactions_to_us(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would commit before each DDL statement, and a crash would leave half a schema.
    connection.isolation_level = None
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        connection.execute(f"pragma {pragma}")


def _begin_at_once(connection: sa.Connection) -> None:
    connection.exec_driver_sql("begin immediate")


def migrate_sqlite(path: Path) -> None:
    """Bring the SQLite file to the newest schema, made with mode 0600 where missing. Holds the writers' lock."""
    os.umask(0o077)
    prepare_files(path)
    lock = WriterLock(path.parent)
    engine = sa.create_engine(f"sqlite:///{path}")
    sa.event.listen(engine, "connect", _leave_transactions_to_us)
    sa.event.listen(engine, "begin", _begin_at_once)
    try:
        with lock.held(LOCK_SECONDS), engine.begin() as connection:
            _upgrade(connection)
    finally:
        engine.dispose()
        lock.close()


async def _reach(engine: AsyncEngine, dsn: str) -> None:
    try:
        async with engine.connect():
            pass
    except sa.exc.DBAPIError as error:
        raise cannot_open(dsn, error.orig or error) from None
    except (*DRIVER_ERRORS, ValueError) as error:
        raise cannot_open(dsn, error) from None


def migrate_postgres(dsn: str) -> None:
    """Bring the PostgreSQL database to the newest schema; of several at once one works and the others wait."""

    async def run() -> None:
        engine = create_async_engine(re.sub(r"^postgres(ql)?://", "postgresql+asyncpg://", dsn))
        try:
            await _reach(engine, dsn)
            async with engine.begin() as connection:
                await connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
                await connection.run_sync(_upgrade)
        finally:
            await engine.dispose()

    asyncio.run(run())
