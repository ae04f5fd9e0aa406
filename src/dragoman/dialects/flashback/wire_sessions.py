"""The shapes of refresh tokens and sessions (contract section 7). Times are ISO 8601 in UTC."""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import user_agents
from dragoman.core.export import rfc3339
from dragoman.model import Millis, Session, uuid_text


class Token(Struct, frozen=True, rename="camel", kw_only=True):
    """One live chain of refresh tokens. Never the token."""

    id: str
    created_at: str
    expires_at: str | None
    last_used_at: str
    user_agent: str
    ip_address: str | None
    current: bool


class Tokens(Struct, frozen=True, kw_only=True):
    """The answer of `GET /token`."""

    success: bool = True
    tokens: list[Token]


class Item(Struct, frozen=True, rename="camel", kw_only=True):
    """One signed-in client, whatever API it signed in by."""

    id: str
    device_name: str
    ip_address: str | None
    location: str | None
    """Where the address is. Always null: this server looks no places up."""
    started_at: str
    last_activity: str
    expires_at: str | None
    login_method: str
    """What was proved: `PASSWORD`, `PASSWORD+TOTP`, `DIRECTORY`, `MAIL`, ..."""


class Items(Struct, frozen=True, kw_only=True):
    """The answer of `GET /sessions`."""

    success: bool = True
    sessions: list[Item]


class Extended(Struct, frozen=True, rename="camel", kw_only=True):
    """The answer of a heartbeat."""

    success: bool = True
    message: str
    new_expiry: str | None


class Removed(Struct, frozen=True, kw_only=True):
    """Nothing but success (`DELETE /token/{tokenId}`)."""

    success: bool = True


def moment(at: Millis | None) -> str | None:
    """Return an instant in ISO 8601, or None for never."""
    return None if at is None else rfc3339(at)


def token(session: Session, current: Session) -> Token:
    """Return a chain as the list of refresh tokens shows it."""
    return Token(
        id=uuid_text(session.id),
        created_at=rfc3339(session.created_at),
        expires_at=moment(session.runs_out),
        last_used_at=rfc3339(session.seen_at),
        user_agent=session.user_agent,
        ip_address=session.address or None,
        current=session.id == current.id,
    )


def item(session: Session) -> Item:
    """Return a signed-in client as the list of sessions shows it."""
    return Item(
        id=uuid_text(session.id),
        device_name=user_agents.read(session.user_agent).name,
        ip_address=session.address or None,
        location=None,
        started_at=rfc3339(session.created_at),
        last_activity=rfc3339(session.seen_at),
        expires_at=moment(session.runs_out),
        login_method="+".join(session.methods.upper().split(",")),
    )
