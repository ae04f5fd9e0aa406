"""Flashback's calls about one person: role, names, password, deactivating oneself (contract, 4.5, 4.7, 4.8, 4.16)."""

from __future__ import annotations

from dragoman.dialects.flashback import errors, wire
from dragoman.dialects.flashback import wire_organization as shapes
from dragoman.http import Call, operation
from dragoman.model import Password


@operation("GET", "/user/{user_id}", answers={200: shapes.RoleOf}, tag="user")
async def role_of_user(call: Call) -> shapes.RoleOf:
    """Show the role of somebody in one's own organization."""
    account = await call.core.members.see(call.signed_in, shapes.named(call.path["user_id"]))
    return shapes.role_data(account)


@operation(
    "PUT",
    errors.UPDATE,
    body=shapes.Update,
    answers={200: wire.Done},
    verified=True,
    tag="user",
    examples={
        "names": {"name": "Ada", "lastName": "Example"},
        "password": {"password": "another Horse battery 7", "currentPassword": "correct horse battery"},
    },
)
async def update_user(call: Call, body: shapes.Update) -> wire.Done:
    """Change names, one's own or, from role 2 on, those of others in the organization; or one's own password.

    A password is changed within ten minutes of signing in, later with `currentPassword`. Other sessions end with it.
    """
    caller, id, members = call.signed_in, shapes.named(call.path["user_id"]), call.core.members
    if body.password is None:
        await members.change(caller, id, body.change(), call.client)
    else:
        password = Password.from_plain(body.password)
        await members.change_with_password(
            caller, id, body.change(), call.client, password=password, old=body.old()
        )  # fmt: skip
    return wire.Done(message="User updated")


@operation(
    "PUT",
    "/user/{user_id}/role",
    body=shapes.SetRole,
    answers={200: shapes.RoleChanged},
    fresh=True,
    verified=True,
    tag="user",
    examples={"workspaces": {"orgRole": 2}},
)
async def set_role(call: Call, body: shapes.SetRole) -> shapes.RoleChanged:
    """Give somebody in the organization another role: 0, 1, 2, 254 or 255.

    The role before and after are below the caller's own, except that an owner may do anything. Anyone may lower their
    own; the last owner stays. Within ten minutes of signing in.
    """
    id = shapes.named(call.path["user_id"])
    return shapes.role_changed(await call.core.members.change(call.signed_in, id, body.change(), call.client))


@operation("POST", "/user/deactivate", answers={200: wire.Done}, fresh=True, verified=True, tag="user")
async def deactivate(call: Call) -> wire.Done:
    """Deactivate one's own account: every session ends, in all APIs. Within ten minutes of signing in.

    Refused to the only owner of an organization with other members.
    """
    await call.core.members.leave(call.signed_in, call.client)
    return wire.Done(message="The account was deactivated")


OPERATIONS = (deactivate, role_of_user, update_user, set_role)
