"""Headless Chromium, driven over its debugging pipe: what a person's browser makes of our pages."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 30.0
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--lang=en",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One window. What it asked the network for, and what it complained of, is kept."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._rest = b""
        self._count = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        """Every request: `url`, `method`, `documentURL`."""
        self.headers: list[dict[str, str]] = []
        """The headers of every request as they went out, names in lower case."""
        self.complaints: list[str] = []
        """What the browser's console would show: refused loads, scripts that failed."""

    def open(self) -> None:
        """Make the window."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Accessibility"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == asked["id"]:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    def go(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        self._loading()
        self.ask("Page.navigate", url=url)
        self._loaded()

    def press(self, selector: str) -> None:
        """Click on something that leads to another page, and wait for that."""
        self._loading()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self._loaded()

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.ask("Input.insertText", text=text)

    def run(self, expression: str) -> Any:
        """Return the value of an expression in the page; the page's own policy does not bind the debugger."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def text(self) -> str:
        """Return what a reader sees of the page."""
        return str(self.run("document.body.innerText"))

    def spoken(self) -> dict[str, dict[str, Any]]:
        """Return what a screen reader is told of fields and buttons, by their names."""
        found = {}
        for node in self.ask("Accessibility.getFullAXTree")["nodes"]:
            if node.get("role", {}).get("value") in ("textbox", "button"):
                told = {one["name"]: one["value"].get("value") for one in node.get("properties", ())}
                about = node.get("description", {}).get("value", "")
                found[node["name"]["value"]] = {**told, "description": about}
        return found

    def _loading(self) -> None:
        self._events.clear()

    def _loaded(self) -> None:
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()

    def _next(self) -> dict[str, Any]:
        """Return the next message; keep what tells of requests and complaints."""
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._of], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser says nothing"
            piece = os.read(self._of, 1 << 16)
            assert piece, "the browser is gone"
            self._rest += piece
        raw, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(raw)
        told = said.get("params", {})
        match said.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append({**told["request"], "documentURL": told["documentURL"]})
            case "Network.requestWillBeSentExtraInfo":
                self.headers.append({name.lower(): value for name, value in told["headers"].items()})
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Page.loadEventFired":
                self._events.append(said)
        return said


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends have high numbers, so that 3 and 4 are free."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@contextmanager
def chromium(folder: Path, *, third_party_cookies: bool = False) -> Iterator[Browser]:
    """Run Chromium with a profile of its own in `folder`. Fails where it is not installed: `make components` does.

    :param third_party_cookies: whether pages of other sites may use cookies, as its user may allow.
    """
    if third_party_cookies:
        preferences = folder / "profile" / "Default" / "Preferences"
        preferences.parent.mkdir(parents=True)
        preferences.write_text(json.dumps({"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}))
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("Chromium is not installed; run: make components")
    command_in, command_out = _pipe()
    event_in, event_out = _pipe()
    shell = f'exec "$0" "$@" 3<&{command_in} 4>&{event_out}'  # the numbers that Chromium looks for
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        pass_fds=(command_in, event_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(command_in)
    os.close(event_out)
    try:
        browser = Browser(command_out, event_in)
        browser.open()
        yield browser
    finally:
        os.close(command_out)  # Chromium ends when nobody can give it commands any more
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(event_in)
