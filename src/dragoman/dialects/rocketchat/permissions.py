"""Rocket.Chat's permissions: which roles may call which of this dialect's operations (its contract, section 6.5).

They are this dialect's own document and carry no authority of the core (decision 11): what acts on an account or a
setting is judged there once more, by administrators and ranks, where nobody knows of roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial

import msgspec
from msgspec import UNSET

from dragoman.core.documents import Document, Edited
from dragoman.core.refusals import NotAllowed
from dragoman.dialects.rocketchat import memory
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.wire import roles_of, time_of
from dragoman.dialects.rocketchat.wire_accounts import (
    AllPermissions,
    ChangedPermissions,
    Permission,
    PermissionChanges,
    Since,
    time_from,
)
from dragoman.http import Answer, Call, operation
from dragoman.model import Caller, Millis

DOCUMENT = "rocketchat.permissions"
"""The name of the document that holds what differs from the defaults."""

_ADMIN = ("admin",)
_EVERYBODY = ("admin", "user")
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "access-permissions": _ADMIN,
    "api-bypass-rate-limit": ("admin", "bot", "app"),
    "assign-roles": _ADMIN,
    "create-personal-access-tokens": _EVERYBODY,
    "create-user": _ADMIN,
    "delete-user": _ADMIN,
    "edit-other-user-active-status": _ADMIN,
    "edit-other-user-avatar": _ADMIN,
    "edit-other-user-e2ee": _ADMIN,
    "edit-other-user-info": _ADMIN,
    "edit-other-user-password": _ADMIN,
    "edit-other-user-totp": _ADMIN,
    "edit-privileged-setting": _ADMIN,
    "logout-other-user": _ADMIN,
    "manage-moderation-actions": _ADMIN,
    "sync-auth-services-users": _ADMIN,
    "test-admin-options": _ADMIN,
    "user-generate-access-token": _ADMIN,
    "view-full-other-user-info": _ADMIN,
    "view-privileged-setting": _ADMIN,
    "view-statistics": _ADMIN,
}
"""Every permission that an operation of this dialect asks for, with the roles that have it in the original."""

LABELS: frozenset[str] = frozenset(
    (
        "anonymous", "app", "auditor", "auditor-log", "bot", "federated-external", "guest", "leader", "livechat-agent",
        "livechat-manager", "livechat-monitor", "moderator", "owner", "user",
    )
)  # fmt: skip
"""Roles that an account may be given as a label; `admin` is no label but a fact of the core (table B)."""
ROLES: frozenset[str] = LABELS | {"admin"}

_ASKED: Mapping[str, tuple[str, ...]] = {
    "/api/v1/permissions.update": ("access-permissions",),
    "/api/v1/settings/{setting_id}": ("edit-privileged-setting",),
    "/api/v1/users.delete": ("delete-user",),
    "/api/v1/users.setActiveStatus": ("edit-other-user-active-status", "manage-moderation-actions"),
}
"""One of which each protected operation asks for, by its path, before it asks for a proof (contract section 1.1)."""

_KEPT: Mapping[str, str] = {"access-permissions": "admin"}
"""Roles that keep a permission whatever is stored: else nobody could ever give it back over the wire."""


async def roles_with(call: Call, name: str) -> frozenset[str]:
    """Return the roles that have a permission now, in every process: one read by key."""
    held = await call.core.documents.find(DOCUMENT)
    stored = _stored(held.body) if held is not None else {}
    roles = frozenset(stored.get(name, DEFAULTS[name]))
    return roles | {_KEPT[name]} if name in _KEPT else roles


async def has(call: Call, name: str, caller: Caller | None = None) -> bool:
    """Tell whether somebody has a permission.

    :param name: one of DEFAULTS.
    :param caller: whom it is about; else the caller of the call, and nobody has none.
    """
    caller = caller or call.caller
    if caller is None:
        return False
    roles = await roles_with(call, name)
    return not roles.isdisjoint(roles_of(await call.core.accounts.person(caller.account)))


async def needs(call: Call, name: str, caller: Caller | None = None) -> None:
    """Raise NotAllowed in the words of a permission that is missing, unless the caller has it (contract section 1.1).

    For endpoints that have their own words, ask `has`.
    """
    if not await has(call, name, caller):
        raise NotAllowed(name)


async def asked(call: Call) -> None:
    """Raise NotAllowed where the caller has none of the permissions that the protected operation he calls asks for."""
    wanted = _ASKED.get(call.operation.path, ()) if call.operation is not None else ()
    for name in wanted:
        if await has(call, name):
            return
    if wanted:
        raise NotAllowed(wanted[0])


@lru_cache(maxsize=16)
def _stored(body: str) -> Mapping[str, tuple[str, ...]]:
    return msgspec.json.decode(body, type=dict[str, tuple[str, ...]])


# ---------------------------------------------------------------- reading and changing them

_BAD_TIME = failure(400, 'The "updatedSince" query parameter must be a valid date.', "error-updatedSince-param-invalid")
_NO_SUCH_PERMISSION = failure(400, "Invalid permission", "error-invalid-permission")
_NO_SUCH_ROLE = failure(400, "Invalid role", "error-invalid-role")


@operation(
    "GET",
    "/api/v1/permissions.listAll",
    query=Since,
    answers={200: AllPermissions},
    access="any",
    tag="administration",
)
async def permissions_list_all(call: Call, query: Since) -> AllPermissions | Answer:
    """List every permission with the roles that have it; with `updatedSince`, those that changed after that time."""
    since = -1 if query.updated_since is UNSET else time_from(query.updated_since)
    if since is None:
        return _BAD_TIME
    found = _shown(await call.core.documents.find(DOCUMENT))
    return AllPermissions(tuple(each for each, at in found if at > since), (), True)


@operation(
    "POST",
    "/api/v1/permissions.update",
    body=PermissionChanges,
    answers={200: ChangedPermissions},
    fresh=True,
    tag="administration",
    examples={"one": {"permissions": [{"_id": "logout-other-user", "roles": ["admin"]}]}},
)
async def permissions_update(call: Call, body: PermissionChanges) -> ChangedPermissions | Answer:
    """Say which roles have which permissions, in force for the very next call of every process.

    Administrators keep `access-permissions`, whatever is said.
    """
    await asked(call)
    wanted = {each.id: tuple(sorted(set(each.roles))) for each in body.permissions}
    if not wanted.keys() <= DEFAULTS.keys():
        return _NO_SUCH_PERMISSION
    if not {role for roles in wanted.values() for role in roles} <= ROLES:
        return _NO_SUCH_ROLE
    await call.core.documents.edit(DOCUMENT, partial(_edited, wanted=wanted), call.signed_in, call.client)
    memory.of(call).exempt_until = 0.0
    found = _shown(await call.core.documents.find(DOCUMENT))
    return ChangedPermissions(tuple(each for each, _ in found), True)


def _edited(body: str | None, *, wanted: Mapping[str, tuple[str, ...]]) -> Edited:
    """Return the document with these roles, and what differs from what was in force."""
    stored = dict(_stored(body)) if body is not None else {}
    before = {name: sorted(stored.get(name, DEFAULTS[name])) for name in wanted}
    changes = {
        name: (" ".join(before[name]), " ".join(roles)) for name, roles in wanted.items() if before[name] != list(roles)
    }
    return Edited(msgspec.json.encode({**stored, **wanted}).decode(), changes)


def _shown(held: Document | None) -> list[tuple[Permission, Millis]]:
    """Return every permission by name, and when it last changed; 0 for what was never changed."""
    stored, at = (_stored(held.body), held.updated_at) if held is not None else ({}, 0)
    return [
        (Permission(name, stored.get(name, roles), time_of(at if name in stored else 0)), at if name in stored else 0)
        for name, roles in sorted(DEFAULTS.items())
    ]


OPERATIONS = (permissions_list_all, permissions_update)
