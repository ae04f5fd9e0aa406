"""Errors as pages: the same clothes as everything else here, and never more than the request's id of a 500."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.policy import PATHS
from dragoman.core.refusals import BadTicket, Busy, NotOffered, Refusal, TicketExpired, Unavailable, Waiting
from dragoman.http.call import Answer, Call
from dragoman.http.faults import (
    BodyTooLarge,
    BodyTooSlow,
    Fault,
    HeadersTooLarge,
    Invalid,
    NoSuchMethod,
    NoSuchPath,
    NotAnObject,
    NotJson,
    TooManyRequests,
    Unexpected,
    WrongMediaType,
)
from dragoman.web.plain import TAG, page
from dragoman.web.render import render

FAULTS: Mapping[type[Fault], tuple[str, str]] = {
    NoSuchPath: ("Nothing here", "No page and no switched-on dialect answers at this address."),
    NoSuchMethod: ("Not with this method", "This address takes requests of another kind."),
    NotJson: ("Not understood", "The request could not be read."),
    NotAnObject: ("Not understood", "The request could not be read."),
    Invalid: ("Not understood", "The request could not be read."),
    WrongMediaType: ("Not understood", "The request's content type is not one that is read here."),
    BodyTooLarge: ("Too large", "The request is larger than what is taken here."),
    BodyTooSlow: ("Too slow", "The request did not arrive in time."),
    HeadersTooLarge: ("Too large", "The request's headers are larger than what is taken here."),
    TooManyRequests: ("Not now", "That was asked for too often. Please try again in a moment."),
    Unexpected: ("Something broke", "It has been logged. Please tell whoever runs this server the id below."),
}
"""Every fault of HTTP: its heading and one sentence."""


REFUSALS: Mapping[type[Refusal], tuple[int, str]] = {
    TicketExpired: (410, "{purpose}.expired"),
    BadTicket: (404, "{purpose}.bad"),
    Busy: (503, "no.busy"),
    Unavailable: (503, "no.busy"),
    Waiting: (429, "no.later"),
    NotOffered: (403, "no.not_offered"),
    Refusal: (403, "no.not_allowed"),
}
"""What the pages behind mailed links say to a refusal: status and page of the catalogue; the first that fits counts."""

LINK_FAULTS: Mapping[type[Fault], str] = {
    BodyTooLarge: "no.too_large",
    HeadersTooLarge: "no.too_large",
    BodyTooSlow: "no.too_slow",
    TooManyRequests: "no.later",
    Unexpected: "no.broken",
}
"""What they say to a fault of HTTP; to all others, that it was not understood."""

_PURPOSES = {path + "{token}": purpose for purpose, path in PATHS.items()}


def fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP."""
    shown = fault.request_id if isinstance(fault, Unexpected) else ""
    if _behind_a_link(call):
        return page(call, LINK_FAULTS.get(type(fault), "no.not_understood"), fault.status, request_id=shown)
    heading, text = FAULTS[type(fault)]
    return Answer(fault.status, _page(fault.status, heading, text, shown))


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core. Elsewhere no page asks it anything: that is what a failing database looks like."""
    if _behind_a_link(call) and call.operation is not None:
        status, name = next(row for kind, row in REFUSALS.items() if isinstance(refusal, kind))
        wait = (("retry-after", str(refusal.retry_after)),) if isinstance(refusal, Waiting) else ()
        return page(call, name.format(purpose=_PURPOSES.get(call.operation.path)), status, headers=wait)
    if isinstance(refusal, Waiting):
        return Answer(503, _page(503, "Not now", "The server is busy. Please try again in a moment."))
    return Answer(403, _page(403, "Not allowed", "This cannot be done here."))


def _behind_a_link(call: Call) -> bool:
    return call.operation is not None and call.operation.tag == TAG


def _page(status: int, heading: str, text: str, request_id: str = "") -> bytes:
    return render("error.html", status=status, heading=heading, text=text, request_id=request_id)
