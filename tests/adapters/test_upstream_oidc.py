"""The adapter for OpenID Connect against npm's oidc-provider: what it asks, what it bears, where it never goes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from dragoman.adapters.upstream.oidc import OidcProvider
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import ProviderBusy, ProviderUnreachable, TokenRefused
from dragoman.model import Secret
from kit.clock import MovableClock
from kit.oidc import CLIENT, KID, OTHER_APP, REDIRECT, SECRET, OidcPeer

pytestmark = pytest.mark.slow

TIMEOUT = 1.0
SLACK = 1.5
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def running() -> Iterator[OidcPeer]:
    with OidcPeer() as peer:
        yield peer


@pytest.fixture
def peer(running: OidcPeer) -> Iterator[OidcPeer]:
    """The provider as it is when nothing is wrong."""
    if running.process is None:
        running.start()
    running.trouble()
    running.people(ada={"email": "ada@example.com", "email_verified": True})
    yield running
    running.thaw()


def provider(peer: OidcPeer, clock: MovableClock | None = None, **changes: Any) -> OidcProvider:
    place = Place(
        issuer=peer.issuer, client_id=CLIENT, client_secret=Secret(SECRET), tokeninfo=peer.tokeninfo, timeout=TIMEOUT
    )
    given = {name: getattr(place, name) for name in place.__struct_fields__} | changes
    return OidcProvider(Place(**given), clock or MovableClock())


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """Somebody in the inner network: nothing may ever reach it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                heard.append(connection.recv(1024))
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard


# ---------------------------------------------------------------- what it asks


async def test_discovery_and_keys_are_fetched_once(peer: OidcPeer) -> None:
    clock = MovableClock()
    asked = provider(peer, clock)
    before = peer.counted().get("/jwks", 0)
    found = await asyncio.gather(*(asked.keys() for _ in range(20)))
    assert {key["kid"] for key in found[0]} == {KID, "ec-1"}
    assert all("d" not in key for key in found[0])
    assert await asked.issuer() == peer.issuer
    assert peer.counted()["/jwks"] == before + 1
    clock.move(3601)
    await asked.keys()
    assert peer.counted()["/jwks"] == before + 2
    await asked.close()


async def test_a_code_brings_tokens_once(peer: OidcPeer) -> None:
    asked, grant = provider(peer), peer.sign_in("ada")
    with pytest.raises(TokenRefused):
        await asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier="x" * 43)
    grant = peer.sign_in("ada")
    issued = await asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier=grant.verifier)
    assert issued.id_token is not None
    assert issued.id_token.reveal().count(".") == 2
    with pytest.raises(TokenRefused):
        await asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier=grant.verifier)
    for code in ("x", "", "\u00e9", "a b&c=d"):
        with pytest.raises(TokenRefused):
            await asked.exchange(Secret(code), redirect_uri=REDIRECT, verifier="x" * 43)
    await asked.close()


async def test_a_wrong_secret_is_the_operators_affair(peer: OidcPeer) -> None:
    asked, grant = provider(peer, client_secret=Secret("wrong")), peer.sign_in("ada")
    with pytest.raises(ProviderUnreachable, match="client id or secret"):
        await asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier=grant.verifier)
    await asked.keys()  # and nobody else waits for it
    await asked.close()


async def test_whom_an_access_token_was_made_for(peer: OidcPeer) -> None:
    asked = provider(peer)
    whose = await asked.whose(Secret(peer.tokens("ada")["access_token"]))
    assert (whose.subject, whose.audience, whose.email) == ("ada", (CLIENT,), "ada@example.com")
    assert whose.email_verified is True
    other = await asked.whose(Secret(peer.tokens("ada", client=OTHER_APP)["access_token"]))
    assert other.audience == (OTHER_APP,)
    for token in ("x", "a&b=c", "\u00e9"):
        with pytest.raises(TokenRefused):
            await asked.whose(Secret(token))
    with pytest.raises(TokenRefused, match="cannot be asked"):
        await provider(peer, tokeninfo="").whose(Secret("x"))
    await asked.close()


async def test_the_page_of_a_flow_of_ours(peer: OidcPeer) -> None:
    asked, verifier = provider(peer), "v" * 43
    page = await asked.page(redirect_uri=REDIRECT, state="s-1", nonce="n-1", verifier=verifier)
    assert page.startswith(f"{peer.issuer}/auth?")
    assert "code_challenge_method=S256" in page
    assert verifier not in page
    grant = peer.sign_in("ada", page=page)
    assert grant.state == "s-1"
    issued = await asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier=verifier)
    assert issued.id_token is not None
    await asked.close()


# ---------------------------------------------------------------- what it bears


