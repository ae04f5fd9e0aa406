"""The adapter for GitHub's OAuth: whose an access token is, and for which client it was made (threat 14)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.adapters.upstream.github import GithubProvider
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import ProviderUnreachable, TokenRefused
from dragoman.model import Secret
from kit.clock import MovableClock
from kit.github import GithubPeer, ada
from kit.oidc import CLIENT, OTHER_APP, REDIRECT, SECRET

pytestmark = pytest.mark.slow

TIMEOUT = 1.0


@pytest.fixture(scope="module")
def running() -> Iterator[GithubPeer]:
    with GithubPeer() as peer:
        yield peer


@pytest.fixture
def peer(running: GithubPeer) -> Iterator[GithubPeer]:
    running.trouble()
    running.people(ada=ada())
    yield running
    running.thaw()


def provider(peer: GithubPeer, **changes: Any) -> GithubProvider:
    given = {
        "issuer": peer.issuer, "api": f"{peer.issuer}/api", "client_id": CLIENT, "client_secret": Secret(SECRET),
        "scopes": ("read:user", "user:email"), "timeout": TIMEOUT, **changes,
    }  # fmt: skip
    return GithubProvider(Place(**given), MovableClock())


async def test_a_code_brings_a_token_once_and_the_token_its_owner(peer: GithubPeer) -> None:
    asked, verifier = provider(peer), "v" * 43
    code = Secret(peer.code("ada", verifier=verifier))
    issued = await asked.exchange(code, redirect_uri=REDIRECT, verifier=verifier)
    assert issued.id_token is None
    whose = await asked.whose(issued.access_token)
    assert (whose.subject, whose.audience, whose.email) == ("4711", (CLIENT,), "ada@example.com")
    assert whose.email_verified is True
    assert (whose.name, whose.picture) == ("Ada Example", "https://avatars.example.com/4711")
    with pytest.raises(TokenRefused):
        await asked.exchange(code, redirect_uri=REDIRECT, verifier=verifier)
    await asked.close()


async def test_codes_that_are_not_ours(peer: GithubPeer) -> None:
    asked = provider(peer)
    for code, verifier in (
        ("x", None),
        (peer.code("ada", client=OTHER_APP), None),
        (peer.code("ada", verifier="a" * 43), "b" * 43),
    ):
        with pytest.raises(TokenRefused):
            await asked.exchange(Secret(code), redirect_uri="", verifier=verifier)
    await asked.close()


async def test_a_token_made_for_another_application_is_none(peer: GithubPeer) -> None:
    asked = provider(peer)
    for token in (peer.token("ada", client=OTHER_APP), "gho_x", "", "a/b"):
        with pytest.raises(TokenRefused):
            await asked.whose(Secret(token))
    await asked.close()


@pytest.mark.parametrize(
    ("emails", "scope", "found"),
    [
        ([], "user:email", ""),
        ([{"email": "ada@example.com", "primary": True, "verified": False}], "user:email", ""),
        ([{"email": "ada@example.com", "primary": False, "verified": True}], "user:email", ""),
        ([{"email": "ada@example.com", "primary": True, "verified": True}], "read:user", ""),
        ([{"email": "ada@example.com", "primary": True, "verified": True}], "user:email", "ada@example.com"),
    ],
)
async def test_the_primary_address_counts_where_it_is_verified(
    peer: GithubPeer, emails: list[dict[str, Any]], scope: str, found: str
) -> None:
    asked = provider(peer)
    peer.people(ada=ada(emails=emails, public_email="boss@example.com"))
    assert (await asked.whose(Secret(peer.token("ada", scope=scope)))).email == found
    await asked.close()


async def test_a_wrong_secret_is_the_operators_affair(peer: GithubPeer) -> None:
    asked = provider(peer, client_secret=Secret("wrong"))
    with pytest.raises(ProviderUnreachable, match="client id or secret"):
        await asked.exchange(Secret(peer.code("ada")), redirect_uri="", verifier=None)
    with pytest.raises(ProviderUnreachable, match="client id or secret"):
        await asked.reach()
    await asked.close()
    good = provider(peer)
    await good.reach()
    await good.close()


async def by(asked: GithubProvider, peer: GithubPeer, path: str) -> Any:
    """Ask for what takes this path of the provider's."""
    if path == "exchange":
        return await asked.exchange(Secret(peer.code("ada")), redirect_uri="", verifier=None)
    return await asked.whose(Secret(peer.token("ada")))


@pytest.mark.parametrize("path", ["user", "user/emails", "exchange", f"applications/{CLIENT}/token"])
async def test_what_goes_wrong_there(peer: GithubPeer, path: str) -> None:
    how: list[dict[str, Any]] = [
        {"kind": "text", "status": status, "body": body}
        for status, body in ((500, {}), (200, [5]), (200, {"id": "x"}), (200, None), (200, {"user": 5}), (429, {}))
    ]
    how += [{"kind": "redirect", "to": "http://169.254.169.254/"}, {"kind": "slow"}]
    for each in how:
        asked = provider(peer)
        peer.trouble(**{path: each})
        began = time.monotonic()
        with pytest.raises(ProviderUnreachable):
            await by(asked, peer, path)
        assert time.monotonic() - began < TIMEOUT + 1.5
        await asked.close()


async def test_an_owner_who_is_another_than_the_tokens(peer: GithubPeer) -> None:
    asked = provider(peer)
    peer.trouble(user={"kind": "text", "status": 200, "body": {"id": 1, "login": "bob"}})
    with pytest.raises(ProviderUnreachable, match="do not agree"):
        await asked.whose(Secret(peer.token("ada")))
    await asked.close()


async def test_the_page_of_a_flow_of_ours(peer: GithubPeer) -> None:
    asked = provider(peer)
    page = await asked.page(redirect_uri=REDIRECT, state="s", nonce="n", verifier="v" * 43)
    assert page.startswith(f"{peer.issuer}/login/oauth/authorize?")
    assert "code_challenge_method=S256" in page
    assert "scope=read%3Auser+user%3Aemail" in page
    assert (await asked.keys(), await asked.issuer()) == ((), peer.issuer)
    await asked.close()
