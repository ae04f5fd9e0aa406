"""One connection to a mail server, over which one letter goes at a time (RFC 5321).

Reasons name the phase and the server's code. What a server says in words stays here: it often repeats addresses.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import aiosmtplib
from msgspec import Struct

from dragoman.adapters.mail.message import Message
from dragoman.core.ports import Refused, Unreachable
from dragoman.model import Secret

Security = Literal["starttls", "tls", "none"]

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_FAREWELL = 2.0
_CLOSING = 421
_OURS = frozenset({530, 534, 535, 538})
"""Signing in is missing or failed (RFC 4954 section 6): the installation's fault, whatever letter it happened to."""
_CERTIFICATE = {10: "expired", 18: "self-signed", 19: "self-signed", 20: "unknown authority", 62: "other host name",
                64: "other address"}  # fmt: skip
"""X509_V_ERR_ numbers of OpenSSL."""


class Server(Struct, frozen=True):
    """Where mail is handed in."""

    host: str
    port: int = 0
    """0: 587 with STARTTLS, 465 with TLS, 25 without."""
    security: Security = "starttls"
    username: str = ""
    """Empty: nobody signs in."""
    password: Secret = Secret("")
    ca_file: str = ""
    """PEM file of authorities; empty: the system's."""
    verify: bool = True
    """Whether the certificate must be good."""
    timeout: float = 30.0
    """Seconds for one letter, all steps together."""
    connections: int = 4
    idle: float = 30.0
    """Seconds after which a connection without work is closed."""


class Progress:
    """How far a letter has come, to be told when time runs out."""

    def __init__(self) -> None:
        self.phase = "waiting for a connection"


class Gone(Unreachable):
    """The server ended the connection before it had the letter."""


class Connection:
    """One connection. `usable` says whether the next letter may go over it."""

    def __init__(self, server: Server, context: ssl.SSLContext | None, name: str) -> None:
        self._server = server
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port or _PORTS[server.security],
            local_hostname=name,  # else the resolver is asked, and may take its time
            use_tls=server.security == "tls",
            start_tls=False,  # we do it, so as to tell its failures apart
            tls_context=context,
            timeout=None,  # the whole letter has one
        )
        self._between = False
        """Whether an answer was received to everything that was asked."""
        self._begun = False
        """Whether the server may believe that a letter is under way."""
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether the server is there and waits for a command."""
        return self._between and self._client.is_connected

    async def open(self, progress: Progress) -> None:
        """Connect, encrypt and sign in. Raises Unreachable."""
        with _told(progress, "connect"):
            await self._client.connect()
        with _told(progress, "EHLO"):
            await self._client.ehlo()
        if self._server.security == "starttls":
            if not self._client.supports_extension("starttls"):
                raise Unreachable("STARTTLS: not offered")
            with _told(progress, "STARTTLS"):
                await self._client.starttls()
            with _told(progress, "EHLO"):
                await self._client.ehlo()
        if self._server.username:
            if not self._client.supports_extension("auth"):
                raise Unreachable("AUTH: not offered")
            with _told(progress, "AUTH"):
                await self._client.login(self._server.username, self._server.password.reveal())
        self._between = True

    async def begin(self, message: Message, progress: Progress) -> None:
        """Name the sender. Raises Refused, Unreachable; Gone when nothing of this letter was taken in."""
        if message.utf8 and not self._client.supports_extension("smtputf8"):
            raise Refused("SMTPUTF8: not offered, and the address needs it")
        if self._begun:
            code = await self._answer(progress, "RSET", b"RSET")
            if code != 250:
                raise Gone(f"RSET: {code}")
        self._begun = True
        options = (b"BODY=8BITMIME", b"SMTPUTF8") if message.utf8 else ()
        code = await self._answer(progress, "MAIL", b"MAIL", f"FROM:<{message.sender}>".encode(), *options)
        if code == _CLOSING:
            raise Gone(f"MAIL: {code}")
        _judged("MAIL", code)

    async def finish(self, message: Message, progress: Progress) -> None:
        """Name the receiver and send the letter; returns when the server has it. Raises Refused, Unreachable."""
        _judged("RCPT", await self._answer(progress, "RCPT", b"RCPT", f"TO:<{message.to}>".encode()))
        self._between = False
        try:
            with _told(progress, "DATA", aiosmtplib.SMTPDataError):
                await self._client.data(message.content)
        except aiosmtplib.SMTPDataError as why:
            # Not the 354 or 250 that was due. Whatever else is no answer to this, and the next would be none either.
            self._between = 400 <= why.code < 600 and why.code != _CLOSING
            raise _no("DATA", why.code) from None
        self._between, self._begun = True, False

    async def leave(self) -> None:
        """Say good-bye and close, within two seconds."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._client.quit()
        except (aiosmtplib.SMTPException, OSError):  # TimeoutError is one
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Close without a word, and without waiting for the other side."""
        self._between = False
        if self._client.transport is not None:
            cast(asyncio.Transport, self._client.transport).abort()
        self._client.close()

    async def _answer(self, progress: Progress, phase: str, *words: bytes) -> int:
        self._between = False
        with _told(progress, phase):
            answer = await self._client.execute_command(*words)
        self._between = True  # where the answer was 421, the library has closed the connection
        return answer.code


def context(server: Server) -> ssl.SSLContext | None:
    """Return how certificates are checked; reads files. Raises Unreachable."""
    if server.security == "none":
        return None
    try:
        made = ssl.create_default_context(cafile=server.ca_file or None)
    except OSError:
        raise Unreachable("TLS: the file of authorities cannot be read") from None
    if not server.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _judged(phase: str, code: int) -> None:
    if not 200 <= code < 300:
        raise _no(phase, code)


def _no(phase: str, code: int) -> Refused | Unreachable:
    return (Refused if 500 <= code < 600 and code not in _OURS else Unreachable)(f"{phase}: {code}")


@contextmanager
def _told(progress: Progress, phase: str, *passed: type[Exception]) -> Iterator[None]:
    """Turn whatever goes wrong in a phase into a reason that names it; `passed` goes through.

    `from None` keeps the server's words out of tracebacks.
    """
    progress.phase = phase
    try:
        yield
    except passed:
        raise
    except aiosmtplib.SMTPResponseException as why:
        raise Unreachable(f"{phase}: {why.code}" if why.code > 0 else f"{phase}: not SMTP") from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as why:
        raise Gone(f"{phase}: {_fault(why)}") from None


def _fault(why: BaseException) -> str:
    """Return what happened in our own words."""
    causes: list[BaseException] = [why]
    while causes[-1].__cause__ is not None and len(causes) < 5:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            number = cause.verify_code
            return f"certificate refused ({_CERTIFICATE.get(number, number)})"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None:
            return errno.errorcode.get(cause.errno, "host not found")  # the resolver has numbers of its own
    lost = isinstance(why, (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError, ConnectionError))
    return "connection lost" if lost else "failed"
