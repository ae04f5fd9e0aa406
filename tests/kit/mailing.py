"""Letters in an outbox, and their delivery, for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from dragoman.adapters.mail.connection import Server
from dragoman.adapters.mail.smtp import SmtpMailer
from dragoman.core import Core
from dragoman.model import Person
from dragoman.storage.engine import Tx
from dragoman.storage.outbox import Waiting
from dragoman.worker import Pace, deliver_for_ever
from kit.house import House
from kit.post import Post

QUICK = Pace(longest=2.0, slack=1.0, poll=0.02, farewell=1.0)
"""A delivery for tests: nobody waits long."""
TOGETHER = 100


async def put(core: Core, person: Person, kind: str, to: str | None = None, **values: Any) -> bytes:
    """Put one letter into the outbox, as an act would; return its id."""
    letter = await core.letters.draft(kind, person, to, **values)
    assert letter is not None
    now = core.clock.now()
    await core.db.transaction(lambda tx: core.letters.put(tx, now, letter))
    return letter.id


async def put_many(core: Core, person: Person, addresses: Iterable[str]) -> None:
    """Put one small letter to each address into the outbox, a hundred in a transaction."""
    left = list(addresses)
    while left:
        some, left = left[:TOGETHER], left[TOGETHER:]
        letters = [await core.letters.draft("code", person, to, code="123456", minutes="10") for to in some]
        now = core.clock.now()
        await core.db.transaction(partial(_put, core, letters, now))


async def _put(core: Core, letters: list[Waiting | None], now: int, tx: Tx) -> None:
    await core.letters.put(tx, now, *letters)


def smtp(house: House, post: Post, timeout: float = 2.0) -> SmtpMailer:
    """A real mailer that hands letters to this post office."""
    server = Server(host="127.0.0.1", port=post.port, security="none", timeout=timeout)
    return SmtpMailer(server, "Dragoman <id@example.com>", house.clock)


@contextlib.asynccontextmanager
async def delivering(house: House, post: Post, pace: Pace = QUICK, timeout: float = 1.5) -> AsyncIterator[None]:
    """Deliver a house's outbox to a post office meanwhile."""
    mailer = smtp(house, post, timeout)
    task = asyncio.create_task(deliver_for_ever(house.core, mailer, pace))
    try:
        yield
        assert not task.done(), "the delivery stopped by itself"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await mailer.close()


async def until_empty(house: House, seconds: float = 10.0) -> None:
    """Wait until nothing waits in the outbox any more; dead letters may stay."""
    async with asyncio.timeout(seconds):
        while any(one.due_at is not None for one in await house.core.outbox.listed()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
