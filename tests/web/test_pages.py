"""The hosted pages: what they list, what they carry, and what they make of hostile requests."""

import json
import re
import subprocess
from html import unescape

import pytest

from dragoman.app import mounts
from dragoman.http.faults import catalogue
from dragoman.web.errors import FAULTS
from kit.house import fast_settings, open_house
from kit.served import served
from kit.server import ask, raw

DIALECTS = ["rocketchat", "pocketm8", "probe", "flashback"]
PAGES = ["/", *(f"/docs/{name}" for name in DIALECTS)]
COMMAND = re.compile(r'<pre class="shell"><code>(.*?)</code></pre>', re.DOTALL)


def commands(page):
    """Return the commands that a page shows, as a person copies them."""
    return [unescape(found) for found in COMMAND.findall(page)]


async def test_the_front_page_lists_every_dialect_after_the_command_that_makes_ada(house):
    answer = await house.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    first, *examples = commands(answer.text)
    assert first.startswith(".venv/bin/dragoman account add --email ada@example.com")
    assert [
        mount.dialect.example.replace("{base}", "http://dragoman.test") for mount in mounts(house.settings)
    ] == examples
    for name in DIALECTS:
        assert f'href="/docs/{name}"' in answer.text
        assert f'href="/docs/{name}/openapi.json"' in answer.text


def test_every_example_works_as_pasted(tmp_path):
    with served(tmp_path) as base:
        page = subprocess.run(["curl", "-s", base + "/"], capture_output=True, text=True, check=True).stdout
        examples = commands(page)[1:]
        assert len(examples) == len(DIALECTS)
        for example in examples:
            said = subprocess.run(
                ["bash", "-c", example + " -w '\\n%{http_code}'"], capture_output=True, text=True, check=True
            )
            body, _, status = said.stdout.rpartition("\n")
            assert status == "200", example
            assert json.loads(body)


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_page_and_a_document_per_dialect(house, name):
    page = await house.get(f"/docs/{name}")
    document = (await house.get(f"/docs/{name}/openapi.json")).json()
    assert page.status_code == 200
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page.text
        for method in methods.values():
            assert f'id="{method["operationId"]}"' in page.text
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}):
            assert re.search(rf"<code>(\S+\.)?{re.escape(field)}</code>", page.text), (schema["title"], field)


@pytest.mark.parametrize(
    "path", [*PAGES, "/nothing", "/docs/nobody", "/docs/nobody/openapi.json", "/static/nothing.css"]
)
async def test_no_page_runs_a_script_or_loads_from_elsewhere(house, path):
    answer = await house.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(
        r"<(script|iframe|object|embed|img|form)|\sstyle=|\son\w+=|javascript:", answer.text, re.IGNORECASE
    )
    assert all(link.startswith(("/", "#")) for link in re.findall(r'(?:href|src)="([^"]*)"', answer.text))
    assert "set-cookie" not in answer.headers


async def test_the_style_is_kept_by_browsers_and_named_by_its_content(house):
    page = await house.get("/")
    path = re.search(r'<link rel="stylesheet" href="(/static/style-[0-9a-f]{16}\.css)">', page.text)[1]
    answer = await house.get(path)
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text
    assert "@import" not in answer.text


async def test_every_link_of_every_page_leads_somewhere(house):
    for page in PAGES:
        text = (await house.get(page)).text
        for link in set(re.findall(r'href="(/[^"]*)"', text)):
            assert (await house.get(link)).status_code == 200, link


@pytest.mark.parametrize(
    ("method", "path", "status", "heading"),
    [
        ("GET", "/nothing", 404, "Nothing here"),
        ("GET", "/docs/nobody", 404, "Nothing here"),
        ("GET", "/docs/rocketchat/other", 404, "Nothing here"),
        ("GET", "/static/../app.py", 404, "Nothing here"),
        ("GET", "/static/style.css", 404, "Nothing here"),
        ("POST", "/", 405, "Not with this method"),
        ("DELETE", "/docs/probe", 405, "Not with this method"),
        ("OPTIONS", "/", 405, "Not with this method"),
    ],
)
async def test_errors_wear_the_same_clothes(house, method, path, status, heading):
    answer = await house.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{heading}</h1>" in answer.text
    assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)


def test_every_fault_has_a_page():
    assert set(FAULTS) == catalogue()


async def test_head_and_trailing_slashes(house):
    head = await house.request("HEAD", "/")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len((await house.get("/")).content)
    assert (await house.get("/docs/probe/")).status_code == 200
    listed = await house.get("/docs")
    assert (listed.status_code, listed.headers["location"]) == (308, "/")


