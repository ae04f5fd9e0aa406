"""Which form a login has: exactly one, nested at most once, the same for every way it comes in (threat 4)."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

from msgspec import UNSET, Struct, UnsetType

from dragoman.dialects.rocketchat.wire import Digest, Forms, Login, Named
from dragoman.model import Password, Typed

_T = TypeVar("_T")

LONGEST_PASSWORD = 1024
"""Code points that reach the gate (decision 26)."""

_PASSWORD = frozenset({"user", "username", "email", "password", "code"})
_DIRECTORY = frozenset({"ldap", "username", "ldap_pass", "ldap_options", "code"})


class ByPassword(Struct, frozen=True):
    """An identifier and a password, with a code where the client sends one."""

    typed: Typed
    password: Password
    code: str | None


class ByToken(Struct, frozen=True):
    """A token that the client kept."""

    token: str


def read(login: Login, code: str | None = None, *, flat: bool = True) -> ByPassword | ByToken | None:
    """Return the one form of a login body; None when it has none that signs in here, or parts of two.

    The forms of other services (OAuth, SAML, CAS, Crowd) are known as forms and sign nobody in. The LDAP form means
    what every other form means: the gate knows whom a directory answers for.

    :param code: from the header `x-2fa-code`; a code in the body goes before it.
    :param flat: whether a person may be named without the object `user`, which only REST takes (contract section 13.3).
    """
    given = _given(login)
    if "totp" in given:
        return _explicit(login, flat) if given == {"totp"} else None
    if "resume" in given:
        return ByToken(login.resume) if given == {"resume"} and isinstance(login.resume, str) else None
    return _by_password(login, given, login.code or code, flat)


def _explicit(login: Login, flat: bool) -> ByPassword | None:
    """Read the form with an explicit code: the login in it is by password and has no code of its own."""
    totp = login.totp
    if not _is_there(totp):
        return None
    given = _given(totp.login)
    return None if "code" in given else _by_password(totp.login, given, totp.code, flat)


def _by_password(login: Forms, given: frozenset[str], code: str | UnsetType | None, flat: bool) -> ByPassword | None:
    if given <= _PASSWORD and (flat or isinstance(login.user, Named)):
        typed, password = _typed(login, given), password_of(login.password)
    elif given <= _DIRECTORY and login.ldap is True and isinstance(login.username, str):
        typed, password = Typed("any", login.username), password_of(login.ldap_pass)
    else:
        return None
    if typed is None or password is None:
        return None
    return ByPassword(typed, password, code or None)


def _typed(login: Forms, given: frozenset[str]) -> Typed | None:
    """Return whom a password form means: `user` goes before `username`, that before `email` (contract section 3.1)."""
    if isinstance(login.user, Named):
        named = login.user
        if given & {"username", "email"} or (named.username is UNSET) == (named.email is UNSET):
            return None
        if isinstance(named.username, str):
            return Typed("username", named.username)
        return Typed("email", named.email) if isinstance(named.email, str) else None
    if isinstance(login.user, str):
        return Typed("any", login.user)
    if isinstance(login.username, str):
        return Typed("username", login.username)
    return Typed("email", login.email) if isinstance(login.email, str) else None


def password_of(sent: str | Digest | UnsetType | None) -> Password | None:
    """Return a password that came in either form; None where it is none that could be right."""
    if isinstance(sent, Digest):
        return Password.from_digest(sent.digest)
    if isinstance(sent, str) and 1 <= len(sent) <= LONGEST_PASSWORD:
        return Password.from_plain(sent)
    return None


def _given(login: Forms) -> frozenset[str]:
    """Return the fields that are there; null is not."""
    return frozenset(name for name in login.__struct_fields__ if _is_there(getattr(login, name)))


def _is_there(value: _T | UnsetType | None) -> TypeGuard[_T]:
    return value is not UNSET and value is not None
