"""The tables of refusals and faults are total, and each answer has the documented envelope."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from dragoman.core import refusals
from dragoman.dialects.rocketchat import DIALECT, errors, wire
from dragoman.http import Call, faults
from dragoman.http.address import Proxies
from dragoman.http.operation import Operation


def call_to(path: str) -> Call:
    """Return a call as the gateway hands it to the tables."""
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b"", "client": None}
    call = Call(None, scope, DIALECT, "id", Proxies())  # type: ignore[arg-type]
    operations: list[Operation] = [each for each in DIALECT.operations if each.path == path]
    call.operation = operations[0] if operations else None
    return call


def made(kind: type[Exception]) -> Exception:
    """Return an instance with plausible values for whatever it wants."""
    values = {"retry_after": 7, "status": "suspended", "person": None, "candidates": ("email:a", "username:a"),
              "kind": "email", "why": "why", "reason": "common", "wait": 7_000, "problems": (),
              "limit": 5, "allow": ("GET",),
              "request_id": "id", "offers": ("email",), "mailed": None, "text": "text",
              "name": "limits.account_hour", "expired": False, "permission": ""}  # fmt: skip
    return kind(**{name: values[name] for name in inspect.signature(kind).parameters})


def test_every_refusal_has_an_answer() -> None:
    assert set(errors.REFUSALS) == refusals.catalogue()


def test_every_fault_has_an_answer() -> None:
    assert set(errors.FAULTS) == faults.catalogue()


@pytest.mark.parametrize("kind", sorted(refusals.catalogue() | faults.catalogue(), key=lambda kind: kind.__name__))
@pytest.mark.parametrize("path", ["/api/v1/login", "/api/v1/me", "/nowhere"])
def test_every_answer_has_the_envelope(kind: type[Exception], path: str) -> None:
    broken, call = made(kind), call_to(path)
    answer = errors.refuse(broken, call) if isinstance(broken, refusals.Refusal) else errors.fault(broken, call)  # type: ignore[arg-type]
    assert 400 <= answer.status < 600
    assert isinstance(answer.body, wire.Failure)
    shown = msgspec.json.decode(msgspec.json.encode(answer.body))
    assert shown["success"] is False
    assert shown["error"]
    if answer.status == 401:
        assert shown["status"] == "error"
        assert shown["message"]
    if answer.status == 429 and kind is faults.TooManyRequests:
        assert shown["error"].endswith("[error-too-many-requests]")
        assert shown.keys() == {"success", "error"}
    if "errorType" in shown:
        assert shown["error"].endswith(f"[{shown['errorType']}]")
    if answer.status == 503:
        assert ("retry-after", "7") in answer.headers
    if answer.status == 500:
        assert shown == {"success": False, "error": "Internal server error"}


def test_what_time_heals_is_503_with_a_time() -> None:
    for kind in (refusals.Busy, refusals.Unavailable):
        answer = errors.refuse(kind(7), call_to("/api/v1/login"))
        assert answer.status == 503
        assert answer.headers == (("retry-after", "7"),)


def test_a_factor_that_this_wire_cannot_carry_is_asked_for_without_methods() -> None:
    answer = errors.refuse(refusals.NoUsableFactor(), call_to("/api/v1/login"))
    shown = msgspec.json.decode(msgspec.json.encode(answer.body))
    assert (answer.status, shown["error"]) == (401, "totp-required")
    assert shown["details"]["availableMethods"] == []
