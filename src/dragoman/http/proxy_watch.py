"""Finds out that clients come through a proxy nobody configured: else nobody would notice (threat 34).

While a proxy is not trusted, everybody behind it has its address. Then no network is known, none is blocked, and
request rates are counted by account; the server works and protects less. So it says what it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from dragoman.http.address import FORWARDING, Proxies, is_inside, parsed
from dragoman.http.metrics import Reading
from dragoman.model import Client

ALL_OF = 256
"""Requests that are looked at first; of the later ones every sixteenth."""
AGENTS, ACCOUNTS = 20, 10
"""So many programs, or accounts, at one single address are too many for one machine."""
WINDOW = 3600.0
"""Seconds for which they are counted together, and at most so often one thing is said."""

Kind = Literal["proxy", "stranger", "header", "unreadable", "one address"]


class Suspicion(Struct, frozen=True):
    """Something that does not fit the configuration."""

    kind: Kind
    """`proxy`: an address inside our networks forwards for others and is not trusted; `stranger`: one outside says so;
    `header`: a trusted proxy writes another header than the one that is read; `unreadable`: it writes what names
    nobody; `one address`: all clients seem to be at one address inside."""
    header: str = ""
    """The header that was seen."""
    peer: str = ""
    """The address at the other end of the connection, unless it may be a person's."""


class ProxyWatch:
    """Looks at requests as they come. Belongs to the event loop's thread.

    :param report: told of each kind of suspicion, at most once an hour.
    :param seconds: tells durations.
    """

    def __init__(self, proxies: Proxies, report: Callable[[Suspicion], None], seconds: Callable[[], float]) -> None:
        self._proxies, self._report, self._seconds = proxies, report, seconds
        self._looked = 0
        self._said: dict[Kind, float] = {}
        self._untrusted = 0
        self._shared = False
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        self._ends_at = now + WINDOW
        self._agents: set[str] = set()
        self._accounts: set[bytes] = set()
        self._address = ""
        self._several = False

    def is_due(self, number: int) -> bool:
        """Tell whether the request of this number in its process is looked at."""
        return number <= ALL_OF or not number & 15

    def see(self, scope: Mapping[str, Any], client: Client, account: bytes | None) -> None:
        """Look at one request.

        :param scope: its ASGI scope; `client` and `headers` are read.
        :param client: what `client_of` made of it.
        :param account: who is signed in.
        """
        self._looked += 1
        seen = [each[0] for each in scope["headers"] if each[0] in FORWARDING]
        peer = scope.get("client")
        near = parsed(peer[0]) if peer else None
        if seen:
            suspicion = self._of_headers(seen, str(near or ""), client, inside=near is None or is_inside(near))
            if suspicion is not None:
                self._untrusted += 1
                self._say(suspicion)
        elif near is not None and not self._proxies.include(near):
            self._compare(str(near), client, account, inside=is_inside(near))

    def _of_headers(self, seen: list[bytes], peer: str, client: Client, *, inside: bool) -> Suspicion | None:
        near = parsed(peer)
        if near is None or not self._proxies.include(near):
            return Suspicion("proxy" if inside else "stranger", FORWARDING[seen[0]], peer if inside else "")
        if self._proxies.header.encode() not in seen:
            return Suspicion("header", FORWARDING[seen[0]], peer)
        if not client.network:
            return Suspicion("unreadable", FORWARDING[self._proxies.header.encode()], peer)
        return None

    def _compare(self, address: str, client: Client, account: bytes | None, *, inside: bool) -> None:
        """Count who is at the one address inside, until there is a second address."""
        now = self._seconds()
        if now >= self._ends_at:
            self._begin(now)
        if self._several:
            return
        if not inside or self._address not in ("", address):
            self._several, self._shared = True, False
            return
        self._address = address
        self._agents.add(client.user_agent)
        if account is not None:
            self._accounts.add(account)
        if len(self._agents) >= AGENTS or len(self._accounts) >= ACCOUNTS:
            self._shared = True
            self._say(Suspicion("one address", peer=address))
            self._begin(now)

    def _say(self, suspicion: Suspicion) -> None:
        now, last = self._seconds(), self._said.get(suspicion.kind)
        if last is None or now - last >= WINDOW:
            self._said[suspicion.kind] = now
            self._report(suspicion)

    async def readings(self) -> Iterable[Reading]:
        """Return what `/metrics` tells of it."""
        return [
            Reading(
                "dragoman_forwarded_untrusted",
                "Requests with a forwarded address that does not count, of those looked at.",
                self._untrusted,
                counts=True,
            ),
            Reading(
                "dragoman_clients_share_address", "1 where all clients seem to be at one address.", int(self._shared)
            ),
        ]
