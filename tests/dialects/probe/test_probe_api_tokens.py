"""API tokens of one's own: making, listing, renewing, ending, what they open (contract section 7; decisions 17, 22)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest

from dragoman.core.access_keys import MOST
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

BASE = "/frontend/api/v1/auth"
TOKENS = f"{BASE}/api-token"
SESSION = f"{BASE}/session"
FRESH = {"status": "PERMISSION_DENIED", "code": 0, "error": "permission denied: sign in again first", "context": {}}
UNKNOWN = {"status": "NOT_FOUND", "code": 0, "error": "not found: no such API token", "context": {}}
NOT_WITH_A_TOKEN = "permission denied: not with an API token"


def bearer(token: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


class Ada:
    """Ada with a JWT and the API token of her account."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def sign_in(self, **more: Any) -> Ada:
        body = {"email": "ada@example.com", "password": PASSWORD, **more}
        answer = (await self.house.post(f"{BASE}/sign-in", json=body)).json()
        self.jwt, self.api = answer["jwt-token"]["token"], answer["api-token"]
        return self

    async def ask(self, method: str, path: str = TOKENS, token: str = "", **wanted: Any) -> httpx2.Response:
        return await self.house.request(method, path, **bearer(token or self.jwt), **wanted)

    async def made(self, **body: Any) -> dict[str, Any]:
        answer = await self.ask("POST", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def listed(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.ask("GET", TOKENS + query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["api-tokens"]
        return found

    async def opens(self, token: str) -> bool:
        return (await self.ask("GET", SESSION, token)).status_code == 200


@pytest.fixture
async def ada(any_house: House) -> Ada:
    await any_house.ada()
    return await Ada(any_house).sign_in()


# ---------------------------------------------------------------- making


async def test_a_token_is_made_shown_and_opens(ada: Ada) -> None:
    made = await ada.made(permissions=["read:media", "read:profile"], ttl=3600, name="ci")
    assert set(made) == {
        "token", "id", "name", "created", "updated", "expired", "expires-at", "permissions", "restrictions"
    }  # fmt: skip
    token = made["token"]
    assert len(token) == 64
    assert set(token) <= set("0123456789abcdef")
    assert uuid.UUID(made["id"]).version == 7
    assert (made["name"], made["expired"], made["restrictions"]) == ("ci", False, {})
    assert (made["created"], made["updated"]) == ("2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z")
    assert made["expires-at"] == "2026-11-22T01:00:00Z"
    assert made["permissions"] == {
        "read:media": {"name": "read:media", "scopes": []}, "read:profile": {"name": "read:profile", "scopes": []},
    }  # fmt: skip
    assert await ada.opens(token)
    (await ada.house.get(SESSION, params={"token": token})).raise_for_status()


async def test_without_a_body_s_fields_it_never_ends_and_may_what_its_account_may(ada: Ada) -> None:
    for body in ({}, {"ttl": 0}, {"permissions": None}):
        made = await ada.made(**body)
        assert made["expires-at"] is None
        assert made["name"].startswith("token ")
        ada.house.clock.move(1)
    ada.house.clock.move(80 * 24 * 3600)
    assert await ada.opens(made["token"])


async def test_every_token_is_another_and_beside_the_one_of_sign_ins(ada: Ada) -> None:
    tokens = {ada.api} | {(await ada.made())["token"] for _ in range(3)}
    assert len(tokens) == 4
    await ada.sign_in()
    assert ada.api in tokens, "sign-ins show the same as before"
    for token in tokens:
        assert await ada.opens(token)


async def test_a_form_makes_one_too(ada: Ada) -> None:
    answer = await ada.ask("POST", data={"ttl": "60", "permissions[]": ["read:media", "read:profile"]})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["permissions"]) == {"read:media", "read:profile"}


@pytest.mark.parametrize(
    ("body", "context"),
    [
        ({"ttl": -1}, "body"),
        ({"ttl": "soon"}, "body"),
        ({"ttl": 1.5}, "body"),
        ({"ttl": 2**31}, "body"),
        ({"ttl": 2**63}, "body"),
        ({"ttl": None}, "body"),
        ({"permissions": "read:media"}, "body"),
        ({"permissions": ["read:everything"]}, "body"),
        ({"permissions": [7]}, "body"),
        ({"permissions": ["read:media"] * 51}, "body"),
        ({"name": ""}, "body"),
        ({"name": "x" * 256}, "body"),
        ([], "body"),
    ],
)
async def test_bad_input_is_400_and_makes_nothing(ada: Ada, body: Any, context: str) -> None:
    before = await ada.listed()
    answer = await ada.ask("POST", json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "INVALID_ARGUMENT")
    assert set(answer.json()["context"]) == {context}
    assert await ada.listed() == before


async def test_names_are_one_s_own_and_the_one_of_sign_ins_is_not_to_be_had(ada: Ada) -> None:
    await ada.made(name="ci")
    answer = await ada.ask("POST", json={"name": "ci"})
    assert (answer.status_code, answer.json()["status"]) == (409, "ALREADY_EXISTS")
    for name in ("probe_api", "two\nlines", "\x7f"):
        assert (await ada.ask("POST", json={"name": name})).status_code == 400, name


async def test_their_number_is_bounded_and_what_has_run_out_makes_room(ada: Ada) -> None:
    for number in range(MOST - 1):
        await ada.made(ttl=60 if number == 0 else 0)
    answer = await ada.ask("POST", json={})
    assert (answer.status_code, answer.json()["error"]) == (
        403, "permission denied: there are as many API tokens as there may be",
    )  # fmt: skip
    ada.house.clock.move(61)
    await ada.made()
    assert (await ada.ask("POST", json={})).status_code == 403


async def test_its_owner_is_told_and_the_trail_says_who(ada: Ada) -> None:
    made = await ada.made(name="ci")
    (letter,) = await ada.house.letters("key_added")
    assert (letter.to, letter.values["key"], letter.values["address"]) == ("ada@example.com", "ci", "192.0.2.1")
    assert made["token"] not in str(letter)
    (newest, *_) = [e for e in await ada.house.core.newest_events(5) if e.kind == "signed_in"]
    assert newest.session == uuid.UUID(made["id"]).bytes
    assert dict(newest.detail)["policy"] == "key"


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("PUT", "/{own}"), ("DELETE", "/{own}")]
)  # fmt: skip
async def test_a_key_makes_changes_ends_and_lists_none(ada: Ada, method: str, path: str) -> None:
    held = (await ada.made(permissions=["read:media"]))["token"]
    for token in (ada.api, held):
        body = {} if method in ("GET", "DELETE") else {"json": {}}
        answer = await ada.ask(method, TOKENS + path.replace("{own}", token), token, **body)
        assert (answer.status_code, answer.json()["error"]) == (403, NOT_WITH_A_TOKEN)
        assert await ada.opens(token)