HOSTILE = [
    "<script>alert(1)</script>", '"><b>', "example.com;rm -rf ~", "$(id)", "`id`", "a b", "example.com:99999",
    "example.com:0", "example.com:",
    "user@example.com", "example.com/path", "..", "a..b", "-x.example.com", "",
    "[::1", "[::1]x", "::1",
    "x" * 300, "exämple.com", "example.com'", "example.com|id", "example.com&id", "example.com\\", "{base}",
    "{{ 7 * 7 }}",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE)
async def test_a_hostile_host_is_not_shown(house, host):
    for path in PAGES:
        answer = await ask(house.app, "GET", path, headers={"host": host.encode().decode("latin-1")})
        text = answer.body.decode()
        assert answer.status == 200
        assert "http://127.0.0.1" in text
        for command in commands(text)[-4:]:
            assert not re.search(r"script|rm -rf|\$\(|`|@example.com/|x{300}|\|id|&id|49", command), command


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "localhost:8080",
        "login.example.com",
        "LOGIN.example.com:443",
        "[::1]:8080",
        "[::1]",
        "10.0.0.1:65535",
    ],
)
async def test_a_sane_host_is_shown(house, host):
    answer = await ask(house.app, "GET", "/", headers={"host": host})
    assert f"curl -s http://{host}/api/v1/login" in answer.body.decode()


async def test_without_host_the_servers_own_address_is_shown(house):
    answer = await ask(house.app, "GET", "/")
    assert "curl -s http://127.0.0.1/api/v1/login" in answer.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/<script>alert(1)</script>",
        "/%3Cscript%3E",
        "/docs/<img src=x>",
        "/docs/%00",
        "//nothing",
        "/docs//probe",
        "/\u2028",
    ],
)
async def test_what_was_typed_is_never_repeated(house, path):
    answer = await ask(house.app, "GET", path)
    assert answer.status == 404
    assert b"script" not in answer.body
    assert b"img" not in answer.body


async def test_a_dialect_that_is_switched_off_leaves_its_paths_to_the_pages(tmp_path):
    async with open_house(tmp_path, dialects__rocketchat__enabled=False) as house:
        answer = await house.get("/api/v1/me")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert (await house.post("/api/v1/login", json={"user": "ada", "password": "x"})).status_code == 404
        assert (await house.get("/api/profile")).status_code == 401
        assert "rocketchat" not in house.core.doors
        front = (await house.get("/")).text
        assert "/docs/rocketchat" not in front
        assert "3 dialects" in front
        assert (await house.get("/docs/rocketchat")).status_code == 404


async def test_prefix_and_host_of_a_dialect_are_shown(tmp_path):
    placed = {"dialects__flashback__prefix": "/flashback", "dialects__probe__host": "probe.example.com"}
    async with open_house(tmp_path, **placed) as house:
        text = (await ask(house.app, "GET", "/", headers={"host": "localhost:8080"})).body.decode()
        shown = "\n".join(commands(text))
        assert "http://localhost:8080/flashback/user/login" in shown
        assert "http://probe.example.com:8080/frontend/api/v1/auth/sign-in" in shown
        document = (await house.get("/docs/flashback/openapi.json")).json()
        assert "/flashback/user/login" in document["paths"]
        assert "http://dragoman.test/flashback" in (await house.get("/docs/flashback")).text


async def test_with_every_dialect_off_the_page_says_so(tmp_path):
    off = {f"dialects__{name}__enabled": False for name in DIALECTS}
    async with open_house(tmp_path, **off) as house:
        answer = await house.get("/")
        assert "Every dialect is switched off" in answer.text


def test_a_broken_request_line_gets_a_page_or_nothing(tmp_path):
    with served(tmp_path) as base:
        for host in (b"", b"Host: a b\r\n", b"Host: <b>\r\n", b"Host: one\r\nHost: two\r\n"):
            answer = raw(base, b"GET / HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
            assert answer is None or answer.status < 500
            assert answer is None or b"<b>" not in answer.body


def test_the_one_list_keeps_switched_off_dialects(tmp_path):
    settings = fast_settings(tmp_path, dialects__rocketchat__enabled=False)
    assert {mount.dialect.name: mount.live for mount in mounts(settings)} == {
        "rocketchat": False, "pocketm8": True, "probe": True, "flashback": True,
    }  # fmt: skip
