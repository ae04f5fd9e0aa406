"""Parley's errors: one word each."""

from __future__ import annotations

from collections.abc import Mapping

from dialects.example.wire import No
from dragoman.core import refusals
from dragoman.core.refusals import Refusal, Waiting
from dragoman.http import Answer, Call, Fault, faults

_STRANGER = (401, "stranger")
_LATER = (429, "later")
_CLOSED = (503, "closed")
_FORBIDDEN = (403, "forbidden")
_TAKEN = (409, "taken")
_NONE = (404, "none")
_ODD = (400, "odd")

REFUSALS: Mapping[type[Refusal], tuple[int, str]] = {
    refusals.UnknownAccount: _STRANGER,
    refusals.WrongPassword: _STRANGER,
    refusals.NoPasswordSet: _STRANGER,
    refusals.AccountLocked: _LATER,
    refusals.NetworkBlocked: _LATER,
    refusals.TooManyCodes: _LATER,
    refusals.Busy: _CLOSED,
    refusals.Unavailable: _CLOSED,
    refusals.NotActive: _FORBIDDEN,
    refusals.NotVerified: _FORBIDDEN,
    refusals.NotAdmitted: _FORBIDDEN,
    refusals.NoUsableFactor: _FORBIDDEN,
    refusals.WrongCode: (401, "code"),
    refusals.CodeVoid: (401, "code"),
    refusals.NoSuchAttempt: _STRANGER,
    refusals.ProviderRefused: _STRANGER,
    refusals.NotLinked: _STRANGER,
    refusals.LinkRequired: _FORBIDDEN,
    refusals.NotSignedIn: _STRANGER,
    refusals.LimitedToken: _STRANGER,
    refusals.BadRefreshToken: _STRANGER,
    refusals.RefreshTokenExpired: _STRANGER,
    refusals.ChainStolen: _STRANGER,
    refusals.FreshProofRequired: _FORBIDDEN,
    refusals.NotForKeys: _FORBIDDEN,
    refusals.VerificationRequired: _FORBIDDEN,
    refusals.NotFound: _NONE,
    refusals.NotAllowed: _FORBIDDEN,
    refusals.Ambiguous: _TAKEN,
    refusals.IdentifierTaken: _TAKEN,
    refusals.BadIdentifier: _ODD,
    refusals.WeakPassword: _ODD,
    refusals.BadTicket: _ODD,
    refusals.TicketExpired: _ODD,
    refusals.PasswordNeeded: _ODD,
    refusals.SamePassword: _ODD,
    refusals.NotOffered: _FORBIDDEN,
    refusals.RegistrationClosed: _FORBIDDEN,
    refusals.RegistrationSecret: _FORBIDDEN,
    refusals.TooSoon: _LATER,
    refusals.SettingRefused: _ODD,
    refusals.LastAdministrator: _FORBIDDEN,
    refusals.LastOwner: _FORBIDDEN,
    refusals.NotToOneself: _FORBIDDEN,
    refusals.WrongStatus: _ODD,
    refusals.DocumentRefused: _ODD,
    refusals.CaptchaRefused: _ODD,
    refusals.AlreadyEnrolled: _TAKEN,
    refusals.NotEnrolled: _NONE,
    refusals.BadPicture: _ODD,
    refusals.KeyTaken: _TAKEN,
    refusals.TooManyKeys: _FORBIDDEN,
    refusals.NoSuchKey: _NONE,
}

FAULTS: Mapping[type[Fault], str] = {
    faults.NotJson: "odd",
    faults.NotAnObject: "odd",
    faults.Invalid: "odd",
    faults.WrongMediaType: "odd",
    faults.BodyTooLarge: "long",
    faults.BodyTooSlow: "slow",
    faults.HeadersTooLarge: "long",
    faults.NoSuchPath: "none",
    faults.NoSuchMethod: "none",
    faults.TooManyRequests: "later",
    faults.Unexpected: "broken",
}


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core."""
    status, word = REFUSALS[type(refusal)]
    wait = (("retry-after", str(refusal.retry_after)),) if isinstance(refusal, Waiting) else ()
    return Answer(status, No(word), wait)


def fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP; the status is HTTP's own."""
    return Answer(fault.status, No(FAULTS[type(fault)]))
