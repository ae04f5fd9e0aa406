"""Bodies and query strings: everything that may arrive gets a fault of its own, never a 5xx."""

import asyncio
import json
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.http import BodyRules
from dragoman.http.body import convert_query, decode, decode_json
from dragoman.http.faults import Fault, Invalid, NotJson
from dragoman.http.forms import nested, parse_pairs
from kit import echo
from kit.server import ask

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
GOOD = {"title": "t", "text": "x"}


async def post(body, content_type=JSON, app=None, **more):
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await ask(app or echo.gateway(), "POST", "/echo/note", headers=headers, body=body, **more)
    return answer.status, json.loads(answer.body)


def nest(levels, opening=b"[", closing=b"]"):
    return opening * levels + closing * levels


BAD = [
    # what, body, content type, status, problem
    ("empty body", b"", JSON, 400, "NotJson"),
    ("no body, no content type", b"", None, 400, "NotJson"),
    ("not JSON", b"title=x", JSON, 400, "NotJson"),
    ("cut off", b'{"title":"t","te', JSON, 400, "NotJson"),
    ("more after it", b'{"title":"t","text":"x"} {}', JSON, 400, "NotJson"),
    ("byte order mark", b'\xef\xbb\xbf{"title":"t","text":"x"}', JSON, 400, "NotJson"),
    ("NaN", b'{"title":"t","text":"x","ratio":NaN}', JSON, 400, "NotJson"),
    ("array", b"[1,2]", JSON, 400, "NotAnObject"),
    ("string", b'"title"', JSON, 400, "NotAnObject"),
    ("number", b"12", JSON, 400, "NotAnObject"),
    ("null", b"null", JSON, 400, "NotAnObject"),
    ("wrong content type", b'{"title":"t","text":"x"}', "text/plain", 415, "WrongMediaType"),
    ("no content type", b'{"title":"t","text":"x"}', None, 415, "WrongMediaType"),
    ("multipart", b"--x\r\n", "multipart/form-data; boundary=x", 415, "WrongMediaType"),
    ("junk content type", b"{}", ";;;=\x7f", 415, "WrongMediaType"),
    ("another character set", b"{}", "application/json; charset=utf-16", 415, "WrongMediaType"),
    ("over the limit", b'{"title":"t","text":"' + b"x" * 70_000 + b'"}', JSON, 413, "BodyTooLarge"),
    ("1 MB password", b'{"title":"t","text":"' + b"x" * 1_000_000 + b'"}', JSON, 413, "BodyTooLarge"),
    ("invalid UTF-8", b'{"title":"t","text":"\xff"}', JSON, 400, "NotJson"),
    ("overlong UTF-8", b'{"title":"t","text":"\xc0\x80"}', JSON, 400, "NotJson"),
    ("encoded surrogate", b'{"title":"t","text":"\xed\xa0\x80"}', JSON, 400, "NotJson"),
    ("UTF-16", '{"title":"t","text":"x"}'.encode("utf-16"), JSON, 400, "NotJson"),
    ("lone high surrogate", b'{"title":"t","text":"\\ud800"}', JSON, 400, "NotJson"),
    ("lone low surrogate", b'{"title":"t","text":"\\udc00x"}', JSON, 400, "NotJson"),
    ("surrogates in the wrong order", b'{"title":"t","text":"\\udc00\\ud800"}', JSON, 400, "NotJson"),
    ("lone surrogate in an unknown field", b'{"title":"t","text":"x","other":"\\ud800"}', JSON, 400, "NotJson"),
    ("bare NUL", b'{"title":"t","text":"\x00"}', JSON, 400, "NotJson"),
    ("NUL after it", b'{"title":"t","text":"x"}\x00', JSON, 400, "NotJson"),
    ("bare control character", b'{"title":"t","text":"a\nb"}', JSON, 400, "NotJson"),
    ("33 levels", b'{"title":"t","text":"x","deep":' + nest(32) + b"}", JSON, 400, "NotJson"),
    ("30,000 levels", b'{"title":"t","text":"x","deep":' + nest(30_000) + b"}", JSON, 400, "NotJson"),
    ("30,000 unclosed", b"[" * 30_000, JSON, 400, "NotJson"),
    ("10,000 objects deep", b'{"a":' * 10_000, JSON, 400, "NotJson"),
]


