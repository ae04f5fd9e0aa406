"""Identifiers: one fold for look-ups, one spelling for people (decision 15, threat 17).

The fold is done here and nowhere else; the databases compare bytes.
"""

from __future__ import annotations

import re
import unicodedata

from dragoman.core import refusals
from dragoman.model import IdentifierKind, Typed

EMAIL_LENGTH = 254
LOCAL_OCTETS = 64
USERNAME_LENGTH = 64
TYPED_LENGTH = 1024
_USERNAME = re.compile(r"[0-9A-Za-z._-]+", re.ASCII)
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=.*[a-z]){_LABEL}", re.ASCII)
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_ASCII_SPACE = " \t\r\n\f\v"


def fold(kind: IdentifierKind, text: str) -> str:
    """Return the form under which an identifier is stored and looked up. Never fails: odd text folds to itself.

    ASCII space around it is stripped, A to Z lowered and nothing else; the domain of an address becomes its A-label.
    """
    stripped = text.strip(_ASCII_SPACE).translate(_LOWER)
    if kind == "email" and "@" in stripped:
        local, domain = stripped.rsplit("@", 1)
        return f"{local}@{_a_label(domain)}"
    if kind == "phone":
        return re.sub(r"[\s\-.()]", "", stripped, flags=re.ASCII)
    return stripped


def _a_label(domain: str) -> str:
    if domain.isascii():
        return domain
    import idna  # its tables take long to import, and few addresses need them

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def meant(typed: Typed) -> tuple[IdentifierKind, str]:
    """Return the kind and fold of what somebody typed at a sign-in: `any` is an address when it holds an @."""
    kind: IdentifierKind = ("email" if "@" in typed.text else "username") if typed.kind == "any" else typed.kind
    return kind, fold(kind, typed.text[: TYPED_LENGTH + 1])


def storable(text: str) -> bool:
    """Tell whether both databases can hold the text: no control characters, no lone surrogates."""
    return not any(c < " " or c == "\x7f" or "\x80" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in text)


def check(kind: IdentifierKind, text: str) -> str:
    """Return the spelling to store of a new identifier.

    Raises BadIdentifier with the reason: an address needs exactly one @, something on both sides, no control
    characters and at most 254 characters; a username 1 to 64 of letters, digits, dot, hyphen, underscore; a phone
    number must be possible in E.164.
    """
    shown = text.strip(_ASCII_SPACE)
    if not storable(shown):
        raise refusals.BadIdentifier(kind, "it holds control characters")
    if kind == "email":
        return _check_email(shown)
    if kind == "username":
        if len(shown) > USERNAME_LENGTH or not _USERNAME.fullmatch(shown):
            raise refusals.BadIdentifier(kind, "1 to 64 letters, digits, dots, hyphens and underscores are expected")
        return shown
    return _check_phone(shown)


def check_strictly(text: str) -> str:
    """Return the spelling to store of an address that somebody typed at a registration.

    Beside what `check` asks: a local part of letters, digits and the marks of RFC 5322's dot-atom, at most 64 octets; a
    domain of two labels or more as DNS has them (decision 15). No quotes, comments or address literals. Raises
    BadIdentifier.
    """
    shown = check("email", text)
    local, domain = shown.rsplit("@", 1)
    if (
        len(local.encode()) > LOCAL_OCTETS
        or not _LOCAL.fullmatch(local)
        or unicodedata.normalize("NFC", local) != local
    ):
        raise refusals.BadIdentifier("email", "the part before the @ is not an ordinary one")
    if not _DOMAIN.fullmatch(fold("email", shown).rsplit("@", 1)[1]):
        raise refusals.BadIdentifier("email", f"no mail can be sent to {domain!r}")
    return shown


def _check_email(shown: str) -> str:
    local, at, domain = shown.partition("@")
    if not (local and at and domain) or "@" in domain:
        raise refusals.BadIdentifier("email", "one @ with something on both sides is expected")
    if len(shown) > EMAIL_LENGTH or len(fold("email", shown)) > EMAIL_LENGTH:
        raise refusals.BadIdentifier("email", f"more than {EMAIL_LENGTH} characters")
    if any(c.isspace() for c in shown):
        raise refusals.BadIdentifier("email", "it holds space")
    return shown


def _check_phone(shown: str) -> str:
    import phonenumbers  # takes long to import, and few processes check a new number

    try:
        number = phonenumbers.parse(fold("phone", shown))
    except phonenumbers.NumberParseException as why:
        raise refusals.BadIdentifier("phone", "a number with + and country code is expected") from why
    if not phonenumbers.is_possible_number(number):
        raise refusals.BadIdentifier("phone", "no such number is possible")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def username_from(*candidates: str) -> str:
    """Make a username out of the first candidate that leaves something: local part of an address, or a name."""
    for candidate in candidates:
        made = re.sub(r"[^0-9a-z._-]+", "-", candidate.partition("@")[0].lower()).strip("-.")[: USERNAME_LENGTH - 8]
        if made:
            return made
    return "account"


def names_of(name: str) -> tuple[str, str, str | None]:
    """Return first, last and display name of somebody whose name came as one text: it is shown as it was typed.

    The first word is taken for the first name; a display name is kept only where the two would not make the same text.
    """
    shown = name.strip(_ASCII_SPACE)
    first, _, last = shown.partition(" ")
    last = last.strip()
    return first, last, None if f"{first} {last}".strip() == shown else shown
