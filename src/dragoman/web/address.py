"""The address to show to whoever asks: what a person pastes into a shell, so nothing odd may get into it."""

from __future__ import annotations

import re

from dragoman.http.call import Call
from dragoman.http.dialect import Mount

# Letters, digits, dots, hyphens; or an IPv6 address in brackets: nothing that HTML or a shell would read as more.
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
)


def base_address(call: Call) -> str:
    """Return the address the request came by, `http://127.0.0.1:8080`; the server's own where Host is not sane.

    A Host header is whatever the client typed: it is shown only when it reads as host name and port.
    """
    said = call.header("host") or ""
    return f"{call.scheme}://{said if _sane(said) else _own(call)}"


def address_of(mount: Mount, base: str) -> str:
    """Return the address under which a mount answers, seen from the address that a request came by."""
    if mount.host is not None:
        scheme, _, host = base.partition("://")
        port = re.search(r":[0-9]+\Z", host)
        base = f"{scheme}://{mount.host}{port.group() if port else ''}"
    return base + mount.prefix


def _sane(said: str) -> bool:
    match = _HOST.fullmatch(said)
    return match is not None and ".." not in said and int(match["port"] or 1) in range(1, 65536)


def _own(call: Call) -> str:
    server = call.scope.get("server")
    if not server or server[1] is None:  # a unix socket
        return "localhost"
    host, port = str(server[0]), int(server[1])
    shown = f"[{host}]" if ":" in host else host
    return shown if port == (443 if call.scheme == "https" else 80) else f"{shown}:{port}"
