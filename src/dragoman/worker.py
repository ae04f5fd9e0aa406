"""Delivery: takes letters out of the outbox and hands them to the mailer, a few at a time, while the process lives.

Nothing that a mail server does reaches anybody else: each hand-over is a task of its own with an end, and what goes
wrong with it is written to the letter's row.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from msgspec import Struct

from dragoman.core import Core
from dragoman.core.outbox import Leased
from dragoman.core.ports import DeliveryFailed, Mailer, Unreachable
from dragoman.core.refusals import of_storage

log = structlog.get_logger("dragoman.worker")


class Pace(Struct, frozen=True):
    """How fast and how patiently letters are delivered. Seconds, unless a line says otherwise."""

    longest: float = 32.0
    """A hand-over that takes longer is given up."""
    slack: float = 10.0
    """How much longer than that a lease lasts, for the commit that says what became of the letter."""
    poll: float = 0.25
    """Between two looks into an empty outbox."""
    farewell: float = 5.0
    """How long hand-overs under way may go on when the process is told to stop."""
    at_once: int = 4
    """Letters being handed over at the same time."""
    batch: int = 20
    """Letters leased together."""


async def deliver_for_ever(core: Core, mailer: Mailer, pace: Pace | None = None) -> None:
    """Deliver letters until cancelled; then let hand-overs under way end, and give back what was not handed over.

    :param pace: how long a hand-over may take, and how often the outbox is looked into.
    """
    delivery = _Delivery(core, mailer, pace or Pace())
    try:
        await delivery.run()
    finally:
        await delivery.wind_up()


class _Delivery:
    """What one process has leased, and what it is handing over."""

    def __init__(self, core: Core, mailer: Mailer, pace: Pace) -> None:
        self._outbox = core.outbox
        self._mailer = mailer
        self._pace = pace
        self._leased: deque[Leased] = deque()
        self._under_way: dict[asyncio.Task[None], Leased] = {}
        self._away = False
        """Whether the database was away at the last look."""

    async def run(self) -> None:
        """Lease, and hand over, for ever."""
        while True:
            if len(self._leased) < self._pace.at_once:
                await self._lease()
            while self._leased and len(self._under_way) < self._pace.at_once:
                self._begin(self._leased.popleft())
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=self._pace.poll, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(self._pace.poll)

    def _begin(self, leased: Leased) -> None:
        task = asyncio.create_task(self._hand_over(leased))
        self._under_way[task] = leased
        task.add_done_callback(self._ended)

    async def _lease(self) -> None:
        # Shielded: were the wait cut off, rows would be leased and nobody would know.
        taking = asyncio.ensure_future(self._outbox.lease(self._pace.batch, self._pace.longest + self._pace.slack))
        try:
            self._leased += await asyncio.shield(taking)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                self._leased += await taking
            raise
        except Exception as fault:
            if not self._away:  # said once, not four times a second
                log.warning("outbox not read", fault=type(fault).__name__)
            self._away = True
        else:
            self._away = False

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # The letter keeps its lease, and is tried again when that ends.
            log.warning("delivery not noted", fault=type(fault).__name__)

    async def _hand_over(self, leased: Leased) -> None:
        if not await self._outbox.may_begin(leased, self._pace.longest):
            return
        try:
            async with asyncio.timeout(self._pace.longest):
                await self._mailer.send(leased.letter)
        except TimeoutError:
            await self._failed(leased, Unreachable(f"no end within {self._pace.longest:g} s"))
        except DeliveryFailed as why:
            await self._failed(leased, why)
        except Exception as bug:
            # Its text and its traceback may hold what the letter says.
            log.error("mailer broke", fault=type(bug).__name__, where=_where(bug), kind=leased.letter.kind)
            await self._failed(leased, Unreachable(f"the mailer broke: {type(bug).__name__}"))
        else:
            await self._noted(lambda: self._outbox.delivered(leased))
            log.debug("letter sent", kind=leased.letter.kind)

    async def _failed(self, leased: Leased, why: DeliveryFailed) -> None:
        again = await self._noted(lambda: self._outbox.failed(leased, why))
        log.warning("letter not sent", kind=leased.letter.kind, tries=leased.tries + 1, again=again, fault=str(why))

    async def _noted(self, note: Callable[[], Awaitable[bool]]) -> bool:
        """Write down what became of a letter, for as long as its lease lasts: forgotten, it would be sent again."""
        end = asyncio.get_running_loop().time() + self._pace.slack
        while True:
            try:
                return await note()
            except Exception as fault:
                if of_storage(fault) is None or asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(self._pace.poll)

    async def wind_up(self) -> None:
        """Give back what was not begun, let what was begun end, and give back what does not end in time."""
        await self._give_back(list(self._leased))
        self._leased.clear()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._pace.farewell)
        left = dict(self._under_way)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
            await self._give_back(list(left.values()))

    async def _give_back(self, leased: list[Leased]) -> None:
        try:
            if leased:
                await self._outbox.give_back(leased)
        except Exception as fault:  # others wait for the end of the leases, then
            log.warning("letters not given back", number=len(leased), fault=type(fault).__name__)


def _where(bug: Exception) -> str:
    """Return file and line that raised, without what it said."""
    frames = traceback.extract_tb(bug.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
