"""How Rocket.Chat's wire says no: one total table for the core's refusals, one for the faults of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from dragoman.core import refusals
from dragoman.core.refusals import Refusal
from dragoman.dialects.rocketchat.wire import Failure, Why, time_of
from dragoman.http import Answer, Call, faults
from dragoman.http.faults import Fault
from dragoman.model import Mailed, Pending, Person

Dressed = Answer | Callable[[Any, Call], Answer]

_LOCKED = Why(function="Accounts.validateLoginAttempt")


def login_failed(error: str | int, message: str, details: Why | UnsetType = UNSET) -> Answer:
    """Return the 401 of a login (contract section 3.3)."""
    return Answer(401, Failure(False, error, status="error", message=message, details=details))


def failure(status: int, text: str, code: str | UnsetType = UNSET, details: Why | UnsetType = UNSET) -> Answer:
    """Return a failure of any other operation; with a code the text ends in it (contract section 1.1)."""
    shown = text if code is UNSET else f"{text} [{code}]"
    return Answer(status, Failure(False, shown, error_type=code, details=details))


def code_wanted(pending: Pending) -> Answer:
    """Return the 401 that asks for the login again with a code (contract section 7.3)."""
    details = second_factor(pending.offers, pending.person, pending.mailed)
    return login_failed("totp-required", "TOTP Required", details)


# A recovery code is typed where a TOTP code is, so both are the method `totp`.
_METHODS: Mapping[str, Literal["totp", "email"]] = {"totp": "totp", "email": "email", "recovery": "totp"}


def methods(offers: Iterable[str]) -> tuple[str, ...]:
    """Return by which methods of this wire the factors can be tried, best first."""
    return tuple(dict.fromkeys(_METHODS[offer] for offer in offers))


def second_factor(offers: tuple[str, ...], person: Person | None = None, mailed: Mailed | None = None) -> Why:
    """Tell which method is asked for and, of a code by mail, whether one was sent now or is out still."""
    named = methods(offers)
    if not named or named[0] == "totp" or person is None:
        return Why(method="totp", code_generated=False, available_methods=named)
    sent, ends_at = (False, None) if mailed is None else (mailed.sent, mailed.ends_at)
    return Why(
        method="email",
        code_generated=sent,
        code_expires=UNSET if sent or ends_at is None else time_of(ends_at),
        email_or_username=person.username,
        available_methods=named,
    )


_IN_CALL: Mapping[str, str] = {
    "totp-required": "TOTP Required",
    "totp-invalid": "TOTP Invalid",
    "totp-max-attempts": "TOTP Maximun Failed Attempts Reached",
}


def in_call(code: str, details: Why) -> Answer:
    """Return the 400 of a protected operation that wants a code, or another one (contract section 7.4)."""
    return failure(400, _IN_CALL[code], code, details)


UNAUTHORIZED = login_failed("Unauthorized", "Unauthorized")
NOT_SIGNED_IN = login_failed("You must be logged in to do this.", "You must be logged in to do this.")
_SETTING = "error-invalid-setting-value"
_FORBIDDEN = failure(403, "unauthorized")
_NO_PERMISSION = failure(403, "User does not have the permissions required for this action [error-unauthorized]")
_NOT_FOUND = failure(400, "User not found.")
_NOT_OFFERED = failure(400, "Not allowed", "error-not-allowed")
_PROOF_WANTED = in_call("totp-required", Why(method="password", code_generated=False, available_methods=()))


def _not_signed_in(_: Refusal, call: Call) -> Answer:
    """Tell a bad token in the body of an open operation, which is a login, from one in the headers of another."""
    return UNAUTHORIZED if call.operation is not None and call.operation.access == "open" else NOT_SIGNED_IN


def _not_allowed(refusal: refusals.NotAllowed, _: Call) -> Answer:
    """Tell a permission of this dialect that is missing from what the core refuses (contract section 1.1)."""
    return _NO_PERMISSION if refusal.permission else _FORBIDDEN


def _not_offered(_: Refusal, call: Call) -> Answer:
    """Say in the original's words that no password is reset by mail here (contract section 8.3)."""
    resets = call.operation is not None and call.operation.path == "/api/v1/users.forgotPassword"
    return failure(400, "Password reset is not enabled") if resets else _NOT_OFFERED


