"""From the core's refusals and the faults of HTTP to Flashback's one error body (contract sections 1 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dragoman.core import refusals
from dragoman.core.refusals import Refusal, Waiting
from dragoman.dialects.flashback.wire import Failure
from dragoman.dialects.flashback.wire_organization import FAILURES, BadRole
from dragoman.http import Answer, Call, Fault, Invalid, faults

RESET = "/user/reset-password"
UPDATE = "/user/{user_id}"


class No(Struct, frozen=True, gc=False):
    """How one refusal or fault is said. The text is for people and no part of the contract."""

    status: int
    code: str
    text: str


_WRONG_PASSWORD = "E-mail address or password is not right"  # noqa: S105
_WEAK: Mapping[str, str] = {
    "too_short": "Choose a password of at least 8 characters",
    "too_long": "Choose a password of at most 256 characters",
    "too_plain": "Choose a password with an upper-case letter, a lower-case letter and a digit",
    "common": "Choose a less common password",
}
_UNKEPT: Mapping[str, str] = {
    "too_large": "The settings would be too large",
    "too_deep": "The settings would be nested too deeply",
    "out_of_range": "The settings hold a number that cannot be read",
}
_LATER = No(503, "SERVICE_UNAVAILABLE", "The server is busy; try again shortly")

INVALID_RESET = No(400, "INVALID_RESET_TOKEN", "The link is not valid; ask for a new one")
"""What a token that is no good is called at `POST /user/reset-password`."""

_INVALID_ACTIVATION = No(400, "INVALID_ACTIVATION_LINK", "The link is not valid, or not for this address")
INVALID_ROLE = No(400, "INVALID_ROLE", "The role is none that can be given")

_OF_LINKS: Mapping[str, No] = {
    RESET: INVALID_RESET,
    "/user/register": _INVALID_ACTIVATION,
    "/user/activate": _INVALID_ACTIVATION,
    "/links/{link_id}": _INVALID_ACTIVATION,
}
"""What a bad link is called where it is not one to verify an address with."""
_OF_UPDATE: Mapping[type[Refusal], No] = {
    refusals.WrongPassword: No(403, "INVALID_PASSWORD", "The present password is not right"),
    refusals.NoPasswordSet: No(400, "PROVIDER_USER_PASSWORD", "The account signs in through its provider"),
    refusals.NotOffered: No(400, "PROVIDER_USER_PASSWORD", "The password is kept elsewhere"),
}
"""What some refusals are called at `PUT /user/{userId}`. No 401: clients would refresh their tokens and try again."""
MISSING: Mapping[str, No] = {
    "token": No(404, "NOT_FOUND", "There is no such token"),
    "sessions": No(404, "NOT_FOUND", "There is no such session, or it has ended"),
    "devices": No(404, "NOT_FOUND", "There is no such device"),
}
"""What is not found, by the operation's tag; elsewhere it is a user."""
PROVIDER_NOT_OFFERED = No(400, "PROVIDER_NOT_AVAILABLE", "This server does not sign in with this provider")
"""What a provider that is not configured is called below `/auth`."""

