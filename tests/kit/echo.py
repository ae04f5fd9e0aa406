"""A tiny dialect with one operation of each sort, for the tests of the HTTP kit and of the how-to page.

Its wire: `Authorization: Bearer ada`, errors as `{"problem": "...", "fields": [...]}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core import refusals
from dragoman.core.ports import SystemClock, SystemRandom
from dragoman.http import Answer, BodyRules, Call, Cors, Dialect, Fault, Invalid, Mount, operation
from dragoman.http.address import Proxies
from dragoman.http.always import Jwks, Ready
from dragoman.http.server import Gateway, House, Limits
from dragoman.model import Account, Caller, Client, Session

NOW = 1_800_000_000_000


class Error(Struct, frozen=True):
    problem: str
    fields: tuple[list[str], ...] = ()


class Device(Struct):
    os: str
    year: int = 0


class Note(Struct):
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    text: str
    count: int = 0
    loud: bool = False
    ratio: float = 0.0
    device: Device | UnsetType = UNSET
    tags: list[str] = []


class Echoed(Struct, frozen=True):
    title: str
    text: str
    count: int
    loud: bool


class Page(Struct):
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    word: str = ""


class Listed(Struct, frozen=True):
    limit: int
    word: str


class Me(Struct, frozen=True):
    name: str | None
    limited: bool


class Where(Struct, frozen=True):
    address: str
    network: str
    agent: str


REFUSALS: dict[type[refusals.Refusal], int] = {
    refusals.NotSignedIn: 401,
    refusals.NotForKeys: 403,
    refusals.FreshProofRequired: 403,
    refusals.VerificationRequired: 403,
    refusals.LimitedToken: 401,
    refusals.Busy: 503,
    refusals.Unavailable: 503,
    refusals.AccountLocked: 429,
}


def refuse(refusal: refusals.Refusal, call: Call) -> Answer:
    return Answer(REFUSALS.get(type(refusal), 400), Error(type(refusal).__name__))


def fault(fault: Fault, call: Call) -> Answer:
    fields = tuple([p.field, p.kind] for p in fault.problems) if isinstance(fault, Invalid) else ()
    return Answer(fault.status, Error(type(fault).__name__, fields))


def caller(name: str, kind: Any = "client", proved_at: int = NOW, verified: bool = True) -> Caller:
    account = Account(
        id=name.encode().ljust(16, b"."), organization=b"o" * 16, kind="person", status="active", administrator=False,
        root=False, parent=None, first_name=name, last_name="Example", display_name=None, auth_epoch=0,
        first_verified_at=1 if verified else None, created_at=1, updated_at=1, signed_in_at=None, rank=0,
        default_organization=True, business=False, facts=0,
    )  # fmt: skip
    session = Session(
        id=b"s" * 16, account=account.id, organization=account.organization, door="echo", kind=kind, parent=None,
        token_use="echo", created_at=1, seen_at=1, idle_until=None, ends_at=None, address="", user_agent="",
        methods="password", proved_at=proved_at, generation=0, confirmed_generation=0,
    )  # fmt: skip
    return Caller(session, account)


CALLERS = {
    "ada": caller("ada"),
    "key": caller("key", kind="key"),
    "stale": caller("stale", proved_at=NOW - 601_000),
    "unverified": caller("unverified", verified=False),
}


async def authenticate(call: Call) -> Caller:
    token = call.bearer()
    if token == "limited":
        raise refusals.LimitedToken
    if token is None or token not in CALLERS:
        raise refusals.NotSignedIn
    return CALLERS[token]


@operation("POST", "/echo/note", body=Note, answers={201: Echoed}, access="open", tag="notes")
async def note(call: Call, body: Note) -> Echoed:
    """Say back what was said.

    The second paragraph is the description.
    """
    return Echoed(body.title, body.text, body.count, body.loud)


@operation("GET", "/echo/list", query=Page, answers={200: Listed}, access="open")
async def listed(call: Call, query: Page) -> Listed:
    """List nothing."""
    return Listed(query.limit, query.word)


@operation("GET", "/echo/me", answers={200: Me})
async def me(call: Call) -> Me:
    """Tell who is signed in."""
    return Me(call.signed_in.account.first_name, call.limited)


@operation("GET", "/echo/any", answers={200: Me}, access="any")
async def anybody(call: Call) -> Me:
    """Tell who is signed in, keys too."""
    return Me(call.signed_in.account.first_name, call.limited)


@operation("GET", "/echo/perhaps", answers={200: Me}, access="optional")
async def perhaps(call: Call) -> Me:
    """Tell who is signed in, if anybody."""
    return Me(call.caller.account.first_name if call.caller else None, call.limited)


@operation("GET", "/echo/half", answers={200: Me}, accepts_limited=True)
async def half(call: Call) -> Me:
    """Take a limited token as well."""
    return Me(call.caller.account.first_name if call.caller else None, call.limited)


@operation("DELETE", "/echo/me", answers={204: None}, fresh=True)
async def leave(call: Call) -> None:
    """Need a fresh proof."""


@operation("PUT", "/echo/me", body=Device, answers={200: Device}, verified=True)
async def change(call: Call, body: Device) -> Device:
    """Need a verified account."""
    return body


@operation("GET", "/echo/{name}/of/{owner}", answers={200: Listed}, access="open")
async def item(call: Call) -> Listed:
    """Take values from the path."""
    return Listed(1, f"{call.path['name']} {call.path['owner']}")


@operation("GET", "/echo/where", answers={200: Where}, access="open")
async def where(call: Call) -> Where:
    """Tell where the client stands."""
    return Where(call.client.address, call.client.network, call.client.user_agent)


@operation("POST", "/echo/raise", body=dict[str, Any], answers={200: None}, access="open")
async def fail(call: Call, body: dict[str, Any]) -> None:
    """Raise what is asked for."""
    call.set_header("x-before", "set")
    if body.get("refusal"):
        kind: Any = getattr(refusals, body["refusal"])
        raise kind(body["wait"]) if "wait" in body else kind()
    raise RuntimeError("the secret inside")


@operation("GET", "/echo/cookie", answers={204: None}, access="open")
async def cookie(call: Call) -> None:
    """Set a cookie and a header from what was asked."""
    call.set_cookie("jwt", "a.b-c_d", max_age=60, same_site="strict", secure=False)
    call.set_header("x-said", call.query.get("say", ""))


OPERATIONS = (note, listed, me, anybody, perhaps, half, leave, change, item, where, fail, cookie)


def dialect(name: str = "echo", **changes: Any) -> Dialect:
    settings: dict[str, Any] = {
        "name": name, "title": "Echo", "prefixes": ("/echo",), "door": None, "operations": OPERATIONS,
        "refuse": refuse, "fault": fault, "authenticate": authenticate, "error_class": Error,
        "body": BodyRules(form=True), "cors": Cors(credentials=True), "mark_cookie": "mark",
        "security": {"bearer": {"type": "http", "scheme": "bearer"}}, "security_needs": (("bearer",),),
    }  # fmt: skip
    return Dialect(**settings | changes)


class FixedClock(SystemClock):
    def now(self) -> int:
        return NOW


async def is_ready() -> str | None:
    return None


async def ten_minutes(caller: Caller, _: Client, each: bool) -> bool:
    return not each and NOW - caller.session.proved_at <= 600_000


def house(
    *, ready: Ready = is_ready, jwks: Jwks = lambda: {"keys": []}, proxies: Sequence[str] = (), **more: Any
) -> House:
    more.setdefault("clock", FixedClock())
    more.setdefault("limits", Limits(body_seconds=0.3))
    more.setdefault("proxies", Proxies.named(proxies))
    return House(random=SystemRandom(), ready=ready, jwks=jwks, fresh=ten_minutes, **more)


def gateway(*dialects: Dialect | Mount, pages: Dialect | None = None, **more: Any) -> Gateway:
    core: Any = None  # no operation of this dialect asks the core
    return Gateway(core, dialects or (dialect(),), house(**more), pages)
