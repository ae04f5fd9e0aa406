"""Probe's errors: two total tables, from the core's refusals and from HTTP's faults (contract section 2.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from dragoman.core import refusals
from dragoman.core.refusals import Refusal, Waiting
from dragoman.dialects.probe import carriers
from dragoman.dialects.probe.door import BASE, MEDIA, OTHER_PASSWORD_PATH, PASSWORD_PATH, SIGN_UP_PATH
from dragoman.http import Answer, Call, Fault, Invalid, Problem, faults
from dragoman.http.faults import Kind

FORM = "application/x-www-form-urlencoded"
Context = dict[str, list[str]]


class Error(Struct, frozen=True):
    """The common error. All four fields are always sent."""

    status: str
    """The canonical name of the code."""
    code: int
    """Of the application; always 0."""
    error: str
    context: Context


class MediaError(Struct, frozen=True):
    """An error below `/v1/probe`."""

    error: str


class Words(Struct, frozen=True):
    """One row of the tables: HTTP status, canonical name, message."""

    http: int
    status: str
    error: str


_UNAUTHENTICATED = "UNAUTHENTICATED"
_DENIED = "PERMISSION_DENIED"
_INVALID = "INVALID_ARGUMENT"

_WRONG_LOGIN = Words(401, _UNAUTHENTICATED, "unauthenticated: wrong email or password")
_NO_SESSION = Words(401, _UNAUTHENTICATED, "unauthenticated: session is not active")
_EXHAUSTED = Words(429, "RESOURCE_EXHAUSTED", "resource exhausted: too many attempts, try again later")
_UNAVAILABLE = Words(503, "UNAVAILABLE", "unavailable: try again later")
_WRONG_OLD = Words(403, _DENIED, "permission denied: wrong old password")
"""Not 401, which clients read as signed out (contract section 3.7)."""
_FAILED = "invalid argument: validation failed"
_SECOND_FACTOR = Words(401, _UNAUTHENTICATED, "unauthenticated: second factor required")

REFUSALS: Mapping[type[Refusal], Words] = {
    refusals.UnknownAccount: _WRONG_LOGIN,
    refusals.WrongPassword: _WRONG_LOGIN,
    refusals.NoPasswordSet: _WRONG_LOGIN,
    refusals.AccountLocked: _EXHAUSTED,
    refusals.NetworkBlocked: _EXHAUSTED,
    refusals.TooManyCodes: _EXHAUSTED,
    refusals.Busy: _UNAVAILABLE,
    refusals.Unavailable: _UNAVAILABLE,
    refusals.NotActive: Words(403, _DENIED, "permission denied: account is suspended"),
    refusals.NotVerified: Words(403, _DENIED, "permission denied: account is pending"),
    refusals.NotAdmitted: Words(403, _DENIED, "permission denied: account is not admitted here"),
    refusals.NoUsableFactor: Words(403, _DENIED, "permission denied: second factor cannot be used here"),
    refusals.WrongCode: Words(401, _UNAUTHENTICATED, "unauthenticated: wrong second factor code"),
    refusals.CodeVoid: Words(401, _UNAUTHENTICATED, "unauthenticated: wrong second factor code"),
    refusals.NoSuchAttempt: _SECOND_FACTOR,
    refusals.ProviderRefused: Words(401, _UNAUTHENTICATED, "unauthenticated: provider token is not valid"),
    refusals.NotLinked: Words(401, _UNAUTHENTICATED, "unauthenticated: no account belongs to this identity"),
    refusals.LinkRequired: Words(403, _DENIED, "permission denied: link the provider first"),
    refusals.NotSignedIn: _NO_SESSION,
    refusals.LimitedToken: _NO_SESSION,
    refusals.BadRefreshToken: _NO_SESSION,
    refusals.RefreshTokenExpired: _NO_SESSION,
    refusals.ChainStolen: _NO_SESSION,
    refusals.FreshProofRequired: Words(403, _DENIED, "permission denied: sign in again first"),
    refusals.NotForKeys: Words(403, _DENIED, "permission denied: not with an API token"),
    refusals.KeyTaken: Words(409, "ALREADY_EXISTS", "already exists: an API token has this name"),
    refusals.NoSuchKey: Words(404, "NOT_FOUND", "not found: no such API token"),
    refusals.TooManyKeys: Words(403, _DENIED, "permission denied: there are as many API tokens as there may be"),
    refusals.VerificationRequired: Words(403, _DENIED, "permission denied: account is pending"),
    refusals.NotFound: Words(404, "NOT_FOUND", "not found"),
    refusals.NotAllowed: Words(403, _DENIED, "permission denied"),
    refusals.Ambiguous: Words(409, "ALREADY_EXISTS", "already exists: more than one object matches"),
    refusals.IdentifierTaken: Words(409, "ALREADY_EXISTS", "already exists: the name is taken"),
    refusals.BadIdentifier: Words(400, _INVALID, "invalid argument: the name cannot be used"),
    refusals.WeakPassword: Words(400, _INVALID, "invalid argument: the password is too weak"),
    refusals.BadTicket: Words(400, _INVALID, "invalid argument: the token is not valid"),
    refusals.TicketExpired: Words(400, _INVALID, "invalid argument: the token has expired"),
    refusals.PasswordNeeded: Words(400, _INVALID, "invalid argument: a password is required"),
    refusals.SamePassword: Words(400, _INVALID, "invalid argument: the new password is the old one"),
    refusals.NotOffered: Words(403, _DENIED, "permission denied: not offered here"),
    refusals.RegistrationClosed: Words(403, _DENIED, "permission denied: registration is closed"),
    refusals.RegistrationSecret: Words(403, _DENIED, "permission denied: registration needs a secret"),
    refusals.TooSoon: _EXHAUSTED,
    refusals.SettingRefused: Words(400, _INVALID, "invalid argument: the setting cannot take this value"),
    refusals.LastAdministrator: Words(403, _DENIED, "permission denied: nobody else could administer"),
    refusals.BadPicture: Words(400, _INVALID, "invalid argument: the picture cannot be used"),
    refusals.LastOwner: Words(403, _DENIED, "permission denied: members or sub users would be left behind"),
    refusals.NotToOneself: Words(403, _DENIED, "permission denied: not to yourself"),
    refusals.WrongStatus: Words(400, _INVALID, "invalid argument: the account's status does not allow it"),
    refusals.CaptchaRefused: Words(400, _INVALID, _FAILED),
    refusals.DocumentRefused: Words(400, _INVALID, "invalid argument: the document is too large or too deep"),
    refusals.AlreadyEnrolled: Words(409, "ALREADY_EXISTS", "already exists: the factor is enrolled"),
    refusals.NotEnrolled: Words(404, "NOT_FOUND", "not found: the factor is not enrolled"),
}

FAULTS: Mapping[type[Fault], Words] = {
    faults.NotJson: Words(400, _INVALID, "invalid argument: body is not JSON"),
    faults.NotAnObject: Words(400, _INVALID, _FAILED),
    faults.Invalid: Words(400, _INVALID, _FAILED),
    faults.WrongMediaType: Words(415, _INVALID, "invalid argument: content type must be JSON or a form"),
    faults.BodyTooLarge: Words(413, _INVALID, "invalid argument: body is too large"),
    faults.BodyTooSlow: Words(408, "DEADLINE_EXCEEDED", "deadline exceeded: body did not arrive in time"),
    faults.HeadersTooLarge: Words(431, _INVALID, "invalid argument: headers are too large"),
    faults.TooManyRequests: Words(429, "RESOURCE_EXHAUSTED", "resource exhausted: too many requests, try again later"),
    faults.NoSuchPath: Words(404, "NOT_FOUND", "not found"),
    faults.NoSuchMethod: Words(405, "UNIMPLEMENTED", "unimplemented: method is not allowed"),
    faults.Unexpected: Words(500, "INTERNAL", "internal"),
}


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core."""
    context = _context(refusal, call)
    words = REFUSALS[type(refusal)]
    if isinstance(refusal, refusals.WrongPassword) and call.operation is not None:
        words = _WRONG_OLD if call.operation.path in (PASSWORD_PATH, OTHER_PASSWORD_PATH) else words
    wait = (("retry-after", str(refusal.retry_after)),) if isinstance(refusal, Waiting) else ()
    return _answer(call, words, context, wait)


