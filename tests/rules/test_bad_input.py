"""Bad input × operation (threat 48): generated from what the dialects declare, so that no operation is forgotten.

Whatever arrives is answered in the dialect's own words and never by a 5xx; what is not judged leaves no trace.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import msgspec
import pytest

from dragoman.app import mounts
from dragoman.http.dialect import Dialect
from dragoman.http.openapi import document
from dragoman.http.operation import Operation
from dragoman.settings import load
from dragoman.storage.engine import Statement
from journeys.drivers import DRIVERS, POCKETM8, Driver
from kit.house import PASSWORD, House, open_house
from kit.server import RawAnswer, ask

pytestmark = pytest.mark.slow

DIALECTS: dict[str, Dialect] = {m.dialect.name: m.dialect for m in mounts(load(None, {}))}
OPERATIONS = [(dialect, each) for dialect in DIALECTS.values() for each in dialect.operations]
WITH_BODY = [(dialect, each) for dialect, each in OPERATIONS if each.body is not None]
DOCUMENTS = {name: json.loads(msgspec.json.encode(document(dialect))) for name, dialect in DIALECTS.items()}

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ABSURD = (
    "ada@example.com\u202e", "\u0430da@example.com", "a\u0300" * 100 + "@example.com", "a\u200bda@example.com",
    "\U0001f600@\U0001f600.example", "ada@" + "x" * 64 + ".com", "@", "a@b@c", "ada@[127.0.0.1]", "ada@xn--\u00e9",
    '"quoted space"@example.com', "ada@example.com\u0000", "ada@example.com\uff0e\uff0e", "\ufeffada@example.com",
    "ADA@EXAMPLE.COM\u0130", "ada\n@example.com", "%00@example.com", "ada@-.-", "\ud7ff\ue000@\uffff.example",
)  # fmt: skip
EVIL = ("x\r\nSet-Cookie: evil=1", "x\nX-Evil: 1", "x\r\n\r\n<script>evil</script>", "\u560d\u560aX-Evil: 1")
OTHER_TYPES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 2**63, 10**400, "", "x" * 2000, [], {}, ["x"], [[]], {"a": {"b": []}}, [None], "0",
    "true", {"$ne": None}, {"toString": 1},
)  # fmt: skip
SIZE = 64 * 1024

_TRACES = (
    Statement("select scope, subject, marks, streak from counter order by scope, subject"),
    Statement("select id, ended_at, generation from session order by id"),
    Statement("select * from attempt order by 1"),
    Statement("select count(*) from event"),
)


def name_of(pair: tuple[Dialect, Operation]) -> str:
    return f"{pair[0].name} {pair[1].method} {pair[1].path}"


every_operation = pytest.mark.parametrize(("dialect", "each"), OPERATIONS, ids=[name_of(pair) for pair in OPERATIONS])
every_body = pytest.mark.parametrize(("dialect", "each"), WITH_BODY, ids=[name_of(pair) for pair in WITH_BODY])


class Kit:
    """A house with Ada signed in everywhere, and raw requests to it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.headers: dict[str, dict[str, str]] = {}
        self.sent = 0

    async def furnish(self) -> None:
        await self.house.ada()
        for driver in DRIVERS:
            self.headers[driver.name] = await self.credentials(driver)

    async def credentials(self, driver: Driver) -> dict[str, str]:
        """Sign Ada in; return the headers that say so."""
        held = await driver.held(self.house.request, address="127.0.0.1")
        return {name.lower(): value for name, value in held.headers.items()}

    async def send(
        self, dialect: Dialect, each: Operation, body: bytes | None = None, media: str | None = JSON, *,
        query: str = "", headers: dict[str, str] | None = None, path: str | None = None,
    ) -> RawAnswer:  # fmt: skip
        """Send one request as Ada, from a network that was not used before: no budget speaks instead."""
        self.sent += 1
        given = {} if each.access == "open" else dict(self.headers[dialect.name])
        if body is not None and media is not None:
            given["content-type"] = media
        given |= headers or {}
        peer = f"198.{18 + self.sent // 60000}.{self.sent // 240 % 250}.{self.sent % 240}"
        where = path or each.path.replace("{", "x").replace("}", "x")
        answer = await ask(self.house.app, each.method, where, body=body, query=query, headers=given, peer=peer)
        self.fits(dialect, each, answer)
        return answer

    def fits(self, dialect: Dialect, each: Operation, answer: RawAnswer) -> None:
        """Hold an answer against the dialect's document: status below 500, and the schema it declares for it."""
        assert answer.status < 500, (answer.status, answer.body)
        shown = DOCUMENTS[dialect.name]
        responses = shown["paths"][each.path][each.method.lower()]["responses"]
        declared = responses.get(str(answer.status), responses["default"])
        for name, value in answer.lines:
            assert not {"\r", "\n", "\0"} & set(name + value), (name, value)
            assert "evil" not in name.lower()
            assert name != "set-cookie" or not value.lower().startswith("evil")
        if "content" not in declared:
            assert answer.body == b""
            return
        media = answer.headers["content-type"].partition(";")[0]
        content = declared["content"][media]
        if not media.endswith("json"):
            return
        schema = {**content["schema"], "components": shown["components"]}
        jsonschema.Draft202012Validator(schema).validate(json.loads(answer.body))
        assert b"Traceback" not in answer.body
        assert b"msgspec" not in answer.body

    async def traces(self) -> list[list[Any]]:
        """Return everything that judging would have changed."""
        await self.house.core.tick()
        return [list(await self.house.db.scan(statement)) for statement in _TRACES]


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_house(tmp_path) as house:
        made = Kit(house)
        await made.furnish()
        yield made


