"""Signing in with Google, GitHub and Microsoft (contract section 7, "Outside providers"), against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.flashback.talk import assert_no, bearer, claims, log_in, profile
from kit.github import GithubPeer, ada
from kit.house import House, open_house
from kit.oidc import OTHER_APP, REDIRECT, OidcPeer, at_this_moment

pytestmark = pytest.mark.slow

ADA = {
    "email": "ada@example.com", "email_verified": True, "name": "Ada Example", "given_name": "Ada",
    "family_name": "Example", "picture": "https://id.example.com/ada.png",
}  # fmt: skip
STATE = ["user", "token", "accessToken", "refreshToken", "expiresAt", "provider"]
FLAT = ["success", "accessToken", "refreshToken", "tokenId", "expiresAt", "message", "user", "token", "authState"]


@pytest.fixture(scope="module")
def peers() -> Iterator[tuple[OidcPeer, GithubPeer]]:
    with OidcPeer() as oidc, GithubPeer() as github:
        yield oidc, github


@pytest.fixture
def oidc(peers: tuple[OidcPeer, GithubPeer]) -> OidcPeer:
    peers[0].trouble()
    peers[0].people(ada=ADA)
    return peers[0]


@pytest.fixture
def github(peers: tuple[OidcPeer, GithubPeer]) -> GithubPeer:
    peers[1].trouble()
    peers[1].people(ada=ada())
    return peers[1]


@pytest.fixture
async def fb(oidc: OidcPeer, github: GithubPeer, tmp_path: Path) -> AsyncIterator[House]:
    """A house that knows all three, at the providers' time."""
    given = {**oidc.settings(), **oidc.settings("microsoft", trust="all"), **github.settings()}
    async with open_house(tmp_path, **given) as house:
        yield at_this_moment(house)


async def send(house: House, path: str, **body: Any) -> httpx2.Response:
    # The client sets the provider's token as its bearer before these calls.
    return await house.post(f"/auth/{path}", json=body, headers=bearer("a.stale.one"))


async def test_an_id_token_of_a_real_sign_in(fb: House, oidc: OidcPeer) -> None:
    token = oidc.tokens("ada")["id_token"]
    device = {"deviceType": "DESKTOP", "os": "Linux", "browser": "Firefox", "userAgent": "x"}
    answer = await send(fb, "google", token=token, deviceInfo=device)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert list(body) == FLAT
    assert body["token"] == token, "the provider's own, echoed"
    assert body["message"] == "Signed in"
    assert body["user"]["email"] == "ada@example.com"
    assert (body["user"]["name"], body["user"]["orgRole"]) == ("Ada Example", 255)
    assert list(body["authState"]) == STATE
    assert body["authState"]["user"] == {
        "email": "ada@example.com", "name": "Ada Example", "imageUrl": "https://id.example.com/ada.png"
    }  # fmt: skip
    assert body["authState"]["token"] == body["accessToken"]
    assert body["authState"]["accessToken"] == token
    assert body["authState"]["refreshToken"] == body["refreshToken"]
    assert body["authState"]["provider"] == "GOOGLE"
    assert claims(body["accessToken"])["email"] == "ada@example.com"
    shown = (await profile(fb, body["accessToken"])).json()["data"]
    assert (shown["validated"], shown["isBusiness"], shown["name"]) == (True, True, "Ada")


async def test_an_access_token_of_ours_and_of_another_app(fb: House, oidc: OidcPeer) -> None:
    own, foreign = oidc.tokens("ada"), oidc.tokens("ada", client=OTHER_APP)
    assert (await send(fb, "google", token=own["access_token"])).status_code == 200
    assert_no(await send(fb, "google", token=foreign["access_token"]), 401, "INVALID_PROVIDER_TOKEN")
    assert_no(await send(fb, "google", token=foreign["id_token"]), 401, "INVALID_PROVIDER_TOKEN")


@pytest.mark.parametrize("provider", ["google", "microsoft"])
async def test_a_code_with_pkce(fb: House, oidc: OidcPeer, provider: str) -> None:
    grant = oidc.sign_in("ada")
    given = {"code": grant.code, "codeVerifier": grant.verifier, "redirectUri": REDIRECT, "nonce": grant.nonce}
    answer = await send(fb, f"{provider}/exchange", **given)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert list(body) == FLAT
    assert body["token"] == body["accessToken"] == body["authState"]["token"], "the platform's: it works as bearer"
    assert body["authState"]["provider"] == provider.upper()
    assert body["authState"]["accessToken"] not in ("", body["accessToken"])
    assert (await profile(fb, body["token"])).status_code == 200
    assert_no(await send(fb, f"{provider}/exchange", **given), 401, "INVALID_PROVIDER_TOKEN")


async def test_codes_that_are_none(fb: House, oidc: OidcPeer) -> None:
    for change in (
        {"code": "x"}, {"codeVerifier": "b" * 43}, {"nonce": "another"}, {"redirectUri": "https://evil.example.com/"},
        {"code": "\u202e"}, {"code": "x" * 16_384},
    ):  # fmt: skip
        grant = oidc.sign_in("ada")
        given = {"code": grant.code, "codeVerifier": grant.verifier, "nonce": grant.nonce, **change}
        assert_no(await send(fb, "google/exchange", **given), 401, "INVALID_PROVIDER_TOKEN")
    assert await fb.sessions() == []


