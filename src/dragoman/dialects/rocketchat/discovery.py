"""What clients ask before they sign in or set a password: login services, password policy (contract section 6)."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from dragoman.core.credentials.policy import LONGEST, SHORTEST
from dragoman.core.refusals import BadTicket
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.wire import Nothing
from dragoman.http import Answer, Call, operation


class ServiceConfigurations(Struct, frozen=True):
    """The login services of others; none is offered here."""

    configurations: tuple[Nothing, ...]
    success: bool


class PasswordPolicy(Struct, frozen=True):
    """What a new password has to be: each rule by its name in the clients' catalogues, with its values."""

    enabled: bool
    policy: tuple[tuple[str | dict[str, int], ...], ...]
    success: bool


class ResetToken(Struct):
    """The token of a mailed link."""

    token: str | UnsetType = UNSET


_CONFIGURATIONS = ServiceConfigurations((), True)
_POLICY = PasswordPolicy(
    True,
    (
        ("get-password-policy-minLength", {"minLength": SHORTEST}),
        ("get-password-policy-maxLength", {"maxLength": LONGEST}),
    ),
    True,
)
_NO_TOKEN = failure(400, "must have required property 'token'", "invalid-params")
_FORBIDDEN = failure(403, "unauthorized")


@operation(
    "GET", "/api/v1/service.configurations", answers={200: ServiceConfigurations}, access="open", tag="discovery"
)
async def service_configurations(call: Call) -> ServiceConfigurations:
    """List how the login services of others are configured: none is."""
    return _CONFIGURATIONS


@operation("GET", "/api/v1/pw.getPolicy", answers={200: PasswordPolicy}, access="open", tag="discovery")
async def password_policy(call: Call) -> PasswordPolicy:
    """Tell what a new password has to be. Common passwords are refused, besides, for which clients have no word."""
    return _POLICY


@operation(
    "GET",
    "/api/v1/pw.getPolicyReset",
    query=ResetToken,
    answers={200: PasswordPolicy},
    access="open",
    tag="discovery",
)
async def password_policy_of_reset(call: Call, query: ResetToken) -> PasswordPolicy | Answer:
    """Tell the same to whoever has the token of a mailed link that resets a password."""
    if query.token is UNSET:
        return _NO_TOKEN
    try:
        await call.core.recovery.check("reset", query.token, door=call.door)
    except BadTicket:
        return _FORBIDDEN
    return _POLICY


OPERATIONS = (service_configurations, password_policy, password_policy_of_reset)