REFUSALS: Mapping[type[Refusal], No] = {
    refusals.UnknownAccount: No(401, "USER_NOT_FOUND", "There is no account with this e-mail address"),
    refusals.WrongPassword: No(401, "INVALID_PASSWORD", _WRONG_PASSWORD),
    refusals.NoPasswordSet: No(401, "NO_PASSWORD_SET", "The account has no password; sign in through your provider"),
    refusals.NotActive: No(401, "USER_INACTIVE", "The account is not active"),
    refusals.NotAdmitted: No(403, "FORBIDDEN", "The account may not sign in here"),
    refusals.NotVerified: No(403, "EMAIL_NOT_VERIFIED", "Verify the e-mail address first"),
    refusals.AccountLocked: No(429, "RATE_LIMITED", "Too many failed attempts; try again later"),
    refusals.NetworkBlocked: No(429, "RATE_LIMITED", "Too many failed attempts; try again later"),
    refusals.Busy: _LATER,
    refusals.Unavailable: _LATER,
    refusals.NoUsableFactor: No(403, "MFA_REQUIRED", "The account's second factor cannot be used here"),
    refusals.WrongCode: No(401, "INVALID_MFA_CODE", "The code is not right"),
    refusals.CodeVoid: No(401, "INVALID_MFA_CODE", "The code is not right; sign in again for another"),
    refusals.TooManyCodes: No(429, "RATE_LIMITED", "Too many wrong codes; try again later"),
    refusals.NoSuchAttempt: No(401, "NO_AUTH_USER", "The sign-in has run out; sign in again"),
    refusals.ProviderRefused: No(
        401, "INVALID_PROVIDER_TOKEN", "The provider's token is not valid; sign in there again"
    ),
    refusals.NotLinked: No(401, "USER_NOT_FOUND", "No account here belongs to this identity"),
    refusals.LinkRequired: No(403, "PROVIDER_LINK_REQUIRED", "Sign in another way and link the provider there"),
    refusals.NotSignedIn: No(401, "NO_AUTH_USER", "Not signed in"),
    refusals.LimitedToken: No(403, "MFA_REQUIRED", "Verify the second factor first"),
    refusals.BadRefreshToken: No(401, "INVALID_REFRESH_TOKEN", "The refresh token is not valid; sign in again"),
    refusals.RefreshTokenExpired: No(401, "REFRESH_TOKEN_EXPIRED", "The session has run out; sign in again"),
    refusals.ChainStolen: No(401, "INVALID_REFRESH_TOKEN", "The refresh token is not valid; sign in again"),
    refusals.FreshProofRequired: No(403, "REAUTHENTICATION_REQUIRED", "Sign in again to do this"),
    refusals.NotForKeys: No(403, "FORBIDDEN", "A key may not do this"),
    refusals.KeyTaken: No(400, "INVALID_REQUEST", "A key has this name already"),
    refusals.NoSuchKey: No(404, "NOT_FOUND", "No key has this name"),
    refusals.TooManyKeys: No(403, "FORBIDDEN", "There are as many keys as there may be"),
    refusals.VerificationRequired: No(403, "EMAIL_NOT_VERIFIED", "Verify the e-mail address first"),
    refusals.NotFound: No(404, "USER_NOT_FOUND", "There is no such user"),
    refusals.NotAllowed: No(403, "FORBIDDEN", "You may not do this"),
    refusals.Ambiguous: No(400, "INVALID_REQUEST", "Several accounts have this name"),
    refusals.IdentifierTaken: No(400, "EMAIL_ALREADY_EXISTS", "Another account has this address"),
    refusals.BadIdentifier: No(400, "INVALID_EMAIL", "This is no usable e-mail address"),
    refusals.WeakPassword: No(400, "WEAK_PASSWORD", "Choose a longer, less common password"),
    refusals.BadTicket: No(400, "INVALID_VERIFICATION_TOKEN", "The link is not valid; ask for a new one"),
    refusals.TicketExpired: No(400, "VERIFICATION_TOKEN_EXPIRED", "The link has run out; ask for a new one"),
    refusals.PasswordNeeded: No(400, "PASSWORD_REQUIRED", "Choose a password"),
    refusals.SamePassword: No(400, "WEAK_PASSWORD", "Choose a password that is not the present one"),
    refusals.NotOffered: No(403, "FORBIDDEN", "This server does not offer it"),
    refusals.RegistrationClosed: No(403, "FORBIDDEN", "Nobody registers here by himself"),
    refusals.RegistrationSecret: No(403, "FORBIDDEN", "Only those who are invited register here"),
    refusals.TooSoon: No(429, "RATE_LIMITED", "A mail was sent a moment ago; try again shortly"),
    refusals.SettingRefused: No(400, "INVALID_REQUEST", "The setting cannot take this value"),
    refusals.LastAdministrator: No(400, "LAST_OWNER", "Nobody else could administer this installation"),
    refusals.BadPicture: No(400, "INVALID_REQUEST", "The picture cannot be used"),
    refusals.LastOwner: No(400, "LAST_OWNER", "Nobody else owns the organization"),
    refusals.NotToOneself: No(400, "INVALID_REQUEST", "You may do this to others only"),
    refusals.WrongStatus: No(400, "INVALID_REQUEST", "The user's present state does not allow it"),
    refusals.CaptchaRefused: No(400, "INVALID_REQUEST", "The captcha was not solved"),
    refusals.DocumentRefused: No(400, "INVALID_REQUEST", "The settings cannot be kept"),
    refusals.AlreadyEnrolled: No(400, "INVALID_REQUEST", "The method is enabled already"),
    refusals.NotEnrolled: No(400, "INVALID_REQUEST", "The method is not enabled"),
}
"""Every refusal of the core. A test fails while one is missing."""

