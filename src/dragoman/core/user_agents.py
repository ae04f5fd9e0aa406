"""What a user agent says of program and machine, for lists that people read. Nothing is decided by it."""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from dragoman.model import DeviceType

# The first that fits counts: a browser names its relatives, too, and itself before them.
_BROWSERS: tuple[tuple[str, str], ...] = (
    (r"\bEdgA?(?:iOS)?/", "Edge"),
    (r"\bOPR/|\bOpera\b", "Opera"),
    (r"\bSamsungBrowser/", "Samsung Internet"),
    (r"\b(?:Firefox|FxiOS)/", "Firefox"),
    (r"\b(?:Chrome|CriOS|Chromium)/", "Chrome"),
    (r"\bSafari/", "Safari"),
)
_SYSTEMS: tuple[tuple[str, str], ...] = (
    (r"\biPad\b", "iPadOS"),
    (r"\biPhone\b|\b[iI][oO][sS]\b", "iOS"),
    (r"\bAndroid\b", "Android"),
    (r"\bWindows\b", "Windows"),
    (r"\bCrOS\b", "ChromeOS"),
    (r"\bMac OS X\b|\bmacOS\b|\bDarwin\b", "macOS"),
    (r"\bLinux\b|\bX11\b", "Linux"),
)
_TABLET = re.compile(r"\biPad\b|\bTablet\b|\bAndroid\b(?!.*\bMobile\b)", re.IGNORECASE)
_MOBILE = re.compile(r"\bMobile\b|\biPhone\b|\biOS\b|\bAndroid\b|\bokhttp\b|\bCFNetwork\b|\bDart/", re.IGNORECASE)
_PRODUCT = re.compile(r"[^\s/;()]{1,40}")


class Agent(Struct, frozen=True, gc=False):
    """A program and the machine it runs on, as far as they are told; an empty text is unknown."""

    browser: str
    os: str
    device_type: DeviceType

    @property
    def name(self) -> str:
        """What a person calls it: `Firefox on Linux`."""
        return name_of(self.browser, self.os)


def name_of(browser: str, os: str) -> str:
    """Return what a person calls a program on a system, either of which may be unknown."""
    if browser and os:
        return f"{browser} on {os}"
    return browser or os or "Unknown device"


@lru_cache(maxsize=4096)
def read(user_agent: str) -> Agent:
    """Guess what a client is from its user agent. A program that is no browser goes by its own first word."""
    browser = _first(_BROWSERS, user_agent)
    if not browser and not user_agent.startswith("Mozilla/") and (own := _PRODUCT.search(user_agent)):
        browser = own[0]
    kind: DeviceType = "DESKTOP"
    if _TABLET.search(user_agent):
        kind = "TABLET"
    elif _MOBILE.search(user_agent):
        kind = "MOBILE"
    return Agent(browser, _first(_SYSTEMS, user_agent), kind)


def _first(known: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for pattern, name in known if re.search(pattern, user_agent)), "")
