"""Every story is told on both engines, unless a test says `on_sqlite`."""

from __future__ import annotations

import pytest

from kit.house import House


@pytest.fixture
async def house(any_house: House) -> House:
    """A house on SQLite, then one on PostgreSQL."""
    return any_house
