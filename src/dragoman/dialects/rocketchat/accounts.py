"""Rocket.Chat's calls about accounts and their sessions (its contract, sections 8.2, 8.3, 8.6 and decision 42)."""

from __future__ import annotations

import re
from contextlib import suppress

from msgspec import UNSET

from dragoman.core import identifiers
from dragoman.core.accounts import NewAccount
from dragoman.core.administration import Change
from dragoman.core.refusals import BadIdentifier, IdentifierTaken, NotFound, NotOffered, WrongPassword
from dragoman.dialects.rocketchat import permissions, proof, wire_accounts
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.permissions import ROLES
from dragoman.dialects.rocketchat.wire import ALIAS, DONE, NOTHING, Done, roles_of, time_of
from dragoman.http import Answer, Call, operation
from dragoman.model import Account, Caller, Password, Person

BLOCKED = frozenset(("admin", "administrator", "system", "user"))
"""Usernames that nobody is given over this wire, in any letter case (contract section 8.2)."""
ASKED_AT_ONCE = 50

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_NOT_ALLOWED = "error-action-not-allowed"
_NO_ADDING = failure(400, "Adding user is not allowed", _NOT_ALLOWED)
_NO_EDITING = failure(400, "Editing user is not allowed", _NOT_ALLOWED)
_NO_ASSIGNING = failure(400, "Assign roles is not allowed", _NOT_ALLOWED)
_NO_ADMIN = failure(400, "Assigning admin is not allowed", _NOT_ALLOWED)
_NO_VERIFYING = failure(400, "Editing email verification is not allowed", _NOT_ALLOWED)
_NO_PASSWORD = failure(400, "Editing user password is not allowed", _NOT_ALLOWED)
_NO_SUCH_ROLE = failure(400, "The field Roles consist invalid role id", _NOT_ALLOWED)
_FIELD_MISSING = "error-the-field-is-required"
_NAMELESS = failure(400, "The field Username is required", _FIELD_MISSING)
_NO_NAME = failure(400, "The field Name is required", _FIELD_MISSING)
_PASSWORDLESS = failure(400, "The field Password is required", _FIELD_MISSING)
_IDENTITY = failure(400, "Could not save user identity", "error-could-not-save-identity")
_WRONG_PASSWORD = failure(400, "Invalid password", "error-invalid-password")
_WHO = failure(
    400, 'The required "userId" or "username" param was not provided', "error-user-param-not-provided"
)  # fmt: skip
_NO_QUERY = failure(400, "Invalid search query.")
_BAD_FROM = failure(400, 'The "from" query parameter must be a valid date.', "error-from-param-invalid")
_FORBIDDEN = failure(403, "unauthorized")


# ---------------------------------------------------------------- others


@operation(
    "POST",
    "/api/v1/users.create",
    body=wire_accounts.NewUser,
    answers={200: wire_accounts.OneUser},
    fresh=True,
    tag="users",
    examples={
        "person": {
            "email": "bob@example.com",
            "name": "Bob Example",
            "username": "bob",
            "password": "a long horse story",
        }
    },
)
async def users_create(call: Call, body: wire_accounts.NewUser) -> wire_accounts.OneUser | Answer:
    """Make an account in the default organization; for administrators with `create-user`.

    The address is vouched for by the administrator's word, and confirmed with `verified`. `roles` become labels; with
    `bot` it is a bot. With `requirePasswordChange` the password dies after 7 days.
    """
    if not await permissions.has(call, "create-user"):
        return _NO_ADDING
    refused = _unfit(body)
    if refused is not None:
        return refused
    try:
        person = await _create(call, body)
    except IdentifierTaken as taken:
        return _in_use(body.username if taken.kind == "username" else body.email)
    return wire_accounts.OneUser(wire_accounts.user(person), True)


