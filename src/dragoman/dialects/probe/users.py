"""Probe's user operations, and the password of a sub user (contract sections 3.8, 4 and 7).

Within reach are oneself and those below; for administrators everybody. All others are unknown, alike (decision 12).
Then an operation asks for its permission.
"""

from __future__ import annotations

import re

from dragoman.core import refusals
from dragoman.core.family import Change, NewChild
from dragoman.dialects.probe import carriers, permissions, restoring, wire, wire_users
from dragoman.dialects.probe.door import BASE, DOOR, OTHER_PASSWORD_PATH
from dragoman.dialects.probe.wire_users import NewUser, Profile, SubProfile
from dragoman.http import Call, Invalid, Operation, Problem, operation
from dragoman.model import Account, Id, Password, Person

CURRENT, ONE = f"{BASE}/user/current", f"{BASE}/user/{{user_id}}"
_NUMBER = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
_EXAMPLE = {"email": "bob@example.com", "first-name": "Bob", "last-name": "Example", "permissions": ["read:media"]}


@operation("GET", CURRENT, answers={200: wire_users.User}, access="optional", tag="User")
async def current_user(call: Call) -> wire_users.User:
    """Show the caller's own account; to whoever sends no credential, an anonymous one with the id 0."""
    if call.caller is None:
        if carriers.presented(call) is not None:
            raise refusals.NotSignedIn
        return wire_users.ANONYMOUS
    return await _seen(call, call.signed_in.account)


@operation(
    "PUT", CURRENT, body=Profile, answers={200: wire_users.User}, access="any", tag="User",
    examples={"example": {"first-name": "Ada", "last-name": "Example"}},
)  # fmt: skip
async def update_current_user(call: Call, body: Profile) -> wire_users.User:
    """Change the caller's own names. Permissions can be given up, which wants a sign-in in the last ten minutes."""
    return await _changed(call, call.signed_in.account, body)


@operation("DELETE", CURRENT, answers={204: None}, fresh=True, tag="User")
async def delete_current_user(call: Call) -> None:
    """Delete the caller's own account, which an operator can bring back for 30 days. Within ten minutes of signing in.

    Sub users are deleted or suspended first: nobody could act on them afterwards.
    """
    await call.core.administration.delete(call.signed_in, call.signed_in.account, call.client)
    carriers.clear_cookie(call)


@operation(
    "POST", CURRENT, body=NewUser, answers={200: wire_users.NewUserAnswer}, tag="User", examples={"example": _EXAMPLE}
)
async def add_sub_user(call: Call, body: NewUser) -> wire_users.NewUserAnswer:
    """Add a sub user below the caller. An invitation is mailed, with which it chooses a password and becomes active."""
    return await _added(call, call.signed_in.account, body)


@operation(
    "GET", f"{BASE}/user", query=wire_users.UserQuery, answers={200: wire_users.UserList}, access="any", tag="User"
)
async def list_users(call: Call, query: wire_users.UserQuery) -> wire_users.UserList:
    """List those below the caller, at any distance; for administrators everybody."""
    everybody = call.signed_in.account.administrator
    await permissions.need(call, "read:user" if everybody else "read:sub-user")
    found, total = await call.core.family.page(call.signed_in, query.listing())
    return wire_users.listed(query, found, total)


@operation("GET", ONE, answers={200: wire_users.User}, access="optional", tag="User")
async def show_user(call: Call) -> wire_users.User:
    """Show one account within reach. Nobody in particular reaches none."""
    if call.caller is None:
        raise refusals.NotSignedIn
    return await _seen(call, await named(call))


@operation(
    "PUT", ONE, body=SubProfile, answers={200: wire_users.User}, access="any", tag="User",
    examples={"example": {"first-name": "Bob", "last-name": "Example"}},
)  # fmt: skip
async def update_user(call: Call, body: SubProfile) -> wire_users.User:
    """Change a sub user's names and permissions, or suspend it and let it in again.

    Permissions and status within ten minutes of signing in. A caller gives no permission that he lacks himself.
    """
    return await _changed(call, await named(call), body)


