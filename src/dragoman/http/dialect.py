"""A dialect as one frozen value: its paths, its operations, and how it dresses errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dragoman.core.refusals import Refusal
from dragoman.http.call import Answer, Call
from dragoman.http.faults import Fault
from dragoman.http.operation import Operation
from dragoman.model import Caller

if TYPE_CHECKING:
    from dragoman.core.doors import Door
    from dragoman.http.rates import Rates
    from dragoman.http.socket import SocketPlace


@dataclass(frozen=True, kw_only=True)
class BodyRules:
    """How bodies of a dialect are read (decision 38)."""

    json: bool = True
    form: bool = False
    """Reads `application/x-www-form-urlencoded` into the same classes: strings converted, `a[b]=c` as objects."""
    lenient: bool = False
    """An absent, empty, unparsable body and a missing or wrong content type all count as `{}`."""
    empty_is_object: bool = False
    """A request without a body counts as `{}`; everything else stays strict."""


@dataclass(frozen=True, kw_only=True)
class Cors:
    """What a configured origin may do. The origins themselves are configuration: `Mount.origins`."""

    credentials: bool = False
    """Whether cookies may come along. Never together with the origin `*`."""
    allow_headers: tuple[str, ...] = ("Authorization", "Content-Type")
    expose_headers: tuple[str, ...] = ("X-Request-Id", "Retry-After")
    max_age: int = 600
    """Seconds a browser may remember a preflight."""


def same_path(path: str) -> str:
    """Return the path unchanged: no tidying."""
    return path


def single_leading_slash(path: str) -> str:
    """Fold doubled leading slashes, as clients send them that join a base ending in one."""
    return "/" + path.lstrip("/")


def no_trailing_slash(path: str) -> str:
    """Drop trailing slashes."""
    return path.rstrip("/") or "/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Dialect:
    """One wire format. A dialect's folder ends in one of these; the gateway takes a list of them."""

    name: str
    title: str
    """For people: pages, OpenAPI document."""
    prefixes: tuple[str, ...]
    """The paths it owns, on segment boundaries, `/user`; the longest of all dialects' prefixes wins (table E)."""
    door: Door | None
    operations: tuple[Operation, ...]
    refuse: Callable[[Refusal, Call], Answer]
    """The total table from the core's refusals to this wire's errors."""
    fault: Callable[[Fault, Call], Answer]
    """The same for the faults of HTTP. `call.operation` is None when no route was found."""
    authenticate: Callable[[Call], Awaitable[Caller]]
    """Finds the caller from the request's carriers; raises NotSignedIn or LimitedToken."""
    prove: Callable[[Call], Awaitable[Answer | None]] | None = None
    """Takes a proof that came in the call, where the session's is not fresh (`operation(fresh=...)`), and puts the
    caller as it is then into `call.caller`; returns the answer that asks for one. None: no call carries one."""
    body: BodyRules = field(default_factory=BodyRules)
    headers: tuple[tuple[str, str], ...] = (("cache-control", "no-store"),)
    """On every answer, unless the answer sets the same name."""
    content_type: str = "application/json"
    cors: Cors | None = None
    """None: no cross-origin access whatever is configured."""
    options: Answer | None = None
    """The answer to an OPTIONS that is no preflight; None: method not allowed."""
    tidy_path: Callable[[str], str] = same_path
    head_as_get: bool = False
    """HEAD answers as GET does, without the body."""
    mark_cookie: str | None = None
    """The cookie whose SHA-256 becomes `call.client.mark` (decision 36)."""
    error_class: Any = None
    """The class (or union) of error bodies, for the OpenAPI document."""
    error_content_type: str | None = None
    """Where errors have another content type than answers."""
    security: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """OpenAPI security schemes by name."""
    security_needs: tuple[tuple[str, ...], ...] = ()
    """Which schemes open an operation: alternatives, each a set of schemes needed together."""
    config: Any = None
    """What an operator chose for it: a frozen value of its own class, which handlers get from `call.config`."""
    socket: SocketPlace | None = None
    """The one WebSocket it has. HTTP's rules of host, prefix and client address hold for it too."""
    rates: Rates | None = None
    """How often its operations may be called; None: as often as those allow that declare a rate themselves."""
    memory: Any = None
    """What it remembers while it serves and may forget: a value of its own, made together with the dialect."""
    example: str = ""
    """A curl line that works as pasted on loopback; `{base}` stands for the address."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a dialect is reached. The same dialect may be mounted several times."""

    dialect: Dialect
    host: str | None = None
    """Answers only under this host name (lower case, without port); on it, only dialects mounted there answer."""
    prefix: str = ""
    """Goes before all its paths, `/flashback`; the dialect never sees it."""
    live: bool = True
    """False: switched off. Its paths then belong to the pages, which have nothing there."""
    origins: tuple[str, ...] = ()
    """Exact origins that may call from a browser, `https://app.example.com`; `*` for any, then without credentials."""