async def _create(call: Call, body: wire_accounts.NewUser) -> Person:
    first, last, display = identifiers.names_of(body.name)
    labels = _labels(body.roles, administrator=False)
    new = NewAccount(
        email=body.email, username=body.username, first_name=first, last_name=last, display_name=display,
        kind="bot" if "bot" in labels else "person", verified=body.verified,
        status="active" if body.active else "suspended", labels={ALIAS: labels} if labels else {},
    )  # fmt: skip
    random = body.set_random_password or not isinstance(body.password, str)
    password = None if random else Password.from_plain(str(body.password))
    person = await call.core.administration.add(
        call.signed_in, new, password, initial=body.require_password_change, client=call.client
    )
    if random:
        with suppress(NotOffered):
            await call.core.recovery.request_reset(call.door.name, body.email, call.client)
    return person


@operation(
    "GET",
    "/api/v1/users.info",
    query=wire_accounts.Asked,
    answers={200: wire_accounts.OneUser},
    access="any",
    tag="users",
)
async def users_info(call: Call, query: wire_accounts.Asked) -> wire_accounts.OneUser | Answer:
    """Tell about somebody: all of it of oneself and with `view-full-other-user-info`, else name and username.

    Only with that permission is somebody found by an address.
    """
    account = await meant(call, query)
    if account is None and query.email is not UNSET:
        await permissions.needs(call, "view-full-other-user-info")
        account = await call.core.accounts.by_email(query.email)
    if account is None:
        return _NO_QUERY
    person = await call.core.administration.seen(call.signed_in, account)
    own = account.id == call.signed_in.account.id
    whole = own or await permissions.has(call, "view-full-other-user-info")
    return wire_accounts.OneUser(wire_accounts.user(person) if whole else wire_accounts.brief(person), True)


@operation(
    "POST",
    "/api/v1/users.update",
    body=wire_accounts.UserUpdate,
    answers={200: wire_accounts.OneUser},
    fresh=True,
    tag="users",
    examples={"name": {"userId": "aobEdbYhXfu5hkeqG", "data": {"name": "Bob Example"}}},
)
async def users_update(call: Call, body: wire_accounts.UserUpdate) -> wire_accounts.OneUser | Answer:
    """Change an account: of others with `edit-other-user-info`, and only whom the caller manages.

    A changed address or password of others is told to its owner; the password ends every session and key.
    """
    data, account = body.data, await call.core.accounts.by_alias(ALIAS, body.user_id)
    person = await call.core.administration.seen(call.signed_in, account)
    refused = await _not_to_change(call, person, data)
    if refused is not None:
        return refused
    try:
        await call.core.administration.change(call.signed_in, account, _change(person, data), call.client)
    except IdentifierTaken as taken:
        return _in_use(str(data.username if taken.kind == "username" else data.email))
    if data.active is not UNSET and data.active != (account.status == "active"):
        await call.core.administration.set_active(call.signed_in, account, data.active, call.client)
    return wire_accounts.OneUser(wire_accounts.user(await _again(call, account)), True)


async def _not_to_change(call: Call, person: Person, data: wire_accounts.UserData) -> Answer | None:
    """Return what this dialect has against a change."""
    own = person.account.id == call.signed_in.account.id
    if not own and not await permissions.has(call, "edit-other-user-info"):
        return _NO_EDITING
    if own and data.verified:
        return _NO_VERIFYING
    if data.password is not UNSET and (own or not await permissions.has(call, "edit-other-user-password")):
        return _NO_PASSWORD
    if data.active is not UNSET and not await permissions.has(call, "edit-other-user-active-status"):
        return _NO_EDITING
    if data.username is not UNSET and data.username.lower() in BLOCKED:
        return _blocked(data.username)
    if data.roles is UNSET:
        return None
    administrator = person.account.administrator
    refused = _bad_roles(data.roles, administrator=administrator)
    if refused is not None or {*_labels(data.roles, administrator=administrator)} == {*roles_of(person)[1:]}:
        return refused
    return None if await permissions.has(call, "assign-roles") else _NO_ASSIGNING


