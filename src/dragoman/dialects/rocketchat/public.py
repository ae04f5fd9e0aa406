"""What the server tells everybody about itself: its version and its address."""

from __future__ import annotations

import re
from functools import lru_cache

from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.wire import (
    Build,
    Commit,
    Details,
    Info,
    LoginServices,
    MinimumClients,
)
from dragoman.http import Call

_CLIENTS = MinimumClients("3.9.6", "4.39.0")
LOGIN_SERVICES = LoginServices((), True)

_HOST = re.compile(r"(?:[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@lru_cache(maxsize=16)
def info(version: str, *, whole: bool) -> Info:
    """Return what the server says of itself; `whole` is for administrators, others see major and minor number."""
    if not whole:
        return Info(".".join(version.split(".")[:2]), _CLIENTS, True)
    return Info(version, _CLIENTS, True, Details(version, Build("any"), Commit(version), "1.0.0"))


def site_of(call: Call) -> str:
    """Return the server's address without a slash at its end: the configured one, else the one the client called.

    The latter goes back to the same client only, in an answer that nobody may keep.
    """
    if configured := call.config(Config).site_url:
        return configured.rstrip("/")
    return _site(call.scheme, call.header("host") or "")


@lru_cache(maxsize=256)
def _site(scheme: str, host: str) -> str:
    return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"
