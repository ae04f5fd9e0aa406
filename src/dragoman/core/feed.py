"""The feed of ended sessions: connections that outlive a call are told when their session has ended (decision 23).

Everything else asks the session's row with each call and needs no feed. Only while somebody follows a session, the
process reads every 250 ms which sessions ended since the read before, and the last 10 s again for what was committed
late or by a clock that differs: one read by index. So an end is known at most about half a second later, whichever
process wrote it.

Three things that the feed of ends does not show are looked after as well. A session that reaches its end by itself is
known at that moment. Whatever else makes it stop (a row deleted with its account, an idle time over, a clock far off)
is found within a minute, as each session's row is read again once in that time. And while the database cannot be read,
nothing is known: after 30 s of that all followers are told as if their sessions had ended. They come back, and are
judged anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import structlog

from dragoman.core import refusals
from dragoman.core.sessions import Sessions
from dragoman.core.tools import Tools
from dragoman.model import Id, Millis, Session
from dragoman.storage import sessions

log = structlog.get_logger("dragoman.feed")

EVERY_SECONDS = 0.25
AGAIN: Millis = 10_000
BLIND_SECONDS = 30.0
ROUND_SECONDS = 60.0
"""In this time the row of each followed session is read once."""
READ_SECONDS = 5.0
"""How long one look may take: a database that says nothing counts as away."""

Told = Callable[[], None]


class _Followed:
    """A session that somebody follows, with what to call when it has ended."""

    __slots__ = ("session", "told")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.told: list[Told] = []


class Feed:
    """Follows sessions for connections of this process."""

    def __init__(self, tools: Tools, asked: Sessions) -> None:
        self._t = tools
        self._asked = asked
        self._followed: dict[Id, _Followed] = {}
        self._task: asyncio.Task[None] | None = None
        self._turn: Iterator[Id] = iter(())
        self._next_end: Millis | None = None

    def follow(self, session: Session, told: Told) -> Callable[[], None]:
        """Call `told` once, soon after the session has ended; return what to call to hear nothing any more.

        The session is one that was read just now. Belongs to the event loop's thread.
        """
        found = self._followed.setdefault(session.id, _Followed(session))
        found.told.append(told)
        if session.ends_at is not None:
            self._next_end = min(self._next_end or session.ends_at, session.ends_at)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

        def unfollow() -> None:
            if told in found.told:
                found.told.remove(told)
            if not found.told and self._followed.get(session.id) is found:
                del self._followed[session.id]

        return unfollow

    async def stop(self) -> None:
        """Follow nobody any more."""
        self._followed.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        """Read and tell for as long as somebody follows."""
        clock = self._t.clock
        read_at, seen_at = clock.now(), clock.monotonic()
        while self._followed:
            now, began = clock.now(), clock.monotonic()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await self._look(read_at - AGAIN, now)
                read_at, seen_at = now, began
            except Exception as fault:
                if began - seen_at >= BLIND_SECONDS:
                    log.warning("ended sessions cannot be read", fault=type(fault).__name__, told=len(self._followed))
                    self._tell(list(self._followed))
            await asyncio.sleep(EVERY_SECONDS)
        self._task = None

    async def _look(self, since: Millis, now: Millis) -> None:
        """Tell those whose session has ended since then, or ends by now; look at a few others."""
        async for ended in sessions.ended_since(self._t.db, since):
            self._tell(ended)
        if self._next_end is not None and self._next_end <= now:
            ends = {id: found.session.ends_at for id, found in self._followed.items()}
            self._tell([id for id, at in ends.items() if at is not None and at <= now])
            self._next_end = min((at for at in ends.values() if at is not None and at > now), default=None)
        for _ in range(1 + int(len(self._followed) * EVERY_SECONDS / ROUND_SECONDS)):
            await self._check_next()

    async def _check_next(self) -> None:
        """Read the row of the session whose turn it is."""
        id = next(self._turn, None)
        if id is None:
            self._turn = iter(list(self._followed))
            id = next(self._turn, None)
        found = self._followed.get(id or b"")
        if found is None:
            return
        try:
            await self._asked.again(found.session)
        except refusals.NotSignedIn:
            self._tell([found.session.id])

    def _tell(self, ended: list[Id]) -> None:
        for id in ended:
            found = self._followed.pop(id, None)
            for told in found.told if found is not None else ():
                told()
