"""Flashback's calls about mailed links: verifying an address, invitations, resets (contract, 4.10 to 4.14)."""

from __future__ import annotations

import uuid

from dragoman.core.refusals import BadTicket
from dragoman.core.tickets import Purpose
from dragoman.dialects.flashback import errors, wire
from dragoman.dialects.flashback.routes import DOOR, Config
from dragoman.http import Call, operation
from dragoman.model import Password

TOKEN = "sL0hKBY0lb2nSeFrlXgZZyC7NxVkT3eQ2l8mJwYd5uE"  # noqa: S105  an example
_VERIFIES: tuple[Purpose, ...] = ("verify", "invite")
"""One field of the wire carries both: the token that proves an address and the one that takes up an invitation."""


@operation(
    "POST",
    "/user/pre-verify-email",
    body=wire.PreVerify,
    answers={200: wire.PreVerified},
    access="optional",
    accepts_limited=True,
    tag="user",
    examples={"token": {"token": TOKEN}},
)
async def pre_verify_email(call: Call, body: wire.PreVerify) -> wire.PreVerified:
    """Tell a page whether to ask for a password before it verifies an address. The token stays good.

    It is to ask the invited, and whoever is not known to be the one who registered the address: without a bearer of the
    account, from a network that it does not know.
    """
    recovery = call.core.recovery
    purpose, person = await recovery.purpose_of(_VERIFIES, body.token, door=DOOR)
    asks = await recovery.asks_password(purpose, person, call.client, call.caller)
    return wire.PreVerified(message="Choose a password" if asks else "Ready to verify", has_password=not asks)


@operation(
    "POST",
    "/user/verify-email",
    body=wire.Verify,
    answers={200: wire.LoggedIn},
    access="optional",
    accepts_limited=True,
    tag="user",
    examples={"verify": {"token": TOKEN}, "invited": {"token": TOKEN, "password": "another Horse battery 7"}},
)
async def verify_email(call: Call, body: wire.Verify) -> wire.LoggedIn:
    """Verify an address, or take up an invitation with a password, and sign in.

    Where somebody else registered the address, his sessions and his password end; `password` takes its place.
    Where the account has a second factor, the access token is limited, as that of a login is.
    """
    purpose, _ = await call.core.recovery.purpose_of(_VERIFIES, body.token, door=DOOR)
    password = Password.from_plain(body.password) if body.password else None
    outcome = await call.core.signin.with_ticket(
        DOOR, purpose, body.token, call.client, password=password, by=call.caller
    )
    return wire.logged_in(outcome, call.config(Config).expires_at_unit)


@operation(
    "POST", "/user/resend-verification/{verification_token_id}", answers={200: wire.Done}, access="open", tag="user"
)
async def resend_verification(call: Call) -> wire.Done:
    """Mail a link to verify an address or take up an invitation once more; the one before is void."""
    try:
        id = uuid.UUID(call.path["verification_token_id"]).bytes
    except ValueError:
        raise BadTicket from None
    await call.core.recovery.resend(DOOR, id, call.client)
    return wire.Done(message="A new link was sent")


@operation(
    "POST",
    "/user/request-reset-password",
    body=wire.RequestReset,
    answers={200: wire.Done},
    access="open",
    tag="user",
    examples={"address": {"email": "ada@example.com"}},
)
async def request_reset_password(call: Call, body: wire.RequestReset) -> wire.Done:
    """Have a link mailed with which a new password is set. The answer is the same for addresses that nobody has."""
    await call.core.recovery.request_reset(DOOR.name, body.email, call.client)
    return wire.Done(message="If the address belongs to an account, a link was sent to it")


@operation(
    "POST",
    errors.RESET,
    body=wire.Reset,
    answers={200: wire.Done},
    access="open",
    tag="user",
    examples={"token": {"token": TOKEN, "newPassword": "another Horse battery 7"}},
)
async def reset_password(call: Call, body: wire.Reset) -> wire.Done:
    """Set a new password with the token of a mailed link. Ends every session and key; signs nobody in."""
    password = Password.from_plain(body.new_password)
    await call.core.recovery.use("reset", body.token, call.client, password=password, door=DOOR)
    return wire.Done(message="The password was changed")


OPERATIONS = (pre_verify_email, verify_email, resend_verification, request_reset_password, reset_password)
