"""Flashback's door and operations (contract sections 4.1, 4.2, 4.4, 4.9 and 7; `mailed` has 4.10 to 4.14)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from dragoman.core.doors import DAY, HOUR, Door
from dragoman.core.refusals import LimitedToken, NotSignedIn
from dragoman.core.tokens import BadToken, Signed
from dragoman.dialects.flashback import wire
from dragoman.http import Call, operation
from dragoman.model import Caller, Password, Person, Session, Typed, Wish, uuid_text


def claims(person: Person, session: Session | None) -> dict[str, Any]:
    """Return what Flashback's clients read in an access token (contract section 2, decision 14)."""
    account = person.account
    said = {"userId": uuid_text(account.id), "orgId": uuid_text(account.organization)}
    return said if person.email is None else {**said, "email": person.email}


LIMITED = Signed(use="flashback_mfa", algorithm="HS256", kind="mfa_pending", claims=claims)
"""What a client holds between password and second factor: a token that names the attempt (decision 4)."""

DOOR = Door(
    name="flashback",
    token=Signed(
        use="flashback_access", algorithm="ES256", kind="access", life_seconds=HOUR, claims=claims, chained=True
    ),
    factors=("totp", "passkey", "email", "recovery"),
    attempt=LIMITED,
    links=True,
    enrols=True,
    mixed_password=True,
    idle=30 * DAY,
    absolute=90 * DAY,
    tells=True,
    refreshes=True,
)


class Plan(Struct, frozen=True):
    """A subscription, and what it allows."""

    id: str
    name: str
    description: str
    capabilities: tuple[str, ...]
    """Of each: code, type, period, most, and a text, separated by spaces."""


class Config(Struct, frozen=True):
    """What an operator may choose."""

    expires_at_unit: wire.Unit = "ms"
    """Unit of `expiresAt`, which the documentation leaves open (open point 4)."""
    settings_size: int = 32 * 1024
    """Bytes of JSON that the settings of a user or an organization may take."""
    settings_depth: int = 10
    """How many objects and lists may be in one another there."""
    plan: Plan | None = None
    """The subscription that everybody has; None: nobody has one (open point 25)."""


async def authenticate(call: Call) -> Caller:
    """Return who the bearer token belongs to. Raises NotSignedIn; LimitedToken while a second factor is due."""
    token = call.bearer()
    if token is None:
        raise NotSignedIn
    try:
        return await call.core.sessions.authenticate(DOOR, token)
    except NotSignedIn:
        if _is_limited(call, token):
            raise LimitedToken from None
        raise


def _is_limited(call: Call, token: str) -> bool:
    try:
        call.core.tokens.read(LIMITED, DOOR.name, token)
    except BadToken:
        return False
    return True


@operation(
    "POST",
    "/user/login",
    body=wire.Login,
    answers={200: wire.LoggedIn},
    access="open",
    tag="user",
    examples={"password": {"email": "ada@example.com", "password": "correct horse battery"}},
)
async def log_in(call: Call, body: wire.Login) -> wire.LoggedIn:
    """Sign in with e-mail address and password.

    Where the account has a second factor, the access token is limited: it only opens `/mfa/verify-login`.
    """
    typed, password = Typed("email", body.email), Password.from_plain(body.password)
    wish = Wish(device=body.device())
    outcome = await call.core.signin.with_password(DOOR, typed, password, call.client, wish=wish)
    verification = await call.core.recovery.verification_of(outcome.person)
    return wire.logged_in(outcome, call.config(Config).expires_at_unit, verification)


@operation(
    "POST",
    "/user/refresh",
    body=wire.Refresh,
    answers={200: wire.Refreshed},
    access="open",
    tag="user",
    examples={"client": {"refresh_token": "..."}, "documentation": {"refreshToken": "..."}},
)
async def refresh(call: Call, body: wire.Refresh) -> wire.Refreshed:
    """Exchange a refresh token for new tokens of the same session."""
    outcome = await call.core.sessions.refresh(DOOR, body.token(), call.client)
    return wire.refreshed(outcome, call.config(Config).expires_at_unit)


@operation(
    "POST",
    "/user/logout",
    body=wire.Refresh,
    answers={200: wire.Done},
    access="optional",
    accepts_limited=True,
    tag="user",
)
async def log_out(call: Call, body: wire.Refresh) -> wire.Done:
    """Sign out: end the session of the refresh token, else that of the bearer. Says yes whatever it was given."""
    token = body.sent()
    ended = token is not None and await call.core.sessions.sign_out_chain(DOOR, token, call.client)
    if not ended and call.caller is not None:
        await call.core.sessions.sign_out(call.caller, call.client)
    return wire.Done(message="Signed out")


@operation("GET", "/user/profile", answers={200: wire.Profile}, tag="user")
async def profile(call: Call) -> wire.Profile:
    """Show one's own account."""
    return wire.profile(await call.core.accounts.person(call.signed_in.account))


OPERATIONS = (log_in, refresh, log_out, profile)
