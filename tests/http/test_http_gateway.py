"""The gateway by plain ASGI calls: who owns a path, who may call, what every fault looks like, CORS, headers."""

import json

import pytest

from dragoman.core import refusals
from dragoman.http import Answer, Cors, Mount, no_trailing_slash, operation, single_leading_slash
from dragoman.http.faults import Fault, catalogue
from dragoman.http.metrics import Metrics
from dragoman.http.server import TOO_LARGE
from dragoman.model import Client
from kit import echo
from kit.server import ask

JSON = {"content-type": "application/json"}


def loaded(answer):
    return json.loads(answer.body)


def other(name, *prefixes, operations=(), **changes):
    return echo.dialect(name, prefixes=prefixes, operations=operations, **changes)


def signed(name):
    """Give a fault function that says whose clothes it wears."""

    def fault(fault: Fault, call) -> Answer:
        return Answer(fault.status, {"owner": name, "fault": type(fault).__name__})

    return fault


def named(name, *prefixes, paths=(), **changes):
    def handler(path):
        @operation("GET", path, access="open")
        async def handle(call):
            """Say whose it is."""
            return {"owner": name}

        return handle

    return other(name, *prefixes, operations=tuple(map(handler, paths)), fault=signed(name), **changes)


CHAT = named("chat", "/api/v1", "/api/info", paths=("/api/v1/me", "/api/info"), tidy_path=no_trailing_slash)
APP = named("app", "/api", paths=("/api/profile", "/api/{thing}/x"))
FLASH = named("flash", "/user", "/auth", paths=("/user/login", "/user/{id}"), tidy_path=single_leading_slash)
WEB = named("web", "/", paths=("/", "/sign-in"))


class TestOwnership:
    @pytest.mark.parametrize(
        ("path", "status", "owner"),
        [
            ("/api/v1/me", 200, "chat"),
            ("/api/v1/me/", 200, "chat"),
            ("/api/v1/nothing", 404, "chat"),
            ("/api/v1", 404, "chat"),
            ("/api/info", 200, "chat"),
            ("/api/information", 404, "app"),
            ("/api/v10/me", 404, "app"),
            ("/api/profile", 200, "app"),
            ("/api/profile/", 404, "app"),
            ("/api/a/x", 200, "app"),
            ("/api//x", 404, "app"),
            ("/api", 404, "app"),
            ("/user/login", 200, "flash"),
            ("//user/login", 200, "flash"),
            ("///user/login", 200, "flash"),
            ("/user/7", 200, "flash"),
            ("/user/7/8", 404, "flash"),
            ("/user/a\x00b", 404, "flash"),
            ("/user/", 404, "flash"),
            ("/users", 404, "web"),
            ("/User/login", 404, "web"),
            ("/", 200, "web"),
            ("//", 404, "web"),
            ("/sign-in", 200, "web"),
            ("/../user", 404, "web"),
            ("*", 404, "web"),
        ],
    )
    async def test_longest_prefix_before_routing(self, path, status, owner):
        app = echo.gateway(APP, FLASH, CHAT, pages=WEB)
        answer = await ask(app, "GET", path)
        assert (answer.status, loaded(answer)["owner"]) == (status, owner)

    async def test_always_on_wins_over_pages(self):
        answer = await ask(echo.gateway(pages=WEB), "GET", "/health")
        assert loaded(answer) == {"status": "ok", "timestamp": "2027-01-15T08:00:00.000Z", "error": None}

    async def test_switched_off_belongs_to_the_pages(self):
        app = echo.gateway(APP, Mount(dialect=CHAT, live=False), FLASH, pages=WEB)
        for path in ("/api/v1/me", "/api/info"):
            answer = await ask(app, "GET", path)
            assert (answer.status, loaded(answer)["owner"]) == (404, "web")
        assert loaded(await ask(app, "GET", "/api/profile"))["owner"] == "app"

    async def test_extra_prefix(self):
        app = echo.gateway(Mount(dialect=FLASH, prefix="/flashback"), pages=WEB)
        for path in ("/flashback/user/login", "/flashback//user/login", "/flashback/user/7"):
            assert loaded(await ask(app, "GET", path)) == {"owner": "flash"}
        assert loaded(await ask(app, "GET", "/flashback/user/7/8"))["owner"] == "flash"
        assert loaded(await ask(app, "GET", "/user/login"))["owner"] == "web"

    async def test_host_name(self):
        app = echo.gateway(APP, Mount(dialect=CHAT, host="chat.example.com"), pages=WEB)
        for host in ("chat.example.com", "CHAT.example.com:8080", "chat.example.com."):
            assert loaded(await ask(app, "GET", "/api/v1/me", headers={"host": host})) == {"owner": "chat"}
            assert loaded(await ask(app, "GET", "/api/profile", headers={"host": host}))["owner"] == "web"
        assert loaded(await ask(app, "GET", "/api/v1/me", headers={"host": "example.com"}))["owner"] == "app"
        assert loaded(await ask(app, "GET", "/api/v1/me"))["owner"] == "app"

    def test_two_owners_of_one_prefix(self):
        with pytest.raises(ValueError, match="/user is claimed by flash and by thief"):
            echo.gateway(FLASH, other("thief", "/user"))

    def test_an_operation_on_another_dialects_path(self):
        with pytest.raises(ValueError, match="thief declares /user/login, which flash owns"):
            echo.gateway(FLASH, named("thief", "/thief", paths=("/user/login",)))

    def test_one_operation_twice(self):
        with pytest.raises(ValueError, match="declared twice"):
            echo.gateway(named("twice", "/t", paths=("/t/a", "/t/a")))


