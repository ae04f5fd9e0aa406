"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.house import House, open_house
from kit.postgres import postgres_cluster, postgres_dsn

__all__ = ["house", "postgres_cluster", "postgres_dsn"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A whole Dragoman on a fresh SQLite file; at the end, no session may have come another way than the gate."""
    async with open_house(tmp_path) as opened:
        yield opened
