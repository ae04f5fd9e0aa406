"""The shapes of refresh tokens, sessions and devices (contract section 7). Times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from dragoman.core import user_agents
from dragoman.core.export import rfc3339
from dragoman.model import Device, DeviceType, Id, Millis, Session, uuid_text

Links = Mapping[Id, tuple[Id, str]]
"""Id and name of the device of each session that has one."""


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


class DeviceItem(Struct, frozen=True, rename="camel", kw_only=True):
    """One device, as its clients described it. Only `GET /devices/{id}` shows the last three fields."""

    id: str
    device_name: str
    device_type: DeviceType
    os: str
    browser: str
    ip_address: str | None
    country: str | None
    """Always null, as `city` is: this server looks no places up."""
    city: str | None
    is_trusted: bool
    trust_level: Literal["HIGH", "MEDIUM", "LOW", "UNKNOWN"]
    """HIGH while it is trusted, LOW once it was and is no more, UNKNOWN before."""
    last_seen: str
    created_at: str
    trust_expires_at: str | None
    user_agent: str | UnsetType = UNSET
    device_fingerprint: str | UnsetType = UNSET
    sessions: list[Item] | UnsetType = UNSET


class DeviceItems(Struct, frozen=True, kw_only=True):
    """The answer of `GET /devices`."""

    success: bool = True
    devices: list[DeviceItem]


class OneDevice(Struct, frozen=True, kw_only=True):
    """The answer of `GET /devices/{id}`."""

    success: bool = True
    device: DeviceItem


class Trust(Struct, frozen=True, kw_only=True):
    """The body of `POST /devices/trust`."""

    fingerprint: Annotated[str, Meta(min_length=1, max_length=256)]
    """A device's `deviceFingerprint`."""


class Trusted(Struct, frozen=True, rename="camel", kw_only=True):
    """The answer of `POST /devices/trust`."""

    success: bool = True
    message: str
    trust_expires_at: str


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


def item(session: Session, links: Links) -> Item:
    """Return a signed-in client as the list of sessions shows it."""
    linked = links.get(session.id)
    return Item(
        id=uuid_text(session.id),
        device_name=linked[1] if linked else user_agents.read(session.user_agent).name,
        ip_address=session.address or None,
        location=None,
        started_at=rfc3339(session.created_at),
        last_activity=rfc3339(session.seen_at),
        expires_at=moment(session.runs_out),
        login_method="+".join(session.methods.upper().split(",")),
    )


def device_item(device: Device, now: Millis) -> DeviceItem:
    """Return a device as the list shows it."""
    until = device.trusted_until
    trusted = until is not None and until > now
    return DeviceItem(
        id=uuid_text(device.id),
        device_name=device.name,
        device_type=device.type,
        os=device.os,
        browser=device.browser,
        ip_address=device.address or None,
        country=None,
        city=None,
        is_trusted=trusted,
        trust_level="HIGH" if trusted else "UNKNOWN" if until is None else "LOW",
        last_seen=rfc3339(device.last_seen),
        created_at=rfc3339(device.created_at),
        trust_expires_at=moment(until) if trusted else None,
    )


def one_device(device: Device, now: Millis, held: Iterable[Session], links: Links) -> OneDevice:
    """Return a device with everything known of it; `held` are the clients of its account."""
    shown = device_item(device, now)
    own = [item(each, links) for each in held if links.get(each.id, (b"",))[0] == device.id]
    return OneDevice(
        device=replace(shown, user_agent=device.user_agent, device_fingerprint=device.fingerprint.hex(), sessions=own)
    )


def trusted(until: Millis) -> Trusted:
    """Return the answer to a device that is trusted now."""
    return Trusted(message="The device is trusted", trust_expires_at=rfc3339(until))