def _change(person: Person, data: wire_accounts.UserData) -> Change:
    labels = None
    if data.roles is not UNSET:
        labels = _labels(data.roles, administrator=person.account.administrator)
    email = data.email if data.email is not UNSET else person.email if data.verified else None
    return Change(
        name=data.name if data.name is not UNSET else None,
        username=data.username if data.username not in (UNSET, person.username) else None,
        email=email if data.verified or email != person.email else None,
        verified=data.verified,
        password=Password.from_plain(data.password) if data.password is not UNSET else None,
        initial=data.require_password_change,
        labels=labels if labels is not None and {*labels} != {*roles_of(person)[1:]} else None,
    )


@operation(
    "POST",
    "/api/v1/users.setActiveStatus",
    body=wire_accounts.ActiveStatus,
    answers={200: wire_accounts.StatusSet},
    fresh=True,
    tag="users",
    examples={"bar": {"userId": "aobEdbYhXfu5hkeqG", "activeStatus": False}},
)
async def users_set_active_status(call: Call, body: wire_accounts.ActiveStatus) -> wire_accounts.StatusSet:
    """Bar somebody, whose sessions and keys end in all dialects at once, or let him sign in again.

    Wants `edit-other-user-active-status` or `manage-moderation-actions`, and somebody whom the caller manages.
    """
    await permissions.asked(call)
    account = await call.core.accounts.by_alias(ALIAS, body.user_id)
    await call.core.administration.set_active(call.signed_in, account, body.active_status, call.client)
    return wire_accounts.StatusSet(wire_accounts.Status(id=body.user_id, active=body.active_status), True)


@operation(
    "POST",
    "/api/v1/users.delete",
    body=wire_accounts.Doomed,
    answers={200: wire_accounts.Deleted},
    fresh=True,
    tag="users",
    examples={"by name": {"username": "bob"}},
)
async def users_delete(call: Call, body: wire_accounts.Doomed) -> wire_accounts.Deleted | Answer:
    """Delete an account; wants `delete-user`, and somebody whom the caller manages.

    An operator can bring it back for 30 days, in which its username and address stay taken.
    """
    await permissions.asked(call)
    account = await meant(call, body)
    if account is None:
        return _WHO
    await call.core.administration.delete(call.signed_in, account, call.client)
    return wire_accounts.Deleted((), True)


# ---------------------------------------------------------------- oneself


@operation(
    "POST",
    "/api/v1/users.updateOwnBasicInfo",
    body=wire_accounts.OwnUpdate,
    answers={200: wire_accounts.OneUser},
    tag="users",
    examples={"name": {"data": {"name": "Ada Example"}}},
)
async def users_update_own_basic_info(call: Call, body: wire_accounts.OwnUpdate) -> wire_accounts.OneUser | Answer:
    """Change one's own name, username, address and password; the latter two with `currentPassword`.

    A new address gets a link to confirm it. A new password ends all other clients, a new address too; keys stay.
    """
    data, caller = body.data, call.signed_in
    if data.username is not UNSET and not await _may_be_called(call, data.username):
        return _IDENTITY
    try:
        await _prove_and_change(call, caller, data)
    except WrongPassword:
        return _WRONG_PASSWORD
    except IdentifierTaken as taken:
        return _IDENTITY if taken.kind == "username" else _in_use(str(data.email))
    return wire_accounts.OneUser(wire_accounts.user(await _again(call, caller.account)), True)


async def _prove_and_change(call: Call, caller: Caller, data: wire_accounts.BasicInfo) -> None:
    """Change what asks for the password first, so that nothing is changed where it is wrong. Raises WrongPassword."""
    new_email = data.email is not UNSET and data.email != (await call.core.accounts.person(caller.account)).email
    if data.new_password is not UNSET or new_email:
        if data.current_password is UNSET:
            raise WrongPassword
        current = _typed(data.current_password)
        if data.new_password is not UNSET:
            await call.core.accounts.change_password(
                caller, current, Password.from_plain(data.new_password), call.client
            )
        else:
            await call.core.signin.confirm(caller, current, call.client)
    change = Change(
        name=data.name if data.name is not UNSET else None,
        username=data.username if data.username is not UNSET else None,
        email=data.email if new_email and data.email is not UNSET else None,
    )
    await call.core.administration.change(caller, caller.account, change, call.client)