async def test_a_key_shows_itself_and_no_other(ada: Ada) -> None:
    made = await ada.made(permissions=["read:media"])
    for named in (made["token"], made["id"]):
        answer = await ada.ask("GET", f"{TOKENS}/{named}", made["token"])
        assert (answer.status_code, answer.json()) == (200, made)
    for named in (ada.api, "0" * 64):
        answer = await ada.ask("GET", f"{TOKENS}/{named}", made["token"])
        assert (answer.status_code, answer.json()) == (404, UNKNOWN)


async def test_making_and_renewing_want_a_fresh_proof_of_the_same_client(ada: Ada) -> None:
    made = await ada.made()
    ada.house.clock.move(601)
    for method, path in (("POST", TOKENS), ("PUT", f"{TOKENS}/{made['token']}")):
        answer = await ada.ask(method, path, json={})
        assert (answer.status_code, answer.json()) == (403, FRESH)
    await ada.sign_in()
    assert (await ada.ask("POST", json={}, address="198.51.100.7")).json() == FRESH
    assert (await ada.ask("POST", json={})).status_code == 200


async def test_without_a_fresh_proof_only_the_end_of_a_token_is_told(ada: Ada) -> None:
    made = await ada.made(name="ci")
    assert {each["token"] for each in await ada.listed()} == {ada.api, made["token"]}
    ada.house.clock.move(601)
    shown = {each["name"]: each["token"] for each in await ada.listed()}
    assert shown == {"probe_api": "*" * 58 + ada.api[-6:], "ci": "*" * 58 + made["token"][-6:]}
    answer = await ada.ask("GET", f"{TOKENS}/{made['id']}")
    assert answer.json() == {**made, "token": shown["ci"]}
    assert not await ada.opens(shown["ci"])


async def test_nobody_sees_or_ends_another_s(ada: Ada) -> None:
    house = ada.house
    await house.add(email="bob@example.com", username="bob", verified=True)
    bob = await house.post(f"{BASE}/sign-in", json={"email": "bob@example.com", "password": PASSWORD})
    jwt = bob.json()["jwt-token"]["token"]
    made = await ada.made()
    for named in (made["token"], made["id"], ada.api):
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
            answer = await ada.ask(method, f"{TOKENS}/{named}", jwt, **({} if body is None else {"json": body}))
            assert (answer.status_code, answer.json()) == (404, UNKNOWN)
    assert await ada.opens(made["token"])


