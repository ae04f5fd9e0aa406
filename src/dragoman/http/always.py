"""The paths that answer in every configuration: health, readiness, metrics, published keys (table E)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from msgspec import Struct

from dragoman.core.ports import Clock
from dragoman.core.refusals import NotSignedIn, Refusal
from dragoman.http.call import Answer, Call
from dragoman.http.dialect import Dialect
from dragoman.http.faults import Fault
from dragoman.http.metrics import Metrics
from dragoman.http.operation import operation

Ready = Callable[[], Awaitable[str | None]]
"""Returns None when the server can do its work, else one sentence why not."""
Jwks = Callable[[], Mapping[str, Any]]
"""Returns the published key set."""


class Health(Struct, frozen=True):
    """The superset that every client's health call can read."""

    status: str
    timestamp: str
    error: str | None


class PlainError(Struct, frozen=True):
    """An error on paths that belong to nobody's wire."""

    error: str


class Key(Struct, frozen=True, omit_defaults=True):
    """One public key (RFC 7517)."""

    kty: str
    kid: str
    use: str = ""
    alg: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class KeySet(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517, section 5)."""

    keys: tuple[Key, ...]


def plain_fault(fault: Fault, call: Call) -> Answer:
    """Dress a fault plainly; a 500 names the request id only."""
    return Answer(fault.status, PlainError(str(fault)))


def plain_refusal(refusal: Refusal, call: Call) -> Answer:
    """Dress a refusal plainly. None of these operations asks the core, so this is the last resort."""
    return Answer(503, PlainError("not now"))


async def nobody(call: Call) -> NoReturn:
    """Refuse to know anybody: these paths have no sign-in."""
    raise NotSignedIn


def always_on(clock: Clock, ready: Ready, jwks: Jwks, metrics: Metrics) -> Dialect:
    """Return the dialect that owns `/health`, `/ready`, `/metrics` and `/.well-known`."""

    def state(error: str | None) -> Health:
        now = datetime.fromtimestamp(clock.now() / 1000, UTC).isoformat(timespec="milliseconds")
        return Health("ok" if error is None else "error", now.replace("+00:00", "Z"), error)

    @operation("GET", "/health", answers={200: Health}, access="open", tag="health")
    async def health(call: Call) -> Health:
        """Tell that the process lives and answers."""
        return state(None)

    @operation("GET", "/ready", answers={200: Health, 503: Health}, access="open", tag="health")
    async def readiness(call: Call) -> Answer:
        """Tell whether the server can do its work, database included."""
        error = await ready()
        return Answer(200 if error is None else 503, state(error))

    @operation("GET", "/metrics", access="open", tag="health")
    async def prometheus(call: Call) -> Answer:
        """Give the counters in Prometheus's text format."""
        await metrics.refresh()
        return Answer(200, metrics.text(), (("content-type", "text/plain; version=0.0.4; charset=utf-8"),))

    @operation("GET", "/.well-known/jwks.json", answers={200: KeySet}, access="open", tag="keys")
    async def published_keys(call: Call) -> Answer:
        """Give the public keys with which others verify our signed tokens (RFC 7517)."""
        return Answer(200, jwks(), (("cache-control", "public, max-age=300"),))

    @operation("GET", "/.well-known/change-password", answers={303: None}, access="open", hidden=True)
    async def change_password(call: Call) -> Answer:
        """Lead password managers to where a password is changed (W3C, A Well-Known URL for Changing Passwords)."""
        return Answer(303, headers=(("location", "/reset-password"),))

    return Dialect(
        name="http",
        title="Always on",
        prefixes=("/health", "/ready", "/metrics", "/.well-known"),
        door=None,
        operations=(health, readiness, prometheus, published_keys, change_password),
        refuse=plain_refusal,
        fault=plain_fault,
        authenticate=nobody,
        head_as_get=True,
        error_class=PlainError,
        example="curl {base}/health",
    )
