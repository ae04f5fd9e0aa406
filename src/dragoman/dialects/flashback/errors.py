"""From the core's refusals and the faults of HTTP to Flashback's one error body (contract sections 1 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dragoman.core import refusals
from dragoman.core.refusals import Refusal, Waiting
from dragoman.dialects.flashback.wire import Failure
from dragoman.http import Answer, Call, Fault, Invalid, faults

RESET = "/user/reset-password"


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
_LATER = No(503, "SERVICE_UNAVAILABLE", "The server is busy; try again shortly")

INVALID_RESET = No(400, "INVALID_RESET_TOKEN", "The link is not valid; ask for a new one")
"""What a token that is no good is called at `POST /user/reset-password`."""

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
    refusals.NotSignedIn: No(401, "NO_AUTH_USER", "Not signed in"),
    refusals.LimitedToken: No(403, "MFA_REQUIRED", "Verify the second factor first"),
    refusals.BadRefreshToken: No(401, "INVALID_REFRESH_TOKEN", "The refresh token is not valid; sign in again"),
    refusals.RefreshTokenExpired: No(401, "REFRESH_TOKEN_EXPIRED", "The session has run out; sign in again"),
    refusals.ChainStolen: No(401, "INVALID_REFRESH_TOKEN", "The refresh token is not valid; sign in again"),
    refusals.FreshProofRequired: No(403, "REAUTHENTICATION_REQUIRED", "Sign in again to do this"),
    refusals.NotForKeys: No(403, "FORBIDDEN", "A key may not do this"),
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
    refusals.TooSoon: No(429, "RATE_LIMITED", "A mail was sent a moment ago; try again shortly"),
    refusals.SettingRefused: No(400, "INVALID_REQUEST", "The setting cannot take this value"),
    refusals.LastAdministrator: No(400, "LAST_OWNER", "Nobody else could administer this installation"),
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
    faults.Unexpected: No(500, "INTERNAL_ERROR", "Something went wrong here"),
}
"""Every fault of HTTP."""

# RFC 6750, section 3. A bad bearer is named as such, whatever is wrong with it (open point 9).
_CHALLENGE = ("www-authenticate", "Bearer")
_BAD_BEARER = ("www-authenticate", 'Bearer error="invalid_token"')


def answer(no: No, text: str | None = None, *headers: tuple[str, str]) -> Answer:
    """Return the answer of a failure, in other words where `text` gives them."""
    said = text or no.text
    if no.status == 401:
        headers += (_BAD_BEARER if no.code == "NO_AUTH_USER" else _CHALLENGE,)
    return Answer(no.status, Failure(error_code=no.code, message=said, error=said), headers)


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core."""
    no = REFUSALS[type(refusal)]
    if isinstance(refusal, refusals.BadTicket) and call.operation is not None:
        return answer(INVALID_RESET if call.operation.path == RESET else no)
    if isinstance(refusal, refusals.WeakPassword):
        return answer(no, _WEAK[refusal.reason])
    if isinstance(refusal, Waiting):
        return answer(no, None, ("retry-after", str(refusal.retry_after)))
    return answer(no)


def dress(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP. Wrong fields are named; a 500 names the request that the log tells about."""
    no = FAULTS[type(fault)]
    if isinstance(fault, Invalid):
        return answer(no, f"{no.text}: {fault}")
    if isinstance(fault, faults.Unexpected):
        return answer(no, f"{no.text}; request {fault.request_id}")
    return answer(no)
