"""A process that writes: inserts ids with eight callers and prints each one once it was acknowledged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from dragoman.storage.engine import Statement, Tx
from dragoman.storage.sqlite import SqliteEngine

INSERT = Statement("insert into entry (id, data) values (:id, :data)")


async def main(path: Path, first: int, count: int) -> None:
    engine = await SqliteEngine.open(path, queue_seconds=10.0)
    ids = iter(range(first, first + count))

    async def caller() -> None:
        for id in ids:

            async def insert(tx: Tx, id: int = id) -> None:
                await tx.run(INSERT, id=id, data=bytes(2000))

            await engine.transaction(insert)
            print(id, flush=True)

    await asyncio.gather(*(caller() for _ in range(8)))
    await engine.close()


# Standard output is for the ids alone: on a busy machine the engine warns of a slow write.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
