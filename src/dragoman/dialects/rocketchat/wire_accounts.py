"""Rocket.Chat's bodies about accounts and permissions (its contract, sections 6.5 and 8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.model import Millis

# ---------------------------------------------------------------- permissions


class Since(Struct, rename="camel"):
    """Since when something changed."""

    updated_since: str | UnsetType = UNSET
    """ISO 8601."""


class RolesWanted(Struct):
    """Which roles are to have a permission."""

    id: Annotated[str, Meta(max_length=100)] = msgspec.field(name="_id")
    roles: Annotated[tuple[str, ...], Meta(max_length=100)]


class PermissionChanges(Struct):
    """Permissions to be changed; others stay as they are."""

    permissions: Annotated[tuple[RolesWanted, ...], Meta(max_length=200)]


class Permission(Struct, frozen=True):
    """One permission."""

    id: str = msgspec.field(name="_id")
    roles: tuple[str, ...]
    updated_at: str = msgspec.field(name="_updatedAt")


class AllPermissions(Struct, frozen=True):
    """Permissions that changed, and those that are gone."""

    update: tuple[Permission, ...]
    remove: tuple[Permission, ...]
    success: bool


class ChangedPermissions(Struct, frozen=True):
    """Every permission as it is now."""

    permissions: tuple[Permission, ...]
    success: bool


def time_from(text: str) -> Millis | None:
    """Return a time from ISO 8601, taken as UTC where no zone is named; None for what is none."""
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
