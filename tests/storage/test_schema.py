"""Migrations, schema.py and the version that the code expects say the same on both engines."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

import dragoman.storage
from dragoman.storage.migrate import migrate_postgres, migrate_sqlite
from dragoman.storage.postgres import PostgresEngine
from dragoman.storage.schema import RETENTION, metadata
from dragoman.storage.sqlite import SqliteEngine
from dragoman.storage.version import HEAD, is_current
from kit.house import empty_database, empty_template, sqlite_copy
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

MIGRATE = "import sys; from pathlib import Path; from dragoman.storage.migrate import *; "
MIGRATE_SQLITE = f"{MIGRATE} migrate_sqlite(Path(sys.argv[1]))"
MIGRATE_POSTGRES = f"{MIGRATE} migrate_postgres(sys.argv[1])"


def _differences(connection: sa.Connection) -> list[Any]:
    found = compare_metadata(
        MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}), metadata
    )
    return list(found)


def test_the_migrated_schema_is_the_declared_one_on_sqlite() -> None:
    engine = sa.create_engine(f"sqlite:///{empty_database()}")
    with engine.connect() as connection:
        assert _differences(connection) == []
    engine.dispose()


async def test_the_migrated_schema_is_the_declared_one_on_postgres(postgres_cluster: Cluster) -> None:
    dsn = await postgres_cluster.create(await empty_template(postgres_cluster))
    engine = create_async_engine(re.sub("^postgresql:", "postgresql+asyncpg:", dsn))
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()
    await postgres_cluster.drop(dsn)


def _shapes(connection: sa.Connection) -> set[tuple[Any, ...]]:
    rows = connection.exec_driver_sql("pragma table_list").all()
    return {tuple(row)[1:6] for row in rows if row[1] != "alembic_version" and not row[1].startswith("sqlite_")}


def test_migrated_tables_of_sqlite_are_strict_and_keyed_as_declared(tmp_path: Path) -> None:
    """What Alembic does not compare: STRICT, WITHOUT ROWID."""
    declared = sa.create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    metadata.create_all(declared)
    migrated = sa.create_engine(f"sqlite:///{empty_database()}")
    with declared.connect() as one, migrated.connect() as two:
        shapes = _shapes(one)
        assert shapes == _shapes(two)
    assert {name for name, *_ in shapes} == set(metadata.tables)
    assert all(strict for *_, strict in shapes)
    declared.dispose()
    migrated.dispose()


def test_the_version_that_the_code_expects_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(dragoman.storage.__path__[0]) / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]


def test_every_table_says_how_long_it_keeps_a_row() -> None:
    assert set(RETENTION) == set(metadata.tables)


def _at_once(program: str, place: str) -> None:
    source = str(Path(dragoman.storage.__path__[0]).parents[1])
    running = [
        subprocess.Popen([sys.executable, "-c", program, place], env={"PYTHONPATH": source}, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


async def test_several_processes_migrate_a_new_sqlite_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data" / "dragoman.db"
    await asyncio.to_thread(_at_once, MIGRATE_SQLITE, str(path))
    db = await SqliteEngine.open(path)
    assert await is_current(db)
    await db.close()


async def test_several_processes_migrate_a_new_postgres_at_once(postgres_cluster: Cluster) -> None:
    dsn = await postgres_cluster.create()
    await asyncio.to_thread(_at_once, MIGRATE_POSTGRES, dsn)
    db = await PostgresEngine.open(dsn, jitter=lambda: 0.5)
    assert await is_current(db)
    await db.close()
    await postgres_cluster.drop(dsn)


async def test_migrating_again_changes_nothing(tmp_path: Path, postgres_cluster: Cluster) -> None:
    async with sqlite_copy(tmp_path) as db:
        await asyncio.to_thread(migrate_sqlite, tmp_path / "dragoman.db")
        assert await is_current(db)
    dsn = await postgres_cluster.create(await empty_template(postgres_cluster))
    await asyncio.to_thread(migrate_postgres, dsn)
    await postgres_cluster.drop(dsn)


async def test_an_empty_database_is_not_current(tmp_path: Path, postgres_dsn: str) -> None:
    one = await SqliteEngine.open(tmp_path / "empty.db")
    two = await PostgresEngine.open(postgres_dsn, jitter=lambda: 0.5)
    for db in (one, two):
        assert not await is_current(db)
        await db.close()
