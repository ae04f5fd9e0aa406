"""Flashback's settings of user and organization: one free object each (contract, section 7)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from dragoman.core.preferences import Shelf
from dragoman.dialects.flashback import wire
from dragoman.dialects.flashback.routes import DOOR, Config
from dragoman.http import Call, operation

Settings = dict[str, Raw]
Key = Annotated[str, Meta(min_length=1, max_length=1024)]


class Replace(Struct, frozen=True):
    """The body of `POST /settings/...`."""

    settings: Settings


class Remove(Struct, frozen=True):
    """The body of `DELETE /settings/...`."""

    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=1000)]


class Kept(Struct, frozen=True, kw_only=True):
    """The answer of `GET /settings/...`."""

    success: bool = True
    settings: Settings
    """Every value in the characters in which it came."""


def _user(call: Call) -> Shelf:
    config = call.config(Config)
    return Shelf("account", f"{DOOR.name}.settings", config.settings_size, config.settings_depth)


def _organization(call: Call) -> Shelf:
    config = call.config(Config)
    return Shelf("organization", f"{DOOR.name}.settings", config.settings_size, config.settings_depth)


@operation("GET", "/settings/user", answers={200: Kept}, tag="settings")
async def show_user_settings(call: Call) -> Kept:
    """Show the settings of one's own account; an empty object while nothing is kept."""
    return Kept(settings=await call.core.preferences.find(call.signed_in, _user(call)))


@operation(
    "POST",
    "/settings/user",
    body=Replace,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"all": {"settings": {"theme": "dark", "notifications": {"email": True, "push": False}}}},
)
async def replace_user_settings(call: Call, body: Replace) -> wire.Done:
    """Replace the settings of one's own account."""
    await call.core.preferences.replace(call.signed_in, _user(call), body.settings, call.client)
    return wire.Done(message="Settings replaced")


@operation(
    "PUT",
    "/settings/user",
    body=Settings,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"some": {"theme": "light", "notifications": {"email": False}}},
)
async def merge_user_settings(call: Call, body: Settings) -> wire.Done:
    """Change some settings of one's own account. Objects are merged into objects, all else is replaced."""
    await call.core.preferences.merge(call.signed_in, _user(call), body, call.client)
    return wire.Done(message="Settings updated")


@operation(
    "DELETE",
    "/settings/user",
    body=Remove,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"dotted": {"keys": ["theme", "notifications.push"]}},
)
async def remove_user_settings(call: Call, body: Remove) -> wire.Done:
    """Take settings of one's own account away; a dotted key reaches inside."""
    await call.core.preferences.remove(call.signed_in, _user(call), body.keys, call.client)
    return wire.Done(message="Settings deleted")


@operation("GET", "/settings/organization", answers={200: Kept}, tag="settings")
async def show_organization_settings(call: Call) -> Kept:
    """Show the settings of one's own organization; an empty object while nothing is kept."""
    return Kept(settings=await call.core.preferences.find(call.signed_in, _organization(call)))


@operation(
    "POST",
    "/settings/organization",
    body=Replace,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"all": {"settings": {"theme": "dark", "notifications": {"email": True, "push": False}}}},
)
async def replace_organization_settings(call: Call, body: Replace) -> wire.Done:
    """Replace the settings of one's own organization. From role 254 on."""
    await call.core.preferences.replace(call.signed_in, _organization(call), body.settings, call.client)
    return wire.Done(message="Settings replaced")


@operation(
    "PUT",
    "/settings/organization",
    body=Settings,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"some": {"theme": "light", "notifications": {"email": False}}},
)
async def merge_organization_settings(call: Call, body: Settings) -> wire.Done:
    """Change some settings of one's own organization. Objects are merged into objects, all else is replaced.

    From role 254 on.
    """
    await call.core.preferences.merge(call.signed_in, _organization(call), body, call.client)
    return wire.Done(message="Settings updated")


@operation(
    "DELETE",
    "/settings/organization",
    body=Remove,
    answers={200: wire.Done},
    verified=True,
    tag="settings",
    examples={"dotted": {"keys": ["theme", "notifications.push"]}},
)
async def remove_organization_settings(call: Call, body: Remove) -> wire.Done:
    """Take settings of one's own organization away; a dotted key reaches inside. From role 254 on."""
    await call.core.preferences.remove(call.signed_in, _organization(call), body.keys, call.client)
    return wire.Done(message="Settings deleted")


OPERATIONS = (
    show_user_settings, replace_user_settings, merge_user_settings, remove_user_settings,
    show_organization_settings, replace_organization_settings, merge_organization_settings,
    remove_organization_settings,
)  # fmt: skip
