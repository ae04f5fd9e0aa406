"""Forgotten passwords: a mail, its token exchanged for another, and that for a new password (contract section 7).

The last step is one of the password calls. Who forgot the password has no session, so the token alone opens it.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from dragoman.core import refusals
from dragoman.dialects.probe import carriers, errors
from dragoman.dialects.probe.door import BASE, DOOR
from dragoman.dialects.probe.wire import Address, ChangePassword, Jwt, Time, time_text
from dragoman.http import Call, Invalid, operation
from dragoman.model import Id, Password


class Restore(Struct, rename="kebab"):
    """Whose password is forgotten."""

    email: Address


class Restoring(Struct, frozen=True):
    """Always the same, whoever has the address."""

    success: bool


class VerifyRestore(Struct, rename="kebab"):
    """The token of the mail."""

    password_restore_token: Jwt


class Restored(Struct, frozen=True, rename="kebab"):
    """Whether the token was good; if so, what the new password is set with."""

    success: bool
    password_update_token: str | UnsetType = UNSET
    password_update_token_created: Time | UnsetType = UNSET
    password_update_token_expire: Time | UnsetType = UNSET


NOT_RESTORED = Restored(False)


@operation(
    "POST", f"{BASE}/auth/password-restore", body=Restore, answers={200: Restoring}, access="open", tag="Auth",
    headers=(carriers.CAPTCHA_HEADER,), examples={"example": {"email": "ada@example.com"}},
)  # fmt: skip
async def password_restore(call: Call, body: Restore) -> Restoring:
    """Send a mail with which to set a new password. Answered alike for addresses that nobody has."""
    await carriers.captcha(call)
    await call.core.recovery.request_reset(DOOR.name, body.email, call.client, form=DOOR)
    return Restoring(True)


@operation(
    "POST", f"{BASE}/auth/password-restore-verify", body=VerifyRestore, answers={200: Restored}, access="open",
    tag="Auth", headers=(carriers.CAPTCHA_HEADER,),
    examples={
        "example": {"password-restore-token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoicmVzdG9yZSJ9.AAAA"}
    },
)  # fmt: skip
async def password_restore_verify(call: Call, body: VerifyRestore) -> Restored:
    """Exchange the token of the mail, once, for a short-lived one with which to set the password.

    A token that is expired, used or not ours is answered with `success` false.
    """
    await carriers.captcha(call)
    try:
        found = await call.core.recovery.exchange_reset(DOOR, body.password_restore_token, call.client)
    except refusals.BadTicket:
        return NOT_RESTORED
    return Restored(True, found.token.reveal(), time_text(found.created_at), time_text(found.ends_at))


def old_password(call: Call, body: ChangePassword) -> Password:
    """Return the present password, which has to come where no update token does. Raises Invalid."""
    if body.old_password is UNSET:
        raise Invalid((errors.body_problem(call, "old-password", "required", "is required"),))
    return Password.from_plain(body.old_password)


async def set_password(call: Call, token: str, new: Password, *, of: Id | None) -> None:
    """Set the password of the account that an update token is for; every session and key of it ends.

    :param of: the account that is meant; None: the token's. Raises BadTicket, also for a token of another account;
        TicketExpired, WeakPassword.
    """
    recovery = call.core.recovery
    person = await recovery.check("update", token, door=DOOR)
    if of not in (None, person.account.id):
        raise refusals.BadTicket
    await recovery.use("update", token, call.client, password=new, door=DOOR)
    if call.caller is not None and call.caller.account.id == person.account.id:
        carriers.clear_cookie(call)


OPERATIONS = (password_restore, password_restore_verify)
