"""Whose request is it: the client's network address behind proxies, and its user agent (decision 36, threat 34).

Forwarded headers count only when the peer itself is a configured proxy; then the right-most entry that is not a
configured proxy is the client. A header that cannot be followed to such an entry makes the address untrustworthy,
never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal

from dragoman.model import Client

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_MAX_ENTRIES = 32
# Where a proxy nobody configured would stand: this machine, private, shared and link-local ranges.
_INSIDE: tuple[Network, ...] = (
    *map(
        IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
    ),
    *map(IPv6Network, ("::1/128", "fc00::/7", "fe80::/10")),
)
FORWARDING: Mapping[bytes, str] = {
    b"x-forwarded-for": "X-Forwarded-For", b"forwarded": "Forwarded", b"x-real-ip": "X-Real-IP",
    b"cf-connecting-ip": "CF-Connecting-IP", b"true-client-ip": "True-Client-IP", b"x-client-ip": "X-Client-IP",
    b"fastly-client-ip": "Fastly-Client-IP", b"fly-client-ip": "Fly-Client-IP",
    b"x-cluster-client-ip": "X-Cluster-Client-IP", b"x-azure-clientip": "X-Azure-ClientIP",
}  # fmt: skip
"""Headers in which proxies say for whom they ask, by their names on the wire. Only the first two are ever believed."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_IN_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.%\w-]+)\](?::\d{1,5})?\Z")
_V4_PORT = re.compile(r"([0-9.]{7,15}):\d{1,5}\Z")
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s"]+)\s*(?=;|\Z)', re.IGNORECASE)
_FORWARDED_ENTRY = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


@dataclass(frozen=True, eq=False)
class Proxies:
    """The proxies that are believed, and the one header in which they say for whom they ask.

    Only one header is read: a proxy that writes one passes the other on as the client sent it.
    """

    networks: tuple[Network, ...] = ()
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"

    @classmethod
    def named(
        cls, texts: Iterable[str], header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    ) -> Proxies:
        """Parse configured proxies, `10.0.0.0/8` or single addresses. Raises ValueError naming a bad one."""
        return cls(tuple(ip_network(text, strict=False) for text in texts), header)

    def include(self, address: Address) -> bool:
        """Tell whether an address is a configured proxy's."""
        return any(address in network for network in self.networks)


def is_inside(address: Address) -> bool:
    """Tell whether an address is one of those that only machines nearby have."""
    return any(address in network for network in _INSIDE)


def is_loopback(host: str) -> bool:
    """Tell whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def client_of(scope: Mapping[str, Any], proxies: Proxies) -> Client:
    """Return the client of a request. Its `mark` is None.

    :param scope: an ASGI scope; `client` and `headers` are read.
    :param proxies: the configured proxies.
    """
    peer = scope.get("client")
    forwarded: list[bytes] = []
    rfc7239: list[bytes] = []
    agent = b""
    others = False
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value
        elif name == b"x-forwarded-for":
            forwarded.append(value)
        elif name == b"forwarded":
            rfc7239.append(value)
        elif name in FORWARDING:
            others = True
    address, network = _judged(
        peer[0] if peer else "", b",".join(forwarded), b",".join(rfc7239), proxies, others=others
    )
    return Client(address, network, _clean(agent))


def scheme_of(scope: Mapping[str, Any], proxies: Proxies) -> str:
    """Return `https` or `http` as the client sees it; `X-Forwarded-Proto` counts only from a configured proxy."""
    own = str(scope.get("scheme", "http"))
    peer = scope.get("client")
    if not peer or not _is_proxy(peer[0], proxies):
        return own
    for name, value in scope["headers"]:
        if name == b"x-forwarded-proto":
            said = value.rsplit(b",", 1)[-1].strip().lower()
            return said.decode() if said in {b"http", b"https"} else own
    return own


@lru_cache(maxsize=4096)
def _clean(agent: bytes) -> str:
    return _CONTROL.sub("", agent.decode("utf-8", "replace"))[:512]


@lru_cache(maxsize=4096)
def _is_proxy(peer: str, proxies: Proxies) -> bool:
    address = parsed(peer)
    return address is not None and proxies.include(address)


@lru_cache(maxsize=8192)
def _judged(peer: str, forwarded: bytes, rfc7239: bytes, proxies: Proxies, *, others: bool = False) -> tuple[str, str]:
    """Return address and network; network is empty where the address cannot be trusted.

    :param others: another header than these two says for whom the peer asks.
    """
    near = parsed(peer)
    if near is None:  # a unix socket, or a server that does not tell
        return peer, ""
    if not proxies.include(near):
        # A private peer that forwards for others is a proxy nobody configured: everybody would share its address.
        if (forwarded or rfc7239 or others) and is_inside(near):
            return str(near), ""
        return str(near), _network(near)
    entries = _entries_of_rfc7239(rfc7239) if proxies.header == "forwarded" else _entries(forwarded)
    if not entries:  # everybody behind a proxy that does not tell would share its address
        return str(near), ""
    for entry in reversed(entries):
        address = parsed(entry)
        if address is None:
            return str(near), ""
        near = address
        if not proxies.include(near):
            break
    return str(near), _network(near)


def _network(address: Address) -> str:
    """Return IPv4 /32 or IPv6 /64 as text."""
    if isinstance(address, IPv4Address):
        return f"{address}/32"
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def _entries(raw: bytes) -> list[str] | None:
    """Split X-Forwarded-For; several header lines are one list. None when it is too long to be honest."""
    if not raw.strip(b" \t,"):
        return []
    parts = raw.decode("latin-1").split(",")
    return [part.strip(" \t") for part in parts] if len(parts) <= _MAX_ENTRIES else None


def _entries_of_rfc7239(raw: bytes) -> list[str] | None:
    """Take the `for` of each element of Forwarded (RFC 7239); an element without one is an empty entry."""
    text = raw.decode("latin-1")
    if not text.strip(" \t,"):
        return []
    elements = _FORWARDED_ENTRY.findall(text)
    if len(elements) > _MAX_ENTRIES or sum(map(len, elements)) + len(elements) - 1 != len(text):
        return None
    entries = []
    for element in elements:
        found = _FOR.findall(element.strip(" \t"))
        entries.append(re.sub(r"\\(.)", r"\1", found[0].strip('"')) if len(found) == 1 else "")
    return entries


def parsed(entry: str) -> Address | None:
    """Read one address, `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; anything else is None."""
    if len(entry) > 64:
        return None
    if match := _IN_BRACKETS.match(entry) or _V4_PORT.match(entry):
        entry = match.group(1)
    try:
        address = ip_address(entry.partition("%")[0] if ":" in entry else entry)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