class TestMethods:
    async def test_wrong_method_names_the_right_ones(self):
        answer = await ask(echo.gateway(), "POST", "/echo/me")
        assert answer.status == 405
        assert answer.headers["allow"] == "DELETE, GET, PUT"
        assert loaded(answer)["problem"] == "NoSuchMethod"

    async def test_head(self):
        refused = await ask(echo.gateway(), "HEAD", "/echo/list")
        assert (refused.status, refused.body) == (405, b"")
        app = echo.gateway(echo.dialect(head_as_get=True))
        answer = await ask(app, "HEAD", "/echo/list")
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "22")
        assert (await ask(app, "POST", "/echo/list")).headers["allow"] == "GET, HEAD"
        assert (await ask(app, "HEAD", "/echo/x/of/y")).status == 200

    async def test_unknown_method(self):
        assert (await ask(echo.gateway(), "BREW", "/echo/list")).status == 405
        assert (await ask(echo.gateway(), "BREW", "/echo/nothing")).status == 404

    async def test_path_values(self):
        answer = await ask(echo.gateway(), "GET", "/echo/Möhre/of/ada")
        assert loaded(answer) == {"limit": 1, "word": "Möhre ada"}


def bearer(name):
    return {"authorization": f"Bearer {name}"}


class TestAccess:
    @pytest.mark.parametrize(
        ("path", "token", "status", "name"),
        [
            ("/echo/me", "ada", 200, "ada"),
            ("/echo/me", "wrong", 401, "NotSignedIn"),
            ("/echo/me", "limited", 401, "LimitedToken"),
            ("/echo/me", "key", 403, "NotForKeys"),
            ("/echo/any", "key", 200, "key"),
            ("/echo/any", "wrong", 401, "NotSignedIn"),
            ("/echo/perhaps", "ada", 200, "ada"),
            ("/echo/perhaps", "wrong", 200, None),
            ("/echo/perhaps", "limited", 401, "LimitedToken"),
            ("/echo/half", "ada", 200, "ada"),
            ("/echo/half", "limited", 200, None),
            ("/echo/half", "wrong", 401, "NotSignedIn"),
        ],
    )
    async def test_who_may_call(self, path, token, status, name):
        answer = await ask(echo.gateway(), "GET", path, headers=bearer(token))
        assert answer.status == status
        body = loaded(answer)
        assert body.get("problem", body.get("name")) == name
        if path == "/echo/half" and status == 200:
            assert body["limited"] is (token == "limited")

    async def test_open_ignores_what_is_sent(self):
        answer = await ask(echo.gateway(), "GET", "/echo/list", headers=bearer("wrong"))
        assert answer.status == 200

    @pytest.mark.parametrize(("token", "status"), [("ada", 204), ("stale", 403)])
    async def test_fresh(self, token, status):
        answer = await ask(echo.gateway(), "DELETE", "/echo/me", headers=bearer(token))
        assert answer.status == status
        assert ("content-length" in answer.headers) is (status != 204)

    @pytest.mark.parametrize(("token", "status"), [("ada", 200), ("unverified", 403)])
    async def test_verified(self, token, status):
        answer = await ask(echo.gateway(), "PUT", "/echo/me", headers=bearer(token) | JSON, body=b'{"os":"x"}')
        assert answer.status == status

    async def test_sign_in_is_judged_before_the_body(self):
        answer = await ask(echo.gateway(), "PUT", "/echo/me", headers=JSON, body=b"not json")
        assert answer.status == 401


