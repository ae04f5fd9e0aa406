"""One request as a handler sees it, and one answer as a handler gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from dragoman.http.address import Proxies, client_of, scheme_of
from dragoman.http.forms import parse_pairs
from dragoman.model import Caller, Client

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.core.doors import Door
    from dragoman.http.dialect import Dialect
    from dragoman.http.operation import Operation

Scope = MutableMapping[str, Any]
C = TypeVar("C")
SameSite = Literal["lax", "strict", "none"]

_UNFIT = re.compile(r"[^\x20-\x7e\xa0-\xff]")
_UNFIT_IN_COOKIE = re.compile(r"[^\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]")


class Answer(Struct, frozen=True):
    """A whole answer: status, body, headers."""

    status: int
    body: Any = None
    """A value that msgspec encodes, bytes that go out as they are, or None for no body."""
    headers: tuple[tuple[str, str], ...] = ()
    """Override the dialect's headers of the same name; `content-type` overrides the dialect's."""


class Call:
    """One request. Everything costly is worked out when it is asked for."""

    __slots__ = (
        "_client",
        "_cookies",
        "_headers",
        "_proxies",
        "_query",
        "caller",
        "core",
        "dialect",
        "extra",
        "limited",
        "operation",
        "origins",
        "path",
        "rated",
        "request_id",
        "scope",
    )

    def __init__(self, core: Core, scope: Scope, dialect: Dialect, request_id: str, proxies: Proxies) -> None:
        self.core = core
        self.scope = scope
        self.dialect = dialect
        self.request_id = request_id
        self.operation: Operation | None = None
        self.path: Mapping[str, str] = {}
        """Values of the names in the path template."""
        self.caller: Caller | None = None
        """Who is signed in; None for `open`, and where `optional` or `accepts_limited` let a request pass."""
        self.limited = False
        """A limited token came and the operation accepts it; the handler reads the token itself."""
        self.extra: list[tuple[bytes, bytes]] | None = None
        """Headers set by the handler."""
        self.origins: frozenset[str] = frozenset()
        """Origins that may call from a browser, as configured for this mount."""
        self.rated: list[tuple[bytes, bytes]] | None = None
        """Headers that tell how the call stands to its rate: on every answer, that of a broken handler too."""
        self._proxies = proxies
        self._client: Client | None = None
        self._cookies: dict[str, str] | None = None
        self._headers: Headers | None = None
        self._query: dict[str, str] | None = None

    @property
    def signed_in(self) -> Caller:
        """The caller, where access `client` or `any` promises one."""
        if self.caller is None:
            raise RuntimeError("no caller: the operation's access does not promise one")
        return self.caller

    def config(self, kind: type[C]) -> C:
        """Return what an operator chose for the dialect, `Dialect.config`, which is of this class."""
        config = self.dialect.config
        if not isinstance(config, kind):
            raise TypeError(f"the dialect {self.dialect.name} is mounted without its {kind.__qualname__}")
        return config

    @property
    def door(self) -> Door:
        """The door of the dialect, as it was configured."""
        if self.dialect.door is None:
            raise RuntimeError(f"the dialect {self.dialect.name} signs nobody in")
        return self.dialect.door

    @property
    def method(self) -> str:
        """The request's method in capitals."""
        return str(self.scope["method"])

    @property
    def headers(self) -> Headers:
        """The request's headers; names in any letter case."""
        if self._headers is None:
            self._headers = Headers(raw=self.scope["headers"])
        return self._headers

    def header(self, name: str) -> str | None:
        """Return the first header of this lower-case name, or None. The cheap way to read a single one."""
        wanted = name.encode("latin-1")
        for key, value in self.scope["headers"]:
            if key == wanted:
                return str(value, "latin-1")
        return None

    def bearer(self) -> str | None:
        """Return the token of `Authorization: Bearer <token>`, scheme in any letter case, or None."""
        value = self.header("authorization")
        if value is None:
            return None
        scheme, _, token = value.partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def query(self) -> Mapping[str, str]:
        """The query string as text; of a repeated name the last counts, bytes that are not UTF-8 are replaced."""
        if self._query is None:
            self._query = dict(self.query_pairs)
        return self._query

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The query string as pairs, in order, repeated names each time."""
        raw = self.scope["query_string"]
        return parse_pairs(raw, errors="replace") if raw else []

    @property
    def cookies(self) -> Mapping[str, str]:
        """The request's cookies by name; of a repeated name the last counts."""
        if self._cookies is None:
            found: dict[str, str] = {}
            for key, value in self.scope["headers"]:
                if key == b"cookie":
                    found.update(cookie_parser(str(value, "latin-1")))
            self._cookies = found
        return self._cookies

    @property
    def client(self) -> Client:
        """The program at the other end: address, network, user agent, mark (decision 36)."""
        if self._client is None:
            client = client_of(self.scope, self._proxies)
            name = self.dialect.mark_cookie
            if name is not None and (value := self.cookies.get(name)):
                client = Client(client.address, client.network, client.user_agent, sha256(value.encode()).digest())
            self._client = client
        return self._client

    @property
    def scheme(self) -> str:
        """`https` or `http`, as the client sees it: a trusted proxy's word counts."""
        return scheme_of(self.scope, self._proxies)

    @property
    def origin_allowed(self) -> bool:
        """Whether `Origin` is our own or a configured one. False without the header: ask only where a cookie counts."""
        origin = self.header("origin")
        if origin is None:
            return False
        return origin in self.origins or origin == f"{self.scheme}://{self.header('host')}"

    def set_header(self, name: str, value: str) -> None:
        """Put a header on whatever answer follows, errors too. Characters a header cannot carry are dropped."""
        if self.extra is None:
            self.extra = []
        self.extra.append(header_pair(name, value))

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        path: str = "/",
        http_only: bool = True,
        secure: bool = True,
        same_site: SameSite = "lax",
    ) -> None:
        """Set a cookie on whatever answer follows; `max_age` in seconds, None for the browser's session.

        Raises ValueError for a name or value that is not made of RFC 6265 cookie octets.
        """
        if not name or _UNFIT_IN_COOKIE.search(name) or "=" in name or _UNFIT_IN_COOKIE.search(value):
            raise ValueError("a cookie's name and value are made of RFC 6265 cookie octets")
        parts = [f"{name}={value}", f"Path={path}"]
        if max_age is not None:
            parts.append(f"Max-Age={max_age}")
        if http_only:
            parts.append("HttpOnly")
        if secure:
            parts.append("Secure")
        parts.append(f"SameSite={same_site.capitalize()}")
        self.set_header("set-cookie", "; ".join(parts))

    def clear_cookie(self, name: str, *, path: str = "/", secure: bool = True, same_site: SameSite = "lax") -> None:
        """Make the browser forget a cookie that was set for this path."""
        self.set_cookie(name, "", max_age=0, path=path, secure=secure, same_site=same_site)


def header_pair(name: str, value: str) -> tuple[bytes, bytes]:
    """Return a header ready to send: name lowered, and every character that could end the line dropped."""
    return name.lower().encode("latin-1"), _UNFIT.sub("", value).encode("latin-1")


def header_pairs(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return several headers ready to send."""
    return [header_pair(name, value) for name, value in headers]
