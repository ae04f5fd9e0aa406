"""Flashback's calls about the members of one's own organization, for its managers (contract, section 7)."""

from __future__ import annotations

from dragoman.dialects.flashback import wire
from dragoman.dialects.flashback import wire_organization as shapes
from dragoman.dialects.flashback.routes import DOOR
from dragoman.http import Call, operation

ONE = "/organization/users/{user_id}"


@operation(
    "GET", "/organization/users", query=shapes.Page, answers={200: shapes.Members}, tag="organization"
)  # fmt: skip
async def list_members(call: Call, query: shapes.Page) -> shapes.Members:
    """List the members of one's own organization, deleted ones too, in the order in which they came. From role 2 on."""
    found, total = await call.core.members.page(call.signed_in, limit=query.limit, after=query.offset)
    return shapes.Members(data=tuple(shapes.member(each) for each in found), total=total)


@operation(
    "POST",
    "/organization/users",
    body=shapes.AddMember,
    answers={201: shapes.OneMember},
    verified=True,
    tag="organization",
    examples={
        "invited": {"email": "bob@example.com", "firstName": "Bob", "lastName": "Example"},
        "with password": {
            "email": "bob@example.com", "firstName": "Bob", "lastName": "Example", "orgRole": 1,
            "password": "another Horse battery 7",
        },
    },
)  # fmt: skip
async def add_member(call: Call, body: shapes.AddMember) -> shapes.OneMember:
    """Add somebody to one's own organization, who can sign in once the address was verified. From role 2 on.

    A role above 0 is given within ten minutes of signing in.
    """
    return shapes.added(await call.core.members.add(call.signed_in, body.member(), call.client, DOOR))


@operation("GET", ONE, answers={200: shapes.Member}, tag="organization")
async def show_member(call: Call) -> shapes.Member:
    """Show one member, without an envelope. From role 2 on."""
    return shapes.member(await call.core.members.find(call.signed_in, shapes.named(call.path["user_id"])))


@operation(
    "PUT",
    ONE,
    body=shapes.UpdateMember,
    answers={200: shapes.OneMember},
    verified=True,
    tag="organization",
    examples={"all": {"name": "Bob", "lastName": "Example", "orgRole": 1}},
)
async def update_member(call: Call, body: shapes.UpdateMember) -> shapes.OneMember:
    """Change names and role of a member. From role 2 on; another role within ten minutes of signing in."""
    id = shapes.named(call.path["user_id"])
    changed = await call.core.members.change_managed(call.signed_in, id, body.change(), call.client)
    return shapes.OneMember(data=shapes.member(changed.member), message="User updated")


@operation("DELETE", ONE, answers={200: wire.Done}, fresh=True, verified=True, tag="organization")
async def delete_member(call: Call) -> wire.Done:
    """Delete a member of a lower role, who can be brought back for 30 days. Within ten minutes of signing in."""
    await call.core.members.delete(call.signed_in, shapes.named(call.path["user_id"]), call.client)
    return wire.Done(message="User deleted")


@operation("POST", f"{ONE}/activate", answers={200: wire.Done}, verified=True, tag="organization")
async def activate_member(call: Call) -> wire.Done:
    """Bring a deleted member back."""
    await call.core.members.restore(call.signed_in, shapes.named(call.path["user_id"]), call.client)
    return wire.Done(message="User activated")


@operation("POST", f"{ONE}/resend-invitation", answers={200: wire.Done}, verified=True, tag="organization")
async def resend_invitation(call: Call) -> wire.Done:
    """Mail an invitation once more; the link before is void."""
    await call.core.members.invite_again(
        call.signed_in, shapes.named(call.path["user_id"]), call.client, DOOR
    )  # fmt: skip
    return wire.Done(message="A new invitation was sent")


OPERATIONS = (
    list_members, add_member, show_member, update_member, delete_member, activate_member, resend_invitation,
)  # fmt: skip
