"""Probe's wire shapes, named as its documents name them (contract sections 2.3, 3.1 to 3.9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from dragoman.model import Id, Millis, Person, Session, SignedIn, uuid_text

UserStatus = Literal["anonymous", "pending", "active", "suspended"]
ClientType = Literal["browser", "mobile", "bot", "other"]

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Address = Annotated[
    str, Meta(min_length=5, max_length=255, pattern=r"^[^@]+@[^@]+$", extra_json_schema={"format": "email"})
]
Hint = Annotated[str, Meta(max_length=2048)]
JWT_SHAPE = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$"
Jwt = Annotated[str, Meta(max_length=4096, pattern=JWT_SHAPE, extra_json_schema={"format": "jwt"})]
CAPTCHA_LENGTH = 6
"""Characters of a captcha token at least (contract section 2.7)."""


class SignIn(Struct, rename="kebab"):
    """What a sign-in sends, as JSON or as a form."""

    email: Address
    password: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET
    """Not required by the documents; without it the sign-in fails as with a wrong one (contract section 8, point 2)."""
    long_term_token: bool = True
    logout_other: bool = False
    current_user: Hint | None = None
    ret_url: Hint | None = None
    code: Annotated[str, Meta(max_length=64)] | None = None
    """A code of the second factor (decision 3)."""


class SignOut(Struct, rename="kebab"):
    """The query of a sign-out."""

    logout_all: bool = False
    ret_url: Hint | None = None


class SessionQuery(Struct, frozen=True, rename="kebab"):
    """Whose sessions are listed."""

    user_id: Annotated[tuple[Annotated[int, Meta(ge=1, lt=10**18)], ...], Meta(max_length=100)] = ()
    """Repeated; none: the caller's."""


class ChangePassword(Struct, rename="kebab"):
    """The caller's present password and the one to come (contract section 3.7)."""

    new_password: Annotated[str, Meta(min_length=1, max_length=1024)]
    old_password: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET
    """Required unless an update token stands for it."""
    password_update_token: Jwt | None = None
    """Of a forgotten password (contract section 7)."""


class ChangePasswordQuery(Struct, rename="kebab"):
    """The query of a change of password."""

    logout_all: bool = False
    """Ends the caller's other sessions; the one that asks stays."""


class Verify(Struct, rename="kebab"):
    """The token of a verification mail (contract section 3.9)."""

    verify_token: Jwt
    password: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """For an account that somebody else may have registered: what that one chose counts no more (decision 15)."""


class JwtToken(Struct, frozen=True):
    """The token of the new session and its end."""

    expire: Time
    token: str


class ProviderToken(Struct, frozen=True):
    """A token of a connected OAuth account."""

    provider: str
    token: str


class SignInAnswer(Struct, frozen=True, rename="kebab"):
    """Who signed in, and with what. A pending account gets neither token."""

    user_id: Annotated[int, Meta(ge=0)]
    status: UserStatus
    api_token: str | UnsetType = UNSET
    jwt_token: JwtToken | UnsetType = UNSET
    email: str | UnsetType = UNSET
    current_user: str | None = None
    ret_url: str | None = None
    oauth_provider_tokens: tuple[ProviderToken, ...] = ()


class SessionItem(Struct, frozen=True, rename="kebab"):
    """One signed-in client."""

    id: Uuid
    created: Time
    expire: Time | UnsetType = UNSET
    remote_ip: str | UnsetType = UNSET
    ua_type: ClientType = "other"
    user_agent: str = ""
    user_id: int | UnsetType = UNSET
    """Whose it is, where `user-id` was asked for."""


class SessionList(Struct, frozen=True):
    """The caller's signed-in clients, newest first."""

    sessions: list[SessionItem]


class SignOutAnswer(Struct, frozen=True, rename="kebab"):
    """Whether sessions were ended."""

    ret_url: str | None
    success: bool


class Verified(Struct, frozen=True):
    """Whether a token was good; if so, whose, and what the account is now."""

    success: bool
    email: str | UnsetType = UNSET
    status: UserStatus | UnsetType = UNSET


NOT_VERIFIED = Verified(False)


def time_text(at: Millis) -> str:
    """Return a moment as RFC 3339 in UTC, whole seconds, `2025-06-20T10:52:53Z`."""
    return _second_text(at // 1000)


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def signed_in(outcome: SignedIn, current_user: str | None, ret_url: str | None) -> SignInAnswer:
    """Dress a finished sign-in."""
    return SignInAnswer(
        user_id=int(outcome.person.aliases["probe"]),
        status="active",
        api_token=outcome.key or UNSET,
        jwt_token=JwtToken(time_text(outcome.token_ends_at or 0), outcome.token),
        email=outcome.person.email or UNSET,
        current_user=current_user,
        ret_url=ret_url,
    )


def pending(person: Person) -> SignInAnswer:
    """Dress an account that was never verified: its status and no token (contract section 3.1)."""
    return SignInAnswer(int(person.aliases["probe"]), "pending", email=person.email or UNSET)


def verified(person: Person) -> Verified:
    """Dress an account whose address was just proved."""
    return Verified(True, person.email or UNSET, "active")


def listed(own: Iterable[Session]) -> SessionList:
    """Dress the account's clients in all dialects."""
    return SessionList([item(each) for each in own])


def listed_with_users(found: Iterable[tuple[int, Session]]) -> SessionList:
    """Dress clients of several accounts, each with the number of its own."""
    return SessionList([structs.replace(item(each), user_id=number) for number, each in found])


def item(session: Session) -> SessionItem:
    """Dress one signed-in client."""
    ends_at, idle_until = session.ends_at, session.idle_until
    if idle_until is not None and (ends_at is None or idle_until < ends_at):
        ends_at = idle_until
    return _item(session.id, session.created_at, ends_at, session.address, session.user_agent)


@lru_cache(maxsize=4096)
def _item(id: Id, created_at: Millis, ends_at: Millis | None, address: str, user_agent: str) -> SessionItem:
    return SessionItem(
        id=uuid_text(id),
        created=time_text(created_at),
        expire=UNSET if ends_at is None else time_text(ends_at),
        remote_ip=address or UNSET,
        ua_type=client_type(user_agent),
        user_agent=user_agent,
    )


_BOT = re.compile(r"bot\b|crawl|spider|slurp", re.IGNORECASE)
_MOBILE = re.compile(r"mobile|android|iphone|ipad|okhttp|dart|cfnetwork", re.IGNORECASE)


@lru_cache(maxsize=4096)
def client_type(user_agent: str) -> ClientType:
    """Guess what a client is from its user agent: the documents name the field and no values (point 35)."""
    if _BOT.search(user_agent):
        return "bot"
    if _MOBILE.search(user_agent):
        return "mobile"
    return "browser" if user_agent.startswith("Mozilla/") else "other"
