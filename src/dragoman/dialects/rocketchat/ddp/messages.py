"""DDP's messages: what comes in as objects, what goes out, and how an error looks (contract sections 13.1 to 13.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragoman.core.refusals import Refusal, Waiting
from dragoman.dialects.rocketchat import errors
from dragoman.dialects.rocketchat.wire import Email, Failure, Why
from dragoman.http import Answer, Call, Fault
from dragoman.http.body import decode_json
from dragoman.model import Millis

T = TypeVar("T")
VERSIONS = ("1", "pre2", "pre1")
"""Of the protocol, the best first."""

encode = msgspec.json.Encoder().encode


class Date(Struct, frozen=True):
    """A time."""

    at: Millis = msgspec.field(name="$date")


class User(Struct, frozen=True):
    """What is told of oneself."""

    username: str
    emails: tuple[Email, ...] | UnsetType = UNSET


class Token(Struct, frozen=True, rename="camel"):
    """A token that a client holds from now on."""

    id: str | UnsetType
    token: str
    token_expires: Date
    type: str | UnsetType = UNSET


class TimeToReset(Struct, frozen=True, rename="camel"):
    """In how many milliseconds a call is let through again."""

    time_to_reset: int


class Problem(Struct, frozen=True, rename="camel"):
    """Why a method did not do what it was asked (contract section 13.4)."""

    error: str | int
    reason: str
    message: str
    is_client_safe: bool = True
    error_type: str = "Meteor.Error"
    details: Why | TimeToReset | UnsetType = UNSET


class NotDone(Exception):
    """A method was refused with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def problem(error: str | int, reason: str, details: Why | TimeToReset | UnsetType = UNSET) -> Problem:
    """Return a problem with its message."""
    return Problem(error, reason, f"{reason} [{error}]", details=details)


USER_NOT_FOUND = problem(401, "User not found")
MATCH_FAILED = problem(400, "Match failed")
INTERNAL = problem(500, "Internal server error")
NOT_SIGNED_IN = problem("error-invalid-user", "Invalid user")


def parameter(params: list[Any], place: int, kind: type[T]) -> T:
    """Return a parameter of this class. Raises NotDone."""
    try:
        return msgspec.convert(params[place], kind)
    except (IndexError, msgspec.ValidationError):
        raise NotDone(MATCH_FAILED) from None


def not_found(kind: str, name: str) -> Problem:
    """Return the problem of a method or subscription that there is not."""
    return problem(404, f"{kind} '{name[:200]}' not found")


def too_many(wait: Millis) -> Problem:
    """Return the problem of a call that comes too soon."""
    seconds = -(-wait // 1000)
    text = f"Error, too many requests. Please slow down. You must wait {seconds} seconds before trying again."
    return problem("too-many-requests", text, TimeToReset(wait))


def of_refusal(refusal: Refusal, call: Call) -> Problem:
    """Return a refusal of the core as this protocol says it: the table is that of REST."""
    answer = errors.refuse(refusal, call)
    if isinstance(refusal, Waiting) and answer.status in (429, 503):
        return too_many(refusal.retry_after * 1000)
    return of_answer(answer)


def of_answer(answer: Answer) -> Problem:
    """Return an error of REST as one of DDP: without the code in its text, and `Unauthorized` in the older words."""
    if answer is errors.UNAUTHORIZED:
        return USER_NOT_FOUND
    if answer is errors.NOT_SIGNED_IN:
        return NOT_SIGNED_IN
    said: Failure = answer.body
    if said.error_type is not UNSET:
        return problem(said.error_type, str(said.error).removesuffix(f" [{said.error_type}]"), said.details)
    if said.message is not UNSET:
        return problem(said.error, said.message, said.details)
    return problem(answer.status, str(said.error))


def read(frame: str | bytes) -> Any:
    """Return the JSON of a message. Raises Fault for anything else, a binary frame too."""
    if isinstance(frame, bytes):
        raise Fault
    return decode_json(frame.encode(), Any)


def agreed(message: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the version to speak, and whether the client asked for it (contract section 13.1)."""
    wanted, known = message.get("version"), message.get("support")
    if not isinstance(wanted, str) or not isinstance(known, list) or wanted not in known:
        return VERSIONS[0], False
    best = next((each for each in known if each in VERSIONS), VERSIONS[0])
    return best, best == wanted
