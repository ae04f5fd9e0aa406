"""Pocketm8's operations: signing in, the second step, the profile."""

from __future__ import annotations

from dragoman.core.doors import DAY, Door
from dragoman.core.refusals import NotSignedIn
from dragoman.core.tokens import Sealed
from dragoman.dialects.pocketm8 import wire
from dragoman.http import Call, operation
from dragoman.model import Caller, Password, Pending, Typed

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


OPERATIONS = (sign_in, verify_challenge, get_profile)
