"""The way out of the outbox: leasing letters, and what becomes of each.

A letter is handed over by one at a time: whoever leases it has it until the lease ends, and what he reports counts only
while the lease is his. It leaves the outbox in the transaction that says it was taken over, so a crash before that has
it sent again, under the same id (docs/decisions, "A letter may come twice in one window").
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from dragoman.core import events
from dragoman.core.letters import CHANNEL
from dragoman.core.ports import DeliveryFailed, Letter, Refused
from dragoman.core.tools import Tools
from dragoman.model import Id, Millis
from dragoman.storage import outbox as stored
from dragoman.storage.engine import Tx
from dragoman.storage.outbox import Due, Listed
from dragoman.storage.sealing import SealBroken

SECOND: Millis = 1000
FIRST_PAUSE = 30 * SECOND
LONGEST_PAUSE = 3600 * SECOND
MOST_TRIES = 54
"""Seven pauses that double from 30 s, then hourly: a letter that nobody takes is dead after two days."""
FAULT_LENGTH = 200
STATS_KEPT = 5 * SECOND
LISTED_AT_MOST = 1000


class Leased(Struct, frozen=True):
    """A letter to be handed over, and what must be shown to report on it."""

    letter: Letter
    lease: bytes
    tries: int
    """How often it was tried before."""
    account: Id | None
    until: Millis
    """When the lease ends and others may take it."""
    expires_at: Millis | None
    """When it is no longer of use to anybody."""


class Stats(Struct, frozen=True):
    """How the outbox stands."""

    waiting: int
    dead: int
    oldest_seconds: float
    """How long the oldest letter has been waiting; 0 when none is."""
    sent: int
    """Letters that this process handed over since it started."""
    failed: int
    """Tries of this process that failed since it started."""


class Outbox:
    """Letters that wait to be handed over. Any number of processes may take from it at once."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._sent = 0
        self._failed = 0
        self._stats: Stats | None = None
        self._stats_at: Millis = 0

    # ------------------------------------------------------------ handing over

    async def lease(self, limit: int, seconds: float) -> list[Leased]:
        """Take up to `limit` letters that are due, the longest due first, for so many seconds.

        Costs one read by index where nothing is due. Letters that are of no use any more are dropped on the way, and
        ones that do not open are buried: neither is ever tried again.
        """
        now = self._t.clock.now()
        rows = await stored.due(self._t.db, CHANNEL, now, limit)
        if not rows:
            return []
        lease, until = self._t.random.bytes(16), now + int(seconds * SECOND)
        letters = [(row, self._open(row, lease, until)) for row in rows]

        async def fn(tx: Tx) -> list[Leased]:
            taken = []
            for row, letter in letters:
                if row.expires_at is not None and row.expires_at <= now:
                    if await stored.expire(tx, row, now):
                        await _note(tx, "message_dropped", now, row, fault="expired")
                elif not await stored.lease(tx, row, lease, until):
                    continue  # somebody else was faster
                elif isinstance(letter, Leased):
                    taken.append(letter)
                else:
                    await _bury(tx, row, lease, now, letter)
            return taken

        return await self._t.db.transaction(fn)

    def _open(self, row: Due, lease: bytes, until: Millis) -> Leased | str:
        """Return the letter of a row, or why there is none."""
        try:
            letter = self._t.letters.read(row.id, row.account, row.kind, row.sealed)
        except SealBroken:
            return "its seal does not open"
        except msgspec.DecodeError:
            return "its content cannot be read"
        return Leased(letter, lease, row.tries, row.account, until, row.expires_at)

    async def may_begin(self, leased: Leased, seconds: float) -> bool:
        """Tell whether a hand-over that takes up to so many seconds may begin now.

        A lease with less left than that is made longer; one that another has taken meanwhile is not, and a letter that
        is of no use any more is dropped.
        """
        now, letter = self._t.clock.now(), leased.letter
        until = now + int(seconds * SECOND)
        if leased.expires_at is not None and leased.expires_at <= now:

            async def drop(tx: Tx) -> None:
                if await stored.delivered(tx, letter.id, leased.lease):
                    await _note(tx, "message_dropped", now, leased, fault="expired")

            await self._t.db.transaction(drop)
            return False
        if until <= leased.until:
            return True
        return await self._t.db.transaction(lambda tx: stored.renew(tx, letter.id, leased.lease, until))

    async def delivered(self, leased: Leased) -> bool:
        """Note that a letter was taken over: it leaves the outbox. Tell whether the lease was still in force."""
        now = self._t.clock.now()

        async def fn(tx: Tx) -> bool:
            if not await stored.delivered(tx, leased.letter.id, leased.lease):
                return False
            await _note(tx, "message_sent", now, leased, tried=leased.tries + 1)
            return True

        noted = await self._t.db.transaction(fn)
        self._sent += noted
        return noted

    async def failed(self, leased: Leased, why: DeliveryFailed) -> bool:
        """Note that nobody took a letter; tell whether it will be tried again.

        It is, after 30 s and then twice as long each time up to an hour, give or take a fifth, for two days. A letter
        that was Refused is dead at once.
        """
        now, fault = self._t.clock.now(), _told(why)
        self._failed += 1
        if isinstance(why, Refused) or leased.tries + 1 >= MOST_TRIES:
            await self._t.db.transaction(lambda tx: _bury(tx, leased, leased.lease, now, fault))
            return False
        due_at = now + self._pause(leased.tries)
        if leased.expires_at is not None:
            due_at = min(due_at, leased.expires_at)
        await self._t.db.transaction(lambda tx: stored.put_off(tx, leased.letter.id, leased.lease, due_at, fault))
        return True

    def _pause(self, tries: int) -> Millis:
        pause = min(FIRST_PAUSE << min(tries, 20), LONGEST_PAUSE)
        return pause * (800 + self._t.random.below(401)) // 1000

    async def give_back(self, leased: list[Leased]) -> None:
        """Give letters back untried, so that others need not wait for the end of their leases."""
        now = self._t.clock.now()

        async def fn(tx: Tx) -> None:
            for each in leased:
                await stored.release(tx, each.letter.id, each.lease, now)

        await self._t.db.transaction(fn)

    # ------------------------------------------------------------ for operators

    async def listed(self, limit: int = LISTED_AT_MOST, *, dead: bool = False) -> list[Listed]:
        """Return the oldest letters, all or only the dead ones. Never what they say, nor to whom they go."""
        return await stored.listed(self._t.db, limit, dead=dead)

    async def retry(self, id: Id | None = None) -> int:
        """Have a dead or put-off letter tried at once, and again for two days; all of them for None.

        Returns how many there were: one that is just being handed over is left alone.
        """
        now = self._t.clock.now()
        if id is not None:
            return int(await self._t.db.transaction(lambda tx: stored.revive(tx, id, now)))
        number = 0
        while revived := await self._t.db.transaction(lambda tx: stored.revive_many(tx, now)):
            number += revived
        return number

    async def forget(self, id: Id) -> bool:
        """Drop a letter unsent; tell whether it was there. One that is just being handed over may still arrive."""
        now = self._t.clock.now()
        found = await stored.find(self._t.db, id)
        if found is None:
            return False

        async def fn(tx: Tx) -> bool:
            if not await stored.drop(tx, id):
                return False
            await _note(tx, "message_dropped", now, found, fault="by an operator")
            return True

        return await self._t.db.transaction(fn)

    async def stats(self) -> Stats:
        """Return how the outbox stands. The table is looked at once in five seconds at most."""
        now = self._t.clock.now()
        if self._stats is None or not 0 <= now - self._stats_at < STATS_KEPT:
            waiting, dead = await stored.counts(self._t.db)
            oldest = await stored.oldest(self._t.db)
            age = 0.0 if oldest is None else max(0, now - oldest) / SECOND
            self._stats, self._stats_at = Stats(waiting, dead, age, 0, 0), now
        return msgspec.structs.replace(self._stats, sent=self._sent, failed=self._failed)


async def _bury(tx: Tx, row: Due | Leased, lease: bytes, now: Millis, fault: str) -> None:
    id = row.letter.id if isinstance(row, Leased) else row.id
    if await stored.bury(tx, id, lease, now, fault):
        await _note(tx, "message_dead", now, row, tried=row.tries + 1, fault=fault)


async def _note(
    tx: Tx, kind: events.Kind, now: Millis, row: Due | Leased | Listed, *, tried: int | None = None, fault: str = ""
) -> None:
    """Add what became of a letter to the audit trail: its kind, never where it goes or what it says."""
    message = row.letter.kind if isinstance(row, Leased) else row.kind
    tries = str(row.tries if tried is None else tried)
    if fault:
        await events.record(tx, kind, now, account=row.account, message=message, tries=tries, fault=fault)
    else:
        await events.record(tx, kind, now, account=row.account, message=message, tries=tries)


def _told(why: DeliveryFailed) -> str:
    """Return a reason as it is kept: one line, not too long, with nothing that a database or terminal objects to."""
    line = "".join(c if c.isprintable() else " " for c in str(why)) or type(why).__name__
    return line[:FAULT_LENGTH]
