"""The same over real sockets: uvicorn with our protocol, well-behaved clients and rude ones."""

import json
import socket
import time

import httpx2
import pytest

from dragoman.http import serving
from dragoman.http.server import Limits
from kit import echo
from kit.server import connected, raw, read_answer, running


@pytest.fixture(scope="module")
def base():
    with running(echo.gateway(limits=Limits(body_seconds=0.5))) as base:
        yield base


@pytest.fixture
def hurried(monkeypatch):
    """Shorten the protocol's waiting times."""
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(serving, "UNREAD_SECONDS", 0.4)


def head(*lines, method="POST", path="/echo/note"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", *lines, "", ""]).encode("latin-1")


def is_cut(connection, piece, times, pause=0.0):
    """Send a piece again and again; tell whether the server ends the connection before the last."""
    try:
        for _ in range(times):
            connection.sendall(piece)
            time.sleep(pause)
    except OSError:
        return True
    return False


def problem(answer):
    return answer.status, json.loads(answer.body)["problem"]


def test_good_requests_share_a_connection(base):
    with httpx2.Client(base_url=base) as client:
        for _ in range(3):
            answer = client.post("/echo/note", json={"title": "t", "text": "é"})
            assert (answer.status_code, answer.json()["text"]) == (201, "é")
        assert client.post("/echo/note", data={"title": "t", "text": "é"}).status_code == 201
        assert client.get("/echo/me", headers={"authorization": "Bearer ada"}).json()["name"] == "ada"
        answer = client.head("/health")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(client.get("/health").content))
        assert client.get("/echo/list?").status_code == 200
        assert "server" not in answer.headers


def test_1_mb_password_gets_its_answer(base):
    with httpx2.Client(base_url=base) as client:
        answer = client.post("/echo/note", json={"title": "t", "text": "x" * 1_000_000})
        assert (answer.status_code, answer.json()["problem"]) == (413, "BodyTooLarge")
        assert client.get("/echo/list").status_code == 200


def test_1_mb_to_an_operation_without_a_body_is_read_past(base):
    with httpx2.Client(base_url=base) as client:
        answer = client.request("GET", "/echo/list", content=b"x" * 1_000_000)
        assert answer.status_code == 200
        assert client.get("/echo/list").status_code == 200


def test_endless_body_is_cut(base):
    with connected(base) as connection:
        connection.sendall(head("content-length: 10000000000", "content-type: application/json"))
        assert problem(read_answer(connection)) == (413, "BodyTooLarge")
        assert is_cut(connection, b"x" * 65536, 200)


def test_slow_body(base):
    with connected(base) as connection:
        connection.sendall(head("content-length: 100", "content-type: application/json") + b"{")
        started = time.monotonic()
        assert problem(read_answer(connection)) == (408, "BodyTooSlow")
        assert 0.4 < time.monotonic() - started < 3


def test_chunked_body(base):
    start = head("transfer-encoding: chunked", "content-type: application/json")
    answer = raw(base, start, b'5\r\n{"tit\r\n', b'13\r\nle":"t","text":"x"}\r\n0\r\n\r\n')
    assert answer.status == 201