async def test_github(fb: House, github: GithubPeer) -> None:
    answer = await send(fb, "github", code=github.code("ada"))
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert list(body) == FLAT
    state = body["authState"]
    assert state["user"] == {
        "email": "ada@example.com", "name": "Ada Example", "imageUrl": "https://avatars.example.com/4711"
    }  # fmt: skip
    assert state["token"] == body["token"] == body["accessToken"]
    assert state["accessToken"].startswith("gho_")
    assert (state["expiresAt"], state["provider"]) == (body["expiresAt"], "GITHUB")
    assert_no(await send(fb, "github", code="x"), 401, "INVALID_PROVIDER_TOKEN")
    assert_no(await send(fb, "github", code=github.code("ada", client=OTHER_APP)), 401, "INVALID_PROVIDER_TOKEN")
    again = (await send(fb, "github", code=github.code("ada"))).json()
    assert again["user"] == body["user"]


@pytest.mark.parametrize("provider", ["google", "github", "microsoft"])
async def test_refreshing(fb: House, oidc: OidcPeer, provider: str) -> None:
    held = (await send(fb, "google", token=oidc.mint())).json()
    answer = await send(fb, f"{provider}/refresh", refresh_token=held["refreshToken"])
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["success", "accessToken", "refreshToken", "expiresAt", "token"]
    assert body["token"] == body["accessToken"] != held["accessToken"]
    assert (await profile(fb, body["token"])).status_code == 200
    again = await fb.post("/user/refresh", json={"refreshToken": body["refreshToken"]})
    assert again.status_code == 200, "it is the same chain"
    for token in ("1//0gProvidersOwn", "x", oidc.mint()):
        assert_no(await send(fb, f"{provider}/refresh", refresh_token=token), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await send(fb, f"{provider}/refresh"), 400, "INVALID_REQUEST")


async def test_a_second_factor_is_asked_for_all_the_same(fb: House, oidc: OidcPeer) -> None:
    first = (await send(fb, "google", token=oidc.mint(email="ada@example.com", email_verified=True))).json()
    person = await fb.core.accounts.person(await fb.core.accounts.named("ada@example.com"))
    totp = await fb.enrol_totp(person)
    answer = await send(fb, "google", token=oidc.mint(jti="2"))
    body = answer.json()
    assert answer.status_code == 200
    assert body["message"] == "Second factor required"
    assert "refreshToken" not in body
    assert "tokenId" not in body
    assert body["authState"]["refreshToken"] is None
    assert body["authState"]["accessToken"] is None
    assert claims(body["accessToken"])["type"] == "mfa_pending"
    assert await fb.sessions() == []
    assert_no(await profile(fb, first["accessToken"]), 401, "NO_AUTH_USER")
    verified = await fb.post(
        "/mfa/verify-login", json={"mfaType": "GOOGLE_AUTH", "code": totp.code()}, headers=bearer(body["accessToken"])
    )
    assert (await profile(fb, verified.json()["fullAccessToken"])).status_code == 200


async def test_wallets_are_refused(fb: House) -> None:
    body = {"address": "G...", "network": "stellar", "signature": "x", "nonce": "x"}
    assert_no(await send(fb, "web3", **body), 400, "PROVIDER_NOT_AVAILABLE")
    assert_no(await fb.post("/auth/web3"), 400, "PROVIDER_NOT_AVAILABLE")


async def test_providers_that_are_not_configured(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for path, body in (("google", {"token": "x"}), ("github", {"code": "x"}), ("google/exchange", {"code": "x"}),
                           ("microsoft", {"token": "x"}), ("microsoft/exchange", {"code": "x"})):  # fmt: skip
            assert_no(await send(house, path, **body), 400, "PROVIDER_NOT_AVAILABLE")


async def test_a_provider_that_is_down(fb: House, oidc: OidcPeer) -> None:
    await fb.ada()
    oidc.trouble(discovery={"kind": "text", "text": "", "status": 503})
    answer = await send(fb, "google", token=oidc.mint())
    assert_no(answer, 503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert "accessToken" in await log_in(fb), "nobody else waits for it"


@pytest.mark.parametrize("path", ["google", "microsoft"])
@pytest.mark.parametrize("body", [{}, {"token": 5}, {"token": ""}, {"token": None}, {"token": "x" * 16_385}, []])
async def test_bodies_that_do_not_fit(fb: House, path: str, body: Any) -> None:
    assert_no(await fb.post(f"/auth/{path}", json=body), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["github", "google/exchange", "microsoft/exchange"])
@pytest.mark.parametrize(
    "body", [{}, {"code": 5}, {"code": ""}, {"code": "x", "codeVerifier": "short"}, {"code": "x", "redirectUri": 5}]
)
async def test_codes_that_do_not_fit(fb: House, path: str, body: Any) -> None:
    assert_no(await fb.post(f"/auth/{path}", json=body), 400, "INVALID_REQUEST")


async def test_tokens_that_are_nothing(fb: House) -> None:
    for token in ("x", "..", "a.b.c", "é", "a b", "x" * 16_384, "." * 100, "null"):
        assert_no(await send(fb, "google", token=token), 401, "INVALID_PROVIDER_TOKEN")
