"""Pages of other origins in a real browser: one that may use the cookie, and a hostile one (threat 45)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kit.browser import Browser, chromium
from kit.elsewhere import elsewhere
from kit.house import PASSWORD, House
from kit.served import served

pytestmark = pytest.mark.slow

PAGE = """<!doctype html><title>A front end</title><script>
const auth = location.hash.slice(1) + "/frontend/api/v1/auth";
const call = async (method, path, body, how = {}) => {
  const wanted = {method, credentials: "include", ...how};
  if (body !== undefined) {
    wanted.body = body;
    wanted.headers = {"Content-Type": body.startsWith("{") ? "application/json" : "application/x-www-form-urlencoded"};
  }
  try {
    const answer = await fetch(auth + path, wanted);
    const text = await answer.text();
    return {status: answer.status, body: text ? JSON.parse(text) : null};
  } catch (fault) {
    return {fault: fault.name};
  }
};
</script>"""
ADA = f'{{"email": "ada@example.com", "password": "{PASSWORD}"}}'
BOB = f"email=bob%40example.com&password={PASSWORD.replace(' ', '+')}"
UNREADABLE = {"fault": "TypeError"}
OPAQUE = {"status": 0, "body": None}


class Page:
    """One origin's page in the one browser."""

    def __init__(self, browser: Browser, address: str, base: str) -> None:
        self._browser, self._url = browser, f"{address}#{base}"

    def call(self, method: str, path: str, body: str | None = None, **how: Any) -> dict[str, Any]:
        """Go to the page and let it make one call; return what it could read of the answer."""
        self._browser.go("about:blank")
        self._browser.go(self._url)
        given = "undefined" if body is None else repr(body)
        said = self._browser.ask(
            "Runtime.evaluate", expression=f"call({method!r}, {path!r}, {given}, {how!r})", awaitPromise=True,
            returnByValue=True,
        )  # fmt: skip
        found: dict[str, Any] = said["result"]["value"]
        return found


async def _people(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", verified=True)


@contextmanager
def _pages(folder: Path, host: str, cookie_site: str) -> Iterator[tuple[Page, Page, Browser, str]]:
    """Serve a front end and a hostile page beside a house that knows the first; yield both, in one browser."""
    with elsewhere(PAGE) as ours, elsewhere(PAGE) as theirs, chromium(folder, third_party_cookies=True) as browser:
        front, hostile = (f"http://{host}:{urlsplit(url).port}/" for url in (ours, theirs))
        given = {"dialects__probe__origins": [front.rstrip("/")], "dialects__probe__cookie_site": cookie_site}
        with served(folder / "house", _people, **given) as base:
            yield Page(browser, front, base), Page(browser, hostile, base), browser, base


SITES = pytest.mark.parametrize(
    ("host", "cookie_site"),
    [("127.0.0.1", "lax"), ("localhost", "none")],
    ids=["another origin of this site", "another site"],
)


@SITES
def test_a_front_end_signs_in_with_the_cookie_and_lists_sessions(tmp_path: Path, host: str, cookie_site: str) -> None:
    with _pages(tmp_path, host, cookie_site) as (front, _, browser, base):
        assert front.call("GET", "/session")["status"] == 401
        signed_in = front.call("POST", "/sign-in", ADA)
        assert (signed_in["status"], signed_in["body"]["email"]) == (200, "ada@example.com")
        listed = front.call("GET", "/session")
        assert listed["status"] == 200
        assert [each["ua-type"] for each in listed["body"]["sessions"]] == ["browser"]
        held = {cookie["name"]: cookie for cookie in browser.ask("Storage.getCookies")["cookies"]}
        assert set(held) == {"jwt", "dragoman-mark"}
        assert held["jwt"]["httpOnly"] is True
        assert held["jwt"]["sameSite"] == cookie_site.capitalize()
        assert held["jwt"]["domain"] == urlsplit(base).hostname
        front.call("POST", "/sign-in", ADA)
        first = listed["body"]["sessions"][0]["id"]
        assert front.call("DELETE", f"/session/{first}") == {"status": 204, "body": None}
        assert len(front.call("GET", "/session")["body"]["sessions"]) == 1
        assert front.call("DELETE", "/sign-out")["body"] == {"ret-url": None, "success": True}
        assert front.call("GET", "/session")["status"] == 401
        assert {cookie["name"] for cookie in browser.ask("Storage.getCookies")["cookies"]} == {"dragoman-mark"}


@SITES
def test_a_hostile_page_can_do_nothing_with_it(tmp_path: Path, host: str, cookie_site: str) -> None:
    with _pages(tmp_path, host, cookie_site) as (front, hostile, browser, _):
        front.call("POST", "/sign-in", ADA)
        mine = front.call("GET", "/session")["body"]["sessions"]
        assert hostile.call("GET", "/session") == UNREADABLE
        assert hostile.call("POST", "/sign-in", ADA) == UNREADABLE, "a preflight goes before JSON"
        assert hostile.call("DELETE", "/session") == UNREADABLE
        assert hostile.call("DELETE", f"/session/{mine[0]['id']}") == UNREADABLE
        assert hostile.call("PUT", "/current/password", "old-password=a&new-password=b") == UNREADABLE
        # Forms need no preflight: these arrive, and are refused there.
        before = len(browser.headers)
        for path in ("/sign-in", "/oauth-sign-in"):
            assert hostile.call("POST", path, BOB, mode="no-cors") == OPAQUE
        sent = [each for each in browser.headers[before:] if each.get("origin", "").startswith(f"http://{host}")]
        assert len(sent) == 2
        held = {cookie["name"]: cookie["value"] for cookie in browser.ask("Storage.getCookies")["cookies"]}
        assert front.call("GET", "/session")["body"]["sessions"] == mine, "nobody else was signed in, nobody out"
        assert len(held) == 2


def test_a_lax_cookie_stays_away_from_other_sites(tmp_path: Path) -> None:
    with _pages(tmp_path, "localhost", "lax") as (front, _, _, _):
        assert front.call("POST", "/sign-in", ADA)["status"] == 200
        assert front.call("GET", "/session")["status"] == 401
