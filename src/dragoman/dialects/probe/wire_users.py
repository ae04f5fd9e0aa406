"""Wire shapes of Probe's user operations (contract section 4 and the user rows of section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core.family import Listed, Listing, Order, Standings
from dragoman.dialects.probe.permissions import Name, Role, role_of
from dragoman.dialects.probe.wire import Address, Time, UserStatus, time_text
from dragoman.http import Invalid, Problem
from dragoman.model import Account, Person, Status

UserId = Annotated[int, Meta(ge=0)]
NameText = Annotated[str, Meta(max_length=255)]
Field = Literal["id", "username", "email", "status", "created", "updated"]
Direction = Literal["asc", "desc"]

STATUSES: dict[Status, UserStatus] = {
    "invited": "pending", "active": "active", "deactivated": "suspended", "suspended": "suspended",
    "deleted": "suspended",
}  # fmt: skip
"""A total function; an active account that was never verified is pending (decision 6)."""
_ORDERS: dict[Field, Order] = {
    "id": "number", "username": "username", "email": "email", "status": "standing", "created": "created",
    "updated": "updated",
}  # fmt: skip


def status_of(account: Account) -> UserStatus:
    """Return an account's status in Probe's words."""
    pending = account.status == "active" and account.first_verified_at is None
    return "pending" if pending else STATUSES[account.status]


# ---------------------------------------------------------------- what comes in


class GivenPermission(Struct):
    """One permission of a map. Scopes have no meaning that is documented, and none is enforced."""

    name: Name
    scopes: Annotated[list[NameText], Meta(max_length=100)] = []


class Profile(Struct, rename="kebab"):
    """What is to be different of the caller's own account. What is left out, or null, stays."""

    first_name: NameText | None = None
    last_name: NameText | None = None
    permissions: dict[NameText, GivenPermission] | list[Name] | None = None
    restrictions: dict[str, Any] | None = None

    def wanted(self) -> frozenset[str] | None:
        """Return the permissions that came, None where none did.

        Raises Invalid for scopes and restrictions: what nobody enforces must not look as if it were kept.
        """
        return _wanted(self.permissions, self.restrictions)


class SubProfile(Profile):
    """What is to be different of somebody else's account."""

    status: UserStatus | None = None
    """`suspended` bars it, `active` lets a suspended one in again; anything else changes nothing."""

    def barred(self, now: UserStatus) -> bool | None:
        """Return whether the account is to be barred, given its status; None where that stays."""
        if (self.status == "suspended") == (now == "suspended") or self.status not in ("active", "suspended"):
            return None
        return self.status == "suspended"


class NewUser(Struct, rename="kebab"):
    """Whom somebody adds below himself or below one of his sub users."""

    email: Address
    first_name: NameText | None = None
    last_name: NameText | None = None
    permissions: dict[NameText, GivenPermission] | list[Name] | None = None
    restrictions: dict[str, Any] | None = None

    def wanted(self) -> frozenset[str] | None:
        """The same as for `Profile`."""
        return _wanted(self.permissions, self.restrictions)


def _wanted(
    given: dict[str, GivenPermission] | list[Name] | None, restrictions: dict[str, Any] | None
) -> frozenset[str] | None:
    if restrictions:
        raise Invalid((Problem("restrictions", "format", "restrictions are not kept here"),))
    if isinstance(given, dict):
        for key, each in given.items():
            if each.scopes:
                raise Invalid((Problem(f"permissions.{key}.scopes", "format", "scopes are not kept here"),))
        return frozenset(each.name for each in given.values())
    return None if given is None else frozenset(given)


class Pagination(Struct, frozen=True):
    """Which page is wanted."""

    page: Annotated[int, Meta(ge=1, le=2**31)] = 1
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class Sort(Struct, frozen=True):
    """How the list is sorted."""

    field: Field = "id"
    order: Direction = "asc"