@pytest.mark.parametrize("named", ["x", "0" * 64, "0" * 63, "A" * 64, str(uuid.UUID(int=0)), "a.b.c", "ü" * 64])
async def test_an_unknown_token_is_404(ada: Ada, named: str) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        answer = await ada.ask(method, f"{TOKENS}/{named}", **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()) == (404, UNKNOWN)


async def test_a_session_of_another_kind_is_no_token(ada: Ada) -> None:
    """Neither a JWT nor the id of a signed-in client names an API token; another dialect's key does not either."""
    (own,) = (await ada.ask("GET", SESSION)).json()["sessions"]
    for named in (own["id"], ada.jwt):
        assert (await ada.ask("DELETE", f"{TOKENS}/{named}")).status_code == 404
    assert await ada.opens(ada.jwt)


# ---------------------------------------------------------------- their end


async def test_one_that_has_run_out_is_refused_at_once_and_shown_when_asked_for(ada: Ada) -> None:
    made = await ada.made(ttl=60)
    ada.house.clock.move(59)
    assert await ada.opens(made["token"])
    ada.house.clock.move(1)
    assert not await ada.opens(made["token"])
    assert [each["token"] for each in await ada.listed()] == [ada.api]
    for query in ("", "?include-expired=false"):
        assert (await ada.ask("GET", f"{TOKENS}/{made['token']}{query}")).status_code == 404
    shown = await ada.ask("GET", f"{TOKENS}/{made['token']}?include-expired=true")
    assert shown.json() == {**made, "expired": True}
    both = await ada.listed("?include-expired=true")
    assert sorted((each["expired"], each["token"]) for each in both) == [(False, ada.api), (True, made["token"])]
    for query in ("?include-expired=maybe", "?include-expired="):
        assert (await ada.ask("GET", TOKENS + query)).status_code == 400


async def test_a_token_is_renewed(ada: Ada) -> None:
    made = await ada.made(ttl=600, permissions=["read:media"])
    where = f"{TOKENS}/{made['token']}"
    ada.house.clock.move(300)
    for body, ends in (
        ({}, "00:15:00"),
        ({"ttl": 60}, "00:06:00"),
        ({}, "00:06:00"),
        ({"ttl": 0}, None),
        ({}, None),
        ({"permissions": ["read:profile"]}, None),
    ):
        answer = (await ada.ask("PUT", where, json=body)).json()
        assert answer["expires-at"] == (None if ends is None else f"2026-11-22T{ends}Z"), body
        assert (answer["token"], answer["id"], answer["created"]) == (made["token"], made["id"], made["created"])
        assert answer["updated"] == "2026-11-22T00:05:00Z"
    assert set(answer["permissions"]) == {"read:profile"}
    kinds = [e for e in await ada.house.core.newest_events(20) if e.kind == "key_changed"]
    assert len(kinds) == 6
    assert dict(kinds[0].detail) == {"permissions": "read:profile"}


async def test_one_that_has_run_out_can_be_renewed_one_that_was_ended_cannot(ada: Ada) -> None:
    made, gone = await ada.made(ttl=60), await ada.made()
    await ada.ask("DELETE", f"{TOKENS}/{gone['id']}")
    ada.house.clock.move(61)
    assert not await ada.opens(made["token"])
    assert (await ada.ask("PUT", f"{TOKENS}/{made['token']}", json={})).status_code == 200
    assert await ada.opens(made["token"])
    assert (await ada.ask("PUT", f"{TOKENS}/{gone['token']}", json={})).status_code == 404
    assert not await ada.opens(gone["token"])


async def test_renewing_brings_no_two_of_one_name(ada: Ada) -> None:
    """Also of the name of the token that sign-ins show: a sign-in after its end has made another."""
    old = await ada.made(ttl=60, name="ci")
    first = ada.api
    await ada.ask("PUT", f"{TOKENS}/{first}", json={"ttl": 60})
    ada.house.clock.move(61)
    await ada.made(name="ci")
    await ada.sign_in()
    assert ada.api != first
    for named in (old["token"], first):
        answer = await ada.ask("PUT", f"{TOKENS}/{named}", json={})
        assert (answer.status_code, answer.json()["status"]) == (409, "ALREADY_EXISTS")
        assert not await ada.opens(named)


