"""Probe's roles and permissions: what its operations ask of whoever calls them (contract section 2.4 and point 27).

They are this dialect's own words and carry no authority of the core (decision 11): whom somebody reaches is judged
there (`core/family.py`), whatever he is permitted. Nobody has a permission that somebody above him lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from dragoman.core.refusals import NotAllowed
from dragoman.http import Call
from dragoman.model import Account, Person

Name = Literal[
    "read:admin", "read:billing", "read:invite", "read:media", "read:profile", "read:statistics", "read:sub-user",
    "read:user", "write:admin", "write:billing", "write:invite", "write:media", "write:sub-user", "write:user",
]  # fmt: skip
Role = Literal["root", "admin", "user", "sub"]
Act = Literal["read", "write"]

ALL: frozenset[str] = frozenset(get_args(Name))
_OF_ADMINISTRATORS = frozenset(("read:admin", "write:admin", "read:user", "write:user"))
DEFAULTS: Mapping[Role, frozenset[str]] = {
    "root": ALL,
    "admin": ALL,
    "user": ALL - _OF_ADMINISTRATORS,
    "sub": frozenset(("read:media", "read:profile", "read:statistics", "write:media")),
}
"""What an account has for which nothing is stored."""
NONE = "none"
"""What is stored of an account that has no permission: an empty list would stand for the defaults."""


def role_of(account: Account) -> Role:
    """Return an account's role (table B)."""
    if account.administrator:
        return "root" if account.root else "admin"
    return "user" if account.parent is None else "sub"


def stored(names: Iterable[str]) -> tuple[str, ...]:
    """Return what is stored for these permissions, as labels of the account."""
    return tuple(sorted(names)) or (NONE,)


def _own(person: Person) -> frozenset[str]:
    kept = person.labels.get("probe")
    return ALL.intersection(kept) if kept is not None else DEFAULTS[role_of(person.account)]


def of(person: Person, above: Iterable[Person]) -> frozenset[str]:
    """Return the permissions of an account: its own that all those above it have as well."""
    found = _own(person)
    for each in above if not person.account.administrator else ():
        found &= _own(each)
    return found


async def whole(call: Call) -> frozenset[str]:
    """Return the permissions of the caller's account."""
    account = call.signed_in.account
    return of(await call.core.accounts.person(account), await call.core.family.above(account))


async def held(call: Call) -> frozenset[str]:
    """Return the permissions of the caller: its account's, of which an API token or a JWT may be held to some."""
    session = call.signed_in.session
    return frozenset(name for name in await whole(call) if session.may(name))


async def need(call: Call, name: Name) -> None:
    """Demand a permission of the caller. Raises NotAllowed, which names it."""
    if name not in await held(call):
        raise NotAllowed(name)


async def need_for(call: Call, target: Account, act: Act) -> None:
    """Demand the permission that acting on somebody within reach asks for.

    For oneself `read:profile`; for administrators, those below the caller and everybody else `:admin`, `:sub-user` and
    `:user`. Raises NotAllowed.
    """
    caller = call.signed_in.account
    if target.id == caller.id:
        await need(call, "read:profile")
    elif target.administrator:
        await need(call, "read:admin" if act == "read" else "write:admin")
    elif any(each.account.id == caller.id for each in await call.core.family.above(target)):
        await need(call, "read:sub-user" if act == "read" else "write:sub-user")
    else:
        await need(call, "read:user" if act == "read" else "write:user")


async def may_give(call: Call, wanted: frozenset[str], present: frozenset[str] = frozenset()) -> None:
    """Demand of the caller every permission that he gives beyond those that are there. Raises NotAllowed."""
    lacking = sorted(wanted - present - await held(call))
    if lacking:
        raise NotAllowed(lacking[0])
