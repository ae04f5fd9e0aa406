"""The shapes of Flashback's calls about the members of an organization (contract, sections 4.5, 4.7, 4.8, 7)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from dragoman.core import members
from dragoman.core.export import rfc3339
from dragoman.core.identifiers import TYPED_LENGTH
from dragoman.dialects.flashback.wire import ROLES, Failure, NewPassword, role_of
from dragoman.http import Invalid, Problem
from dragoman.model import Account, Id, Password, uuid_text

_ASSIGNABLE = frozenset(role for role, _ in ROLES)
"""Reserved numbers can be had, but not given (contract, section 4.8)."""

Name = Annotated[str, Meta(max_length=255)]


class BadRole(Invalid):
    """The role is none that can be given."""


def _assignable(role: int) -> int:
    if role not in _ASSIGNABLE:
        raise BadRole((Problem("orgRole", "not_allowed", "must be 0, 1, 2, 254 or 255"),))
    return role


def named(text: str) -> Id:
    """Return the id that a path names. What is no UUID is nobody's: bytes that no account has."""
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return b""


# ---------------------------------------------------------------- what arrives


class Update(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of `PUT /user/{userId}`."""

    name: Name | None = None
    """The first name."""
    last_name: Name | None = None
    password: NewPassword | None = None
    current_password: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """Beyond the contract: checked where it comes along (open point 22)."""

    def change(self) -> members.Change:
        """Return the names that are to be different."""
        return members.Change(first_name=self.name, last_name=self.last_name)

    def old(self) -> Password | None:
        """Return the present password, where it came along."""
        return None if self.current_password is None else Password.from_plain(self.current_password)


class UpdateMember(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of `PUT /organization/users/{userId}`."""

    name: Name | None = None
    last_name: Name | None = None
    org_role: int | None = None

    def change(self) -> members.Change:
        """Return what is to be different. Raises BadRole."""
        rank = None if self.org_role is None else _assignable(self.org_role)
        return members.Change(first_name=self.name, last_name=self.last_name, rank=rank)


class SetRole(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of `PUT /user/{userId}/role`."""

    org_role: int

    def change(self) -> members.Change:
        """Return the rank that is to be. Raises BadRole."""
        return members.Change(rank=_assignable(self.org_role))


class AddMember(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of `POST /organization/users`. `provider` and `authMethod` of the client's type are not read."""

    email: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH)]
    password: NewPassword | None = None
    """None or empty: the person chooses one with the invitation."""
    first_name: Name
    last_name: Name
    org_role: int = 0
    send_invite: bool = True

    def member(self) -> members.NewMember:
        """Return who is to be added. Raises BadRole."""
        return members.NewMember(
            email=self.email, first_name=self.first_name, last_name=self.last_name, rank=_assignable(self.org_role),
            password=Password.from_plain(self.password) if self.password else None, invite=self.send_invite,
        )  # fmt: skip


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted; the contract has no such parameters."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0


# ---------------------------------------------------------------- what goes out


class RoleData(Struct, frozen=True, rename="camel", kw_only=True):
    """What any member may know of another."""

    user_id: str
    org_role: int
    org_role_description: str
    org_roles: tuple[int, ...]


class RoleOf(Struct, frozen=True, kw_only=True):
    """The answer of `GET /user/{userId}`."""

    success: bool = True
    data: RoleData


class RoleChange(Struct, frozen=True, rename="camel", kw_only=True):
    """A rank before and after."""

    user_id: str
    previous_role: int
    new_role: int
    message: str


class RoleChanged(Struct, frozen=True, kw_only=True):
    """The answer of `PUT /user/{userId}/role`."""

    success: bool = True
    data: RoleChange


class Member(Struct, frozen=True, rename="camel", kw_only=True):
    """One member, as managers see it (section 7)."""

    id: str
    email: str | None
    name: str
    """The first name."""
    last_name: str
    org_id: str
    org_role: int
    validated: bool
    deleted_at: str | None
    org_role_description: str
    org_roles: tuple[int, ...]


class Members(Struct, frozen=True, kw_only=True):
    """The answer of `GET /organization/users`."""

    success: bool = True
    data: tuple[Member, ...]
    total: int


class OneMember(Struct, frozen=True, kw_only=True):
    """A member within the envelope that adding and changing have, and looking has not."""

    success: bool = True
    data: Member
    message: str


class Nothing(Struct, frozen=True):
    """The empty object that failures of adding and changing carry."""


class ListFailure(Failure, frozen=True, kw_only=True):
    """A failure of `GET /organization/users`."""

    data: tuple[Nothing, ...] = ()
    total: int = 0


class ChangeFailure(Failure, frozen=True, kw_only=True):
    """A failure of `POST /organization/users` and `PUT /organization/users/{userId}`."""

    data: Nothing = Nothing()


FAILURES: Mapping[tuple[str, str], type[Failure]] = {
    ("GET", "/organization/users"): ListFailure,
    ("POST", "/organization/users"): ChangeFailure,
    ("PUT", "/organization/users/{user_id}"): ChangeFailure,
}
"""Operations whose failures have the documented oddities (open point 17)."""


# ---------------------------------------------------------------- from the core's values


def role_data(account: Account) -> RoleOf:
    """Return what any member may know of another (section 4.5)."""
    label, roles = role_of(account.rank)
    return RoleOf(
        data=RoleData(user_id=uuid_text(account.id), org_role=account.rank, org_role_description=label, org_roles=roles)
    )


def role_changed(changed: members.Changed) -> RoleChanged:
    """Return a rank before and after (section 4.8)."""
    account = changed.member.account
    same = account.rank == changed.rank_before
    return RoleChanged(
        data=RoleChange(
            user_id=uuid_text(account.id),
            previous_role=changed.rank_before,
            new_role=account.rank,
            message="Role unchanged" if same else "Role updated",
        )
    )


def member(found: members.Member) -> Member:
    """Return one member (section 7)."""
    account = found.account
    label, roles = role_of(account.rank)
    return Member(
        id=uuid_text(account.id),
        email=found.email,
        name=account.first_name,
        last_name=account.last_name,
        org_id=uuid_text(account.organization),
        org_role=account.rank,
        validated=found.verified,
        deleted_at=None if found.deleted_at is None else rfc3339(found.deleted_at),
        org_role_description=label,
        org_roles=roles,
    )


def added(outcome: members.Added) -> OneMember:
    """Return a member who was added."""
    said = "User added; an invitation was sent" if outcome.invited else "User added; no invitation was sent"
    return OneMember(data=member(outcome.member), message=said)