@pytest.mark.parametrize(("body", "content_type", "status", "problem"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_bad_body(body, content_type, status, problem):
    assert await post(body, content_type) == (status, {"problem": problem, "fields": []})


FIELDS = [
    ("missing", b"{}", [["title", "required"], ["text", "required"]]),
    ("one missing, one wrong", b'{"text":1}', [["title", "required"], ["text", "type"]]),
    (
        "every type wrong",
        b'{"title":[],"text":{},"count":"1","loud":"true","ratio":"1","device":[],"tags":{}}',
        [[name, "type"] for name in ("title", "text", "count", "loud", "ratio", "device", "tags")],
    ),
    ("null", b'{"title":null,"text":null}', [["title", "type"], ["text", "type"]]),
    ("too short", b'{"title":"","text":"x"}', [["title", "too_short"]]),
    ("too long", b'{"title":"' + b"x" * 101 + b'","text":"x"}', [["title", "too_long"]]),
    (
        "inside an object",
        b'{"title":"t","text":"x","device":{"year":"x"}}',
        [["device.os", "required"], ["device.year", "type"]],
    ),
    ("inside a list", b'{"title":"t","text":"x","tags":["a",1]}', [["tags[1]", "type"]]),
    ("NUL", b'{"title":"a\\u0000b","text":"x","tags":["\\u0000"]}', [["tags[0]", "format"], ["title", "format"]]),
    ("NUL in an unknown field's name", b'{"title":"t","text":"x","other":{"\\u0000":1}}', [["other", "format"]]),
    ("fraction for an integer", b'{"title":"t","text":"x","count":1.5}', [["count", "type"]]),
    ("65 bits", b'{"title":"t","text":"x","count":36893488147419103232}', [["count", "format"]]),
    ("beyond a double", b'{"title":"t","text":"x","ratio":1e999}', [["ratio", "format"]]),
    ("5,000 digits", b'{"title":"t","text":"x","count":' + b"9" * 5000 + b"}", [["count", "format"]]),
    ("300 digits, unknown field", b'{"title":"t","text":"x","other":' + b"9" * 300 + b"}", [["other", "format"]]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "fields"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
async def test_every_bad_field_is_named(body, fields):
    assert await post(body) == (400, {"problem": "Invalid", "fields": fields})


GOOD_BODIES = [
    ("plain", b'{"title":"t","text":"x"}', JSON),
    ("with a character set", b'{"title":"t","text":"x"}', 'Application/JSON; charset="UTF-8"'),
    ("with space around", b' \r\n\t{"title":"t","text":"x"}\n', JSON),
    ("unknown fields", b'{"title":"t","text":"x","other":{"deep":[1,2,{"a":null}]}}', JSON),
    ("a key twice", b'{"title":"first","text":"x","title":"t"}', JSON),
    ("brackets in a string", b'{"title":"t","text":"x","other":"' + b"[{" * 100 + b'\\""}', JSON),
    ("many brackets side by side", b'{"title":"t","text":"x","other":[' + b",".join([b"[]"] * 100) + b"]}", JSON),
    ("31 levels", b'{"title":"t","text":"x","deep":' + nest(31) + b"}", JSON),
    ("20 digits in a string", b'{"title":"t","text":"x","other":"12345678901234567890"}', JSON),
    ("form", b"title=t&text=x&other=y", FORM),
    ("form, a key twice", b"title=first&text=x&title=t", FORM + "; charset=utf-8"),
]


@pytest.mark.parametrize(("body", "content_type"), [g[1:] for g in GOOD_BODIES], ids=[g[0] for g in GOOD_BODIES])
async def test_good_body(body, content_type):
    assert await post(body, content_type) == (201, {"title": "t", "text": "x", "count": 0, "loud": False})


async def test_text_arrives_as_it_was_sent():
    text = ' \t"\\/é\U0001f511\u202e\x7f\r\n'
    _, body = await post(json.dumps({"title": "t", "text": text}).encode())
    assert body["text"] == text
    _, body = await post(b'{"title":"t","text":"\\ud83d\\udd11"}')
    assert body["text"] == "\U0001f511"


class TestForms:
    async def test_strings_become_what_the_class_says(self):
        status, body = await post(b"title=t&text=1&count=7&loud=1", FORM)
        assert (status, body) == (201, {"title": "t", "text": "1", "count": 7, "loud": True})

    async def test_faults(self):
        assert await post(b"title=&count=x&loud=yes", FORM) == (
            400,
            {
                "problem": "Invalid",
                "fields": [["title", "too_short"], ["text", "required"], ["count", "type"], ["loud", "type"]],
            },
        )
        assert await post(b"title=%FF&text=x", FORM) == (400, {"problem": "Invalid", "fields": [["", "format"]]})
        assert await post(b"title=%00&text=x", FORM) == (400, {"problem": "Invalid", "fields": [["title", "format"]]})
        assert await post(b"title=%ED%A0%80", FORM) == (400, {"problem": "Invalid", "fields": [["", "format"]]})
        assert (await post(b"a=&" * 1001, FORM))[0] == 400
        assert (await post(b"a" + b"[b]" * 5000 + b"=1", FORM))[0] == 400
        assert (await post(b"title[a]=1&text=x", FORM))[1]["fields"] == [["title", "type"]]
        count = b"title=t&text=x&count=" + b"9" * 5000
        assert (await post(count, FORM))[1]["fields"] == [["count", "format"]]

    def test_null_stays_a_word(self):
        assert decode(b"title=null&text=null", FORM, BodyRules(form=True), echo.Note).text == "null"

    @pytest.mark.parametrize(
        ("raw", "built"),
        [
            (b"", {}),
            (b"a=1&b=2", {"a": "1", "b": "2"}),
            (b"a=1&a=2", {"a": "2"}),
            (b"a+b=c%20d%2B", {"a b": "c d+"}),
            (b"a[b]=c&a[d]=e", {"a": {"b": "c", "d": "e"}}),
            (b"a%5Bb%5D=c", {"a": {"b": "c"}}),
            (b"a[b][c]=d", {"a": {"b": {"c": "d"}}}),
            (b"a[]=1&a[]=2", {"a": ["1", "2"]}),
            (b"a=1&a[b]=2", {"a": {"b": "2"}}),
            (b"a[b]=2&a=1", {"a": "1"}),
            (b"[b]=1", {"[b]": "1"}),
            (b"a[b=1", {"a[b": "1"}),
            (b"&&a&=x&", {"a": "", "": "x"}),
        ],
    )
    def test_shapes(self, raw, built):
        assert nested(parse_pairs(raw)) == built


class TestRules:
    LENIENT = BodyRules(form=True, lenient=True)

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [(b"", None), (b"", JSON), (b"{", JSON), (b"\xff", JSON), (b'{"os":"x"}', None), (b"os=x", "text/plain"),
         (b"os=%FF", FORM), (b'"\\ud800"', JSON)],
    )  # fmt: skip
    def test_lenient_counts_everything_unreadable_as_an_empty_object(self, body, content_type):
        assert decode(body, content_type, self.LENIENT, dict) == {}

    def test_lenient_is_strict_about_fields(self):
        with pytest.raises(Invalid) as caught:
            decode(b'{"os":1}', JSON, self.LENIENT, echo.Device)
        assert [(p.field, p.kind, p.text, p.place) for p in caught.value.problems] == [
            ("os", "type", "must be str, got int", "body")
        ]

    def test_empty_is_object(self):
        rules = BodyRules(empty_is_object=True)
        assert decode(b"", None, rules, dict) == {}
        with pytest.raises(Fault, match="content type"):
            decode(b"os=x", FORM, rules, dict)

    def test_no_value_is_quoted(self):
        with pytest.raises(Invalid) as caught:
            decode(b'{"title":"' + b"hunter2" * 20 + b'","text":"x"}', JSON, BodyRules(), echo.Note)
        assert "hunter2" not in str(caught.value)


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "status", "body"),
        [
            ("", 200, {"limit": 10, "word": ""}),
            ("limit=7&word=a%20b&other=1", 200, {"limit": 7, "word": "a b"}),
            ("limit=1&limit=2", 200, {"limit": 2, "word": ""}),
            ("limit=0", 400, {"problem": "Invalid", "fields": [["limit", "format"]]}),
            ("limit=101", 400, {"problem": "Invalid", "fields": [["limit", "format"]]}),
            ("limit=x", 400, {"problem": "Invalid", "fields": [["limit", "type"]]}),
            ("limit=" + "9" * 5000, 400, {"problem": "Invalid", "fields": [["limit", "format"]]}),
            ("word=%00", 400, {"problem": "Invalid", "fields": [["word", "format"]]}),
            ("word=%FF", 200, {"limit": 10, "word": "\ufffd"}),
            ("word[a]=1", 400, {"problem": "Invalid", "fields": [["word", "type"]]}),
        ],
    )
    async def test_query(self, query, status, body):
        answer = await ask(echo.gateway(), "GET", "/echo/list", query=query)
        assert (answer.status, json.loads(answer.body)) == (status, body)


class TestArrival:
    async def test_in_pieces(self):
        pieces = [b'{"title":"t",', b'"text"', b':"x"}']

        async def receive():
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        answer = await ask(
            echo.gateway(),
            "POST",
            "/echo/note",
            headers={"content-type": JSON, "transfer-encoding": "chunked"},
            receive=receive,
        )
        assert answer.status == 201

    async def test_more_than_announced_without_length(self):
        async def receive():
            return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

        answer = await ask(
            echo.gateway(),
            "POST",
            "/echo/note",
            headers={"content-type": JSON, "transfer-encoding": "chunked"},
            receive=receive,
        )
        assert answer.status == 413

    @pytest.mark.parametrize("length", ["99999999999999999999", "65537", "-1", "1e3", "x", ""])
    async def test_absurd_length(self, length):
        async def receive():
            raise AssertionError("must not be read")

        answer = await ask(
            echo.gateway(),
            "POST",
            "/echo/note",
            headers={"content-type": JSON, "content-length": length},
            receive=receive,
        )
        assert answer.status == 413

    async def test_slow(self):
        async def receive():
            await asyncio.sleep(0.1)
            return {"type": "http.request", "body": b"x", "more_body": True}

        answer = await ask(
            echo.gateway(),
            "POST",
            "/echo/note",
            headers={"content-type": JSON, "content-length": "100"},
            receive=receive,
        )
        assert (answer.status, json.loads(answer.body)["problem"]) == (408, "BodyTooSlow")

    async def test_client_gone(self):
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/echo/note", "query_string": b"", "scheme": "http",
            "headers": [(b"content-length", b"9")], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await echo.gateway()(scope, receive, send)
        assert sent == []


def fault_of(work):
    """Return the Fault that some work raises, None when it is well; anything else gets out."""
    try:
        work()
    except Fault as fault:
        return fault


@given(st.binary(max_size=200))
def test_any_bytes(raw):
    fault = fault_of(lambda: decode_json(raw, echo.Note))
    assert fault is None or 400 <= fault.status < 500


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.sampled_from(["os", "year", ""]), plain)


