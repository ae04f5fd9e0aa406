"""Signing in with a provider's token (contract section 3.2), against real servers of OpenID Connect and of GitHub."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.probe.conftest import BASE
from kit.github import GithubPeer, ada
from kit.house import PASSWORD, House, open_house
from kit.oidc import OTHER_APP, OidcPeer, at_this_moment

pytestmark = pytest.mark.slow

PATH = f"{BASE}/auth/oauth-sign-in"
ADA = {"email": "ada@example.com", "email_verified": True, "given_name": "Ada", "family_name": "Example"}
NOT_VALID = "unauthenticated: provider token is not valid"


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
async def shop(oidc: OidcPeer, github: GithubPeer, tmp_path: Path) -> AsyncIterator[House]:
    """A house that knows Google and GitHub, at their time."""
    given = {
        **oidc.settings(), **github.settings(), "dialects__probe__origins": ["https://app.example.com"],
        "dialects__probe__ret_url_origins": ["https://app.example.com"],
    }  # fmt: skip
    async with open_house(tmp_path, **given) as house:
        yield at_this_moment(house)


def minted(oidc: OidcPeer, **claims: Any) -> str:
    """Return an ID token as the provider signs them, no two alike."""
    return oidc.mint(jti=uuid.uuid4().hex, **claims)


def provider(token: str, name: str = "google", **more: Any) -> dict[str, Any]:
    return {"oauth-provider-token": {"provider": name, "token": token}, **more}


async def send(house: House, body: dict[str, Any], **more: Any) -> httpx2.Response:
    return await house.post(PATH, json=body, **more)


def error(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def cookies(answer: httpx2.Response) -> dict[str, str]:
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}


async def test_an_id_token_of_a_real_sign_in(shop: House, oidc: OidcPeer) -> None:
    person = await shop.ada()
    token = oidc.tokens("ada")["id_token"]
    answer = await send(shop, provider(token))
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(body) == {
        "api-token", "check-auth-result", "current-user", "email", "jwt-token", "oauth-provider-tokens", "ret-url",
        "status", "user-id",
    }  # fmt: skip
    assert body["oauth-provider-tokens"] == [{"provider": "google", "token": token}]
    assert body["check-auth-result"] == {"ok": True, "message": ""}
    assert (body["email"], body["status"]) == ("ada@example.com", "active")
    assert body["user-id"] == int(person.aliases["probe"])
    for held in (body["jwt-token"]["token"], body["api-token"]):
        listed = await shop.get(f"{BASE}/auth/session", headers={"Authorization": f"Bearer {held}"})
        assert len(listed.json()["sessions"]) == 1
    set_here = cookies(answer)
    assert set(set_here) == {"jwt", "dragoman-mark"}
    assert re.search(r"; Path=/; Max-Age=(1209600|1209599); HttpOnly; Secure; SameSite=Lax\Z", set_here["jwt"])


async def test_an_access_token_of_each_provider(shop: House, oidc: OidcPeer, github: GithubPeer) -> None:
    await shop.ada()
    token = oidc.tokens("ada")["access_token"]
    assert (await send(shop, provider(token))).status_code == 200
    token = github.token("ada")
    answer = await send(shop, provider(token, "GitHub"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["oauth-provider-tokens"] == [{"provider": "github", "token": token}]


async def test_a_form(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    form = {"oauth-token[provider]": "google", "oauth-token[token]": minted(oidc, **ADA), "long-term-token": "0"}
    answer = await shop.post(PATH, data=form)
    assert answer.status_code == 200, answer.text
    life = re.search("Max-Age=([0-9]+)", cookies(answer)["jwt"])
    assert life is not None
    assert int(life[1]) in (10799, 10800)


async def test_cookies_alone(shop: House, oidc: OidcPeer) -> None:
    """Neither a body nor a content type; the three cookies are gone afterwards."""
    await shop.ada()
    carried = f"oauth-provider-name=google; oauth-email=ada%40example.com; oauth-provider-token={minted(oidc, **ADA)}"
    answer = await shop.post(PATH, headers={"Cookie": carried})
    assert answer.status_code == 200, answer.text
    cleared = cookies(answer)
    for name in ("oauth-provider-name", "oauth-email", "oauth-provider-token"):
        assert cleared[name].startswith(f"{name}=; Path=/; Max-Age=0")


async def test_cookies_stay_where_it_fails(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    carried = "oauth-provider-name=google; oauth-provider-token=a.b.c"
    answer = await shop.post(PATH, headers={"Cookie": carried})
    assert error(answer) == (401, NOT_VALID)
    assert "set-cookie" not in answer.headers


async def test_the_body_goes_before_the_cookies(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    wrong = {"Cookie": "oauth-provider-name=github; oauth-provider-token=x; oauth-email=bob@example.com"}
    right = provider(minted(oidc, **ADA), email="ada@example.com")
    assert (await send(shop, right, headers=wrong)).status_code == 200
    narrowed = await send(shop, provider(minted(oidc, **ADA)), headers=wrong)
    assert error(narrowed) == (401, NOT_VALID), "the address in the cookie still narrows"


async def test_an_address_only_narrows(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    await shop.add(email="bob@example.com", verified=True)
    answer = await send(shop, provider(minted(oidc, **ADA), email="bob@example.com"))
    assert error(answer) == (401, NOT_VALID)
    assert await shop.sessions() == []
    assert (await send(shop, provider(minted(oidc, **ADA), email="ADA@example.com"))).json()[
        "email"
    ] == "ada@example.com"


async def test_cookies_prove_nothing_by_themselves(shop: House) -> None:
    """An address and a provider's name without a good token are no sign-in (decision 24)."""
    await shop.ada()
    for token in ("", "; oauth-provider-token=ada@example.com"):
        carried = f"oauth-provider-name=google; oauth-email=ada@example.com{token}"
        answer = await shop.post(PATH, headers={"Cookie": carried})
        assert answer.status_code in (400, 401)
    assert await shop.sessions() == []