def _context(refusal: Refusal, call: Call) -> Context:
    """Say what in the request a refusal is about, where it is about something in it."""
    match refusal:
        case refusals.WrongCode():
            return _factors(refusal.offers)
        case refusals.NotAllowed() if carriers.from_foreign_page(call):
            return {"header:Origin": ["#: is not an allowed origin"]}
        case refusals.NotAllowed() if refusal.permission:
            return {"permission": [refusal.permission]}
        case refusals.CaptchaRefused():
            return {f"header:{carriers.CAPTCHA_HEADER}": ["#: was not accepted"]}
        case refusals.WeakPassword():
            signing_up = call.operation is not None and call.operation.path == SIGN_UP_PATH
            name = "password" if signing_up else "new-password"
            return _named(body_problem(call, name, "format", f"is {refusal.reason.replace('_', ' ')}"))
        case refusals.BadIdentifier() if refusal.kind == "email":
            return _named(body_problem(call, "email", "format", refusal.why))
    return {}


def is_form(call: Call) -> bool:
    """Tell whether the body came as a form."""
    return (call.header("content-type") or "").lower().startswith(FORM)


def body_problem(call: Call, field: str, kind: Kind, text: str) -> Problem:
    """Return what is wrong with a field of the body, placed by the form in which that came."""
    return Problem(field, kind, text, "form" if is_form(call) else "body")


