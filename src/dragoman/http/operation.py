"""Operations: the endpoints of a dialect, declared as data.

From a declaration come the route, the checks before the handler, the OpenAPI document, the metric labels and the
coverage tests. A handler translates between its wire and the core; it never decides.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Access = Literal["open", "optional", "client", "any"]
Fresh = bool | Literal["always"]
Handler = Callable[..., Awaitable[Any]]

_NAME = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Bytes:
    """What an answer holds that is no JSON: its possible content types."""

    media: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """One endpoint: method, path, classes, who may call, and the handler. Made by `operation`."""

    method: str
    path: str
    """As the original has it, `/user/{user_id}`; a name stands for one whole, non-empty segment."""
    handler: Handler
    name: str
    """The handler's name: operationId, metric label."""
    summary: str
    description: str
    body: Any
    query: Any
    answers: Mapping[int, Any]
    access: Access
    accepts_limited: bool
    fresh: Fresh
    verified: bool
    headers: tuple[str, ...]
    cookies: tuple[str, ...]
    body_limit: int | None
    hidden: bool
    tag: str
    examples: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the path template, from left to right."""
        return tuple(_NAME.findall(self.path))

    @property
    def status(self) -> int:
        """The first declared answer: what a handler means that returns a bare value."""
        return int(next(iter(self.answers)))


def operation(
    method: str,
    path: str,
    *,
    body: Any = None,
    query: Any = None,
    answers: Mapping[int, Any] | None = None,
    access: Access = "client",
    accepts_limited: bool = False,
    fresh: Fresh = False,
    verified: bool = False,
    headers: tuple[str, ...] = (),
    cookies: tuple[str, ...] = (),
    body_limit: int | None = None,
    hidden: bool = False,
    tag: str = "",
    examples: Mapping[str, Any] | None = None,
) -> Callable[[Handler], Operation]:
    """Declare an endpoint on `async def handler(call[, body][, query])`.

    The handler returns a value of the first declared answer's class, an `Answer` for any other status or for headers
    that go with it, or None for an empty answer. Path values arrive in `call.path`.

    :param method: in capitals; HEAD and OPTIONS are the kit's business.
    :param path: the path template, `/user/{user_id}`.
    :param body: a msgspec Struct class (or any type msgspec decodes); None: a body is ignored, unread. A class variable
        `other_names` of the class names other spellings of its fields, other to first.
    :param query: a Struct class that the query string is converted to; None: `call.query` only.
    :param answers: status to class, the usual one first; `{204: None}` is an empty answer, `Bytes` what is no JSON.
        Default `{200: None}`.
    :param access: `open` asks nobody and ignores what a client sends; `optional` leaves `call.caller` None without a
        good token; `client` wants a full client session; `any` takes a key as well (decision 17).
    :param accepts_limited: a limited token passes too; then `call.caller` is None and `call.limited` is True.
    :param fresh: wants a proof that is remembered still, or one in the call (decision 25): asks `Dialect.prove` for it,
        refuses FreshProofRequired where that is None; `always` wants one in each call.
    :param verified: refuses VerificationRequired while the account was never verified.
    :param headers: request headers the handler reads, for the OpenAPI document.
    :param cookies: cookies the handler reads, for the OpenAPI document.
    :param body_limit: largest body in bytes where it differs from the gateway's 64 KiB.
    :param hidden: keeps the operation out of the OpenAPI document (an alias of a documented one).
    :param tag: groups operations in the OpenAPI document.
    :param examples: name to example request body, for the OpenAPI document.
    """

    def declare(handler: Handler) -> Operation:
        text = inspect.getdoc(handler) or ""
        summary, _, description = text.partition("\n\n")
        return Operation(
            method=method,
            path=path,
            handler=handler,
            name=getattr(handler, "__name__", "operation"),
            summary=" ".join(summary.split()),
            description=description,
            body=body,
            query=query,
            answers=dict(answers) if answers else {200: None},
            access=access,
            accepts_limited=accepts_limited,
            fresh=fresh,
            verified=verified,
            headers=headers,
            cookies=cookies,
            body_limit=body_limit,
            hidden=hidden,
            tag=tag,
            examples=dict(examples) if examples else {},
        )

    return declare
