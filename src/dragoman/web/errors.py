"""Errors as pages: the same clothes as everything else here, and never more than the request's id of a 500."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.refusals import Refusal, Waiting
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
    Unexpected,
    WrongMediaType,
)
from dragoman.web.render import render

FAULTS: Mapping[type[Fault], tuple[str, str]] = {
    NoSuchPath: ("Nothing here", "No page and no switched-on dialect answers at this address."),
    NoSuchMethod: ("Not with this method", "This page can only be read."),
    NotJson: ("Not understood", "The request could not be read."),
    NotAnObject: ("Not understood", "The request could not be read."),
    Invalid: ("Not understood", "The request could not be read."),
    WrongMediaType: ("Not understood", "The request's content type is not one that is read here."),
    BodyTooLarge: ("Too large", "The request is larger than what is taken here."),
    BodyTooSlow: ("Too slow", "The request did not arrive in time."),
    HeadersTooLarge: ("Too large", "The request's headers are larger than what is taken here."),
    Unexpected: ("Something broke", "It has been logged. Please tell whoever runs this server the id below."),
}
"""Every fault of HTTP: its heading and one sentence."""


def fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault of HTTP."""
    heading, text = FAULTS[type(fault)]
    shown = fault.request_id if isinstance(fault, Unexpected) else None
    return Answer(fault.status, _page(fault.status, heading, text, shown))


def refuse(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal of the core: no page asks it anything, so this is what a failing database looks like."""
    if isinstance(refusal, Waiting):
        return Answer(503, _page(503, "Not now", "The server is busy. Please try again in a moment."))
    return Answer(403, _page(403, "Not allowed", "This cannot be done here."))


def _page(status: int, heading: str, text: str, request_id: str | None = None) -> bytes:
    return render("error.html", status=status, heading=heading, text=text, request_id=request_id)