async def test_permissions_are_replaced_and_reset(ada: Ada) -> None:
    made = await ada.made(permissions=["read:media"])
    where = f"{TOKENS}/{made['token']}"
    for body, held in (
        ({}, {"read:media"}),
        ({"permissions": ["read:profile", "read:profile"]}, {"read:profile"}),
        ({"permissions": []}, set()),
        ({"reset-permissions": True, "permissions": ["read:media"]}, {"read:media"}),
        ({"reset-permissions": False}, {"read:media"}),
    ):
        assert set((await ada.ask("PUT", where, json=body)).json()["permissions"]) == held, body
    whole = (await ada.ask("PUT", where, json={"reset-permissions": True})).json()["permissions"]
    assert whole == (await ada.ask("GET", f"{TOKENS}/{ada.api}")).json()["permissions"]


async def test_restrictions_that_nobody_enforces_are_refused(ada: Ada) -> None:
    made = await ada.made()
    for none in ({}, None):
        assert (await ada.ask("PUT", f"{TOKENS}/{made['id']}", json={"restrictions": none})).status_code == 200
    answer = await ada.ask("PUT", f"{TOKENS}/{made['id']}", json={"restrictions": {"ip": ["192.0.2.1"]}})
    assert answer.status_code == 400
    assert answer.json()["context"] == {"body": ["#/restrictions: restrictions are not kept here"]}


async def test_deleting_ends_it_at_once_everywhere(ada: Ada) -> None:
    made = await ada.made()
    ada.house.clock.move(3600)  # no fresh proof is asked of whoever takes power away
    answer = await ada.ask("DELETE", f"{TOKENS}/{made['token']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not await ada.opens(made["token"])
    assert (await ada.ask("DELETE", f"{TOKENS}/{made['token']}")).status_code == 404
    assert await ada.opens(ada.api)


async def test_the_one_of_sign_ins_is_made_anew_after_it_was_deleted(ada: Ada) -> None:
    first = ada.api
    assert (await ada.ask("DELETE", f"{TOKENS}/{first}")).status_code == 204
    assert not await ada.opens(first)
    await ada.sign_in()
    assert ada.api != first
    assert await ada.opens(ada.api)
    assert [each["token"] for each in await ada.listed()] == [ada.api]


async def test_what_ends_keys_ends_those_that_ran_out_too(ada: Ada) -> None:
    """A renewal must not bring back what a reset was to end (table C)."""
    made = await ada.made(ttl=60)
    ada.house.clock.move(61)
    account = await ada.house.core.accounts.named("ada@example.com")
    await ada.house.core.sessions.end_everything(account, "test")
    await ada.sign_in()
    assert (await ada.ask("PUT", f"{TOKENS}/{made['token']}", json={})).status_code == 404


async def test_signing_everybody_out_leaves_them(ada: Ada) -> None:
    made = await ada.made()
    assert (await ada.ask("DELETE", SESSION)).status_code == 204
    assert await ada.opens(made["token"])


async def test_new_signing_keys_leave_them(ada: Ada) -> None:
    made = await ada.made()
    for _ in range(4):
        await ada.house.core.keystore.rotate(None, force=True)
    assert not await ada.opens(ada.jwt), "the JWT's key is gone"
    assert await ada.opens(made["token"])
    assert await ada.opens(ada.api)


_STORED = Statement("select token_hash, sealed_token, name, hint from session where kind = 'key'")


async def test_no_token_lies_in_clear(ada: Ada) -> None:
    made = await ada.made(name="ci")
    for hash, sealed, *_ in await ada.house.db.scan(_STORED):
        for token in (made["token"], ada.api):
            assert token.encode() not in bytes(hash) + bytes(sealed)
            assert bytes.fromhex(token) not in bytes(hash) + bytes(sealed)
    assert made["token"] not in json.dumps([str(e) for e in await ada.house.core.newest_events(50)])


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def info(self, event: str, **facts: Any) -> None:
        self.kept.append(f"{event} {facts}")

    error = info


async def test_no_log_and_no_metric_ever_holds_a_token_of_the_path(ada: Ada) -> None:
    lines = Lines()
    ada.house.app._access_log = ada.house.app._log = lines
    made = (await ada.made())["token"]
    for method in ("GET", "PUT", "DELETE", "POST", "PATCH", "GET"):
        for path in (f"{TOKENS}/{made}", f"{TOKENS}/{made}/more", f"{TOKENS}//{made}"):
            answer = await ada.ask(method, path, **({"json": {"ttl": "x"}} if method in ("PUT", "POST") else {}))
            assert answer.status_code in (200, 204, 400, 404, 405)
            assert answer.status_code == 200 or made not in answer.text
    metrics = (await ada.house.get("/metrics")).text
    assert len(lines.kept) > 15
    assert any("/auth/api-token/{token}" in line for line in lines.kept)
    for text in (*lines.kept, metrics, str(await ada.house.core.newest_events(50))):
        assert made not in text
