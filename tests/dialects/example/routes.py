"""Parley's door and operations."""

from __future__ import annotations

from dialects.example import wire
from dragoman.core import refusals
from dragoman.core.doors import DAY, Door
from dragoman.core.tokens import Opaque
from dragoman.http import Answer, Call, operation
from dragoman.model import Caller, Password, Pending, Typed

DOOR = Door(
    name="parley",
    token=Opaque(use="parley_pass", alphabet="abcdefghijklmnopqrstuvwxyz234567", length=32),
    factors=("totp", "recovery"),
    absolute=7 * DAY,
)


async def authenticate(call: Call) -> Caller:
    """Return who shows a pass in `X-Parley-Pass`. Raises NotSignedIn."""
    shown = call.header("x-parley-pass")
    if shown is None:
        raise refusals.NotSignedIn
    return await call.core.sessions.authenticate(DOOR, shown)


@operation("POST", "/parley/sign-in", body=wire.SignIn, answers={200: wire.Pass, 401: wire.No}, access="open")
async def sign_in(call: Call, body: wire.SignIn) -> wire.Pass | Answer:
    """Sign in with a name and a secret, and with a code once it is asked for."""
    typed, password = Typed("any", body.name), Password.from_plain(body.secret)
    outcome = await call.core.signin.with_password(DOOR, typed, password, call.client, code=body.code)
    if isinstance(outcome, Pending):
        return Answer(401, wire.No("code"))
    return wire.signed_in(outcome)


@operation("GET", "/parley/whoami", answers={200: wire.WhoAmI})
async def who_am_i(call: Call) -> wire.WhoAmI:
    """Tell who shows the pass."""
    return wire.who(await call.core.accounts.person(call.signed_in.account))


OPERATIONS = (sign_in, who_am_i)
