"""Pocketm8's operations: signing in, the second step, a forgotten password, the profile."""

from __future__ import annotations

from dragoman.core.doors import DAY, Door
from dragoman.core.refusals import BadTicket, NotSignedIn
from dragoman.core.tokens import Sealed
from dragoman.dialects.pocketm8 import wire
from dragoman.http import Call, Invalid, Problem, operation
from dragoman.model import Caller, Password, Pending, Person, Typed

DOOR = Door(
    name="pocketm8",
    token=Sealed(use="pocketm8_access"),
    factors=("totp", "email", "recovery"),
    attempt="handle",
    absolute=30 * DAY,
    admits_all=False,
    child="rocketchat",
)
"""Table A. The chat block of a session is a child session at Rocket.Chat's door (decision 20)."""

TOKEN = "sL0hKBY0lb2nSeFrlXgZZyC7NxVkT3eQ2l8mJwYd5uE"  # noqa: S105  an example
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


async def authenticate(call: Call) -> Caller:
    """Find the caller by `Authorization: Bearer`: the only carrier (contract section 2.2)."""
    token = call.bearer()
    if token is None:
        raise NotSignedIn
    return await call.core.sessions.authenticate(DOOR, token)


@operation(
    "POST",
    "/api/auth/user/sign-in",
    body=wire.SignIn,
    answers={200: wire.Session | wire.MfaRequired},
    access="open",
    tag="Auth / User",
    examples={"password": ADA},
)
async def sign_in(call: Call, body: wire.SignIn) -> wire.Session | wire.MfaRequired:
    """Sign in with e-mail address and password.

    Both answers are 200: it is a session if and only if `data.accessToken` is there; else the second step is wanted.
    """
    outcome = await call.core.signin.with_password(
        DOOR, Typed("email", body.email), Password.from_plain(body.password), call.client
    )
    return wire.mfa_required(outcome) if isinstance(outcome, Pending) else wire.session(outcome)


@operation(
    "POST",
    "/api/auth/user/reset-password",
    body=wire.ResetPassword,
    answers={200: wire.Done},
    access="open",
    tag="Auth / User",
    examples={"address": {"email": "ada@example.com"}},
)
async def reset_password(call: Call, body: wire.ResetPassword) -> wire.Done:
    """Have a link mailed with which a new password is set. The answer is the same for addresses that nobody has."""
    await call.core.recovery.request_reset(DOOR.name, body.email, call.client)
    return wire.EMAIL_SENT


@operation(
    "POST",
    "/api/auth/user/verify-token",
    body=wire.VerifyToken,
    answers={200: wire.TokenIsValid | wire.Done},
    access="open",
    tag="Auth / User",
    examples={"check": {"token": TOKEN}, "set": {"token": TOKEN, "password": "another horse battery"}},
)
async def verify_token(call: Call, body: wire.VerifyToken) -> wire.TokenIsValid | wire.Done:
    """Check the token of a mailed link, which stays good, or set the new password with it, which uses it up.

    A value with four dots is an access token, which is only checked.
    """
    recovery = call.core.recovery
    if body.is_access_token:
        return wire.token_is_valid(await _holder(call, body))
    if body.password is None:
        return wire.token_is_valid(await recovery.check("reset", body.token, door=DOOR))
    await recovery.use("reset", body.token, call.client, password=Password.from_plain(body.password), door=DOOR)
    return wire.PASSWORD_UPDATED


async def _holder(call: Call, body: wire.VerifyToken) -> Person:
    """Return whose an access token is. Raises BadTicket, and Invalid when a password came with it."""
    if body.password is not None:
        raise Invalid((Problem("password", "not_allowed", "an access token sets no password"),))
    try:
        caller = await call.core.sessions.authenticate(DOOR, body.token)
    except NotSignedIn:
        raise BadTicket from None
    return await call.core.accounts.person(caller.account)


@operation(
    "POST",
    "/api/auth/user/verify-challenge",
    body=wire.VerifyChallenge,
    answers={200: wire.Session},
    access="open",
    tag="Auth / User",
    examples={"totp": {"challengeId": "67c2cdbc0024ab122b59", "code": "123456"}},
)
async def verify_challenge(call: Call, body: wire.VerifyChallenge) -> wire.Session:
    """Finish a sign-in that answered MFA_REQUIRED, with a TOTP code, one that was mailed, or a recovery code."""
    return wire.session(await call.core.signin.with_code(DOOR, body.challenge_id, body.typed, call.client))


@operation("GET", "/api/profile", answers={200: wire.Profile}, tag="Profile")
async def get_profile(call: Call) -> wire.Profile:
    """Return the caller's own profile."""
    person = await call.core.accounts.person(call.signed_in.account)
    return wire.profile(person, chat=DOOR.child in call.core.doors)


OPERATIONS = (sign_in, reset_password, verify_token, verify_challenge, get_profile)
