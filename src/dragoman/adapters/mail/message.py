"""A letter as a message of RFC 5322: headers, text and HTML as multipart/alternative.

Headers are made of checked parts only, so nothing that came from outside can add one. Everything but an
internationalised local part is 7-bit ASCII, whatever the mail server can do.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from msgspec import Struct

from dragoman.adapters.mail.render import Unfit, clean, render
from dragoman.core.ports import Letter
from dragoman.model import Millis

_LOCAL = re.compile(r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~.\u0080-\U0010ffff-]{1,64}")
"""RFC 5321 section 4.1.2 and RFC 6531 section 3.3, unquoted. Dots may stand anywhere: such addresses are in use."""
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f.:]+\]", re.ASCII)


class Mailbox(Struct, frozen=True):
    """An address in the form in which it is sent: its domain in ASCII."""

    local: str
    domain: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def ascii(self) -> bool:
        """Whether every mail server can carry it; else it needs SMTPUTF8."""
        return self.local.isascii()

    def header(self) -> Address:
        """Return it as a header shows it."""
        return Address(self.name, self.local, self.domain)


class Message(Struct, frozen=True):
    """What is handed to a mail server."""

    sender: Mailbox
    to: Mailbox
    content: bytes
    """Lines end with CR LF; none is longer than RFC 5322 allows."""

    @property
    def utf8(self) -> bool:
        """Whether the server must know SMTPUTF8 (RFC 6531)."""
        return not self.to.ascii


def mailbox(address: str, name: str = "") -> Mailbox:
    """Return an address in the form in which it is sent. Raises Unfit.

    Nothing is guessed: quoted local parts and comments are refused, since programs read them as different addresses.
    """
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        domain = _a_label(domain)
    unlike = clean(local) != local or not _LOCAL.fullmatch(local)
    if unlike or not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
        raise Unfit("no mail goes to such an address")
    return Mailbox(local, domain, name)


def sender(configured: str) -> Mailbox:
    """Return who mails come from, given as `Example <id@example.com>` or `id@example.com`. Raises Unfit."""
    name, opened, address = configured.strip().rpartition("<")
    if opened and not address.endswith(">"):
        raise Unfit("a sender is given as Name <address>")
    found = mailbox(address.removesuffix(">"), clean(name).strip('"'))
    if not found.ascii:
        raise Unfit("a sender's address is ASCII before its @")
    return found


def message(letter: Letter, sender: Mailbox, at: Millis) -> Message:
    """Return a letter as a message: alike at every hand-over but for its Date. Raises Unfit.

    :param at: now.
    """
    to = mailbox(letter.to)
    words = render(letter)
    made = EmailMessage(policy=SMTP.clone(utf8=not to.ascii))
    made["From"] = sender.header()
    made["To"] = to.header()
    made["Subject"] = words.subject
    made["Date"] = format_datetime(datetime.fromtimestamp(at // 1000, UTC))
    made["Message-ID"] = f"<{letter.id.hex()}@{sender.domain.strip('[]')}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: absence notes and other robots keep still
    made["X-Auto-Response-Suppress"] = "All"  # the same for those who do not know it
    # Quoted-printable is 7-bit and has no long lines, whether or not the server knows 8BITMIME.
    made.set_content(words.text, cte="quoted-printable")
    made.add_alternative(words.html, subtype="html", cte="quoted-printable")
    made["Content-Language"] = words.language  # earlier, it would move into the first part
    made.set_boundary(f"=_{letter.id.hex()}")  # "=_" never occurs in quoted-printable
    return Message(sender, to, made.as_bytes())


def _a_label(domain: str) -> str:
    import idna  # its tables take long to import, and few addresses need them

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as why:
        raise Unfit("no mail goes to such an address") from why