class TestErrors:
    def test_every_fault_has_a_status_of_its_own_kind(self):
        assert {fault.__name__ for fault in catalogue()} == {
            "BodyTooLarge", "BodyTooSlow", "HeadersTooLarge", "Invalid", "NoSuchMethod", "NoSuchPath", "NotAnObject",
            "NotJson", "TooManyRequests", "Unexpected", "WrongMediaType",
        }  # fmt: skip
        assert all(400 <= fault.status < 500 for fault in catalogue() if fault.__name__ != "Unexpected")

    async def test_refusal_of_the_core(self):
        answer = await ask(echo.gateway(), "POST", "/echo/raise", headers=JSON, body=b'{"refusal":"NotSignedIn"}')
        assert (answer.status, loaded(answer)["problem"]) == (401, "NotSignedIn")
        assert answer.headers["x-before"] == "set"

    @pytest.mark.parametrize(("name", "status", "after"), [("Busy", 503, "7"), ("AccountLocked", 429, None)])
    async def test_retry_after_goes_with_503(self, name, status, after):
        body = json.dumps({"refusal": name, "wait": 7}).encode()
        answer = await ask(echo.gateway(), "POST", "/echo/raise", headers=JSON, body=body)
        assert (answer.status, answer.headers.get("retry-after")) == (status, after)

    async def test_unexpected_shows_the_request_id_only(self):
        lines = []
        app = echo.gateway(log=Lines(lines))
        answer = await ask(app, "POST", "/echo/raise", headers=JSON, body=b"{}")
        assert (answer.status, loaded(answer)["problem"]) == (500, "Unexpected")
        assert b"secret" not in answer.body
        assert "x-before" not in answer.headers
        [(event, facts)] = lines
        assert (event, facts["operation"], facts["request_id"]) == (
            "unexpected",
            "fail",
            answer.headers["x-request-id"],
        )
        assert "the secret inside" in str(facts["exc_info"][1])

    async def test_a_dialect_that_breaks_while_dressing(self):
        def broken(*_):
            raise KeyError("no such refusal")

        app = echo.gateway(echo.dialect(refuse=broken, fault=broken), log=Lines([]))
        for path in ("/echo/me", "/echo/nothing"):
            answer = await ask(app, "GET", path)
            assert (answer.status, loaded(answer)) == (500, {"error": "internal error"})
            assert answer.headers["content-type"] == "application/json"

    async def test_an_answer_that_cannot_be_encoded(self):
        @operation("GET", "/echo/bad", access="open")
        async def bad(call):
            """Return what JSON has no word for."""
            return {"value": "\ud800"}

        app = echo.gateway(echo.dialect(operations=(bad,)), log=Lines([]))
        assert (await ask(app, "GET", "/echo/bad")).status == 500

    async def test_large_head_as_the_protocol_tells(self):
        for path in ("/echo/list", "/echo/nothing"):
            answer = await ask(echo.gateway(), "GET", path, extensions={TOO_LARGE: {}})
            assert (answer.status, loaded(answer)["problem"]) == (431, "HeadersTooLarge")


class Lines:
    """A log that keeps its lines."""

    def __init__(self, lines):
        self.lines = lines

    def info(self, event, **facts):
        self.lines.append((event, facts))

    error = info


