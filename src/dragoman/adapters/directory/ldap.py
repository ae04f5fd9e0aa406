"""People and passwords of an LDAP directory (OpenLDAP, Active Directory and others).

The library waits in threads: a few of our own, so that nobody else's work waits behind a directory. Each call has one
deadline, kept by the thread itself and once more by who awaits it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dragoman.adapters.directory.place import Attributes, Place
from dragoman.core.ports import Clock, DirectoryBusy, DirectoryFailed, DirectoryUnreachable, Entry, PasswordRefused
from dragoman.model import Secret

if TYPE_CHECKING:
    from dragoman.adapters.directory.exchange import Exchange

__all__ = ["Attributes", "LdapDirectory", "Place"]

T = TypeVar("T")

GRACE_SECONDS = 0.5
"""How much longer than its deadline a thread is waited for: name look-ups cannot be hurried."""


class LdapDirectory:
    """Asks an LDAP directory. Implements `Directory`.

    :param place: where it is and how people are found; at most `connections` exchanges are under way at a time, and
        the time that the others wait counts as part of their `timeout`.
    """

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._slots = asyncio.Semaphore(place.connections)
        self._loading = asyncio.Lock()
        self._exchange: Callable[[float], Exchange] | None = None

    async def load(self) -> None:
        """Import the library and read the authorities. Raises DirectoryUnreachable."""
        await self._loaded()

    async def prove(self, name: str, password: Secret, *, id: str = "") -> Entry:
        """Look somebody up and bind with the password. Raises as `Directory.prove` does."""
        if not bindable(password):
            raise PasswordRefused("no such password can be sent")
        return await self._within(lambda exchange: exchange.prove(name, password, id))

    async def find(self, name: str) -> Entry:
        """Look somebody up. Raises as `Directory.find` does."""
        return await self._within(lambda exchange: exchange.find(name))

    async def reach(self) -> None:
        """Connect and sign in to search. Raises DirectoryUnreachable, DirectoryBusy."""
        await self._within(lambda exchange: exchange.reach())

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    async def _within(self, ask: Callable[[Exchange], T]) -> T:
        made = await self._loaded()
        deadline = self._clock.monotonic() + self._place.timeout
        try:
            async with asyncio.timeout(self._place.timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise DirectoryBusy("waiting for a connection: none became free in time") from None
        left = max(0.0, deadline - self._clock.monotonic())
        try:
            async with asyncio.timeout(left + GRACE_SECONDS):
                return await self._in_thread(lambda: ask(made(deadline)))
        except TimeoutError:
            raise DirectoryUnreachable("no answer in time") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread of its own. Its slot is free again when the thread has ended, not when we give up."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def deliver(value: T | None, fault: Exception | None) -> None:
            self._slots.release()
            if answer.done():
                return
            if fault is not None:
                answer.set_exception(fault)
            else:
                answer.set_result(value)  # type: ignore[arg-type]

        def run() -> None:
            value, fault = None, None
            try:
                value = work()
            except DirectoryFailed as why:
                fault = why
            except Exception as why:
                fault = DirectoryUnreachable(f"failed: {type(why).__name__}")
            try:
                loop.call_soon_threadsafe(deliver, value, fault)
            except RuntimeError:
                return  # the caller's loop has closed: nobody waits for this any more

        threading.Thread(target=run, name="directory", daemon=True).start()
        return await answer

    async def _loaded(self) -> Callable[[float], Exchange]:
        """Import the library and read the authorities, once and before any deadline: a busy machine takes its time."""
        async with self._loading:
            if self._exchange is None:
                self._exchange = await asyncio.to_thread(self._load)
            return self._exchange

    def _load(self) -> Callable[[float], Exchange]:
        from dragoman.adapters.directory import exchange

        context = exchange.context(self._place)
        return lambda deadline: exchange.Exchange(self._place, context, self._clock.monotonic, deadline)


def bindable(password: Secret) -> bool:
    """Tell whether a password may be sent: empty ones, and those a server may take for empty, prove nobody."""
    text = password.reveal()
    return 0 < len(text) <= 1024 and "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
