"""A house on either engine, for what must hold on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dragoman.storage.migrate import migrate_postgres
from kit.engines import ENGINES, postgres_engine
from kit.house import House, fast_settings, house_over, open_house
from kit.postgres import Cluster


@asynccontextmanager
async def _on_postgres(folder: Path, cluster: Cluster) -> AsyncIterator[House]:
    template = await cluster.template("dragoman", lambda dsn: asyncio.to_thread(migrate_postgres, dsn))
    async with (
        postgres_engine(cluster, template=template) as db,
        house_over(db, fast_settings(folder), folder) as opened,
    ):
        yield opened


@pytest.fixture(params=ENGINES)
async def either_house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A whole Dragoman, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        async with open_house(tmp_path) as opened:
            yield opened
    else:
        async with _on_postgres(tmp_path, request.getfixturevalue("postgres_cluster")) as opened:
            yield opened
            assert await opened.sessions_without_event() == 0, "a session came another way than through the gate"