@pytest.mark.parametrize(
    "wrong", [{"aud": OTHER_APP}, {"iat": 1}, {"exp": 1}, {"iss": "https://evil.example"}, {"sub": None}],
)  # fmt: skip
async def test_tokens_that_prove_nothing(shop: House, oidc: OidcPeer, wrong: dict[str, Any]) -> None:
    await shop.ada()
    answer = await send(shop, provider(minted(oidc, **{**ADA, **wrong})))
    assert error(answer) == (401, NOT_VALID)
    assert answer.json()["status"] == "UNAUTHENTICATED"


async def test_an_id_token_is_good_once(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    token = minted(oidc, **ADA)
    assert (await send(shop, provider(token))).status_code == 200
    assert error(await send(shop, provider(token))) == (401, NOT_VALID)


async def test_what_is_missing_and_unknown(shop: House) -> None:
    cases: list[tuple[dict[str, Any], dict[str, list[str]]]] = [
        ({"json": {}}, {"body": ["#/oauth-provider-token: is required"]}),
        ({}, {"body": ["#/oauth-provider-token: is required"]}),
        ({"data": {"email": "ada@example.com"}}, {"formData:oauth-token": ["#: is required"]}),
        ({"json": provider("x", "myspace")}, {"body": ["#/oauth-provider-token/provider: is not a known provider"]}),
        (
            {"data": {"oauth-token[provider]": "myspace", "oauth-token[token]": "x"}},
            {"formData:oauth-token": ["#/provider: is not a known provider"]},
        ),
        (
            {"headers": {"Cookie": "oauth-provider-name=myspace; oauth-provider-token=x"}},
            {"cookie:oauth-provider-name": ["#: is not a known provider"]},
        ),
        (
            {"json": provider("x"), "headers": {"Cookie": "oauth-email=nobody"}},
            {"cookie:oauth-email": ["#: is no email address"]},
        ),
        (
            {"json": {"oauth-provider-token": {"provider": "google"}}},
            {"body": ["#/oauth-provider-token/token: is required"]},
        ),
        ({"json": provider("x", email="a@b")}, {"body": ["#/email: length must be >= 5"]}),
        ({"json": provider("x", **{"check-auth": 3})}, {"body": ["#/check-auth: must be bool, got int"]}),
    ]  # fmt: skip
    for sent, context in cases:
        answer = await shop.post(PATH, **sent)
        assert (answer.status_code, answer.json()["context"]) == (400, context)


async def test_a_dry_run(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    token = minted(oidc, **ADA)
    wanted = provider(token, **{"check-auth": True, "ret-url": "https://app.example.com/x"})
    answer = await send(shop, wanted)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "check-auth-result": {"ok": True, "message": ""}, "current-user": None, "oauth-provider-tokens": [],
            "ret-url": "https://app.example.com/x",
        },
    )  # fmt: skip
    assert "set-cookie" not in answer.headers
    assert await shop.sessions() == []
    assert (await send(shop, provider(token))).status_code == 200, "the token was not used up"
    bad = await send(shop, provider("a.b.c", **{"check-auth": True}))
    assert (bad.status_code, bad.json()["check-auth-result"]) == (200, {"ok": False, "message": NOT_VALID})
    unknown = await send(shop, provider("a.b.c", "myspace", **{"check-auth": True}))
    assert unknown.status_code == 400


