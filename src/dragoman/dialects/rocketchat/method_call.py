"""Methods over REST: the message of DDP as a string in the body, its result as a string in the answer (section 7.5)."""

from __future__ import annotations

from typing import Any, cast

from msgspec import Struct

from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.ddp import messages
from dragoman.dialects.rocketchat.ddp.methods import METHODS, Visit
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.proof import given_in_headers
from dragoman.http import Answer, Call, Fault, operation
from dragoman.model import Person, SignedIn


class Wrapped(Struct):
    """A message of DDP as a string."""

    message: str


class Returned(Struct, frozen=True):
    """What came of it, as a string again; `success` is true of an error inside, too, unless configured otherwise."""

    message: str
    success: bool


ON_CONNECTIONS = frozenset({"login", "getNewToken"})
"""Methods that say who a connection is signed in as from then on; REST has none, and a login of its own."""
_INVALID = failure(400, "must be a method call in JSON", "invalid-params")


async def method_call(call: Call, body: Wrapped) -> Returned | Answer:
    """Call a method as over DDP. What went wrong is told inside the string."""
    visit = Visit(call)
    visit.given = given_in_headers(call)
    if call.caller is not None:
        person = cast("Person", getattr(call.caller, "person", None))
        session = call.caller.session
        visit.held = SignedIn(session, person, call.header("x-auth-token") or "", session.ends_at)
    try:
        asked = messages.read(body.message)
    except Fault:
        return _INVALID
    if not isinstance(asked, dict):
        return _INVALID
    id, name, params = asked.get("id"), asked.get("method", call.path["method"]), asked.get("params", [])
    if not isinstance(name, str) or not isinstance(params, list):
        return _INVALID
    outcome = await _outcome(visit, name, params)
    said = messages.encode({"msg": "result", **({"id": id} if isinstance(id, str) else {}), **outcome}).decode()
    refused = "error" in outcome and call.config(Config).method_errors == 400
    return Answer(400, Returned(said, False)) if refused else Returned(said, True)


async def _outcome(visit: Visit, name: str, params: list[Any]) -> dict[str, Any]:
    if name in METHODS and name in ON_CONNECTIONS:
        return {"error": messages.not_found("Method", name)}
    return await visit.outcome(name, params)


_ENABLE = {"enable": {"message": '{"msg":"method","id":"1","method":"2fa:enable","params":[]}'}}
OPERATIONS = (
    operation(
        "POST", "/api/v1/method.call/{method}", body=Wrapped, answers={200: Returned}, access="any", tag="methods",
        examples=_ENABLE,
    )(method_call),
    operation(
        "POST", "/api/v1/method.callAnon/{method}", body=Wrapped, answers={200: Returned}, access="open",
        tag="methods",
    )(method_call),
)  # fmt: skip
