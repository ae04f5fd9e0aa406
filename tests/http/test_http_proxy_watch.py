"""Noticing a proxy that nobody configured."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.http.proxy_watch import ACCOUNTS, AGENTS, ALL_OF, WINDOW, ProxyWatch, Suspicion
from kit import echo
from kit.server import ask

PROXY = "10.0.0.7"


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def seen(peer: str | None, *headers: tuple[str, str], proxies: tuple[str, ...] = (), **more: Any) -> list[Any]:
    said: list[Suspicion] = []
    app = echo.gateway(proxies=proxies, suspect=said.append, **more)
    for _ in range(3):
        await ask(app, "GET", "/echo/where", headers=list(headers), peer=peer)
    return said


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"])
@pytest.mark.parametrize(("peer", "kind", "told"), [
    (PROXY, "proxy", PROXY), ("127.0.0.1", "proxy", "127.0.0.1"), ("fd00::1", "proxy", "fd00::1"), (None, "proxy", ""),
    ("203.0.113.9", "stranger", ""), ("2001:db8::9", "stranger", ""),
])  # fmt: skip
async def test_a_header_of_somebody_untrusted(header: str, peer: str, kind: str, told: str) -> None:
    """It is said once; the address of somebody outside may be a person's, and is not kept."""
    assert await seen(peer, (header, "192.0.2.1")) == [Suspicion(kind, header, told)]  # type: ignore[arg-type]


async def test_a_trusted_proxy_that_writes_what_is_read() -> None:
    assert await seen(PROXY, ("X-Forwarded-For", "192.0.2.1"), proxies=("10.0.0.0/8",)) == []
    assert await seen(PROXY, ("X-Real-IP", "1"), ("X-Forwarded-For", "192.0.2.1"), proxies=("10.0.0.0/8",)) == []
    assert await seen(PROXY, proxies=("10.0.0.0/8",)) == [], "its own questions whether we live"


async def test_a_trusted_proxy_that_writes_something_else() -> None:
    other = await seen(PROXY, ("X-Real-IP", "192.0.2.1"), proxies=("10.0.0.0/8",))
    assert other == [Suspicion("header", "X-Real-IP", PROXY)]
    garbled = await seen(PROXY, ("X-Forwarded-For", "unknown"), proxies=("10.0.0.0/8",))
    assert garbled == [Suspicion("unreadable", "X-Forwarded-For", PROXY)]


async def test_many_programs_at_one_address() -> None:
    said: list[Suspicion] = []
    app = echo.gateway(suspect=said.append)
    for n in range(AGENTS):
        assert said == []
        await ask(app, "GET", "/echo/where", headers={"User-Agent": f"phone {n}"}, peer=PROXY)
    assert said == [Suspicion("one address", "", PROXY)]
    metrics = (await ask(app, "GET", "/metrics")).body.decode()
    assert "dragoman_clients_share_address 1.0" in metrics
    assert "dragoman_forwarded_untrusted_total 0.0" in metrics


def client(agent: str = "x", network: str = "10.0.0.7/32") -> Any:
    from dragoman.model import Client

    return Client(network.partition("/")[0], network, agent)


def scope(peer: str = PROXY, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"client": (peer, 1), "headers": list(headers)}


def watch(said: list[Suspicion], seconds: Seconds) -> ProxyWatch:
    from dragoman.http.address import Proxies

    return ProxyWatch(Proxies(), said.append, seconds)


def test_many_accounts_at_one_address() -> None:
    said: list[Suspicion] = []
    watching = watch(said, Seconds())
    for n in range(ACCOUNTS):
        assert said == []
        watching.see(scope(), client(), bytes([n]) * 16)
    assert said == [Suspicion("one address", "", PROXY)]


def test_two_addresses_or_one_outside_are_no_proxy() -> None:
    for other in ("10.0.0.8", "203.0.113.1"):
        said: list[Suspicion] = []
        watching = watch(said, Seconds())
        watching.see(scope(), client(), None)
        watching.see(scope(other), client(), None)
        for n in range(3 * AGENTS):
            watching.see(scope(), client(f"{n}"), bytes([n]) * 16)
        assert said == []
    said = []
    watching = watch(said, Seconds())
    for n in range(3 * AGENTS):
        watching.see(scope("203.0.113.1"), client(f"{n}"), None)
    assert said == [], "many people may have one public address"


def test_it_is_said_once_an_hour_and_counted_anew() -> None:
    said: list[Suspicion] = []
    seconds = Seconds()
    watching = watch(said, seconds)
    for _ in range(10):
        watching.see(scope(PROXY, (b"x-forwarded-for", b"1")), client(), None)
    seconds.now = WINDOW - 1
    watching.see(scope(PROXY, (b"x-real-ip", b"1")), client(), None)
    assert len(said) == 1
    seconds.now = WINDOW
    watching.see(scope(PROXY, (b"x-real-ip", b"1")), client(), None)
    assert [each.header for each in said] == ["X-Forwarded-For", "X-Real-IP"]


def test_later_only_some_requests_are_looked_at() -> None:
    watching = watch([], Seconds())
    assert all(watching.is_due(n) for n in range(1, ALL_OF + 1))
    assert sum(watching.is_due(n) for n in range(ALL_OF + 1, ALL_OF + 1601)) == 100