def test_expect_continue(base):
    with connected(base) as connection:
        connection.sendall(head("content-length: 24", "content-type: application/json", "expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"title":"t","text":"x"}')
        assert read_answer(connection).status == 201


def test_body_with_an_upgrade_nobody_understands(base):
    lines = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQ", "content-length: 24")
    start, body = head("content-type: application/json", *lines), b'{"title":"t","text":"x"}'
    assert raw(base, start, body).status == 201
    assert raw(base, start + body).status == 201


def test_upgrade_to_websocket_is_an_unknown_path(base):
    lines = (
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==",
    )
    assert raw(base, head(*lines, method="GET", path="/websocket")).status == 404


class TestHeads:
    def test_many_headers(self, base):
        lines = [f"x-{i}: {'v' * 100}" for i in range(200)]
        assert problem(raw(base, head(*lines, method="GET", path="/echo/list"))) == (431, "HeadersTooLarge")

    def test_one_long_header(self, base):
        answer = raw(base, head("x-long: " + "v" * 20_000, method="GET", path="/echo/nothing"))
        assert problem(answer) == (431, "HeadersTooLarge")

    def test_a_header_that_never_ends(self, base):
        with connected(base) as connection:
            connection.sendall(b"GET /echo/list HTTP/1.1\r\nhost: x\r\nx-long: ")
            try:
                for _ in range(40):
                    connection.sendall(b"v" * 1024)
                    time.sleep(0.001)
            except OSError:
                pass  # the answer is there already
            answer = read_answer(connection)
        assert problem(answer) == (431, "HeadersTooLarge")
        assert answer.headers["connection"] == "close"

    def test_a_request_line_that_never_ends(self, base):
        answer = raw(base, b"GET /", *[b"a" * 1024] * 20)
        assert answer.status in {400, 431}

    def test_16_kib_are_fine(self, base):
        with connected(base) as connection:
            for _ in range(2):  # the count starts anew with each request
                connection.sendall(head("x-long: " + "v" * 15_000, method="GET", path="/echo/list"))
                assert read_answer(connection).status == 200

    def test_small_head_with_a_large_body(self, base):
        body = json.dumps({"title": "t", "text": "x" * 60_000}).encode()
        answer = raw(base, head(f"content-length: {len(body)}", "content-type: application/json") + body)
        assert answer.status == 201

    @pytest.mark.parametrize(
        "text",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET\r\n\r\n",
            b"GET /echo/list HTTP/9.9\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nx : a\r\n\r\n",
            b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
            b"POST /echo/note HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
            b"POST /echo/note HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            b"POST /echo/note HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
            b"POST /echo/note HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    def test_what_is_no_request(self, base, text):
        answer = raw(base, text, timeout=3)
        assert answer is None or 400 <= answer.status < 500
        assert raw(base, head(method="GET", path="/echo/list")).status == 200

    @pytest.mark.parametrize(
        "path", ["*", "http://example.com/echo/list", "//echo/list", "/echo/%00", "/echo/%ff", "/%", "/echo/list?%"]
    )
    def test_odd_targets(self, base, path):
        answer = raw(base, head(method="OPTIONS" if path == "*" else "GET", path=path))
        assert answer is not None
        assert answer.status < 500


@pytest.mark.usefixtures("hurried")
class TestSlowness:
    @pytest.mark.parametrize(
        "start", [b"GET /echo/list HTTP/1.1\r\nhost", b"GET", b"GET /echo/list HTTP/1.1\r\na: b\r\n"]
    )
    def test_slow_head(self, base, start):
        with connected(base, 5) as connection:
            connection.sendall(start)
            answer = read_answer(connection)
            assert answer.status == 408
            assert connection.recv(1) == b""

    def test_slow_second_head(self, base):
        with connected(base, 5) as connection:
            connection.sendall(head(method="GET", path="/echo/list"))
            assert read_answer(connection).status == 200
            connection.sendall(b"GET /ec")
            assert read_answer(connection).status == 408

    @pytest.mark.parametrize("drip", [b"", b"\r\n"])
    def test_silence(self, base, drip):
        with connected(base, 5) as connection:
            connection.sendall(drip)
            assert connection.recv(1) == b""

    def test_dripping_head(self, base):
        """Each byte comes in time, the head never does."""
        with connected(base, 5) as connection:
            started = time.monotonic()
            try:
                for byte in head("x-long: " + "v" * 500):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.02)
            except OSError:
                pass
            assert time.monotonic() - started < 3

    def test_dripping_body_after_the_answer(self, base):
        with connected(base, 5) as connection:
            connection.sendall(head("content-length: 1000", method="GET", path="/echo/list"))
            assert read_answer(connection).status == 200
            assert is_cut(connection, b"x", 200, pause=0.02)


def test_keep_alive_after_a_body_nobody_read():
    with running(echo.gateway(), timeout_keep_alive=1) as base, connected(base, 5) as connection:
        connection.sendall(head("content-length: 3", method="GET", path="/echo/list"))
        assert read_answer(connection).status == 200
        connection.sendall(b"xyz")
        connection.sendall(head(method="GET", path="/echo/list"))
        assert read_answer(connection).status == 200
        connection.sendall(head("content-length: 3", method="GET", path="/echo/list"))
        assert read_answer(connection).status == 200
        connection.sendall(b"xyz")
        assert connection.recv(1) == b""


def test_pipelined_requests(base):
    two = head(method="GET", path="/echo/list") + head(method="GET", path="/echo/list?limit=3")
    with connected(base) as connection:
        connection.sendall(two)
        received = b""
        while received.count(b'"limit"') < 2:
            received += connection.recv(65536)
    assert b'{"limit":10,"word":""}' in received
    assert b'{"limit":3,"word":""}' in received


def test_lifespan_goes_around():
    from contextlib import asynccontextmanager

    seen = []

    @asynccontextmanager
    async def lifespan():
        seen.append("start")
        yield
        seen.append("stop")

    with running(echo.gateway(lifespan=lifespan)) as base:
        assert httpx2.get(base + "/health").status_code == 200
        assert seen == ["start"]
    assert seen == ["start", "stop"]


def test_a_lifespan_that_fails_stops_the_start():
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lifespan():
        raise OSError("no such database")
        yield

    with pytest.raises(RuntimeError, match="did not start"), running(echo.gateway(lifespan=lifespan)):
        pass


def test_graceful_stop_answers_what_is_under_way():
    import asyncio

    from dragoman.http import operation

    @operation("GET", "/echo/late", access="open")
    async def late(call):
        """Take a while."""
        await asyncio.sleep(0.5)
        return {"late": True}

    connection: socket.socket | None = None
    with running(echo.gateway(echo.dialect(operations=(late,)))) as base:
        connection = connected(base)
        connection.sendall(head(method="GET", path="/echo/late"))
        time.sleep(0.1)
    assert read_answer(connection).status == 200
    connection.close()
