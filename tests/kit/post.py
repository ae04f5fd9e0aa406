"""A post office on loopback: a real SMTP server that keeps every letter it receives, and misbehaves on request.

```python
with Post() as post:
    ...                                   # mail.host = "127.0.0.1", mail.port = post.port, mail.security = "none"
    letter = (await post.arrived())[0]
    letter.to, letter.subject, letter.links(), letter.code()
```
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as rules
from functools import cached_property
from typing import Any, Literal, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

Security = Literal["none", "starttls", "tls"]
Phase = Literal["MAIL", "RCPT", "DATA", "middle", "answer"]
"""Where a misdeed happens: at a command, in the middle of the content, or when the letter is kept but not answered."""

_MESSAGE_ID = re.compile(rb"^Message-ID: (<[^>\s]+>)\r$", re.MULTILINE)
_LINK = re.compile(r"https?://[^\s<>\"]+")
_CODE = re.compile(r"^[ \t]*((?=\S*[0-9])[0-9A-Za-z-]{4,16})[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Received:
    """A letter as it arrived."""

    sender: str
    """As the envelope names it."""
    to: str
    raw: bytes
    encrypted: bool
    login: str | None
    """As whom the client had signed in to the mail server."""
    connection: int = 0
    """The number of the connection it came over, from 1."""
    at: float = 0.0
    """When, on the clock that measures durations."""

    @cached_property
    def message(self) -> EmailMessage:
        """The letter, taken apart when somebody looks: a test may receive ten thousand."""
        return message_from_bytes(self.raw, policy=rules)

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"])

    @property
    def message_id(self) -> str:
        """The same at every hand-over of one letter."""
        found = _MESSAGE_ID.search(self.raw)
        assert found is not None, "no Message-ID"
        return found[1].decode()

    @property
    def text(self) -> str:
        """The text form."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML form."""
        return self._part("html")

    def links(self) -> list[str]:
        """Return the links of the text form, in order."""
        return _LINK.findall(self.text)

    def code(self) -> str:
        """Return the one code of the text form: it stands on a line of its own and holds a digit."""
        (found,) = _CODE.findall(self.text)
        return str(found)

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None, f"no {kind} form"
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class _Trick:
    at: Phase
    code: int
    """0: hang up without a word."""
    times: int
    to: str | None


@dataclass
class Post:
    """An SMTP server in a thread of its own on a free port of 127.0.0.1.

    :param security: `none`, `starttls` (required) or `tls` from the first byte; both need `context`.
    :param user: name and password a client must sign in with.
    :param utf8: whether addresses may hold more than ASCII (SMTPUTF8).
    :param patience: seconds of silence after which a connection is closed.
    """

    security: Security = "none"
    context: ssl.SSLContext | None = None
    user: tuple[str, str] | None = None
    utf8: bool = True
    patience: float = 300.0
    delay: float = 0.0
    """Seconds before a letter is answered for. May be changed at any time."""
    letters: list[Received] = field(default_factory=list)
    """Every letter accepted, in order."""
    connections: int = 0
    """How many were opened so far."""
    tried: int = 0
    """How many letters were begun (MAIL FROM)."""
    port: int = 0

    def __post_init__(self) -> None:
        self._news = threading.Condition()
        self._tricks: list[_Trick] = []
        self._open: set[_Session] = set()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------ what a test asks

    async def arrived(self, count: int = 1, *, to: str | None = None, timeout: float = 10.0) -> list[Received]:
        """Wait until `count` letters (to that address) are there; return all of them. Fails after `timeout` s."""
        return await asyncio.to_thread(self.wait, count, to=to, timeout=timeout)

    def wait(self, count: int = 1, *, to: str | None = None, timeout: float = 10.0) -> list[Received]:
        """Do the same where no event loop runs."""
        with self._news:
            there = self._news.wait_for(lambda: len(self.sent_to(to)) >= count, timeout)
        found = self.sent_to(to)
        assert there, f"{len(found)} of {count} letters within {timeout} s: {[one.subject for one in found]}"
        return found

    def sent_to(self, to: str | None) -> list[Received]:
        """Return the letters to one address so far; all for None."""
        return [letter for letter in list(self.letters) if to is None or letter.to == to]

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._open)

    def clear(self) -> None:
        """Forget the letters and the misdeeds still to come."""
        with self._news:
            self.letters.clear()
            self._tricks.clear()

    # ------------------------------------------------------------ misdeeds

    def refuse(
        self, code: int, at: Literal["MAIL", "RCPT", "DATA"] = "RCPT", times: int = 10**9, to: str | None = None
    ) -> None:
        """Answer the next `times` letters (to that address) with `code`, 4xx or 5xx, at a command."""
        self._tricks.append(_Trick(at, code, times, to))

    def die(self, at: Phase = "middle", times: int = 1, to: str | None = None) -> None:
        """Hang up on the next `times` letters (to that address); at `answer` the letter is kept all the same."""
        self._tricks.append(_Trick(at, 0, times, to))

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be gone meanwhile; connections are cut, and afterwards the port is the same."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def hang_up(self) -> None:
        """Cut every connection that is open."""
        self._loop.call_soon_threadsafe(self._cut_all)

    # ------------------------------------------------------------ running

    def start(self) -> None:
        """Listen; returns when connections are taken."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="post", daemon=True)
        self._thread.start()
        assert ready.wait(10), "the post office did not open"

    def stop(self) -> None:
        """Close every connection and the port."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the post office did not close"
            self._thread = None

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        tls = self.context if self.security == "tls" else None
        server = loop.run_until_complete(
            loop.create_server(lambda: _Session(self), "127.0.0.1", self.port, ssl=tls, reuse_address=True)
        )
        self.port = server.sockets[0].getsockname()[1]
        loop.call_soon(ready.set)
        loop.run_forever()
        server.close()
        self._cut_all()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def _cut_all(self) -> None:
        for each in list(self._open):
            each.cut()

    # ------------------------------------------------------------ for the sessions, in the server's thread

    def opened(self, session: _Session) -> int:
        """Count a connection; return its number."""
        self.connections += 1
        self._open.add(session)
        return self.connections

    def closed(self, session: _Session) -> None:
        """Forget a connection."""
        self._open.discard(session)

    def trick(self, at: Phase, to: str | None) -> _Trick | None:
        """Return the misdeed that is due here."""
        with self._news:
            for each in self._tricks:
                if each.at == at and each.times > 0 and each.to in (None, to):
                    each.times -= 1
                    return each
        return None

    def keep(self, letter: Received) -> None:
        """Put a letter where the test finds it."""
        with self._news:
            self.letters.append(letter)
            self._news.notify_all()

    def admits(self, mechanism: str, given: LoginPassword) -> bool:
        """Tell whether a client may sign in to the mail server."""
        return self.user is not None and (given.login.decode(), given.password.decode()) == self.user