class TestHeaders:
    async def test_every_answer(self):
        answer = await ask(echo.gateway(), "GET", "/echo/list")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-length"] == str(len(answer.body))
        assert len(answer.headers["x-request-id"]) == 20

    async def test_request_ids_differ(self):
        app = echo.gateway()
        seen = {(await ask(app, "GET", "/echo/list")).headers["x-request-id"] for _ in range(20)}
        assert len(seen) == 20

    async def test_an_answers_own_header_replaces_the_dialects(self):
        answer = await ask(echo.gateway(), "GET", "/.well-known/jwks.json")
        assert answer.all("cache-control") == ["public, max-age=300"]
        answer = await ask(echo.gateway(), "GET", "/metrics")
        assert answer.all("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]

    async def test_cookies_and_header_injection(self):
        answer = await ask(echo.gateway(), "GET", "/echo/cookie", query="say=a%0d%0aset-cookie:%20evil%3d1%00%c4%8e")
        assert answer.all("set-cookie") == ["jwt=a.b-c_d; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"]
        assert answer.headers["x-said"] == "aset-cookie: evil=1"

    @pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("a", "x;y"), ("a", "x\r\n"), ("", "x"), ("a", "é")])
    def test_unfit_cookies(self, name, value):
        with pytest.raises(ValueError, match="octets"):
            call().set_cookie(name, value)

    def test_clear_cookie(self):
        given = call()
        given.clear_cookie("jwt")
        assert given.extra == [(b"set-cookie", b"jwt=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")]


def call(headers=(), query=b""):
    from dragoman.http.address import Proxies
    from dragoman.http.call import Call

    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": query,
        "headers": list(headers), "client": ("198.51.100.7", 1),
    }  # fmt: skip
    return Call(None, scope, echo.dialect(), "id", Proxies())


class TestCall:
    def test_cookies(self):
        given = call([(b"cookie", b"a=1; b=2; a=3"), (b"cookie", b"c=4")])
        assert given.cookies == {"a": "3", "b": "2", "c": "4"}

    def test_mark(self):
        import hashlib

        given = call([(b"cookie", b"mark=abc")])
        assert given.client == Client("198.51.100.7", "198.51.100.7/32", "", hashlib.sha256(b"abc").digest())
        assert call().client.mark is None

    @pytest.mark.parametrize(
        ("value", "token"),
        [(b"Bearer abc", "abc"), (b"bearer  abc ", "abc"), (b"Basic abc", None), (b"Bearer", None), (b"Bearer ", None)],
    )
    def test_bearer(self, value, token):
        assert call([(b"authorization", value)]).bearer() == token

    def test_query(self):
        assert call(query=b"a=1&b=%C3%A9+x&a=2&c&%FF=%FF&=z").query == {
            "a": "2", "b": "é x", "c": "", "\ufffd": "\ufffd", "": "z",
        }  # fmt: skip

    def test_headers_in_any_case(self):
        given = call([(b"x-user-id", b"ada"), (b"x-user-id", b"bob")])
        assert given.headers["X-User-Id"] == "ada" == given.header("x-user-id")

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            (b"http://sign.example.com", True),
            (b"https://app.example.com", True),
            (b"https://sign.example.com", False),
            (b"null", False),
            (None, False),
        ],
    )
    def test_origin(self, origin, allowed):
        given = call([(b"host", b"sign.example.com"), *([(b"origin", origin)] if origin else [])])
        given.origins = frozenset({"https://app.example.com"})
        assert given.origin_allowed is allowed

    def test_no_caller(self):
        with pytest.raises(RuntimeError):
            _ = call().signed_in


APP_ORIGIN = "https://app.example.com"


def preflight(origin, method="PUT"):
    return {"origin": origin, "access-control-request-method": method}


