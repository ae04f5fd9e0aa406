"""The methods about the caller's own second factor (contract section 7.5), over DDP and REST alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dragoman.core import refusals
from dragoman.core.refusals import NotSignedIn
from dragoman.dialects.rocketchat.ddp import messages
from dragoman.dialects.rocketchat.ddp.messages import NotDone, parameter
from dragoman.model import Caller, Secret

if TYPE_CHECKING:
    from dragoman.dialects.rocketchat.ddp.methods import Visit

_NOT_AUTHORIZED = messages.problem("not-authorized", "Not Authorized")
_INVALID = messages.problem("invalid-totp", "Invalid TOTP")
_UNVERIFIED = messages.problem("error-invalid-user", "You need to verify your emails before setting up 2FA")


class Shown(Struct, frozen=True):
    """What the owner puts into an authenticator app."""

    secret: str
    url: str


class Codes(Struct, frozen=True):
    """Recovery codes, shown once."""

    codes: tuple[str, ...]


class Remaining(Struct, frozen=True):
    """How many recovery codes are left."""

    remaining: int


def _codes(drawn: Iterable[Secret]) -> Codes:
    return Codes(tuple(code.reveal() for code in drawn))


async def _caller(visit: Visit) -> Caller:
    """Return who is signed in. Raises NotDone in this section's words."""
    try:
        return await visit.client()
    except NotSignedIn:
        raise NotDone(_NOT_AUTHORIZED) from None


async def enable(visit: Visit, _: list[Any]) -> Shown:
    """Show a new secret; nothing is asked for before a code of it comes to `2fa:validateTempToken`."""
    caller = await visit.proved(await _caller(visit))
    try:
        begun = await visit.call.core.own_factors.begin_totp(caller, visit.call.client)
    except refusals.VerificationRequired:
        raise NotDone(_UNVERIFIED) from None
    return Shown(begun.seed.reveal(), begun.url.reveal())


async def validate_temp_token(visit: Visit, params: list[Any]) -> Codes:
    """Put the app in force that a code is of; every other client of the account ends."""
    caller, code = await _caller(visit), parameter(params, 0, str)
    try:
        return _codes(await visit.call.core.own_factors.confirm_totp(caller, code, visit.call.client))
    except (refusals.WrongCode, refusals.NotEnrolled):
        raise NotDone(_INVALID) from None


async def disable(visit: Visit, params: list[Any]) -> bool:
    """Let go of the app, on a code of it; False for a wrong code, and where there is none to let go."""
    caller, code = await _caller(visit), parameter(params, 0, str)
    try:
        await visit.call.core.own_factors.disable(caller, "totp", visit.call.client, code=code)
    except (refusals.WrongCode, refusals.NotEnrolled):
        return False
    return True


async def regenerate_codes(visit: Visit, params: list[Any]) -> Codes:
    """Replace the recovery codes, on a code."""
    caller, code = await _caller(visit), parameter(params, 0, str)
    try:
        return _codes(await visit.call.core.own_factors.regenerate(caller, code, visit.call.client))
    except (refusals.WrongCode, refusals.NotEnrolled):
        raise NotDone(_INVALID) from None


async def check_codes_remaining(visit: Visit, _: list[Any]) -> Remaining:
    """Tell how many recovery codes are left."""
    caller = await _caller(visit)
    try:
        return Remaining(await visit.call.core.own_factors.codes_left(caller.account))
    except refusals.NotEnrolled:
        raise NotDone(_NOT_AUTHORIZED) from None


METHODS: Mapping[str, Callable[[Visit, list[Any]], Awaitable[Any]]] = {
    "2fa:enable": enable,
    "2fa:validateTempToken": validate_temp_token,
    "2fa:disable": disable,
    "2fa:regenerateCodes": regenerate_codes,
    "2fa:checkCodesRemaining": check_codes_remaining,
}