def _wrong_code(refusal: refusals.WrongCode, _: Call) -> Answer:
    details = second_factor(refusal.offers or ("totp",), refusal.person, refusal.mailed)
    return login_failed("totp-invalid", "TOTP Invalid", details)


def _too_many_codes(refusal: refusals.TooManyCodes | refusals.CodeVoid, _: Call) -> Answer:
    """Dress a lane that is closed for codes as well as a mailed code that is void: the next login mails another."""
    details = second_factor(refusal.offers or ("totp",), refusal.person)
    return login_failed("totp-max-attempts", "TOTP Maximun Failed Attempts Reached", details)


def _later(refusal: refusals.Waiting, _: Call) -> Answer:
    """Dress what time heals outside the login's own locks: 503 with Retry-After (decision 40)."""
    seconds = str(refusal.retry_after)
    dressed = failure(503, f"The server is busy. Please try again in {seconds} seconds.", "error-server-busy")
    return Answer(dressed.status, dressed.body, (("retry-after", seconds),))


def _registers(call: Call) -> bool:
    """Tell whether somebody registers: over REST, or over DDP, where no other method takes a name."""
    return call.operation is None or call.operation.path == "/api/v1/users.register"


def _taken(refusal: refusals.IdentifierTaken, call: Call) -> Answer:
    if _registers(call):
        if refusal.kind == "email":
            return failure(400, "Email already exists.", "403")
        return failure(400, "Username is already in use")
    return failure(400, f"This {refusal.kind} is already in use :(", "error-field-unavailable")


def _unusable(refusal: refusals.BadIdentifier, call: Call) -> Answer:
    if _registers(call) and refusal.kind == "username":
        return failure(400, "The username provided is not valid")
    return failure(400, f"Invalid {refusal.kind}: {refusal.why}", f"error-invalid-{refusal.kind}")


def _unusable_picture(refusal: refusals.BadPicture, _: Call) -> Answer:
    return failure(400, f"Invalid image: {refusal.why}", "error-invalid-image")


def _setting_refused(refusal: refusals.SettingRefused, _: Call) -> Answer:
    return failure(400, f"Value for setting {refusal.name[:100]} is refused: {refusal.why}", _SETTING)