class TestCors:
    async def test_off_without_origins(self):
        answer = await ask(echo.gateway(), "OPTIONS", "/echo/me", headers=preflight(APP_ORIGIN))
        assert answer.status == 405
        assert not [name for name, _ in answer.lines if name.startswith("access-control")]
        answer = await ask(echo.gateway(), "GET", "/echo/list", headers={"origin": APP_ORIGIN})
        assert not [name for name, _ in answer.lines if name.startswith("access-control") or name == "vary"]

    async def test_preflight(self):
        app = echo.gateway(Mount(dialect=echo.dialect(), origins=(APP_ORIGIN,)))
        answer = await ask(app, "OPTIONS", "/echo/me", headers=preflight(APP_ORIGIN))
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == APP_ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-allow-methods"] == "DELETE, GET, PUT"
        assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"
        assert answer.headers["vary"] == "Origin"

    @pytest.mark.parametrize(
        "origin", ["https://app.example.com.evil.example", "http://app.example.com", "null", "https://APP.example.com"]
    )
    async def test_other_origins(self, origin):
        app = echo.gateway(Mount(dialect=echo.dialect(), origins=(APP_ORIGIN,)))
        assert (await ask(app, "OPTIONS", "/echo/me", headers=preflight(origin))).status == 405
        answer = await ask(app, "GET", "/echo/list", headers={"origin": origin})
        assert (answer.status, answer.headers["vary"]) == (200, "Origin")
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize(("path", "status"), [("/echo/list", 200), ("/echo/me", 401), ("/echo/nothing", 404)])
    async def test_answers_and_errors_alike(self, path, status):
        app = echo.gateway(Mount(dialect=echo.dialect(), origins=(APP_ORIGIN,)))
        answer = await ask(app, "GET", path, headers={"origin": APP_ORIGIN})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, APP_ORIGIN)
        assert answer.headers["access-control-expose-headers"] == "X-Request-Id, Retry-After"

    async def test_preflight_of_nothing(self):
        app = echo.gateway(Mount(dialect=echo.dialect(), origins=(APP_ORIGIN,)))
        assert (await ask(app, "OPTIONS", "/echo/nothing", headers=preflight(APP_ORIGIN))).status == 404

    async def test_any_origin_never_with_cookies(self):
        with pytest.raises(ValueError, match="name origins"):
            echo.gateway(Mount(dialect=echo.dialect(), origins=("*",)))
        app = echo.gateway(Mount(dialect=echo.dialect(cors=Cors()), origins=("*",)))
        answer = await ask(app, "GET", "/echo/list", headers={"origin": APP_ORIGIN})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers

    async def test_a_dialect_that_answers_options(self):
        told = Answer(200, b"OK", (("content-type", "text/plain"),))
        answer = await ask(echo.gateway(echo.dialect(options=told)), "OPTIONS", "/echo/nothing")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"OK", "text/plain")


class TestAlways:
    async def test_ready(self):
        answer = await ask(echo.gateway(), "GET", "/ready")
        assert (answer.status, loaded(answer)["status"]) == (200, "ok")

        async def not_ready():
            return "the database does not answer"

        answer = await ask(echo.gateway(ready=not_ready), "GET", "/ready")
        assert (answer.status, loaded(answer)["error"]) == (503, "the database does not answer")

    async def test_keys(self):
        keys = {"keys": [{"kty": "EC", "kid": "1"}]}
        assert loaded(await ask(echo.gateway(jwks=lambda: keys), "GET", "/.well-known/jwks.json")) == keys

    async def test_unknown_paths_and_methods(self):
        assert (await ask(echo.gateway(), "GET", "/.well-known/other")).status == 404
        assert (await ask(echo.gateway(), "POST", "/health")).status == 405
        assert (await ask(echo.gateway(), "HEAD", "/health")).status == 200
        assert (await ask(echo.gateway(), "GET", "/elsewhere")).status == 404

    async def test_metrics_by_template(self):
        app = echo.gateway(metrics=Metrics())
        for path in ("/echo/secret-name/of/ada", "/echo/other/of/bob", "/echo/nothing/secret-path"):
            await ask(app, "GET", path, query="token=secret-token")
        text = (await ask(app, "GET", "/metrics")).body.decode()
        assert (
            'dragoman_http_requests_total{dialect="echo",method="GET",path="/echo/{name}/of/{owner}",status="200"} 2.0'
            in text
        )
        assert 'dragoman_http_requests_total{dialect="echo",method="",path="(none)",status="404"} 1.0' in text
        assert 'le="+Inf",method="GET",path="/echo/{name}/of/{owner}"} 2.0' in text
        assert "secret" not in text

    async def test_access_log_by_template(self):
        lines = []
        app = echo.gateway(access_log=Lines(lines))
        await ask(app, "GET", "/echo/secret-name/of/ada", query="token=secret", headers={"authorization": "secret"})
        await ask(app, "GET", "/echo/secret/path")
        assert [(event, facts["path"], facts["status"]) for event, facts in lines] == [
            ("request", "/echo/{name}/of/{owner}", 200),
            ("request", "(none)", 404),
        ]
        assert "secret" not in str(lines)


def test_refusals_of_the_test_dialect_exist():
    assert set(echo.REFUSALS) <= refusals.catalogue()
