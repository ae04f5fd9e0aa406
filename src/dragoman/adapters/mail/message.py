"""A letter as a message of RFC 5322: headers, text and HTML as multipart/alternative.

Headers are made of checked parts only, so nothing that came from outside can add one. Everything but an
internationalised local part is 7-bit ASCII, whatever the mail server can do. Written out here, since the standard
library's message classes take 7 ms for a letter, during which nobody else is served; this takes a quarter of one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import b2a_qp
from datetime import UTC, datetime
from email.utils import format_datetime

from msgspec import Struct

from dragoman.adapters.mail.render import Unfit, clean, render
from dragoman.core.ports import Letter
from dragoman.model import Millis

_LOCAL = re.compile(r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~.\u0080-\U0010ffff-]{1,64}")
"""RFC 5321 section 4.1.2 and RFC 6531 section 3.3, unquoted. Dots may stand anywhere: such addresses are in use."""
_ATOMS = re.compile(r"[^.]+(?:\.[^.]+)*")
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

    def header(self) -> str:
        """Return it as a header shows it, folded."""
        local = self.local if _ATOMS.fullmatch(self.local) else f'"{self.local}"'
        address = f"{local}@{self.domain}"
        return f"{_phrase(self.name)}\r\n <{address}>" if self.name else address


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
    id = letter.id.hex()
    boundary = f"=_{id}"  # "=_" never occurs in quoted-printable
    headers = {
        "From": sender.header(),
        "To": to.header(),
        "Subject": _unstructured(words.subject),
        "Date": format_datetime(datetime.fromtimestamp(at // 1000, UTC)),
        "Message-ID": f"<{id}@{sender.domain.strip('[]')}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: absence notes and other robots keep still
        "X-Auto-Response-Suppress": "All",  # the same for those who do not know it
        "Content-Language": words.language,
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{boundary}"',
    }
    top = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    parts = (_part(boundary, "plain", words.text), _part(boundary, "html", words.html))
    return Message(sender, to, b"".join((top, *parts, f"\r\n--{boundary}--\r\n".encode())))


def _part(boundary: str, kind: str, text: str) -> bytes:
    # Quoted-printable is 7-bit and has no long lines, whether or not the server knows 8BITMIME.
    head = (
        f"\r\n--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + b2a_qp(text.replace("\n", "\r\n").encode())


def _phrase(name: str) -> str:
    """Return a display name (RFC 5322 section 3.2.5)."""
    if _encoded_needed(name):
        return _encoded(name)
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _unstructured(text: str) -> str:
    return _encoded(text) if _encoded_needed(text) else text


def _encoded_needed(text: str) -> bool:
    """Tell whether readers would see anything else than the text, or a line would be too long."""
    return not text.isascii() or "=?" in text or len(text) > 500


def _encoded(text: str) -> str:
    """Return text as encoded words (RFC 2047 section 2), each of at most 75 characters and on a line of its own."""
    words, chunk = [], b""
    for c in text:
        more = c.encode()
        if len(chunk) + len(more) > 42:
            words.append(chunk)
            chunk = b""
        chunk += more
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode()}?=" for word in (*words, chunk))


def _a_label(domain: str) -> str:
    import idna  # its tables take long to import, and few addresses need them

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as why:
        raise Unfit("no mail goes to such an address") from why