REFUSALS: Mapping[type[Refusal], Dressed] = {
    refusals.UnknownAccount: UNAUTHORIZED,
    refusals.WrongPassword: UNAUTHORIZED,
    refusals.NoPasswordSet: UNAUTHORIZED,
    refusals.AccountLocked: login_failed(
        "error-login-blocked-for-user", "Login has been temporarily blocked For User", _LOCKED
    ),
    refusals.NetworkBlocked: login_failed(
        "error-login-blocked-for-ip", "Login has been temporarily blocked For IP", _LOCKED
    ),
    refusals.Busy: _later,
    refusals.Unavailable: _later,
    refusals.NotActive: login_failed("error-user-is-not-activated", "User is not activated"),
    refusals.NotVerified: login_failed("error-invalid-email", "Invalid email __email__"),
    refusals.NotAdmitted: login_failed(403, "Login forbidden"),
    refusals.NoUsableFactor: login_failed("totp-required", "TOTP Required", second_factor(())),
    refusals.WrongCode: _wrong_code,
    refusals.CodeVoid: _too_many_codes,
    refusals.TooManyCodes: _too_many_codes,
    refusals.NoSuchAttempt: UNAUTHORIZED,
    refusals.ProviderRefused: UNAUTHORIZED,
    refusals.NotLinked: UNAUTHORIZED,
    refusals.LinkRequired: _NOT_OFFERED,
    refusals.NotSignedIn: _not_signed_in,
    refusals.LimitedToken: NOT_SIGNED_IN,
    refusals.BadRefreshToken: UNAUTHORIZED,
    refusals.RefreshTokenExpired: UNAUTHORIZED,
    refusals.ChainStolen: UNAUTHORIZED,
    refusals.FreshProofRequired: _PROOF_WANTED,
    refusals.NotForKeys: _FORBIDDEN,
    refusals.KeyTaken: failure(400, "A token with this name already exists", "error-token-already-exists"),
    refusals.NoSuchKey: failure(400, "Token does not exist", "error-token-does-not-exists"),
    refusals.TooManyKeys: failure(400, "There are too many tokens; remove one first", "error-too-many-tokens"),
    refusals.VerificationRequired: _FORBIDDEN,
    refusals.NotFound: _NOT_FOUND,
    refusals.NotAllowed: _not_allowed,
    refusals.Ambiguous: _NOT_FOUND,
    refusals.IdentifierTaken: _taken,
    refusals.BadIdentifier: _unusable,
    refusals.WeakPassword: failure(400, "The password does not meet the policy", "error-password-policy-not-met"),
    refusals.BadTicket: failure(404, "Token expired or invalid", "error-invalid-token"),
    refusals.TicketExpired: failure(404, "Token expired or invalid", "error-invalid-token"),
    refusals.PasswordNeeded: failure(400, "A password is required", "error-password-required"),
    refusals.SamePassword: failure(400, "The new password is the old one", "error-password-same-as-current"),
    refusals.NotOffered: _not_offered,
    refusals.RegistrationClosed: failure(400, "User registration is disabled", "error-user-registration-disabled"),
    refusals.RegistrationSecret: failure(
        400, "User registration is only allowed via Secret URL", "error-user-registration-secret"
    ),
    refusals.TooSoon: failure(429, "Error, too many requests", "error-too-many-requests"),
    refusals.SettingRefused: _setting_refused,
    refusals.LastAdministrator: failure(
        400, "Leaving the app without an active admin is not allowed", "error-action-not-allowed"
    ),
    refusals.BadPicture: _unusable_picture,
    refusals.LastOwner: failure(400, "You are the last owner", "error-action-not-allowed"),
    refusals.NotToOneself: failure(400, "Not allowed", "error-action-not-allowed"),
    refusals.WrongStatus: failure(400, "Not allowed", "error-action-not-allowed"),
    refusals.CaptchaRefused: failure(400, "The captcha was not solved", "error-invalid-params"),
    refusals.DocumentRefused: failure(400, "The document is too large", "error-invalid-params"),
    refusals.AlreadyEnrolled: failure(400, "Two factor is already enabled", "error-2fa-already-enabled"),
    refusals.NotEnrolled: failure(400, "Two factor is not enabled", "not-authorized"),
}


def _misfit(fault: Fault, call: Call) -> Answer:
    """Dress a body or query of the wrong shape. A login that does not fit is a login nobody recognises."""
    if call.operation is not None and call.operation.path == "/api/v1/login":
        return UNAUTHORIZED
    in_query = isinstance(fault, faults.Invalid) and all(problem.place == "query" for problem in fault.problems)
    return failure(400, str(fault).replace("; ", "\n "), "error-invalid-params" if in_query else "invalid-params")


def _too_many_requests(fault: faults.TooManyRequests, _: Call) -> Answer:
    """Dress a call beyond its rate. The code stands in the text alone (contract section 1.1)."""
    return failure(
        429,
        f"Error, too many requests. Please slow down. You must wait {fault.seconds} seconds before trying this endpoint"
        " again. [error-too-many-requests]",
    )


FAULTS: Mapping[type[Fault], Dressed] = {
    faults.NotJson: _misfit,
    faults.NotAnObject: _misfit,
    faults.Invalid: _misfit,
    faults.WrongMediaType: failure(415, "Unsupported media type"),
    faults.BodyTooLarge: failure(413, "Request entity too large"),
    faults.BodyTooSlow: failure(408, "Request timeout"),
    faults.HeadersTooLarge: failure(431, "Request header fields too large"),
    faults.NoSuchPath: failure(404, "Resource not found"),
    faults.NoSuchMethod: failure(405, "Method not allowed"),
    faults.TooManyRequests: _too_many_requests,
    faults.Unexpected: failure(500, "Internal server error"),
}


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Return this wire's answer to a refusal of the core."""
    dressed = REFUSALS[type(refusal)]
    return dressed if isinstance(dressed, Answer) else dressed(refusal, call)


def fault(broken: Fault, call: Call) -> Answer:
    """Return this wire's answer to a fault of HTTP."""
    dressed = FAULTS[type(broken)]
    return dressed if isinstance(dressed, Answer) else dressed(broken, call)
