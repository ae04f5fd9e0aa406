"""The faults of HTTP itself, one class each: what is wrong with a request before anybody's rules are asked.

The kit raises and catches them and hands each to the owner's `Dialect.fault`, which dresses it in that dialect's own
error (decision 37). A fault never carries internals. `status` is what HTTP says of it; a dialect may answer otherwise
where its contract does.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Place = Literal["body", "form", "query", "path", "header", "cookie"]
Kind = Literal["required", "type", "format", "too_short", "too_long", "not_allowed"]


class Problem(Struct, frozen=True):
    """One field that does not fit its declaration."""

    field: str
    """Its path from the top, `email` or `device.os` or `ids[2]`; empty when the whole body is meant."""
    kind: Kind
    text: str
    """One sentence for a person, without the value that was sent."""
    place: Place = "body"


class Fault(Exception):
    """A request that HTTP or the declared shape refuses."""

    status = 400

    def __init__(self, text: str = "") -> None:
        super().__init__(text or (self.__doc__ or "").split("\n", 1)[0])


class NotJson(Fault):
    """The body is not JSON: empty, cut off, not UTF-8, or nested deeper than 32 levels."""


class NotAnObject(Fault):
    """The body is JSON, but not an object."""


class Invalid(Fault):
    """Fields of the body or the query are missing or wrong; `problems` names every one of them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.text}" if p.field else p.text for p in problems))
        self.problems = problems


class WrongMediaType(Fault):
    """The content type of the body is none that the dialect reads."""

    status = 415


class BodyTooLarge(Fault):
    """The body is larger than the operation takes."""

    status = 413


class BodyTooSlow(Fault):
    """The body did not arrive in time."""

    status = 408


class HeadersTooLarge(Fault):
    """Request line and headers together are larger than the server takes."""

    status = 431


class NoSuchPath(Fault):
    """The owner of the path has no operation there."""

    status = 404


class NoSuchMethod(Fault):
    """The path has operations, none with this method. `allow` names the methods it has, in capitals."""

    status = 405

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(f"this path allows {', '.join(allow)}")
        self.allow = allow


class TooManyRequests(Fault):
    """The client has called this operation as often as its rate allows. `wait` tells for how long, in milliseconds."""

    status = 429

    def __init__(self, wait: int) -> None:
        super().__init__(f"too many requests; wait {-(-wait // 1000)} seconds")
        self.wait = wait

    @property
    def seconds(self) -> int:
        """How long to wait, in whole seconds."""
        return max(1, -(-self.wait // 1000))


class Unexpected(Fault):
    """Something broke in here. The log has the traceback under `request_id`; the answer shows only that id."""

    status = 500

    def __init__(self, request_id: str) -> None:
        super().__init__(f"internal error, request {request_id}")
        self.request_id = request_id


def catalogue() -> frozenset[type[Fault]]:
    """Return every fault class, for the tests that a dialect dresses all of them."""
    return frozenset(Fault.__subclasses__())