@operation(
    "POST",
    "/api/v1/users.deleteOwnAccount",
    body=wire_accounts.Goodbye,
    answers={200: wire_accounts.Deleted},
    tag="users",
    examples={"digest": {"password": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}},
)
async def users_delete_own_account(call: Call, body: wire_accounts.Goodbye) -> wire_accounts.Deleted | Answer:
    """Delete one's own account, the password proved; an operator can bring it back for 30 days."""
    caller = call.signed_in
    try:
        await call.core.signin.confirm(caller, _typed(body.password), call.client)
    except WrongPassword:
        return _WRONG_PASSWORD
    await call.core.administration.delete(caller, caller.account, call.client)
    return wire_accounts.Deleted((), True)


@operation(
    "GET",
    "/api/v1/users.checkUsernameAvailability",
    query=wire_accounts.Wanted,
    answers={200: wire_accounts.Available},
    access="any",
    tag="users",
)
async def users_check_username_availability(call: Call, query: wire_accounts.Wanted) -> wire_accounts.Available:
    """Tell whether the caller could be called so: yes for the username that he has."""
    return wire_accounts.Available(await _may_be_called(call, query.username), True)


@operation(
    "GET", "/api/v1/users.getAvatarSuggestion", answers={200: wire_accounts.Suggestions}, access="any", tag="users"
)
async def users_get_avatar_suggestion(_: Call) -> wire_accounts.Suggestions:
    """List the pictures that other services have of the caller: none."""
    return wire_accounts.Suggestions(NOTHING, True)


# ---------------------------------------------------------------- sessions and presence


@operation(
    "POST",
    "/api/v1/users.logout",
    body=wire_accounts.SignOut,
    answers={200: wire_accounts.Ended},
    tag="sessions",
    examples={"oneself": {}, "another": {"userId": "aobEdbYhXfu5hkeqG"}},
)
async def users_logout(call: Call, body: wire_accounts.SignOut) -> wire_accounts.Ended | Answer:
    """End every session and key of an account in all dialects: one's own, or with `logout-other-user` another's.

    Another's takes a fresh proof, and somebody whom the caller manages.
    """
    own = (await call.core.accounts.person(call.signed_in.account)).aliases[ALIAS]
    named = own if body.user_id is UNSET else body.user_id
    if named != own:
        if not await permissions.has(call, "logout-other-user"):
            return _FORBIDDEN
        if not await call.core.proving.is_fresh(call.signed_in, call.client):
            unproved = await proof.prove(call)
            if unproved is not None:
                return unproved
    account = await call.core.accounts.by_alias(ALIAS, named)
    await call.core.administration.end_everything(call.signed_in, account, call.client)
    return wire_accounts.Ended(f"User {named} has been logged out!", True)


@operation("POST", "/api/v1/users.logoutOtherClients", answers={200: wire_accounts.TokenKept}, tag="sessions")
async def users_logout_other_clients(call: Call) -> wire_accounts.TokenKept:
    """End all other clients of the caller, in all dialects; keys stay. Tells the token that stays."""
    await call.core.sessions.end_others(call.signed_in, call.client)
    ends_at = call.signed_in.session.ends_at
    expires = time_of(ends_at) if ends_at is not None else UNSET
    return wire_accounts.TokenKept(call.header("x-auth-token") or "", expires, True)


@operation("POST", "/api/v1/users.removeOtherTokens", answers={200: Done}, tag="sessions")
async def users_remove_other_tokens(call: Call) -> Done:
    """End all other clients of the caller, in all dialects; keys stay."""
    await call.core.sessions.end_others(call.signed_in, call.client)
    return DONE


@operation(
    "GET",
    "/api/v1/users.getPresence",
    query=wire_accounts.Who,
    answers={200: wire_accounts.Presence},
    access="any",
    tag="users",
)
async def users_get_presence(call: Call, query: wire_accounts.Who) -> wire_accounts.Presence:
    """Tell whether somebody is there, oneself where nobody is named: always `offline`, since no presence is kept."""
    account = await meant(call, query)
    if account is not None:
        await call.core.administration.seen(call.signed_in, account)
    return wire_accounts.Presence("offline", True)


