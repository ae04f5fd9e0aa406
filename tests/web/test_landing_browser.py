"""The pages behind mailed links in a real browser: its headers, its policy, its screen reader, its narrow window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.browser import Browser, chromium
from kit.elsewhere import elsewhere
from kit.house import House
from kit.recipes import NEW_PASSWORD
from kit.served import served

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A served house with Ada; yields its address and the tokens of her letters, by purpose."""
    tokens: dict[str, str] = {}

    async def furnish(house: House) -> None:
        ada = await house.ada()
        for purpose in ("reset", "verify", "open"):
            tokens[purpose] = await house.ticket(purpose, ada)

    with served(tmp_path, furnish) as base:
        yield base, tokens


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path) as opened:
        yield opened


def test_a_password_is_chosen_in_a_browser(place: tuple[str, dict[str, str]], browser: Browser) -> None:
    base, tokens = place
    browser.go(f"{base}/reset-password")
    browser.type("#email", "ada@example.com")
    browser.press("button")
    assert "Look into your mailbox" in browser.text()
    assert [h.get("origin") for h in browser.headers if "origin" in h] == [base], "an honest form is known by it"

    link = f"{base}/reset-password/{tokens['reset']}"
    browser.go(link)
    assert browser.run("document.styleSheets[0].cssRules.length") > 10
    told = browser.spoken()
    assert set(told) == {"New password", "The same password again", "Set the new password"}
    assert "At least 8 characters" in told["New password"]["description"]
    assert told["New password"]["required"] is True
    browser.type("#password", "password1")
    browser.type("#again", "password1")
    browser.press("button")
    told = browser.spoken()["New password"]
    assert "easy to guess" in told["description"]
    assert told["invalid"] == "true"
    assert browser.run("document.activeElement.id") == "password"
    browser.type("#password", NEW_PASSWORD)
    browser.type("#again", NEW_PASSWORD)
    browser.press("button")
    assert "Your new password is set" in browser.text()
    browser.go(link)
    assert "This link does not work" in browser.text()
    browser.press("p.next a")
    assert browser.run("location.pathname") == "/reset-password"

    assert {urlsplit(sent["url"]).netloc for sent in browser.requests} == {urlsplit(base).netloc}
    assert not any(tokens["reset"] in headers.get("referer", "") for headers in browser.headers)
    # Chromium would like the whole address in the form, which shows it masked; and it notes answers of 400 and 404.
    known = ("Password forms should have", "status of 400", "status of 404")
    assert [said for said in browser.complaints if not any(word in said for word in known)] == []


def test_a_button_is_pressed_in_a_browser(place: tuple[str, dict[str, str]], browser: Browser) -> None:
    base, tokens = place
    browser.go(f"{base}/verify/{tokens['verify']}")
    assert "a•••@example.com" in browser.text()
    browser.press("button")
    assert "Your address is confirmed" in browser.text()


def test_another_website_cannot_send_the_form(place: tuple[str, dict[str, str]], browser: Browser) -> None:
    base, _ = place
    html = f"""<form method="post" action="{base}/reset-password"><input name="email" value="ada@example.com">
        <button>Win</button></form>"""
    for meta in ("", '<meta name="referrer" content="no-referrer">'):
        with elsewhere(meta + html) as address:
            browser.go(address)
            browser.press("button")
            assert "Please use our own form" in browser.text()


def test_nothing_is_wider_than_a_phone(place: tuple[str, dict[str, str]], browser: Browser) -> None:
    base, tokens = place
    browser.ask("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=2, mobile=True)
    for path in ("/reset-password", f"/reset-password/{tokens['reset']}", f"/open/{tokens['open']}", "/undo/x"):
        browser.go(base + path)
        assert browser.run("document.documentElement.scrollWidth") <= 320
        low = browser.run("Math.min(...[...document.querySelectorAll('input,button')].map(e => e.offsetHeight), 99)")
        assert low >= 44, "a finger needs that much"