async def bounded(ask: Any, error: type[Exception] = ProviderUnreachable) -> float:
    began = time.monotonic()
    with pytest.raises(error):
        await ask
    spent = time.monotonic() - began
    assert spent < TIMEOUT + SLACK, spent
    return spent


async def test_a_dead_provider(peer: OidcPeer) -> None:
    asked = provider(peer)
    peer.stop()
    await bounded(asked.keys())
    peer.start()
    with pytest.raises(ProviderUnreachable, match="a moment ago"):
        await asked.keys()
    await asked.close()


async def test_a_provider_that_stands_still_and_nobody_else_waits(peer: OidcPeer) -> None:
    asked = provider(peer)
    await asked.keys()
    peer.freeze()
    longest = 0.0

    async def heart() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    beat = asyncio.create_task(heart())
    await bounded(asked.whose(Secret("x")))
    beat.cancel()
    assert longest < 0.5
    assert await bounded(asked.whose(Secret("x"))) < 0.2, "and whoever comes next does not wait at all"
    assert await asked.keys(), "what is known holds"
    await asked.close()


@pytest.mark.parametrize("kind", ["slow", "drip", "huge"])
@pytest.mark.parametrize("path", ["discovery", "jwks"])
async def test_answers_that_do_not_end(peer: OidcPeer, kind: str, path: str) -> None:
    peer.trouble(**{path: {"kind": kind}})
    asked = provider(peer)
    await bounded(asked.keys())
    await asked.close()


async def test_a_code_exchange_that_does_not_end(peer: OidcPeer) -> None:
    for kind in ("slow", "huge"):
        asked, grant = provider(peer), peer.sign_in("ada")
        await asked.keys()
        peer.trouble(token={"kind": kind})
        await bounded(asked.exchange(Secret(grant.code), redirect_uri=REDIRECT, verifier=grant.verifier))
        peer.trouble()
        await asked.close()


async def by(asked: OidcProvider, path: str) -> Any:
    """Ask for what takes this path of the provider's."""
    if path == "token":
        return await asked.exchange(Secret("x"), redirect_uri=REDIRECT, verifier=None)
    return await (asked.whose(Secret("x")) if path == "tokeninfo" else asked.keys())


TEXTS = [
    "", "null", "[]", "5", '"x"', "{}", "{", "\x00", "<html>", '{"issuer":5}', "[" * 100_000, '{"keys":{}}',
    '{"keys":[5]}', '{"access_token":5,"id_token":"x"}', '{"access_token":"x"}', '{"error":5}',
]  # fmt: skip


@pytest.mark.parametrize("path", ["discovery", "jwks", "token", "tokeninfo"])
async def test_answers_that_are_nothing(peer: OidcPeer, path: str) -> None:
    for text in TEXTS:
        asked = provider(peer)
        peer.trouble(**{path: {"kind": "text", "text": text}})
        with pytest.raises((ProviderUnreachable, TokenRefused)):
            await by(asked, path)
        await asked.close()


@pytest.mark.parametrize("status", [201, 204, 300, 304, 429, 500, 503])
async def test_odd_statuses_are_no_word_and_shut_nobody_out(peer: OidcPeer, status: int) -> None:
    asked = provider(peer)
    await asked.keys()
    peer.trouble(tokeninfo={"kind": "text", "text": "{}", "status": status})
    with pytest.raises(ProviderUnreachable):
        await asked.whose(Secret("x"))
    peer.trouble()
    assert (await asked.whose(Secret(peer.tokens("ada")["access_token"]))).subject == "ada"
    await asked.close()


async def test_packed_answers_are_not_unpacked(peer: OidcPeer) -> None:
    headers = {"content-encoding": "gzip"}
    peer.trouble(jwks={"kind": "text", "text": '{"keys":[]}', "headers": headers})
    asked = provider(peer)
    await bounded(asked.keys())
    await asked.close()


async def test_more_than_it_can_bear_is_refused_at_once(peer: OidcPeer) -> None:
    asked = provider(peer, connections=2)
    await asked.keys()
    peer.trouble(tokeninfo={"kind": "slow"})
    results = await asyncio.gather(*(asked.whose(Secret("x")) for _ in range(40)), return_exceptions=True)
    busy = [each for each in results if isinstance(each, ProviderBusy)]
    assert len(busy) >= 30
    assert all(isinstance(each, (ProviderBusy, ProviderUnreachable)) for each in results)
    await asked.close()


# ---------------------------------------------------------------- keys that change