def valid(each: Operation) -> dict[str, Any]:
    """Return a body that fits, with a password that is wrong: the operation's own example."""
    found = dict(next(iter(each.examples.values()), {}))
    if not found:
        found = {field.encode_name: "x" for field in msgspec.structs.fields(each.body) if field.required}
    if "password" in found:
        found["password"] = "not her password"
    return found


def fields(each: Operation) -> list[str]:
    if not isinstance(each.body, type) or not issubclass(each.body, msgspec.Struct):
        return list(valid(each))  # a free object
    return [field.encode_name for field in msgspec.structs.fields(each.body)]


def needs(each: Operation) -> bool:
    """Tell whether the body has to hold something."""
    kind = each.body
    return (
        isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and any(field.required for field in msgspec.structs.fields(kind))
    )


def test_the_matrix_is_as_wide_as_the_declarations() -> None:
    assert set(DIALECTS) == {driver.name for driver in DRIVERS}
    assert len(WITH_BODY) >= 7
    assert all(valid(each) or not needs(each) for _, each in WITH_BODY)


def broken(each: Operation) -> Iterator[tuple[str, bytes | None, str | None]]:
    """Yield bodies that no operation can read: name, bytes, content type."""
    good = json.dumps(valid(each)).encode()
    yield "no body", None, None
    yield "empty", b"", JSON
    yield "not JSON", b"{", JSON
    yield "not JSON either", b"<xml/>", JSON
    yield "two values", good + good, JSON
    yield "NaN", b'{"password": NaN, "email": Infinity}', JSON
    yield "invalid UTF-8", good[:-1] + b',"x":"\xff\xfe"}', JSON
    yield "overlong UTF-8", b'{"email":"\xc0\xaf","password":"\xc0\x80"}', JSON
    yield "UTF-16", json.dumps(valid(each)).encode("utf-16"), JSON
    yield "BOM", b"\xef\xbb\xbf" + good, JSON
    yield "bare NUL", b"\0", JSON
    yield "deep lists", b"[" * 20_000 + b"]" * 20_000, JSON
    yield "deep objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSON
    yield "deep inside", b'{"email":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON
    for value in (b"null", b"true", b"1", b'"text"', b"[]", b"[{}]", good.join([b"[", b"]"])):
        yield f"JSON of the wrong type {value[:8]!r}", value, JSON
    for media in (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "nonsense",
        "",
        "application/jsonp",
        "application/json, text/plain",
    ):
        yield f"content type {media[:20]!r}", good, media
    yield "charset", good, "application/json; charset=utf-16"
    yield "JSON as a form", good, FORM
    yield "form of nothing", b"&&&=&=", FORM
    yield "form with NUL", b"email=a%00b&password=%00", FORM
    yield "form with bad UTF-8", b"email=%ff%fe&password=%c0%80", FORM
    yield "form, nested", b"email" + b"[a]" * 5000 + b"=1", FORM
    yield "form, clashing", b"email=a&email[b]=c&email[]=d", FORM
    yield "over the limit", b'{"email":"' + b"x" * (SIZE + 1) + b'"}', JSON
    yield "1 MB password", json.dumps({**valid(each), "password": "x" * 1_000_000}).encode(), JSON
    if "password" in fields(each):  # where there is no such field, it is ignored and the body good
        yield "just below the limit", json.dumps({**valid(each), "password": "x" * (SIZE - 500)}).encode(), JSON


ANSWERS_YES = frozenset({
    "/user/logout", "/api/v1/users.logout", "/api/v1/users.2fa.sendEmailCode", "/api/v1/users.resetAvatar",
})  # fmt: skip
"""Say yes whatever they are given: they act on the bearer, or tell nobody who exists."""


ENDS_ITS_SESSION = "/api/v1/users.logout"
"""After the first of its calls nobody is signed in any more."""

