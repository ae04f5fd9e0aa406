"""Every refusal of the core and every fault of HTTP as Pocketm8 says it (contract section 2.6).

The contract's own documents show no error body; the words here are its proposal, and a few more in its manner.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from dragoman.core import refusals
from dragoman.core.refusals import Refusal, Waiting
from dragoman.dialects.pocketm8.wire import Error, FieldError
from dragoman.http import Answer, Call, Fault, Invalid, faults

VALIDATION_FAILED = "VALIDATION_FAILED"

REFUSALS: Mapping[type[Refusal], tuple[int, str]] = {
    # The sign-in page knows no other error status than 400, and one answer for all of these.
    refusals.UnknownAccount: (400, "INVALID_CREDENTIALS"),
    refusals.WrongPassword: (400, "INVALID_CREDENTIALS"),
    refusals.NoPasswordSet: (400, "INVALID_CREDENTIALS"),
    refusals.NotActive: (400, "INVALID_CREDENTIALS"),
    refusals.NotAdmitted: (400, "INVALID_CREDENTIALS"),
    refusals.WrongCode: (400, "INVALID_OR_EXPIRED_CODE"),
    refusals.CodeVoid: (400, "INVALID_OR_EXPIRED_CODE"),
    refusals.NoSuchAttempt: (400, "INVALID_OR_EXPIRED_CODE"),
    refusals.ProviderRefused: (400, "INVALID_CREDENTIALS"),
    refusals.NotLinked: (400, "INVALID_CREDENTIALS"),
    refusals.LinkRequired: (403, "FORBIDDEN"),
    refusals.NotVerified: (403, "FORBIDDEN"),
    refusals.NoUsableFactor: (403, "FORBIDDEN"),
    refusals.AccountLocked: (429, "TOO_MANY_REQUESTS"),
    refusals.NetworkBlocked: (429, "TOO_MANY_REQUESTS"),
    refusals.TooManyCodes: (429, "TOO_MANY_REQUESTS"),
    refusals.Busy: (503, "SERVICE_UNAVAILABLE"),
    refusals.Unavailable: (503, "SERVICE_UNAVAILABLE"),
    refusals.NotSignedIn: (401, "UNAUTHORIZED"),
    refusals.LimitedToken: (401, "UNAUTHORIZED"),
    refusals.BadRefreshToken: (401, "UNAUTHORIZED"),
    refusals.RefreshTokenExpired: (401, "UNAUTHORIZED"),
    refusals.ChainStolen: (401, "UNAUTHORIZED"),
    refusals.FreshProofRequired: (403, "FORBIDDEN"),
    refusals.NotForKeys: (403, "FORBIDDEN"),
    refusals.KeyTaken: (400, "ALREADY_IN_USE"),
    refusals.NoSuchKey: (404, "NOT_FOUND"),
    refusals.TooManyKeys: (403, "FORBIDDEN"),
    refusals.VerificationRequired: (403, "FORBIDDEN"),
    refusals.NotAllowed: (403, "FORBIDDEN"),
    refusals.BadPicture: (400, VALIDATION_FAILED),
    refusals.AlreadyEnrolled: (403, "FORBIDDEN"),
    refusals.NotEnrolled: (403, "FORBIDDEN"),
    refusals.NotFound: (404, "NOT_FOUND"),
    refusals.Ambiguous: (404, "NOT_FOUND"),
    refusals.IdentifierTaken: (400, "ALREADY_IN_USE"),
    refusals.BadIdentifier: (400, VALIDATION_FAILED),
    refusals.WeakPassword: (400, VALIDATION_FAILED),
    refusals.BadTicket: (400, "INVALID_OR_EXPIRED_TOKEN"),
    refusals.TicketExpired: (400, "INVALID_OR_EXPIRED_TOKEN"),
    refusals.PasswordNeeded: (400, VALIDATION_FAILED),
    refusals.SamePassword: (400, VALIDATION_FAILED),
    refusals.NotOffered: (403, "FORBIDDEN"),
    refusals.RegistrationClosed: (403, "FORBIDDEN"),
    refusals.RegistrationSecret: (403, "FORBIDDEN"),
    refusals.TooSoon: (429, "TOO_MANY_REQUESTS"),
    refusals.SettingRefused: (403, "FORBIDDEN"),
    refusals.LastAdministrator: (403, "FORBIDDEN"),
    refusals.LastOwner: (403, "FORBIDDEN"),
    refusals.NotToOneself: (403, "FORBIDDEN"),
    refusals.WrongStatus: (403, "FORBIDDEN"),
    refusals.DocumentRefused: (403, "FORBIDDEN"),
    refusals.CaptchaRefused: (403, "FORBIDDEN"),
}

FAULTS: Mapping[type[Fault], tuple[int, str]] = {
    faults.NotJson: (400, "INVALID_JSON"),
    faults.NotAnObject: (400, "INVALID_JSON"),
    faults.Invalid: (400, VALIDATION_FAILED),
    faults.NoSuchPath: (404, "NOT_FOUND"),
    faults.NoSuchMethod: (405, "METHOD_NOT_ALLOWED"),
    faults.BodyTooSlow: (408, "REQUEST_TIMEOUT"),
    faults.BodyTooLarge: (413, "BODY_TOO_LARGE"),
    faults.WrongMediaType: (415, "UNSUPPORTED_MEDIA_TYPE"),
    faults.TooManyRequests: (429, "TOO_MANY_REQUESTS"),
    faults.HeadersTooLarge: (431, "HEADERS_TOO_LARGE"),
    faults.Unexpected: (500, "INTERNAL_SERVER_ERROR"),
}

FIELD_CODES: Mapping[str, str] = {
    "required": "REQUIRED",
    "type": "INVALID_TYPE",
    "format": "INVALID_FORMAT",
    "too_short": "TOO_SHORT",
    "too_long": "TOO_LONG",
    "not_allowed": "NOT_ALLOWED",
}
"""From the kit's kinds of problems to the contract's field codes."""

WEAK_PASSWORDS: Mapping[str, str] = {
    "too_short": "TOO_SHORT",
    "too_long": "TOO_LONG",
    "too_plain": "NOT_ALLOWED",
    "common": "NOT_ALLOWED",
}


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core."""
    status, message = REFUSALS[type(refusal)]
    headers: tuple[tuple[str, str], ...] = ()
    if status == 401:
        headers = (("www-authenticate", "Bearer"),)
    elif isinstance(refusal, Waiting):
        headers = (("retry-after", str(refusal.retry_after)),)
    elif isinstance(refusal, refusals.IdentifierTaken):
        message = f"{refusal.kind.upper()}_{message}"
    return Answer(status, Error(message, _fields(refusal) or UNSET), headers)


def fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP."""
    status, message = FAULTS[type(fault)]
    if isinstance(fault, Invalid):
        return Answer(status, Error(message, tuple(FieldError(p.field, FIELD_CODES[p.kind]) for p in fault.problems)))
    return Answer(status, Error(message))


def _fields(refusal: Refusal) -> tuple[FieldError, ...]:
    """Name the field that the core found unfit."""
    if isinstance(refusal, refusals.BadIdentifier):
        return (FieldError(refusal.kind, "INVALID_FORMAT"),)
    if isinstance(refusal, refusals.WeakPassword):
        return (FieldError("password", WEAK_PASSWORDS[refusal.reason]),)
    if isinstance(refusal, refusals.PasswordNeeded):
        return (FieldError("password", "REQUIRED"),)
    if isinstance(refusal, refusals.SamePassword):
        return (FieldError("password", "NOT_ALLOWED"),)
    if isinstance(refusal, refusals.BadPicture):
        return (FieldError("avatar", "INVALID_FORMAT"),)
    return ()