@given(st.dictionaries(st.sampled_from(echo.Note.__struct_encode_fields__), json_values))
def test_any_values(value):
    """Whatever JSON holds, it is a Note or it is a fault that names a field."""
    fault = fault_of(lambda: decode_json(json.dumps(value).encode(), echo.Note))
    assert fault is None or isinstance(fault, NotJson) or fault.problems


@given(st.binary(max_size=200))
def test_any_form(raw):
    fault = fault_of(lambda: decode(raw or b"a", FORM, BodyRules(form=True), echo.Note))
    assert fault is None or 400 <= fault.status < 500


@given(st.binary(max_size=200))
def test_any_query(raw):
    assert all(isinstance(part, str) for pair in parse_pairs(raw, errors="replace") for part in pair)


class Wanted(msgspec.Struct, rename="kebab"):
    """A query of a list: arrays by repeated names, objects by brackets."""

    class Paging(msgspec.Struct, frozen=True):
        page: int = 1

    user_id: list[int] = []
    status: tuple[str, ...] | None = None
    word: str = ""
    paging: Paging = Paging()


class TestListsAndObjects:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (b"", Wanted()),
            (b"user-id=1", Wanted(user_id=[1])),
            (b"user-id=1&user-id=2&word=a&word=b", Wanted(user_id=[1, 2], word="b")),
            (b"user-id[]=3&user-id=4&status=on", Wanted(user_id=[3, 4], status=("on",))),
            (b"paging[page]=2&paging%5Bpage%5D=3", Wanted(paging=Wanted.Paging(3))),
        ],
    )
    def test_each_value_of_a_list_counts(self, query, found):
        assert convert_query(parse_pairs(query), Wanted) == found
        assert decode(query or b"word=", FORM, BodyRules(form=True), Wanted) == found

    def test_a_wrong_one_is_named(self):
        with pytest.raises(Invalid) as caught:
            convert_query(parse_pairs(b"user-id=1&user-id=x&paging[page]=y"), Wanted)
        assert [(p.field, p.place) for p in caught.value.problems] == [
            ("user-id[1]", "query"),
            ("paging.page", "query"),
        ]

    def test_a_list_name_twice_nested_is_no_crash(self):
        with pytest.raises(Invalid):
            convert_query(parse_pairs(b"user-id=2&user-id[a]=1"), Wanted)


def test_a_body_may_be_absent_where_its_class_says_so():
    class Optional(msgspec.Struct):
        may_be_absent: ClassVar[bool] = True
        word: str = "none"

    assert decode(b"", None, BodyRules(), Optional).word == "none"
    with pytest.raises(NotJson):
        decode(b"", None, BodyRules(), Wanted)