ASKS_FOR_MAIL = frozenset({
    "/api/v1/users.forgotPassword", "/api/v1/users.sendConfirmationEmail", "/api/auth/user/reset-password",
    "/user/request-reset-password",
})  # fmt: skip
"""Say yes to addresses that nobody has."""


INVITES = frozenset({"/frontend/api/v1/user/current"})
"""Adds somebody new, and writes to the address that was typed."""


@every_body
async def test_what_cannot_be_read_is_refused_and_leaves_no_trace(kit: Kit, dialect: Dialect, each: Operation) -> None:
    before, evaluations = await kit.traces(), kit.house.hash_evaluations()
    for name, body, media in broken(each):
        answer = await kit.send(dialect, each, body, media)
        if name in {"over the limit", "1 MB password"} and each.body_limit is None:
            assert answer.status == 413 or each.path in ENDS_ITS_SESSION, name
        nothing = name in {"no body", "empty"} and dialect.body.empty_is_object and not needs(each)
        nothing |= media == FORM and dialect.body.form and not needs(each)  # a form of other fields, which are ignored
        assert answer.status >= 400 or nothing or each.path in ANSWERS_YES, (name, answer)
        assert kit.house.hash_evaluations() == evaluations, name
        if each.path in ANSWERS_YES:
            continue
        assert await kit.traces() == before, name


@every_body
async def test_no_field_takes_down_its_operation(kit: Kit, dialect: Dialect, each: Operation) -> None:
    """Every declared field: left out, of every other type, with NUL and lone surrogates, alone and among good ones."""
    good = valid(each)
    bodies = [{k: v for k, v in good.items() if k != name} for name in fields(each)]
    bodies += [{**good, name: value} for name in fields(each) for value in OTHER_TYPES]
    bodies += [{name: value} for name in fields(each) for value in OTHER_TYPES]
    sessions = {id for id, *_ in (await kit.traces())[1]}
    for body in bodies:
        await kit.send(dialect, each, json.dumps(body).encode())
    for name in fields(each):
        for text in (rb'"\ud800"', rb'"a\udfffb"', rb'"\u0000"', rb'"a\u0000b"'):
            await kit.send(dialect, each, with_raw(good, name, text))
        await kit.send(dialect, each, json.dumps({**good, name: "\x01\x02\x7f"}).encode())
        await kit.send(dialect, each, f"{quote(name)}=%ED%A0%80&{quote(name)}[x]=1".encode(), FORM)
    assert {id for id, *_ in (await kit.traces())[1]} == sessions, "a session came of it"


def with_raw(good: dict[str, Any], name: str, raw: bytes) -> bytes:
    """Return the body with one field's value written as these bytes."""
    left = b",".join(json.dumps(k).encode() + b":" + json.dumps(v).encode() for k, v in good.items() if k != name)
    return b"{" + left + (b"," if left else b"") + json.dumps(name).encode() + b":" + raw + b"}"


@every_body
async def test_a_lone_surrogate_or_nul_is_refused_without_being_judged(
    kit: Kit, dialect: Dialect, each: Operation
) -> None:
    good, evaluations = valid(each), kit.house.hash_evaluations()
    for name in good:
        if not isinstance(good[name], str):
            continue
        for text in (rb'"\ud800"', rb'"\u0000"', rb'"ada@example.com\u0000"'):
            answer = await kit.send(dialect, each, with_raw(good, name, text))
            assert answer.status >= 400 or each.path in ANSWERS_YES, (name, text)
    assert kit.house.hash_evaluations() == evaluations


@every_body
async def test_absurd_addresses_name_nobody(kit: Kit, dialect: Dialect, each: Operation) -> None:
    """Whatever is typed where a name goes: no crash, no session, and never somebody else's account."""
    names = [name for name in fields(each) if name in {"email", "user", "username"}]
    good = valid(each)
    sessions = {id for id, *_ in (await kit.traces())[1]}
    for name in names:
        for address in ABSURD:
            body = {k: v for k, v in good.items() if k not in names} | {name: address, "password": PASSWORD}
            answer = await kit.send(dialect, each, json.dumps(body).encode())
            assert answer.status >= 400 or each.path in ASKS_FOR_MAIL | INVITES, (name, address)
    assert {id for id, *_ in (await kit.traces())[1]} == sessions
    written_to = {letter.to for letter in await kit.house.letters()}
    assert written_to <= (set(ABSURD) if each.path in INVITES else set())


