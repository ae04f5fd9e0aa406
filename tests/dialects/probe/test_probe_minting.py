"""JWTs for other programs, and sessions by their ids (contract section 7; decisions 20, 22, 25; threat 27)."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import httpx2
import pytest

from dragoman.core.signin import CHILDREN_KEPT
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

BASE = "/frontend/api/v1/auth"
JWT = f"{BASE}/jwt"
SESSION = f"{BASE}/session"
NOT_WITH_A_TOKEN = "permission denied: not with an API token"


def said(token: str) -> dict[str, Any]:
    """Return what a JWT says."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


class Ada:
    """Ada with a JWT and the API token of her account."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def sign_in(self, **more: Any) -> Ada:
        body = {"email": "ada@example.com", "password": PASSWORD, **more}
        answer = (await self.house.post(f"{BASE}/sign-in", json=body)).json()
        self.jwt, self.api = answer["jwt-token"]["token"], answer["api-token"]
        return self

    async def ask(self, method: str, path: str, token: str = "", **wanted: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token or self.jwt}"}
        return await self.house.request(method, path, headers=headers, **wanted)

    async def made(self, **body: Any) -> str:
        answer = await self.ask("POST", JWT, json=body)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    async def opens(self, token: str) -> bool:
        return (await self.ask("GET", SESSION, token)).status_code == 200


@pytest.fixture
async def ada(any_house: House) -> Ada:
    await any_house.ada()
    return await Ada(any_house).sign_in()


# ---------------------------------------------------------------- what is made


@pytest.mark.parametrize(("long", "ends"), [(True, "2026-12-06T00:00:00Z"), (False, "2026-11-22T03:00:00Z")])
async def test_a_jwt_is_made_with_claims_below_one_claim(ada: Ada, long: bool, ends: str) -> None:
    claims = {"player": "lobby", "sub": "1", "exp": 9_999_999_999, "aud": "else", "list": [1, {"deep": True}]}
    answer = (await ada.ask("POST", JWT, json={"claims": claims, "long-term-token": long})).json()
    assert set(answer) == {"expire", "token"}
    assert answer["expire"] == ends
    whole, own = said(answer["token"]), said(ada.jwt)
    assert whole.pop("claims") == claims
    assert set(whole) == set(own) == {"sub", "jti", "iat", "exp", "aud", "type"}
    assert (whole["sub"], whole["aud"], whole["type"]) == (own["sub"], "probe", "session")
    assert whole["jti"] != own["jti"]
    assert await ada.opens(answer["token"])


async def test_without_claims_there_is_no_claim(ada: Ada) -> None:
    for body in ({}, {"claims": {}}, {"claims": None}):
        assert "claims" not in said(await ada.made(**body))
    answer = await ada.ask("POST", JWT, data={"long-term-token": "0", "claims[player]": "lobby"})
    assert said(answer.json()["token"])["claims"] == {"player": "lobby"}


@pytest.mark.parametrize(
    "body",
    [
        {"claims": {"x": "y" * 2048}},
        {"claims": {"a": {"b": {"c": {"d": {"e": {}}}}}}},
        {"claims": [1]},
        {"claims": "x"},
        {"claims": {"nul": "\x00"}},
        {"claims": {"large": 10**30}},
        {"long-term-token": "perhaps"},
        {"permissions": ["read:everything"]},
        {"permissions": {}},
    ],
)  # fmt: skip
async def test_bad_input_is_400_and_makes_nothing(ada: Ada, body: Any) -> None:
    before = await ada.house.sessions()
    answer = await ada.ask("POST", JWT, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "INVALID_ARGUMENT"), answer.text
    assert await ada.house.sessions() == before


async def test_the_largest_claims_still_fit_into_a_header(ada: Ada) -> None:
    token = await ada.made(claims={"x": "y" * (2048 - len('{"x":""}'))})
    assert await ada.opens(token)
    assert await ada.opens(token)


# ---------------------------------------------------------------- what it may


async def test_it_wants_a_session_of_one_s_own_freshly_proved(ada: Ada) -> None:
    minted, held = await ada.made(), await ada.made(permissions=["read:media"])
    for token, error in (
        (ada.api, NOT_WITH_A_TOKEN),
        (held, NOT_WITH_A_TOKEN),
        (minted, "permission denied: sign in again first"),
    ):
        answer = await ada.ask("POST", JWT, token, json={})
        assert (answer.status_code, answer.json()["error"]) == (403, error)
    ada.house.clock.move(601)
    answer = await ada.ask("POST", JWT, json={})
    assert (answer.status_code, answer.json()["error"]) == (403, "permission denied: sign in again first")


async def test_one_made_so_makes_no_other_even_with_the_password(ada: Ada) -> None:
    minted = await ada.made()
    changed = {"old-password": PASSWORD, "new-password": "another horse battery"}
    assert (await ada.ask("PUT", f"{BASE}/current/password", minted, json=changed)).status_code == 204
    answer = await ada.ask("POST", JWT, minted, json={})
    assert (answer.status_code, answer.json()["error"]) == (403, "permission denied")


async def test_one_made_so_makes_no_api_tokens_and_shows_none(ada: Ada) -> None:
    minted = await ada.made()
    answer = await ada.ask("POST", f"{BASE}/api-token", minted, json={})
    assert (answer.status_code, answer.json()["error"]) == (403, "permission denied: sign in again first")
    (shown,) = (await ada.ask("GET", f"{BASE}/api-token", minted)).json()["api-tokens"]
    assert shown["token"] == "*" * 58 + ada.api[-6:]


FOR_CLIENTS = [
    ("GET", f"{BASE}/api-token", None), ("POST", f"{BASE}/api-token", {}), ("POST", JWT, {}), ("DELETE", SESSION, None),
    ("DELETE", f"{SESSION}/{uuid.UUID(int=0)}", None),
    ("PUT", f"{BASE}/current/password", {"old-password": PASSWORD, "new-password": "another horse battery"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), FOR_CLIENTS)
async def test_held_to_permissions_it_is_what_a_key_is(ada: Ada, method: str, path: str, body: Any) -> None:
    held = await ada.made(permissions=["read:media"])
    answer = await ada.ask(method, path, held, **({} if body is None else {"json": body}))
    assert (answer.status_code, answer.json()["error"]) == (403, NOT_WITH_A_TOKEN)
    assert await ada.opens(ada.jwt)
    assert await ada.opens(held)


@pytest.mark.parametrize("path", ["/v1/probe/file", "/v1/probe/mediastreamvalidator"])
async def test_no_jwt_opens_what_takes_api_tokens_only(ada: Ada, path: str) -> None:
    for token in (ada.jwt, await ada.made()):
        for method in ("GET", "POST"):
            assert (await ada.ask(method, path, token)).status_code == 404


# ---------------------------------------------------------------- its end


async def test_it_ends_with_its_parent_however_that_ends(ada: Ada) -> None:
    ways: list[tuple[str, str]] = [("DELETE", f"{BASE}/sign-out"), ("DELETE", SESSION)]
    (own,) = [s["id"] for s in (await ada.ask("GET", SESSION)).json()["sessions"]]
    ways.append(("DELETE", f"{SESSION}/{own}"))
    for method, path in reversed(ways):
        minted = await ada.made()
        assert (await ada.ask(method, path)).status_code in (200, 204)
        assert not await ada.opens(minted)
        await ada.sign_in()
    minted, other = await ada.made(), ada.jwt
    await ada.sign_in(**{"logout-other": True})
    assert not await ada.opens(other)
    assert not await ada.opens(minted)


async def test_it_never_outlives_its_parent(ada: Ada) -> None:
    await ada.sign_in(**{"long-term-token": False})
    ada.house.clock.move(300)
    answer = (await ada.ask("POST", JWT, json={"long-term-token": True})).json()
    assert answer["expire"] == "2026-11-22T03:00:00Z"
    assert await ada.opens(answer["token"])
    ada.house.clock.move(3 * 3600 - 300)
    assert not await ada.opens(answer["token"])


async def test_it_signs_itself_out_and_its_parent_stays(ada: Ada) -> None:
    minted = await ada.made()
    assert (await ada.ask("DELETE", f"{BASE}/sign-out", minted)).json()["success"] is True
    assert not await ada.opens(minted)
    assert await ada.opens(ada.jwt)


async def test_their_number_is_bounded_the_oldest_go(ada: Ada) -> None:
    tokens = []
    for _ in range(CHILDREN_KEPT + 1):
        ada.house.clock.move(1)
        tokens.append(await ada.made())
    assert [await ada.opens(token) for token in tokens[:3]] == [False, True, True]
    assert await ada.opens(tokens[-1])
    assert await ada.opens(ada.jwt)


async def test_they_are_folded_in_the_list_and_have_their_event(ada: Ada) -> None:
    minted = await ada.made()
    for token in (ada.jwt, minted):
        assert len((await ada.ask("GET", SESSION, token)).json()["sessions"]) == 1
    (newest, *_) = [e for e in await ada.house.core.newest_events(5) if e.kind == "signed_in"]
    assert newest.session == uuid.UUID(said(minted)["jti"]).bytes
    assert dict(newest.detail) == {"proof": "password", "policy": "child"}


# ---------------------------------------------------------------- sessions by id


async def test_a_session_is_shown_by_its_id(ada: Ada) -> None:
    (own,) = (await ada.ask("GET", SESSION)).json()["sessions"]
    for token in (ada.jwt, ada.api, await ada.made(permissions=[])):
        answer = await ada.ask("GET", f"{SESSION}/{own['id']}", token)
        assert (answer.status_code, answer.json()) == (200, own)
    assert (await ada.ask("GET", f"{SESSION}/{own['id'].upper()}")).status_code == 200
    child = said(await ada.made())["jti"]
    assert (await ada.ask("GET", f"{SESSION}/{child}")).json()["id"] == child


async def test_unknown_ended_foreign_and_keys_are_404_alike(ada: Ada) -> None:
    house = ada.house
    await house.add(email="bob@example.com", username="bob", verified=True)
    bob = (await house.post(f"{BASE}/sign-in", json={"email": "bob@example.com", "password": PASSWORD})).json()
    ended = said(await ada.made())["jti"]
    assert (await ada.ask("DELETE", f"{SESSION}/{ended}")).status_code == 204
    (key,) = (await ada.ask("GET", f"{BASE}/api-token")).json()["api-tokens"]
    for id in (str(uuid.UUID(int=7)), ended, said(bob["jwt-token"]["token"])["jti"], key["id"]):
        answer = await ada.ask("GET", f"{SESSION}/{id}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not found")
    for id in ("x", "0" * 32, "{" + str(uuid.UUID(int=7)) + "}"):
        answer = await ada.ask("GET", f"{SESSION}/{id}")
        assert (answer.status_code, set(answer.json()["context"])) == (400, {"path:session-id"})


async def test_whoever_manages_somebody_sees_the_session_with_the_permission(ada: Ada) -> None:
    """Root reaches everybody (decision 12), by a JWT or a token that is not held to less."""
    body = {"email": "root@example.com", "password": "root's own password"}
    root = (await ada.house.post(f"{BASE}/sign-in", json=body)).json()
    id, jwt = said(ada.jwt)["jti"], root["jwt-token"]["token"]
    for named, status in (([], 403), (["read:sub-user"], 403), (["read:user"], 200), (None, 200)):
        made = await ada.ask("POST", JWT, jwt, json={"permissions": named})
        key = await ada.ask("POST", f"{BASE}/api-token", jwt, json={"permissions": named})
        for token in (made.json()["token"], key.json()["token"]):
            answer = await ada.ask("GET", f"{SESSION}/{id}", token)
            assert answer.status_code == status, named
    assert answer.json()["id"] == id


# ---------------------------------------------------------------- permissions


@pytest.mark.parametrize("path", [JWT, f"{BASE}/api-token"])
async def test_nothing_is_held_to_what_its_account_may_not(ada: Ada, path: str) -> None:
    for named in (["write:admin"], ["read:media", "read:user"]):
        answer = await ada.ask("POST", path, json={"permissions": named})
        assert (answer.status_code, answer.json()["status"]) == (403, "PERMISSION_DENIED")
    answer = await ada.ask("PUT", f"{BASE}/api-token/{ada.api}", json={"permissions": ["write:admin"]})
    assert answer.status_code == 403


OPENS: list[tuple[str, str, Any, str]] = [
    ("GET", "/frontend/api/v1/user/current", None, "read:profile"),
    ("PUT", "/frontend/api/v1/user/current", {"first-name": "Ada"}, "read:profile"),
    ("GET", "/frontend/api/v1/user", None, "read:sub-user"),
    ("GET", "/frontend/api/v1/user/{sub}", None, "read:sub-user"),
    ("PUT", "/frontend/api/v1/user/{sub}", {"first-name": "Sub"}, "write:sub-user"),
    ("GET", f"{SESSION}?user-id={{sub}}", None, "read:sub-user"),
]
NEEDS_NONE = [("GET", SESSION, None), ("DELETE", f"{BASE}/sign-out", None)]


async def credentials(ada: Ada, named: list[str] | None) -> list[str]:
    """Return an API token and a JWT that are held to these permissions."""
    made = await ada.ask("POST", f"{BASE}/api-token", json={"permissions": named})
    return [made.json()["token"], await ada.made(permissions=named)]


async def test_each_permission_opens_what_it_names_and_nothing_else(ada: Ada) -> None:
    house = ada.house
    account = await house.core.accounts.named("ada@example.com")
    sub = await house.add(username="sub", parent=account.id, organization=account.organization, verified=True)
    number = sub.aliases["probe"]
    for method, path, body, permission in OPENS:
        sent = {} if body is None else {"json": body}
        for named in ([permission], ["read:media"], [], None):
            for token in await credentials(ada, named):
                answer = await ada.ask(method, path.replace("{sub}", number), token, **sent)
                opens = named is None or permission in named
                assert answer.status_code == (200 if opens else 403), (method, path, named, answer.text)
                if not opens:
                    assert answer.json()["error"].startswith("permission denied")
    for method, path, _ in NEEDS_NONE:
        for token in await credentials(ada, []):
            assert (await ada.ask(method, path, token)).status_code == 200


async def test_what_an_account_loses_its_credentials_lose_at_once(ada: Ada) -> None:
    house = ada.house
    root = {"email": "root@example.com", "password": "root's own password"}
    jwt = (await house.post(f"{BASE}/sign-in", json=root)).json()["jwt-token"]["token"]
    held = await credentials(ada, ["read:profile", "read:sub-user"])
    account = await house.core.accounts.named("ada@example.com")
    number = (await house.core.accounts.person(account)).aliases["probe"]
    changed = await ada.ask("PUT", f"/frontend/api/v1/user/{number}", jwt, json={"permissions": ["read:profile"]})
    assert changed.status_code == 200, changed.text
    for token in held:
        assert (await ada.ask("GET", "/frontend/api/v1/user", token)).status_code == 403
        assert (await ada.ask("GET", "/frontend/api/v1/user/current", token)).status_code == 200
    shown = await ada.ask("GET", f"{BASE}/api-token/{held[0]}", held[0])
    assert set(shown.json()["permissions"]) == {"read:profile"}