async def test_a_flood_of_unknown_keys_is_not_passed_on(peer: OidcPeer) -> None:
    clock = MovableClock()
    asked = provider(peer, clock)
    await asked.keys()
    before = peer.counted()["/jwks"]
    for n in range(50):
        await asked.keys(missing=f"k{n}")
    assert peer.counted()["/jwks"] == before, "they were fetched a moment ago"
    clock.move(61)
    await asyncio.gather(*(asked.keys(missing=f"k{n}") for n in range(50)))
    assert peer.counted()["/jwks"] == before + 1
    await asked.close()


async def test_new_keys_are_found(peer: OidcPeer) -> None:
    clock = MovableClock()
    asked = provider(peer, clock)
    peer.trouble(jwks={"kind": "text", "text": '{"keys":[{"kty":"RSA","kid":"old"}]}'})
    assert [key["kid"] for key in await asked.keys()] == ["old"]
    peer.trouble()
    clock.move(61)
    assert KID in {key["kid"] for key in await asked.keys(missing=KID)}
    await asked.close()


async def test_known_keys_hold_for_a_day_without_the_provider(peer: OidcPeer) -> None:
    clock = MovableClock()
    asked = provider(peer, clock)
    await asked.keys()
    peer.trouble(discovery={"kind": "text", "text": "", "status": 503})
    clock.move(23 * 3600)
    assert await asked.keys()
    assert await asked.keys(missing="another")
    clock.move(2 * 3600)
    with pytest.raises(ProviderUnreachable):
        await asked.keys()
    await asked.close()


# ---------------------------------------------------------------- where it never goes


async def test_redirects_are_not_followed(peer: OidcPeer) -> None:
    with listener() as (inner, heard):
        for path in ("discovery", "jwks", "token", "tokeninfo"):
            asked = provider(peer)
            if path in ("token", "tokeninfo"):
                await asked.keys()
            peer.trouble(**{path: {"kind": "redirect", "to": f"{inner}/secrets"}})
            with pytest.raises((ProviderUnreachable, TokenRefused)):
                await by(asked, path)
            peer.trouble()
            await asked.close()
        await asyncio.sleep(0.1)
        assert heard == []


@pytest.mark.parametrize("field", ["jwks_uri", "token_endpoint", "issuer"])
async def test_a_discovery_document_leads_nowhere_else(peer: OidcPeer, field: str) -> None:
    with listener() as (inner, heard):
        port = inner.rpartition(":")[2]
        elsewhere = [
            f"{inner}/x", f"http://localhost:{port}/x", f"http://[::1]:{port}/", "http://169.254.169.254/latest",
            f"http://127.0.0.1:{peer.port}@127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1/", "//x/", "",
            f"http://0x7f000001:{port}/", f"{peer.issuer}.evil.example.com/jwks", "http://127.0.0.1:99999999/",
        ]  # fmt: skip
        for url in elsewhere:
            document = {
                "issuer": peer.issuer, "jwks_uri": f"{peer.issuer}/jwks", "token_endpoint": f"{peer.issuer}/token",
                field: url,
            }  # fmt: skip
            peer.trouble(discovery={"kind": "text", "text": json.dumps(document)})
            asked = provider(peer)
            with pytest.raises(ProviderUnreachable, match=r"not a configured place|another issuer"):
                await asked.keys()
            await asked.close()
        await asyncio.sleep(0.1)
        assert heard == []


PLACES = {
    "https://id.example.com/x": True, "https://keys.example.com/jwks": True, "https://ID.EXAMPLE.COM/": True,
    "https://id.example.com:443/": False, "http://id.example.com/x": False, "https://other.example.com/": False,
    "https://id.example.com@evil/": False, "https://user:pw@id.example.com/": False, "ftp://id.example.com/": False,
    "https://id.example.com.evil.com/": False, "https:///x": False, "": False, "https://id.example.com:x/": False,
}  # fmt: skip


@pytest.mark.parametrize(("url", "allowed"), PLACES.items())
def test_places_that_are_configured(url: str, allowed: bool) -> None:
    place = Place(issuer="https://id.example.com", client_id="x", hosts=("keys.example.com",))
    assert place.allows(url) is allowed


async def test_nothing_of_a_token_is_in_an_error(peer: OidcPeer) -> None:
    canary = "canary-7b1f"
    for how in ({"kind": "text", "text": "x", "status": 500}, {"kind": "redirect", "to": "http://127.0.0.1:1/"}):
        asked = provider(peer)
        peer.trouble(tokeninfo=how, token=how)
        for ask in (asked.whose, partial(asked.exchange, redirect_uri="", verifier=canary)):
            with pytest.raises((ProviderUnreachable, TokenRefused)) as no:
                await ask(Secret(canary))
            assert canary not in str(no.value)
            assert no.value.__cause__ is None
            assert no.value.__suppress_context__ or no.value.__context__ is None
        peer.trouble()
        await asked.close()
