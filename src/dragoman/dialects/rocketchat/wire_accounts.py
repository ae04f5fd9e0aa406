"""Rocket.Chat's bodies about accounts and permissions (its contract, sections 6.5 and 8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.dialects.rocketchat.wire import ALIAS, NOTHING, Email, Nothing, roles_of, time_of
from dragoman.model import Millis, Person

Text = Annotated[str, Meta(max_length=1024)]
Labels = Annotated[tuple[str, ...], Meta(max_length=20)]

# ---------------------------------------------------------------- whom and what


class Who(Struct, rename="camel"):
    """Whom something is about, by one of its names."""

    user_id: Text | UnsetType = UNSET
    username: Text | UnsetType = UNSET
    user: Text | UnsetType = UNSET
    """Another name of `username`."""


class Asked(Who, rename="camel"):
    """About whom something is asked."""

    email: Text | UnsetType = UNSET


class Doomed(Who, rename="camel"):
    """Whom to delete."""

    confirm_relinquish: bool = False
    """That rooms without another owner may go: there are none here."""


class SignOut(Struct, rename="camel"):
    """Whose sessions are to end."""

    user_id: Text | UnsetType = UNSET
    """Oneself where nobody is named."""


class Several(Struct):
    """Whose presence is asked for."""

    ids: Text = ""
    """Their ids, separated by commas."""
    since: Text | UnsetType = msgspec.field(default=UNSET, name="from")
    """A time as ISO 8601."""


class Wanted(Struct):
    """A username that somebody would like to have."""

    username: Text


class NewUser(Struct, rename="camel"):
    """An account to be made (contract section 8.2)."""

    email: Text
    name: Text
    username: Text
    password: Text | UnsetType | None = UNSET
    set_random_password: bool = False
    """No password: a link to set one is mailed, where mail is sent."""
    active: bool = True
    roles: Labels = ()
    verified: bool = False
    require_password_change: bool = False


class UserData(Struct, rename="camel"):
    """What is to be different about an account; what is left out stays."""

    email: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    username: Text | UnsetType = UNSET
    password: Text | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    roles: Labels | UnsetType = UNSET
    verified: bool = False
    require_password_change: bool = False


class UserUpdate(Struct, rename="camel"):
    """Whom to change, and how."""

    user_id: Text
    data: UserData


class ActiveStatus(Struct, rename="camel"):
    """Whether somebody may sign in."""

    user_id: Text
    active_status: bool


class BasicInfo(Struct, rename="camel"):
    """What somebody changes about himself."""

    email: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    username: Text | UnsetType = UNSET
    current_password: Text | UnsetType = UNSET
    """Its SHA-256 in hex, or the password itself."""
    new_password: Text | UnsetType = UNSET


class OwnUpdate(Struct):
    """What somebody changes about himself."""

    data: BasicInfo


class Goodbye(Struct, rename="camel"):
    """The end of one's own account."""

    password: Text
    """Its SHA-256 in hex, in any letter case, or the password itself."""
    confirm_relinquish: bool = False


# ---------------------------------------------------------------- what goes out


class User(Struct, frozen=True, rename="camel", kw_only=True):
    """An account. What is not for everybody is left out for those who may not see it."""

    id: str = msgspec.field(name="_id")
    name: str
    username: str
    status: Literal["offline"] = "offline"
    type: Literal["user", "bot"] | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    roles: tuple[str, ...] | UnsetType = UNSET
    emails: tuple[Email, ...] | UnsetType = UNSET
    require_password_change: bool | UnsetType = UNSET
    settings: Nothing | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    last_login: str | UnsetType = UNSET
    updated_at: str | UnsetType = msgspec.field(name="_updatedAt", default=UNSET)


class OneUser(Struct, frozen=True):
    """One account."""

    user: User
    success: bool


class Status(Struct, frozen=True):
    """Whether an account may sign in."""

    id: str = msgspec.field(name="_id")
    active: bool


class StatusSet(Struct, frozen=True):
    """Whether an account may sign in now."""

    user: Status
    success: bool


class Deleted(Struct, frozen=True, rename="camel"):
    """An account is gone, and no rooms with it."""

    deleted_rooms: tuple[str, ...]
    success: bool


class Ended(Struct, frozen=True):
    """All sessions of somebody have ended."""

    message: str
    success: bool


class TokenKept(Struct, frozen=True, rename="camel"):
    """The token that stays."""

    token: str
    token_expires: str | UnsetType
    success: bool


class Presence(Struct, frozen=True):
    """Whether somebody is there; nobody ever is, since no presence is kept here."""

    presence: Literal["offline"]
    success: bool


class Presences(Struct, frozen=True):
    """Who is there of those who were asked for."""

    users: tuple[User, ...]
    full: bool
    success: bool


class Suggestions(Struct, frozen=True):
    """Pictures that other services have of somebody: none."""

    suggestions: Nothing
    success: bool


class Available(Struct, frozen=True):
    """Whether a username can be had."""

    result: bool
    success: bool


def brief(person: Person) -> User:
    """Return what everybody sees of somebody."""
    return User(id=person.aliases[ALIAS], name=person.name, username=person.username)


def user(person: Person) -> User:
    """Return what an account is to whoever may see all of it."""
    account = person.account
    emails = tuple(Email(each.shown, each.state == "verified") for each in person.emails)
    return User(
        id=person.aliases[ALIAS], name=person.name, username=person.username,
        type="bot" if account.kind == "bot" else "user", active=account.status == "active", roles=roles_of(person),
        emails=emails or UNSET, require_password_change=True if person.initial_password else UNSET, settings=NOTHING,
        created_at=time_of(account.created_at),
        last_login=time_of(account.signed_in_at) if account.signed_in_at else UNSET,
        updated_at=time_of(account.updated_at),
    )  # fmt: skip


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
