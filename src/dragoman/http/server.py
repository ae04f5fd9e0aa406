"""The gateway: one plain ASGI callable from a request to the answer of the dialect that owns its path.

No middleware stack: what every request needs is written out here once, in the order in which it happens.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from dragoman.core.ports import Clock, Random
from dragoman.core.refusals import (
    FreshProofRequired,
    LimitedToken,
    NotForKeys,
    NotSignedIn,
    Refusal,
    VerificationRequired,
    Waiting,
    of_storage,
)
from dragoman.http.address import Proxies
from dragoman.http.always import Jwks, Ready, always_on, nobody, plain_fault, plain_refusal
from dragoman.http.body import Gone, Receive, convert_query, decode, read_body
from dragoman.http.call import Answer, Call, header_pairs
from dragoman.http.dialect import Dialect, Mount
from dragoman.http.faults import Fault, HeadersTooLarge, NoSuchMethod, NoSuchPath, TooManyRequests, Unexpected
from dragoman.http.metrics import Metrics
from dragoman.http.operation import Operation
from dragoman.http.proxy_watch import ProxyWatch, Suspicion
from dragoman.http.rates import Counted, Counts, Own
from dragoman.http.routing import Room, Route, Table, tables
from dragoman.http.socket import OpenSockets, Socket, SocketLimits
from dragoman.model import Caller, Client

if TYPE_CHECKING:
    from dragoman.core import Core

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TOO_LARGE = "dragoman.headers_too_large"
"""ASGI extension with which the protocol says that the head of a request passed its limit."""

_encoder = msgspec.json.Encoder()
_NO_BODY = frozenset({204, 304})
_NO_METHODS: Mapping[str, Route] = {}
_PORT = re.compile(r":\d*\Z")
_BARE = b'{"error":"internal error"}'


class Log(Protocol):
    """The part of a structlog logger that the gateway needs."""

    def info(self, event: str, **facts: Any) -> Any:
        """Write a line."""

    def error(self, event: str, **facts: Any) -> Any:
        """Write a line about something broken."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may take."""

    body: int = 64 * 1024
    """Largest body in bytes, where an operation says nothing else."""
    body_seconds: float = 10.0
    """Time for a body to arrive."""


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything around the dialects that the gateway needs."""

    clock: Clock
    random: Random
    ready: Ready
    jwks: Jwks
    fresh: Callable[[Caller, Client, bool], Awaitable[bool]]
    """Tells whether the last proof of a session counts still, for the client that calls (decision 25)."""
    log: Log | None = None
    """For lines about what broke; None writes none."""
    access_log: Log | None = None
    """For one line per request, with the route template only; None writes none."""
    metrics: Metrics | None = None
    proxies: Proxies = field(default_factory=Proxies)
    limits: Limits = field(default_factory=Limits)
    sockets: SocketLimits = field(default_factory=SocketLimits)
    suspect: Callable[[Suspicion], None] = lambda suspicion: None
    """Told what does not fit the configured proxies."""
    rates: Counts = field(default_factory=Own)
    """Where calls are counted that have a rate."""
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None
    """Entered when the server starts, left when it has answered its last request."""


def _bare_pages() -> Dialect:
    """Return the owner of everything else where no pages are configured: nothing is there."""
    return Dialect(
        name="web",
        title="Pages",
        prefixes=("/",),
        door=None,
        operations=(),
        refuse=plain_refusal,
        fault=plain_fault,
        authenticate=nobody,
    )


class Gateway:
    """The ASGI application.

    :param core: handed to every handler as `call.core`.
    :param dialects: dialects, or mounts where one has a host, a prefix or origins of its own.
    :param house: clock, limits, logs and the other things around.
    :param pages: the owner of every path that nobody else owns; None answers 404 there.

    Raises ValueError when two dialects own one prefix or a dialect declares a path it does not own.
    """

    def __init__(
        self, core: Core, dialects: Sequence[Dialect | Mount], house: House, pages: Dialect | None = None
    ) -> None:
        self.core = core
        self.metrics = house.metrics or Metrics()
        self.mounts = tuple(d if isinstance(d, Mount) else Mount(dialect=d) for d in dialects)
        self.always = always_on(house.clock, house.ready, house.jwks, self.metrics)
        self._house = house
        self._log = house.log
        self._access_log = house.access_log
        self._monotonic = house.clock.monotonic
        self._proxies = house.proxies
        self._watch = ProxyWatch(house.proxies, house.suspect, house.clock.monotonic)
        self.metrics.watch(self._watch.readings)
        self._tables = tables(self.mounts, pages or _bare_pages(), self.always, self.metrics)
        self._table = self._tables.pop("")
        # Request ids must differ, not be secret: a prefix of this process and a count.
        self._id_prefix = house.random.bytes(6).hex()
        self._count = 0
        self._open = OpenSockets(house.sockets)
        self.metrics.sockets = self._open.by_dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        started = self._monotonic()
        method: str = scope["method"]
        table = self._table_of(scope) if self._tables else self._table
        found = table.exact.get(scope["path"])
        route = found.get(method) if found is not None else None
        values: tuple[str, ...] = ()
        methods = _NO_METHODS
        if route is None:
            room, methods, route, values = table.search(method, scope["path"])
        else:
            room = route.room
        call = self._call(scope, room)
        try:
            if "extensions" in scope and TOO_LARGE in scope["extensions"]:
                raise HeadersTooLarge
            if route is None:
                answer = self._unrouted(call, room, methods)
            else:
                call.operation = route.operation
                if values:
                    call.path = dict(zip(route.names, values, strict=True))
                answer = await self._handled(call, route, receive)
            payload = _encoded(answer.body)
        except Gone:
            return
        except Exception as broken:
            answer, payload = self._dressed(broken, call)
        headers = _headers(answer, payload, call, room)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else payload or b""})
        seconds = self._monotonic() - started
        (room.unrouted if route is None else route.tally).count(answer.status, seconds)
        if self._access_log is not None:
            _write(self._access_log, call, answer.status, seconds)
        if self._watch.is_due(self._count):
            self._watch.see(scope, call.client, call.caller.account.id if call.caller is not None else None)

    def _call(self, scope: Scope, room: Room) -> Call:
        self._count += 1
        call = Call(self.core, scope, room.dialect, f"{self._id_prefix}{self._count:08x}", self._proxies)
        call.origins = room.origins
        return call

    async def _handled(self, call: Call, route: Route, receive: Receive) -> Answer:
        """Check, read, hand over; return the answer."""
        operation = route.operation
        if operation.access != "open":
            await self._identify(call, operation)
        if route.rate is not None:
            await self._hold_to_rate(call, route)
        if call.caller is not None:
            await self._admit(call.caller, operation)
        arguments: list[Any] = [call]
        if operation.body is not None:
            limits = self._house.limits
            raw = await read_body(call.scope, receive, operation.body_limit or limits.body, limits.body_seconds)
            arguments.append(decode(raw, call.header("content-type"), call.dialect.body, operation.body))
        if operation.query is not None:
            arguments.append(convert_query(call.query_pairs, operation.query))
        if operation.fresh and call.caller is not None:
            unproved = await self._prove(call, operation)
            if unproved is not None:
                return unproved
        result = await operation.handler(*arguments)
        if result is None:
            return route.empty
        return result if isinstance(result, Answer) else Answer(route.status, result)

    async def _identify(self, call: Call, operation: Operation) -> None:
        """Find the caller, where the operation asks for one."""
        try:
            call.caller = await call.dialect.authenticate(call)
        except NotSignedIn:
            if operation.access == "optional":
                return
            raise
        except LimitedToken:
            if not operation.accepts_limited:
                raise
            call.limited = True

    async def _hold_to_rate(self, call: Call, route: Route) -> None:
        """Hold the call to its rate. Raises TooManyRequests."""
        rates = call.dialect.rates
        if rates is None or route.rate is None:
            return
        if not (asking := rates.by(call)):
            return
        rate = await rates.of(call, route.rate)
        if rate is None:
            return
        now = self._house.clock.now()
        counted = self._house.rates.count(now, asking, call.dialect.name if rates.together else route.key, rate)
        if not isinstance(counted, Counted):
            counted = await counted
        call.rated = rates.headers(counted)
        if not counted.fits:
            raise TooManyRequests(max(1, counted.ends_at - now))

    async def _admit(self, caller: Caller, operation: Operation) -> None:
        """Hold the caller against what the operation accepts (decisions 17 and 25)."""
        if operation.access == "client" and caller.session.narrow:
            raise NotForKeys
        if operation.verified and caller.account.first_verified_at is None:
            raise VerificationRequired

    async def _prove(self, call: Call, operation: Operation) -> Answer | None:
        """Hold an operation back until its call is proved; return the answer to one that is not (decision 25)."""
        if await self._house.fresh(call.signed_in, call.client, operation.fresh == "always"):
            return None
        if call.dialect.prove is None:
            raise FreshProofRequired
        return await call.dialect.prove(call)

    def _unrouted(self, call: Call, room: Room, methods: Mapping[str, Route]) -> Answer:
        """Answer a request that found no operation: OPTIONS, else the fault."""
        allow = {*methods, "HEAD"} if room.dialect.head_as_get and "GET" in methods else {*methods}
        if call.method == "OPTIONS":
            cors, origin, wanted = room.cors, call.header("origin"), call.header("access-control-request-method")
            if cors is not None and origin is not None and wanted is not None and methods and room.allows(origin):
                return Answer(
                    204,
                    headers=(
                        ("access-control-allow-methods", ", ".join(sorted(allow))),
                        ("access-control-allow-headers", ", ".join(cors.allow_headers)),
                        ("access-control-max-age", str(cors.max_age)),
                    ),
                )
            if room.dialect.options is not None:
                return room.dialect.options
        if not methods:
            raise NoSuchPath
        raise NoSuchMethod(tuple(sorted(allow)))

    def _dressed(self, broken: Exception, call: Call) -> tuple[Answer, bytes | None]:
        """Turn whatever was raised into the owner's answer. Never raises."""
        broken = of_storage(broken) or broken
        try:
            if isinstance(broken, Refusal):
                answer = call.dialect.refuse(broken, call)
                if answer.status == 503 and isinstance(broken, Waiting):
                    answer = _with(answer, "retry-after", str(broken.retry_after))
                return answer, _encoded(answer.body)
            if isinstance(broken, Fault):
                answer = call.dialect.fault(broken, call)
                if answer.status == 405 and isinstance(broken, NoSuchMethod):
                    answer = _with(answer, "allow", ", ".join(broken.allow))
                rates = call.dialect.rates
                if isinstance(broken, TooManyRequests) and (rates is None or rates.retry_after):
                    answer = _with(answer, "retry-after", str(broken.seconds))
                return answer, _encoded(answer.body)
        except Exception as worse:
            broken = worse
        self._report(broken, call)
        call.extra = None
        try:
            answer = call.dialect.fault(Unexpected(call.request_id), call)
            return answer, _encoded(answer.body)
        except Exception:
            return Answer(500, headers=(("content-type", "application/json"),)), _BARE

    def _report(self, broken: Exception, call: Call) -> None:
        if self._log is not None:
            name = call.operation.name if call.operation is not None else "(none)"
            facts = {"dialect": call.dialect.name, "operation": name, "request_id": call.request_id}
            self._log.error("unexpected", **facts, exc_info=(type(broken), broken, broken.__traceback__))

    def _table_of(self, scope: Scope) -> Table:
        """Return the table of the request's host name."""
        for name, value in scope["headers"]:
            if name == b"host":
                host = str(value, "latin-1").lower()
                return self._tables.get(_PORT.sub("", host).rstrip("."), self._table)
        return self._table

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open a WebSocket, or run the lifespan."""
        if scope["type"] == "websocket":
            await receive()
            await self._converse(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the owner of the path speak over its socket; where it has none, or no more, answer in its clothes."""
        started = self._monotonic()
        # To the dialect it is a GET that goes on. Cookies never count in it, so they are not there (threat 48).
        scope = {**scope, "method": "GET", "headers": [each for each in scope["headers"] if each[0] != b"cookie"]}
        room = (self._table_of(scope) if self._tables else self._table).owner(scope["path"])
        call, place, name = self._call(scope, room), room.socket(scope["path"]), room.dialect.name
        network = call.client.network
        self._watch.see(scope, call.client, None)
        try:
            if place is None:
                raise NoSuchPath
            self._open.enter(name, network)
        except (NoSuchPath, Refusal) as no:
            answer, payload = self._dressed(no, call)
            headers = _headers(answer, payload, call, room)
            await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": payload or b""})
            room.unrouted.count(answer.status, self._monotonic() - started)
            return
        socket = Socket(call, receive, send, self._house.clock, partial(self._report, call=call))
        try:
            with suppress(Gone):
                await socket.hold(place)
        finally:
            self._open.leave(name, network)
            if self._access_log is not None:
                ms = round((self._monotonic() - started) * 1000)
                facts = {"dialect": name, "path": place.path, "code": socket.code, "ms": ms}
                self._access_log.info("socket", **facts, address=call.client.address, request_id=call.request_id)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Enter the lifespan when the server starts and leave it when it stops."""
        await receive()
        around = self._house.lifespan() if self._house.lifespan is not None else nullcontext()
        started = False
        try:
            async with around:
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
        except Exception as broken:
            if self._log is not None:
                self._log.error("lifespan", exc_info=(type(broken), broken, broken.__traceback__))
            kind = "shutdown" if started else "startup"
            await send({"type": f"lifespan.{kind}.failed", "message": str(broken)})
        else:
            await send({"type": "lifespan.shutdown.complete"})


def _write(log: Log, call: Call, status: int, seconds: float) -> None:
    """Write the access log: the template of the route, never the path typed, the query or a header."""
    log.info(
        "request",
        dialect=call.dialect.name,
        method=call.method,
        path=call.operation.path if call.operation is not None else "(none)",
        status=status,
        ms=round(seconds * 1000, 2),
        address=call.client.address,
        request_id=call.request_id,
    )


def _encoded(body: Any) -> bytes | None:
    """Return a body ready to send, None for no body."""
    return body if body is None or isinstance(body, bytes) else _encoder.encode(body)


def _with(answer: Answer, name: str, value: str) -> Answer:
    """Return the answer with a header, unless it has that header."""
    if any(known.lower() == name for known, _ in answer.headers):
        return answer
    return Answer(answer.status, answer.body, (*answer.headers, (name, value)))


def _headers(answer: Answer, payload: bytes | None, call: Call, room: Room) -> list[tuple[bytes, bytes]]:
    """Put the headers of an answer together: its own, the handler's, the dialect's, ours."""
    headers = [(b"x-request-id", call.request_id.encode("latin-1"))]
    if not answer.headers:
        headers += room.headers if payload is None else room.plain
    else:
        own = header_pairs(answer.headers)
        names = {name for name, _ in own}
        headers += own
        headers += [pair for pair in room.headers if pair[0] not in names]
        if payload is not None and b"content-type" not in names:
            headers.append((b"content-type", room.content_type))
    if call.rated is not None:
        headers += call.rated
    if call.extra is not None:
        headers += call.extra
    if answer.status not in _NO_BODY:
        headers.append((b"content-length", b"%d" % len(payload or b"")))
    if room.cors is not None:
        headers += room.cors_headers(call.header("origin"))
    return headers