@operation(
    "GET",
    "/api/v1/users.presence",
    query=wire_accounts.Several,
    answers={200: wire_accounts.Presences},
    access="any",
    tag="users",
)
async def users_presence(call: Call, query: wire_accounts.Several) -> wire_accounts.Presences | Answer:
    """Tell who is there, or how it is with those named in `ids`, 50 at the most: everybody is `offline`."""
    if query.since is not UNSET and wire_accounts.time_from(query.since) is None:
        return _BAD_FROM
    ids = [id for id in query.ids.split(",") if id][:ASKED_AT_ONCE]
    found = []
    for id in ids:
        with suppress(NotFound):
            account = await call.core.accounts.by_alias(ALIAS, id)
            found.append(wire_accounts.brief(await call.core.administration.seen(call.signed_in, account)))
    return wire_accounts.Presences(tuple(found), not ids, True)


# ---------------------------------------------------------------- shared


async def meant(call: Call, who: wire_accounts.Who) -> Account | None:
    """Return the account that is named, None where nobody is. Raises NotFound."""
    if who.user_id is not UNSET:
        return await call.core.accounts.by_alias(ALIAS, who.user_id)
    name = who.username if who.username is not UNSET else who.user
    return None if name is UNSET else await call.core.accounts.by_username(name)


async def _again(call: Call, account: Account) -> Person:
    """Return a person as the last change left him."""
    return await call.core.accounts.person(await call.core.accounts.by_id(account.id))


async def _may_be_called(call: Call, username: str) -> bool:
    """Tell whether the caller may have a username: free, or his own, and not one that nobody gets here."""
    try:
        identifiers.check("username", username)
        holder = await call.core.accounts.by_username(username)
    except BadIdentifier:
        return False
    except NotFound:
        return username.lower() not in BLOCKED
    return holder.id == call.signed_in.account.id


def _typed(text: str) -> Password:
    """Return a password that came as its digest, as this wire has it, or as it is."""
    return Password.from_digest(text) if _DIGEST.fullmatch(text) else Password.from_plain(text)


def _bad_roles(roles: tuple[str, ...], *, administrator: bool) -> Answer | None:
    """Return what is wrong with the roles that somebody is to have.

    Who is an administrator stays one, and nobody becomes one: no call over a wire says so (threat 31).
    """
    if not {*roles} <= ROLES:
        return _NO_SUCH_ROLE
    return _NO_ADMIN if ("admin" in roles) != administrator else None


def _labels(roles: tuple[str, ...], *, administrator: bool) -> tuple[str, ...]:
    """Return the labels among the roles that somebody is to have: all but the one that follows from the core."""
    first = "admin" if administrator else "user"
    return tuple(dict.fromkeys(role for role in roles if role != first))


def _unfit(body: wire_accounts.NewUser) -> Answer | None:
    """Return what is missing from a new account, or blocked in it."""
    if not body.username.strip():
        return _NAMELESS
    if not body.name.strip():
        return _NO_NAME
    if body.username.lower() in BLOCKED:
        return _blocked(body.username)
    if not body.password and not body.set_random_password:
        return _PASSWORDLESS
    return _bad_roles(body.roles, administrator=False)


def _in_use(name: str) -> Answer:
    return failure(400, f"{name[:300]} is already in use :(", "error-field-unavailable")


def _blocked(name: str) -> Answer:
    return failure(400, f"{name} is blocked and can't be used!", "error-blocked-username")


OPERATIONS = (
    users_create,
    users_info,
    users_update,
    users_set_active_status,
    users_delete,
    users_update_own_basic_info,
    users_delete_own_account,
    users_check_username_availability,
    users_get_avatar_suggestion,
    users_logout,
    users_logout_other_clients,
    users_remove_other_tokens,
    users_get_presence,
    users_presence,
)