@every_operation
async def test_nothing_that_is_sent_can_add_a_header(kit: Kit, dialect: Dialect, each: Operation) -> None:
    """Line breaks in every value that could come back: fields, query, path, headers, cookies, origin."""
    for evil in EVIL:
        if each.body is not None:
            good = valid(each)
            for name in fields(each):
                await kit.send(dialect, each, json.dumps({**good, name: evil}).encode())
        names = [f.encode_name for f in msgspec.structs.fields(each.query)] if each.query is not None else []
        for name in [*names, "token", "jwt", "ret-url", "next"]:
            await kit.send(dialect, each, query=f"{quote(name)}={quote(evil)}")
        for name in (*each.headers, "origin", "host", "x-request-id", "user-agent", "x-forwarded-for", "forwarded"):
            latin = evil.encode("utf-8").decode("latin-1")
            answer = await kit.send(dialect, each, headers={name: latin})
            assert "evil" not in answer.headers.get("x-request-id", "")
            assert "evil" not in answer.headers.get("access-control-allow-origin", "")
        for name in ("jwt", "dragoman-mark", *each.cookies):
            await kit.send(dialect, each, headers={"cookie": f"{name}={evil.encode().decode('latin-1')}"})
        if each.names:
            path = each.path
            for name in each.names:
                path = path.replace("{" + name + "}", evil.replace("/", ""))
            await kit.send(dialect, each, path=path)


@every_operation
async def test_odd_queries_and_paths(kit: Kit, dialect: Dialect, each: Operation) -> None:
    """Queries of every wrong shape, and path values that are no ids."""
    names = [f.encode_name for f in msgspec.structs.fields(each.query)] if each.query is not None else ["x"]
    for name in names:
        for value in ("", "%00", "%ff", "%ED%A0%80", "null", "[]", "{}", "-1", "9" * 400, "1e999", "x" * 5000):
            await kit.send(dialect, each, query=f"{quote(name)}={value}")
            await kit.send(dialect, each, query=f"{quote(name)}[a]={value}&{quote(name)}={value}")
        await kit.send(dialect, each, query=f"{quote(name)}{'[a]' * 3000}=1")
    for query in ("&&&", "=", "%", "?" * 3000, "a=b;c=d"):
        await kit.send(dialect, each, query=query)
    for odd in ("0", "-1", "null", "\0", "\ud7ff", "x" * 4000, "00000000-0000-0000-0000-000000000000", "..", " "):
        if each.names:
            path = each.path
            for name in each.names:
                path = path.replace("{" + name + "}", odd)
            await kit.send(dialect, each, path=path)


def test_every_answer_schema_is_closed_and_says_something() -> None:
    """A document that allows anything would make every check against it worthless."""
    for name, shown in DOCUMENTS.items():
        for path, item in shown["paths"].items():
            for method, each in item.items():
                for status, response in each["responses"].items():
                    where = f"{name} {method} {path} {status}"
                    if status in ("204", "304", "307"):
                        assert "content" not in response, where
                        continue
                    assert response["content"], where
                    for media, content in response["content"].items():
                        if not media.endswith("json"):
                            assert content["schema"] == {"type": "string", "format": "binary"}, where
                            continue
                        says_something(content["schema"], shown["components"]["schemas"], where, set())


def says_something(schema: dict[str, Any], components: dict[str, Any], where: str, seen: set[str]) -> None:
    """Fail for a schema that anything fits: no type, an object open to other fields, or an answer that has none."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            says_something(components[name], components, f"{where} > {name}", seen | {name})
        return
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        says_something(branch, components, where, seen)
    if "anyOf" in schema or "oneOf" in schema or "enum" in schema or "const" in schema:
        return
    if schema == {} and where.endswith("> Kept.settings.*"):
        return  # whatever a client wants to keep (contract of Flashback, section 7)
    assert "type" in schema, f"{where}: {schema}"
    if schema["type"] == "object":
        others = schema.get("additionalProperties", True)
        assert others is not True, f"{where}: open to other fields"
        assert schema.get("properties") or isinstance(others, dict) or seen, f"{where}: an object without fields"
        for field, inner in schema.get("properties", {}).items():
            says_something(inner, components, f"{where}.{field}", seen)
        if isinstance(others, dict):
            says_something(others, components, f"{where}.*", seen)
    if schema["type"] == "array":
        assert schema.get("items") or schema.get("prefixItems") or schema.get("maxItems") == 0, f"{where}: of anything"
        if isinstance(schema.get("items"), dict):
            says_something(schema["items"], components, f"{where}[]", seen)


async def test_the_chat_block_is_no_key_to_the_dialect_that_gave_it(kit: Kit) -> None:
    """A token in a place that is not its own is answered like any other nonsense."""
    held = await POCKETM8.held(kit.house.request, address="127.0.0.1")
    for token in (held.more["token"], held.more["id"]):
        for dialect, each in OPERATIONS:
            if each.access == "client":
                answer = await kit.send(dialect, each, b"{}", headers={"authorization": f"Bearer {token}"})
                if dialect.name != "rocketchat":
                    assert answer.status == 401, name_of((dialect, each))
