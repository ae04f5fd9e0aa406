"""Rocket.Chat's calls about mailed links: a forgotten password, confirming an address (its contract, section 8.3).

The reset itself is not here: the mail leads to a page, as the original's does.
"""

from __future__ import annotations

from dragoman.dialects.rocketchat import wire
from dragoman.http import Call, operation


@operation(
    "POST",
    "/api/v1/users.forgotPassword",
    body=wire.ByAddress,
    answers={200: wire.Done},
    access="open",
    tag="users",
    examples={"address": {"email": "ada@example.com"}},
)
async def forgot_password(call: Call, body: wire.ByAddress) -> wire.Done:
    """Have a link mailed with which a new password is set. Says yes to unknown and malformed addresses too."""
    await call.core.recovery.request_reset(call.door.name, body.email, call.client)
    return wire.DONE


@operation(
    "POST",
    "/api/v1/users.sendConfirmationEmail",
    body=wire.ByAddress,
    answers={200: wire.Done},
    access="open",
    tag="users",
    examples={"address": {"email": "ada@example.com"}},
)
async def send_confirmation_email(call: Call, body: wire.ByAddress) -> wire.Done:
    """Have a link mailed that confirms an address. Unknown addresses are told, within the budget for telling."""
    await call.core.recovery.request_verification(call.door, body.email, call.client, tells=True)
    return wire.DONE


@operation(
    "POST",
    "/api/v1/users.verifyEmail",
    body=wire.MailedToken,
    answers={200: wire.Done},
    access="optional",
    tag="users",
    examples={"token": {"token": "sL0hKBY0lb2nSeFrlXgZZyC7NxVkT3eQ2l8mJwYd5uE"}},
)
async def verify_email(call: Call, body: wire.MailedToken) -> wire.Done:
    """Confirm an address with the token that was mailed to it. Signs nobody in."""
    await call.core.recovery.use("verify", body.token, call.client, door=call.door, by=call.caller)
    return wire.DONE


OPERATIONS = (forgot_password, send_confirmation_email, verify_email)
