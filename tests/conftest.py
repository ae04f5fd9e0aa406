"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kit.engines import ENGINES
from kit.house import House, open_house, open_house_of, open_house_on_postgres
from kit.postgres import Cluster, postgres_cluster, postgres_dsn

# On a busy machine a single example may take any time: slowness is measured in bench/, not here.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

__all__ = ["house", "postgres_cluster", "postgres_dsn"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A whole Dragoman on a fresh SQLite file; at the end, no session may have come another way than the gate."""
    async with open_house(tmp_path) as opened:
        yield opened


@pytest.fixture
async def house_on_postgres(tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[House]:
    """The same on a fresh PostgreSQL database."""
    async with open_house_on_postgres(tmp_path, postgres_cluster) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
async def any_house(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres_cluster: Cluster,
) -> AsyncIterator[House]:
    """A house on SQLite, then one on PostgreSQL: the same test runs on both."""
    async with open_house_of(request.param, tmp_path, postgres_cluster) as opened:
        yield opened