async def test_a_dry_run_makes_no_account(oidc: OidcPeer, tmp_path: Path) -> None:
    async with open_house(tmp_path, **oidc.settings(first_sign_in="refuse")) as house:
        at_this_moment(house)
        answer = await send(house, provider(minted(oidc, **ADA), **{"check-auth": True}))
        said = {"ok": False, "message": "unauthenticated: no account belongs to this identity"}
        assert answer.json()["check-auth-result"] == said
        assert error(await send(house, provider(minted(oidc, **ADA)))) == (401, said["message"])


async def test_somebody_new_is_added_where_the_provider_may(shop: House, oidc: OidcPeer) -> None:
    answer = await send(shop, provider(minted(oidc, **{**ADA, "sub": "new", "email": "new@example.com"})))
    assert (answer.json()["status"], answer.json()["email"]) == ("active", "new@example.com")


async def test_somebody_new_without_a_proved_address_is_pending(shop: House, oidc: OidcPeer) -> None:
    claims = {**ADA, "sub": "odd", "email": "odd@example.com", "email_verified": False}
    answer = await send(shop, provider(minted(oidc, **claims)))
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    assert "jwt-token" not in answer.json()
    assert "api-token" not in answer.json()
    assert await shop.sessions() == []
    assert "set-cookie" not in answer.headers


async def test_a_second_factor(shop: House, oidc: OidcPeer) -> None:
    person = await shop.ada()
    first = await send(shop, provider(minted(oidc, **ADA)))
    assert first.status_code == 200
    totp = await shop.enrol_totp(person)
    token = minted(oidc, **ADA)
    asked = await send(shop, provider(token))
    assert error(asked) == (401, "unauthenticated: second factor required")
    assert asked.json()["context"] == {"second-factor": ["totp"]}
    wrong = await send(shop, provider(token, code=totp.wrong()))
    assert error(wrong) == (401, "unauthenticated: wrong second factor code")
    assert (await send(shop, provider(token, code=totp.code()))).status_code == 200
    by_header = await send(shop, provider(minted(oidc, **ADA)), headers={"X-2FA-Code": totp.code()})
    assert by_header.status_code == 200


async def test_logout_other_and_current_user(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    before = (await shop.post(f"{BASE}/auth/sign-in", json={"email": "ada@example.com", "password": PASSWORD})).json()
    bearer = {"Authorization": f"Bearer {before['jwt-token']['token']}"}
    fields = {"logout-other": True, "current-user": "ada@example.com"}
    answer = await send(shop, provider(minted(oidc, **ADA), **fields), headers=bearer)
    assert answer.json()["current-user"] == "ada@example.com"
    assert (await shop.get(f"{BASE}/auth/session", headers=bearer)).status_code == 401
    assert answer.json()["api-token"] == before["api-token"]
    alone = await send(shop, provider(minted(oidc, **ADA), **fields))
    assert alone.json()["current-user"] is None


async def test_a_suspended_account(shop: House, oidc: OidcPeer) -> None:
    person = await shop.ada()
    await send(shop, provider(minted(oidc, **ADA)))
    await shop.core.life.set_status(person.account, "suspended")
    answer = await send(shop, provider(minted(oidc, **ADA)))
    assert error(answer) == (403, "permission denied: account is suspended")


async def test_an_administrator_is_never_linked_by_address(shop: House, oidc: OidcPeer) -> None:
    await shop.ada(administrator=True)
    answer = await send(shop, provider(minted(oidc, **ADA)))
    assert error(answer) == (403, "permission denied: link the provider first")


async def test_a_page_of_another_origin(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    body = provider(minted(oidc, **ADA))
    foreign = await send(shop, body, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert foreign.json()["context"] == {"header:Origin": ["#: is not an allowed origin"]}
    own = await send(shop, body, headers={"Origin": "https://app.example.com"})
    assert own.status_code == 200, own.text
    assert own.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_a_provider_that_gives_no_answer(shop: House, oidc: OidcPeer) -> None:
    await shop.ada()
    oidc.trouble(jwks={"status": 500}, tokeninfo={"status": 500})
    for body in (provider("an-access-token"), provider("an-access-token", **{"check-auth": True})):
        answer = await send(shop, body)
        assert (answer.status_code, answer.json()["status"]) == (503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0


async def test_too_many_bad_tokens_block_the_network(oidc: OidcPeer, tmp_path: Path) -> None:
    async with open_house(tmp_path, limits__network_5_minutes=3, **oidc.settings()) as house:
        at_this_moment(house)
        for _ in range(3):
            assert (await send(house, provider("a.b.c"))).status_code == 401
        answer = await send(house, provider("a.b.c"))
        assert (answer.status_code, answer.json()["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(answer.headers["retry-after"]) > 0