class UserQuery(Struct, frozen=True):
    """The query of the list."""

    status: Annotated[tuple[UserStatus, ...], Meta(max_length=10)] = ()
    """Repeated; none: all."""
    pagination: Pagination = Pagination()
    sort: Sort = Sort()

    def listing(self) -> Listing:
        """Return which part of the list is wanted."""
        wanted = set(self.status) or {"active", "pending", "suspended"}
        standings = Standings("active" in wanted, "pending" in wanted, "suspended" in wanted)
        page, limit = self.pagination.page, self.pagination.limit
        return Listing(
            "probe", standings, _ORDERS[self.sort.field], self.sort.order == "desc", limit, (page - 1) * limit
        )  # fmt: skip


# ---------------------------------------------------------------- what goes out


class Permission(Struct, frozen=True):
    """One permission of an account."""

    name: str
    scopes: tuple[str, ...] = ()


class ShortUser(Struct, frozen=True, rename="kebab"):
    """An account in a list, or as somebody's parent."""

    id: UserId
    username: str
    role: Role
    status: UserStatus
    email: str | UnsetType = UNSET


class User(Struct, frozen=True, rename="kebab", kw_only=True):
    """An account. Of nobody there is `id` 0, the status and no permission."""

    id: UserId
    username: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    additional_emails: tuple[str, ...] | UnsetType = UNSET
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    status: UserStatus
    parent: ShortUser | UnsetType = UNSET
    parent_user_ids: tuple[UserId, ...] | UnsetType = UNSET
    """Nearest first."""
    root_user_id: UserId | UnsetType = UNSET
    """The last of these; its own where it has no parent."""
    permissions: dict[str, Permission]
    restrictions: dict[str, str] | UnsetType = UNSET
    """Always empty: none are kept."""
    created: Time | UnsetType = UNSET
    updated: Time | UnsetType = UNSET


class NewUserAnswer(Struct, frozen=True):
    """Who was added."""

    user: User


class ShownFilter(Struct, frozen=True):
    """What was asked for."""

    status: tuple[UserStatus, ...] | UnsetType = UNSET


class ShownPagination(Struct, frozen=True):
    """Which page this is, how many are on it, and how many there are."""

    page: int
    limit: int
    count: int
    total: int


class UserList(Struct, frozen=True):
    """A page of accounts."""

    filter: ShownFilter
    pagination: ShownPagination
    sort: Sort
    users: tuple[ShortUser, ...]


ANONYMOUS = User(id=0, status="anonymous", permissions={})


def short(person: Person) -> ShortUser:
    """Dress an account in short."""
    account = person.account
    return ShortUser(
        int(person.aliases["probe"]), person.username, role_of(account), status_of(account), person.email or UNSET
    )


def user(person: Person, above: Sequence[Person], permissions: Iterable[str]) -> User:
    """Dress an account. `above` are those above it, nearest first; deleted ones are left out."""
    account, number = person.account, int(person.aliases["probe"])
    living = [each for each in above if each.account.status != "deleted"]
    line = tuple(int(each.aliases["probe"]) for each in living)
    return User(
        id=number,
        username=person.username,
        email=person.email or UNSET,
        additional_emails=tuple(each.shown for each in person.emails[1:]),
        first_name=account.first_name,
        last_name=account.last_name,
        role=role_of(account),
        status=status_of(account),
        parent=short(living[0]) if living else UNSET,
        parent_user_ids=line,
        root_user_id=line[-1] if line else number,
        permissions={name: Permission(name) for name in sorted(permissions)},
        restrictions={},
        created=time_text(account.created_at),
        updated=time_text(account.updated_at),
    )


def listed(query: UserQuery, found: Sequence[Listed], total: int) -> UserList:
    """Dress a page of accounts."""
    users = tuple(
        ShortUser(int(each.number), each.username, role_of(each.account), status_of(each.account), each.email or UNSET)
        for each in found
    )
    page = ShownPagination(query.pagination.page, query.pagination.limit, len(users), total)
    return UserList(ShownFilter(query.status or UNSET), page, query.sort, users)