FAULTS: Mapping[type[Fault], No] = {
    faults.NotJson: No(400, "INVALID_REQUEST", "The body is not JSON"),
    faults.NotAnObject: No(400, "INVALID_REQUEST", "The body is not a JSON object"),
    faults.Invalid: No(400, "INVALID_REQUEST", "Fields are missing or wrong"),
    faults.WrongMediaType: No(415, "INVALID_REQUEST", "Send the body as application/json"),
    faults.BodyTooLarge: No(413, "INVALID_REQUEST", "The body is too large"),
    faults.BodyTooSlow: No(408, "INVALID_REQUEST", "The body did not arrive in time"),
    faults.HeadersTooLarge: No(431, "INVALID_REQUEST", "The headers are too large"),
    faults.NoSuchPath: No(404, "NOT_FOUND", "There is nothing here"),
    faults.NoSuchMethod: No(405, "METHOD_NOT_ALLOWED", "This method is not offered here"),
    faults.TooManyRequests: No(429, "RATE_LIMITED", "Too many requests; try again later"),
    faults.Unexpected: No(500, "INTERNAL_ERROR", "Something went wrong here"),
}
"""Every fault of HTTP."""

# RFC 6750, section 3. A bad bearer is named as such, whatever is wrong with it (open point 9).
_CHALLENGE = ("www-authenticate", "Bearer")
_BAD_BEARER = ("www-authenticate", 'Bearer error="invalid_token"')


def answer(
    no: No, text: str | None = None, *headers: tuple[str, str], shape: type[Failure] = Failure
) -> Answer:  # fmt: skip
    """Return the answer of a failure, in other words where `text` gives them."""
    said = text or no.text
    if no.status == 401:
        headers += (_BAD_BEARER if no.code == "NO_AUTH_USER" else _CHALLENGE,)
    return Answer(no.status, shape(error_code=no.code, message=said, error=said), headers)


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core."""
    no, text, path = REFUSALS[type(refusal)], None, call.operation.path if call.operation is not None else ""
    if isinstance(refusal, refusals.NotFound) and call.operation is not None:
        no = MISSING.get(call.operation.tag, no)
    elif isinstance(refusal, refusals.BadTicket):
        no = _OF_LINKS.get(path, no)
    elif isinstance(refusal, refusals.NotOffered) and path.startswith("/auth/"):
        no = PROVIDER_NOT_OFFERED
    elif path == UPDATE:
        no = _OF_UPDATE.get(type(refusal), no)
    if isinstance(refusal, refusals.BadIdentifier) and refusal.kind != "email":
        no, text = FAULTS[Invalid], f"The {refusal.kind} cannot be kept: {refusal.why}"
    elif isinstance(refusal, refusals.WeakPassword):
        text = _WEAK[refusal.reason]
    elif isinstance(refusal, refusals.DocumentRefused):
        text = _UNKEPT[refusal.reason]
    waits = (("retry-after", str(refusal.retry_after)),) if isinstance(refusal, Waiting) else ()
    return answer(no, text, *waits, shape=_shape(call))


def dress(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP. Wrong fields are named; a 500 names the request that the log tells about."""
    no, text = INVALID_ROLE if isinstance(fault, BadRole) else FAULTS[type(fault)], None
    if isinstance(fault, Invalid):
        text = f"{no.text}: {fault}"
    elif isinstance(fault, faults.Unexpected):
        text = f"{no.text}; request {fault.request_id}"
    return answer(no, text, shape=_shape(call))


def _shape(call: Call) -> type[Failure]:
    """Return the class of the operation's failures."""
    return Failure if call.operation is None else FAILURES.get((call.operation.method, call.operation.path), Failure)
