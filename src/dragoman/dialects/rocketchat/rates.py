"""How often one client may call an operation over REST (contract section 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from dragoman.dialects.rocketchat import memory, permissions
from dragoman.dialects.rocketchat.routes import Known
from dragoman.dialects.rocketchat.wire import roles_of
from dragoman.http import Call
from dragoman.http.rates import UNLIMITED, Counted, Rate, Rates

EXEMPT_SECONDS = 1.0
"""How long another process may not know yet that a role was given the permission, or lost it."""
_SETTING = "dialects.rocketchat.rate_limit"
_USUAL, _REGISTER = Rate(10, 60.0), Rate(1, 60.0)
_OWN: Mapping[str, Rate] = {
    "/api/v1/users.register": _REGISTER,
    "/api/v1/users.updateOwnBasicInfo": Rate(1, 60.0),
    "/api/v1/users.sendConfirmationEmail": Rate(1, 60.0),
    "/api/v1/users.2fa.sendEmailCode": Rate(5, 60.0),
    "/api/v1/loginCode.redeem": Rate(10, 60.0),
    "/api/v1/twoFactorChallenges.sendEmailCode": Rate(5, 60.0),
    "/api/v1/twoFactorChallenges.verifyChallenge": Rate(5, 60.0),
    # Counted as methods over DDP are (contract section 13.6); pictures are no part of the API.
    "/api/v1/method.call/{method}": UNLIMITED,
    "/api/v1/method.callAnon/{method}": UNLIMITED,
    "/avatar/{username}": UNLIMITED,
}


async def _in_force(call: Call, rate: Rate) -> Rate | None:
    """Return the rate for a call as the settings have it; None for callers who are exempt."""
    values = call.core.settings.latest_values()
    if not values[_SETTING] or call.core.settings.latest().test:
        return None
    if call.caller is not None and await _is_exempt(call):
        return None
    if rate is _USUAL:
        return _rate(values[f"{_SETTING}_calls"], values[f"{_SETTING}_seconds"])
    return _rate(values[f"{_SETTING}_register"], rate.seconds) if rate is _REGISTER else rate


async def _is_exempt(call: Call) -> bool:
    """Tell whether the caller is held to no rate. The roles that are not are read anew once a second at most."""
    remembered, now = memory.of(call), call.core.clock.monotonic()
    if now >= remembered.exempt_until:
        remembered.exempt = await permissions.roles_with(call, "api-bypass-rate-limit")
        remembered.exempt_until = now + EXEMPT_SECONDS
    caller, exempt = call.caller, remembered.exempt
    if not isinstance(caller, Known):
        return False
    return not exempt.isdisjoint(roles_of(caller.person)) or (caller.account.kind == "bot" and "bot" in exempt)


@lru_cache(maxsize=16)
def _rate(calls: int, seconds: float) -> Rate:
    return Rate(calls, seconds)


def _headers(counted: Counted) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-ratelimit-limit", b"%d" % counted.rate.calls),
        (b"x-ratelimit-remaining", b"%d" % counted.left),
        (b"x-ratelimit-reset", b"%d" % counted.ends_at),
    ]


RATES = Rates(
    usual=_USUAL,
    own=_OWN,
    of=_in_force,
    headers=_headers,
    names=("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
    retry_after=False,
)
