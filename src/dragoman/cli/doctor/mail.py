"""Whether mail goes out, and over what."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.sections import Mail
    from dragoman.settings import Settings

PATIENCE = 3.0
"""Seconds for connecting and the greeting together."""
PORTS = {"starttls": 587, "tls": 465, "none": 25}


def of_mail(settings: Settings, *, online: bool) -> list[Finding]:
    """Judge how mail is sent; only when `online` is the mail server asked, within three seconds."""
    mail = settings.mail
    found = _of_notices(mail)
    if mail.transport == "off":
        off = Finding(
            "warning", "mail.transport",
            "no mail is sent: nobody can reset a password, prove an address or hear that something changed",
            "set mail.transport = \"smtp\", see docs/how-to/send-mail.md",
        )  # fmt: skip
        return [off, *found]
    if mail.transport == "console":
        found.append(
            Finding("warning", "mail.transport", "mails are printed, with live links and codes, and never sent",
                    "for anything but development set mail.transport = \"smtp\"")
        )  # fmt: skip
    found += _of_address(settings)
    return found + (_of_server(mail, online=online) if mail.transport == "smtp" else [])


def _of_notices(mail: Mail) -> list[Finding]:
    if not mail.notices_off:
        return []
    return [
        Finding("note", "mail.notices_off", f"owners are not told of: {', '.join(mail.notices_off)}",
                "leave them out of the list; a thief is found by them")
    ]  # fmt: skip


def _of_address(settings: Settings) -> list[Finding]:
    from urllib.parse import urlsplit

    from dragoman.http.address import is_loopback

    url = settings.server.public_url
    if not url:
        return [
            Finding("warning", "server.public_url", "links in mails lead to where this machine listens",
                    "set it to the address that people call, https://id.example.com")
        ]  # fmt: skip
    if url.startswith("http://") and not is_loopback(urlsplit(url).hostname or ""):
        return [
            Finding("warning", "server.public_url", f"links in mails lead to {url}: what is typed there crosses the"
                    " network in clear", "let it be https")
        ]  # fmt: skip
    return []


def _of_server(mail: Mail, *, online: bool) -> list[Finding]:
    from dragoman.http.address import is_loopback

    found = []
    if mail.security == "none":
        found.append(
            Finding("note" if is_loopback(mail.host) else "warning", "mail.security",
                    "mails, with live links in them, go to the mail server in clear", "set starttls or tls")
        )  # fmt: skip
    if not online:
        found.append(
            Finding("note", "mail.host", "the mail server was not asked whether it answers",
                    "`dragoman doctor --online` asks it")
        )  # fmt: skip
        return found
    fault = asyncio.run(fault_of_server(mail))
    if fault:
        port = mail.port or PORTS[mail.security]
        found.append(
            Finding("error", "mail.host", f"the mail server {mail.host} port {port} {fault}",
                    "correct mail.host, mail.port and mail.security, or see that it runs")
        )  # fmt: skip
    return found


async def fault_of_server(mail: Mail) -> str:
    """Connect, read the greeting and leave; return what is wrong, empty when all is well. Sends no mail."""
    try:
        async with asyncio.timeout(PATIENCE):
            context = ssl.create_default_context(cafile=mail.ca_file or None) if mail.security == "tls" else None
            port = mail.port or PORTS[mail.security]
            reader, writer = await asyncio.open_connection(mail.host, port, ssl=context, limit=4096)
            try:
                greeting = await reader.readline()
                writer.write(b"QUIT\r\n")
            finally:
                writer.close()
    except TimeoutError:
        return f"does not answer within {PATIENCE:g} s"
    except (OSError, ValueError) as why:
        return f"does not answer: {why}"
    return "" if greeting.startswith(b"220") else f"greets with {greeting[:60].decode('latin-1').strip()!r}"