def _named(problem: Problem) -> Context:
    place, message = _placed(problem)
    return {place: [message]}


def second_factor(call: Call, offers: tuple[str, ...]) -> Answer:
    """Ask for the whole sign-in again, together with a code (decision 3)."""
    return _answer(call, _SECOND_FACTOR, _factors(offers))


def fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP."""
    context: Context = {}
    if isinstance(fault, Invalid):
        for problem in fault.problems:
            place, message = _placed(problem)
            context.setdefault(place, []).append(message)
    elif isinstance(fault, faults.NotAnObject):
        context = {"body": ["#: expected object"]}
    elif isinstance(fault, faults.Unexpected):
        context = {"request-id": [fault.request_id]}
    return _answer(call, FAULTS[type(fault)], context)


def _factors(offers: tuple[str, ...]) -> Context:
    """Name the factors asked for. A recovery code is typed where a TOTP code is, so both are `totp` here."""
    return {"second-factor": list(dict.fromkeys("totp" if offer == "recovery" else offer for offer in offers))}


_OWN_SHAPE = re.compile(rf"(?:/[^/]+)*?(?:({BASE})|({MEDIA}))(?:/|\Z)")


def _answer(call: Call, words: Words, context: Context, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Return the error in the shape that belongs to its path: `/v1/probe` has one of its own (contract section 2.5)."""
    found = _OWN_SHAPE.match(call.scope["path"])
    if found is not None and found.group(2):
        return Answer(words.http, MediaError(words.error), headers)
    return Answer(words.http, Error(words.status, 0, words.error, context), headers)


_LENGTH = re.compile(r"length (>=|<=) ([0-9]+)")


def _placed(problem: Problem) -> tuple[str, str]:
    """Return the key of `context` and the message: a JSON pointer into the body, or into the one named value."""
    names = re.findall(r"[^.\[\]]+", problem.field)
    key = "body"
    if problem.place != "body":
        place = "formData" if problem.place == "form" else problem.place
        key = f"{place}:{names.pop(0)}" if names else place
    pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    return key, f"#{pointer}: {_message(problem)}"


def _message(problem: Problem) -> str:
    if length := _LENGTH.search(problem.text):
        return f"length must be {length.group(1)} {length.group(2)}"
    if "regex" in problem.text:
        return "does not have the right format"
    return problem.text
