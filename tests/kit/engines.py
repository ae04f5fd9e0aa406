"""Engines for the tests. They run every transaction function twice (decision 30), unless told otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dragoman.storage.engine import Engine
from dragoman.storage.postgres import PostgresEngine
from dragoman.storage.sqlite import SqliteEngine
from kit.postgres import Cluster

ENGINES = ("sqlite", "postgres")


@asynccontextmanager
async def sqlite_engine(folder: Path, *, rehearse: bool = True, **options: Any) -> AsyncIterator[SqliteEngine]:
    """An engine on `folder`/dragoman.db, with the options of `SqliteEngine.open`; closed at the end.

    The test process outlives a writer that dies: every later call is refused, and the log says why.
    """
    settings = {"switch_interval": None, "on_death": lambda: None, **options}
    engine = await SqliteEngine.open(folder / "dragoman.db", rehearse=rehearse, **settings)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def postgres_engine(
    cluster: Cluster, *, template: str = "template1", rehearse: bool = True, **options: Any
) -> AsyncIterator[PostgresEngine]:
    """An engine on a fresh copy of `template`, with the options of `PostgresEngine.open`; closed at the end."""
    dsn = await cluster.create(template)
    engine = await PostgresEngine.open(dsn, jitter=lambda: 0.5, min_connections=1, rehearse=rehearse, **options)
    try:
        yield engine
    finally:
        await engine.close()
        await cluster.drop(dsn)


@asynccontextmanager
async def open_engine(kind: str, folder: Path, cluster: Cluster, **options: Any) -> AsyncIterator[Engine]:
    """The engine named `kind` (one of ENGINES)."""
    if kind == "sqlite":
        async with sqlite_engine(folder, **options) as engine:
            yield engine
    else:
        async with postgres_engine(cluster, **options) as other:
            yield other