class _Session(SMTP):
    """One connection."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._number = 0
        super().__init__(
            None,
            hostname="post.example.com",
            enable_SMTPUTF8=post.utf8,
            timeout=post.patience,
            tls_context=post.context if post.security == "starttls" else None,
            require_starttls=post.security == "starttls",
            auth_require_tls=post.security == "starttls",
            authenticator=self._authenticated,
            loop=asyncio.get_running_loop(),
        )
        self._auth_required = post.user is not None  # passed to it, it warns where TLS is not required, too
        self.event_handler = self
        self._handle_hooks = {"DATA": _Session._kept}

    def connection_made(self, transport: Any) -> None:
        if self not in self._post._open:  # else it is the same connection, now encrypted
            self._number = self._post.opened(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._post.closed(self)
        super().connection_lost(error)

    def cut(self) -> None:
        """Hang up without a word."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    async def smtp_MAIL(self, arg: str | None) -> None:
        """MAIL FROM."""
        self._post.tried += 1
        if await self._honest("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """RCPT TO."""
        if await self._honest("RCPT", (arg or "").partition("<")[2].partition(">")[0]):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str | None) -> None:
        """DATA and what follows it."""
        if await self._honest("DATA", self._to()):
            if self._post.trick("middle", self._to()):
                await self.push("354 Go ahead, and see")
                await self._reader.read(100)
                await self._hung_up()
            await super().smtp_DATA(arg)

    async def _honest(self, at: Phase, to: str | None = None) -> bool:
        trick = self._post.trick(at, to)
        if trick is None:
            return True
        if not trick.code:
            await self._hung_up()
        await self.push(f"{trick.code} 1.2.3 refused <{to}> as told")
        return False

    async def _hung_up(self) -> None:
        self.cut()
        await asyncio.sleep(60)  # until the lost connection cancels this

    def _to(self) -> str | None:
        assert self.envelope is not None
        return self.envelope.rcpt_tos[0] if self.envelope.rcpt_tos else None

    def _authenticated(self, _s: Any, _session: Any, _e: Any, mechanism: str, given: Any) -> AuthResult:
        good = isinstance(given, LoginPassword) and self._post.admits(mechanism, given)
        return AuthResult(success=good, handled=False, auth_data=given.login if good else None)

    async def _kept(self, session: Any, envelope: Any) -> str:
        post = self._post
        if post.delay:
            await asyncio.sleep(post.delay)
        (to,) = envelope.rcpt_tos  # one letter goes to one person
        post.keep(
            Received(
                sender=envelope.mail_from,
                to=to,
                raw=envelope.original_content,
                encrypted=session.ssl is not None or post.security == "tls",
                login=session.auth_data.decode() if session.auth_data else None,
                connection=self._number,
                at=time.monotonic(),
            )
        )
        if post.trick("answer", to):
            await self._hung_up()
        return "250 kept"
