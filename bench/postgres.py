"""A PostgreSQL server of our own for measuring: durable, with a database that `dragoman serve` migrates."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.postgres import Cluster


@contextlib.contextmanager
def database() -> Iterator[str]:
    """Start a server, make a database, yield its address, and take both away."""
    cluster = Cluster(durable=True)
    try:
        yield asyncio.run(cluster.create())
    finally:
        cluster.remove()
