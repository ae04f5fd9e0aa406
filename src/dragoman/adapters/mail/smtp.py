"""Mail by SMTP: a few connections, kept while there is work.

A letter is handed over when the server has answered its content with 250. If the connection dies between the last byte
of the content and that answer, nobody can know whether the server has it: the letter counts as undelivered and comes
again with the same Message-ID.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dragoman.adapters.mail import render
from dragoman.adapters.mail.connection import Connection, Gone, Progress, Server, context
from dragoman.adapters.mail.message import Message, message, sender
from dragoman.core.ports import Clock, Letter, Refused, Unreachable

if TYPE_CHECKING:
    import ssl


class SmtpMailer:
    """Hands letters to a mail server. Implements `Mailer`.

    :param server: where; at most `connections` letters are under way at a time, the others wait, and their waiting
        counts as part of their `timeout`.
    :param from_: from whom, `Example <id@example.com>`. Raises Unfit, a ValueError, when that is no address.
    """

    def __init__(self, server: Server, from_: str, clock: Clock) -> None:
        self._server = server
        self._sender = sender(from_)
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._slots = asyncio.Semaphore(server.connections)
        self._kept: list[Connection] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, letter: Letter) -> None:
        """Hand one letter over; the server has it when this returns.

        Raises Refused when the server will never take it or it cannot be put into words, Unreachable when it may be
        taken later. Ends within the server's `timeout` in any case.
        """
        progress = Progress()
        try:
            async with asyncio.timeout(self._server.timeout):
                await self._load()
                made = self._worded(letter)
                async with self._slots:
                    await self._deliver(made, progress)
        except TimeoutError:
            raise Unreachable(f"{progress.phase}: no answer within {self._server.timeout:g} s") from None

    async def close(self) -> None:
        """Close the connections without work; those at work are closed when their letter is through."""
        self._closed = True
        kept, self._kept = self._kept, []
        for connection in kept:
            self._leave(connection)
        await asyncio.gather(*self._leaving)

    async def _load(self) -> None:
        await render.ready()
        if self._context is None and self._server.security != "none":
            self._context = await asyncio.to_thread(context, self._server)

    def _worded(self, letter: Letter) -> Message:
        try:
            return message(letter, self._sender, self._clock.now())
        except render.Unfit as why:
            raise Refused(str(why)) from None

    async def _deliver(self, made: Message, progress: Progress) -> None:
        connection = await self._begun(made, progress)
        try:
            await connection.finish(made, progress)
        finally:
            self._keep(connection)

    async def _begun(self, made: Message, progress: Progress) -> Connection:
        """Return a connection whose server has taken the sender: a kept one, or a new one where that had ended.

        A kept one that does not answer leaves two thirds of the time to a new one.
        """
        connection = self._take()
        if connection is not None:
            try:
                async with asyncio.timeout(self._server.timeout / 3):
                    await connection.begin(made, progress)
                return connection
            except (Gone, TimeoutError):
                connection.drop()
            except BaseException:
                self._keep(connection)
                raise
        connection = Connection(self._server, self._context, self._sender.domain)
        try:
            await connection.open(progress)
            await connection.begin(made, progress)
        except BaseException:
            self._keep(connection)
            raise
        return connection

    def _take(self) -> Connection | None:
        while self._kept:
            connection = self._kept.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            if connection.usable:
                return connection
            connection.drop()
        return None

    def _keep(self, connection: Connection) -> None:
        if self._closed or not connection.usable:
            connection.drop()
            return
        connection.expiry = asyncio.get_running_loop().call_later(self._server.idle, self._expired, connection)
        self._kept.append(connection)

    def _expired(self, connection: Connection) -> None:
        if connection in self._kept:
            self._kept.remove(connection)
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        if connection.expiry is not None:
            connection.expiry.cancel()
        task = asyncio.create_task(connection.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