@operation(
    "POST", ONE, body=NewUser, answers={200: wire_users.NewUserAnswer}, tag="User", examples={"example": _EXAMPLE}
)
async def add_sub_user_below(call: Call, body: NewUser) -> wire_users.NewUserAnswer:
    """Add a sub user below one of the caller's sub users."""
    return await _added(call, await named(call), body)


@operation(
    "PUT", OTHER_PASSWORD_PATH, body=wire.ChangePassword, query=wire.ChangePasswordQuery, answers={204: None},
    tag="Auth",
    examples={"example": {"old-password": "the old horse battery", "new-password": "another horse battery"}},
)  # fmt: skip
async def change_sub_users_password(call: Call, body: wire.ChangePassword, query: wire.ChangePasswordQuery) -> None:
    """Set a sub user's password; `old-password` is its present one. All its sessions and keys end, in all APIs.

    With the caller's own id the same as for `current`. A `password-update-token` of that user stands for the old one.
    """
    target, caller, new = await named(call), call.signed_in, Password.from_plain(body.new_password)
    if body.password_update_token is not None:
        await restoring.set_password(call, body.password_update_token, new, of=target.id)
        return
    old = restoring.old_password(call, body)
    if target.id == caller.account.id:
        await call.core.accounts.change_password(caller, old, new, call.client, end_others=query.logout_all)
        return
    await permissions.need_for(call, target, "write")
    await call.core.family.set_password(caller, target, new, call.client, old=old)


# ---------------------------------------------------------------- what they share


async def named(call: Call) -> Account:
    """Return the account of the number in the path. Raises Invalid unless it is one, NotFound out of reach."""
    text = call.path["user_id"]
    if _NUMBER.fullmatch(text) is None:
        raise Invalid((Problem("user-id", "format", "must be an integer >= 1", "path"),))
    return await call.core.family.find(call.signed_in, "probe", str(int(text)))


async def listed_for(call: Call, number: int, numbers: dict[Id, int]) -> Account:
    """Return the account of a number whose sessions the caller may see, and write the number down.

    Raises NotFound out of reach, NotAllowed.
    """
    account = await call.core.family.find(call.signed_in, "probe", str(number))
    if account.id != call.signed_in.account.id:
        await permissions.need_for(call, account, "read")
    numbers[account.id] = number
    return account


async def _seen(call: Call, account: Account) -> wire_users.User:
    await permissions.need_for(call, account, "read")
    return await _shown(call, await call.core.accounts.person(account))


async def _shown(call: Call, person: Person) -> wire_users.User:
    above = await call.core.family.above(person.account)
    return wire_users.user(person, above, permissions.of(person, above))


async def _changed(call: Call, target: Account, body: Profile) -> wire_users.User:
    """Change an account within reach as a body says it, where the caller is permitted to."""
    await permissions.need_for(call, target, "write")
    labels, wanted = None, body.wanted()
    if wanted is not None:
        present = permissions.of(await call.core.accounts.person(target), await call.core.family.above(target))
        await permissions.may_give(call, wanted, present)
        labels = permissions.stored(wanted) if wanted != present else None
    own = target.id == call.signed_in.account.id
    barred = body.barred(wire_users.status_of(target)) if isinstance(body, SubProfile) and not own else None
    change = Change(body.first_name, body.last_name, labels, barred)
    return await _shown(call, await call.core.family.change(call.signed_in, target, change, call.client))


async def _added(call: Call, parent: Account, body: NewUser) -> wire_users.NewUserAnswer:
    """Add a sub user below somebody within reach, with the permissions of a body or those that a sub user has."""
    if parent.id == call.signed_in.account.id:
        await permissions.need(call, "write:sub-user")
    else:
        await permissions.need_for(call, parent, "write")
    wanted = body.wanted()
    if wanted is None:
        wanted = permissions.DEFAULTS["sub"] & await permissions.held(call)
    await permissions.may_give(call, wanted)
    labels = permissions.stored(wanted)
    new = NewChild(body.email, body.first_name or "", body.last_name or "", labels)
    person = await call.core.family.add(call.signed_in, parent, new, call.client, DOOR)
    return wire_users.NewUserAnswer(await _shown(call, person))


OPERATIONS: tuple[Operation, ...] = (
    current_user, update_current_user, delete_current_user, add_sub_user, list_users, show_user, update_user,
    add_sub_user_below, change_sub_users_password,
)  # fmt: skip
