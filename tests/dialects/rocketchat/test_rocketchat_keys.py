"""Personal access tokens: contract section 8.5, decisions 17 and 25, table C."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.core.access_keys import MOST
from dragoman.dialects.rocketchat.ddp.methods import METHODS
from dragoman.model import Password
from dragoman.storage.engine import Statement
from kit.house import CREATE_TOKENS_SECRET, PASSWORD, House, client, open_house

pytestmark = pytest.mark.slow

ACTS = {
    "generate": "/api/v1/users.generatePersonalAccessToken",
    "regenerate": "/api/v1/users.regeneratePersonalAccessToken",
    "remove": "/api/v1/users.removePersonalAccessToken",
}
CREATE = "/api/v1/users.createToken"
LIST = "/api/v1/users.getPersonalAccessTokens"
LOGIN, ME, LOGOUT = "/api/v1/login", "/api/v1/me", "/api/v1/logout"
WANTED = {
    "success": False, "error": "TOTP Required [totp-required]", "errorType": "totp-required",
    "details": {"method": "password", "codeGenerated": False, "availableMethods": []},
}  # fmt: skip
_LAST = Statement("select kind, detail, session from event order by id desc limit 5")
_KNOWN = Statement("select network from known_network where account = :account")
FIFTEEN_MINUTES = 15 * 60


async def log_in(house: House, user: str = "ada", **more: Any) -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def act(house: House, what: str, headers: dict[str, str], **body: Any) -> httpx2.Response:
    return await house.post(ACTS[what], headers=headers, json=body)


async def make(house: House, headers: dict[str, str], name: str = "ci", **more: Any) -> dict[str, str]:
    """Return the headers that a new token goes in."""
    made = await act(house, "generate", headers, tokenName=name, **more)
    assert made.status_code == 200, made.text
    assert made.json().keys() == {"token", "success"}
    return {"X-Auth-Token": made.json()["token"], "X-User-Id": headers["X-User-Id"]}


async def listed(house: House, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await house.get(LIST, headers=headers)
    assert (answer.status_code, answer.json()["success"]) == (200, True), answer.text
    return answer.json()["tokens"]


async def test_a_token_works_in_headers_and_in_resume_and_never_expires(any_house: House) -> None:
    house = any_house
    await house.ada()
    own = await log_in(house)
    key = await make(house, own)
    assert len(key["X-Auth-Token"]) == 43
    house.clock.move(400 * 86400)
    assert (await house.get(ME, headers=own)).status_code == 401
    assert (await house.get(ME, headers=key)).json()["username"] == "ada"
    resumed = await house.post(LOGIN, json={"resume": key["X-Auth-Token"]})
    assert (resumed.status_code, resumed.json()["data"]["authToken"]) == (200, key["X-Auth-Token"])
    assert len(await listed(house, key)) == 1


async def test_the_list_shows_names_and_never_a_token(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    first = await make(house, own)
    house.clock.move(1)
    second = await make(house, own, "bot ✓", bypassTwoFactor=True)
    answer = await house.get(LIST, headers=own)
    shown = answer.json()["tokens"]
    assert [(t["name"], t["lastTokenPart"], t["bypassTwoFactor"]) for t in shown] == [
        ("ci", first["X-Auth-Token"][-6:], False),
        ("bot ✓", second["X-Auth-Token"][-6:], True),
    ]
    assert all(t.keys() == {"name", "createdAt", "lastTokenPart", "bypassTwoFactor"} for t in shown)
    assert all(len(t["createdAt"]) == 24 and t["createdAt"].endswith("Z") for t in shown)
    assert first["X-Auth-Token"] not in answer.text
    await house.add(username="bob")
    assert await listed(house, await log_in(house, "bob")) == []


async def test_a_name_is_one_token(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    old = await make(house, own, bypassTwoFactor=True)
    again = await act(house, "generate", own, tokenName="ci")
    assert (again.status_code, again.json()) == (400, {
        "success": False, "error": "A token with this name already exists [error-token-already-exists]",
        "errorType": "error-token-already-exists",
    })  # fmt: skip
    anew = await act(house, "regenerate", own, tokenName="ci")
    assert anew.status_code == 200
    fresh = {**old, "X-Auth-Token": anew.json()["token"]}
    assert (await house.get(ME, headers=old)).status_code == 401
    assert (await house.get(ME, headers=fresh)).status_code == 200
    assert [(t["name"], t["bypassTwoFactor"]) for t in await listed(house, own)] == [("ci", True)]
    assert (await act(house, "remove", own, tokenName="ci")).json() == {"success": True}
    assert (await house.get(ME, headers=fresh)).status_code == 401
    for what in ("remove", "regenerate"):
        gone = await act(house, what, own, tokenName="ci")
        assert (gone.status_code, gone.json()) == (400, {
            "success": False, "error": "Token does not exist [error-token-does-not-exists]",
            "errorType": "error-token-does-not-exists",
        })  # fmt: skip
    await make(house, own)


@pytest.mark.parametrize("what", ACTS)
@pytest.mark.parametrize("body", [{}, {"tokenName": ""}, {"tokenName": 5}, {"tokenName": "x" * 256}, {"name": "ci"}])
async def test_a_name_is_needed(house: House, what: str, body: dict[str, Any]) -> None:
    await house.ada()
    answer = await act(house, what, await log_in(house), **body)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
    assert "tokenName" in answer.json()["error"]


async def test_control_characters_are_in_no_name(house: House) -> None:
    await house.ada()
    answer = await act(house, "generate", await log_in(house), tokenName="a\x1b[2Jb")
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-name")


async def test_an_account_has_so_many_tokens_at_most(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    for number in range(MOST):
        await make(house, own, f"key {number}")
    full = await act(house, "generate", own, tokenName="one more")
    assert (full.status_code, full.json()["errorType"]) == (400, "error-too-many-tokens")
    assert (await act(house, "regenerate", own, tokenName="key 7")).status_code == 200
    assert (await act(house, "remove", own, tokenName="key 3")).status_code == 200
    await make(house, own, "one more")
    assert len(await listed(house, own)) == MOST


async def test_tokens_are_not_among_the_fifty_sessions(house: House) -> None:
    await house.ada()
    key = await make(house, await log_in(house))
    for _ in range(52):
        house.clock.move(1)
        await log_in(house)
    assert (await house.get(ME, headers=key)).status_code == 200


@pytest.mark.parametrize("what", ACTS)
async def test_it_takes_a_fresh_proof(house: House, what: str) -> None:
    await house.ada()
    own = await log_in(house)
    await make(house, own, "there")
    house.clock.move(FIFTEEN_MINUTES)
    answer = await act(house, what, own, tokenName="new" if what == "generate" else "there")
    assert (answer.status_code, answer.json()) == (400, WANTED)
    assert [t["name"] for t in await listed(house, own)] == ["there"]


async def test_a_token_makes_and_ends_no_others(house: House) -> None:
    """Not even one that stands for the second factor, nor one made a moment ago (threat 18)."""
    await house.ada(administrator=True)
    own = await log_in(house)
    key = await make(house, own, bypassTwoFactor=True)
    for what, name in (("generate", "another"), ("regenerate", "ci"), ("remove", "ci")):
        answer = await act(house, what, key, tokenName=name)
        assert (answer.status_code, answer.json()) == (403, {"success": False, "error": "unauthorized"})
    assert [t["name"] for t in await listed(house, own)] == ["ci"]


async def test_signing_out_with_a_token_ends_it_and_nothing_else(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    key, other = await make(house, own), await make(house, own, "other")
    assert (await house.post(LOGOUT, headers=key)).json()["status"] == "success"
    kind, _, session = (await house.db.scan(_LAST))[0]
    assert (kind, session is not None) == ("signed_out", True)
    assert (await house.get(ME, headers=key)).status_code == 401
    assert (await house.get(ME, headers=own)).status_code == 200
    assert (await house.get(ME, headers=other)).status_code == 200


async def test_the_owner_is_told(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    await make(house, own)
    (letter,) = await house.letters("key_added")
    assert (letter.to, letter.values["key"], letter.values["address"]) == ("ada@example.com", "ci", "192.0.2.1")
    await act(house, "regenerate", own, tokenName="ci")
    assert len(await house.letters("key_added")) == 2


async def test_other_people_s_tokens_are_out_of_reach(house: House) -> None:
    await house.ada()
    await house.add(username="bob", administrator=True)
    ada, bob = await log_in(house), await log_in(house, "bob")
    key = await make(house, ada)
    assert (await act(house, "remove", bob, tokenName="ci")).status_code == 400
    assert (await act(house, "regenerate", bob, tokenName="ci")).status_code == 400
    assert (await house.get(ME, headers=key)).status_code == 200
    assert (await house.get(ME, headers={**key, "X-User-Id": bob["X-User-Id"]})).status_code == 401


async def test_the_permission_is_asked_for_in_the_words_of_each(house: House) -> None:
    await house.ada(administrator=True)
    await house.add(username="bob")
    ada, bob = await log_in(house), await log_in(house, "bob")
    await make(house, bob)
    only = [{"_id": "create-personal-access-tokens", "roles": ["admin"]}]
    given = await house.post("/api/v1/permissions.update", headers=ada, json={"permissions": only})
    assert given.status_code == 200
    for what in ACTS:
        answer = await act(house, what, bob, tokenName="ci")
        assert (answer.status_code, answer.json()) == (
            400, {"success": False, "error": "Not Authorized [not-authorized]", "errorType": "not-authorized"},
        )  # fmt: skip
    missing = "User does not have the permissions required for this action [error-unauthorized]"
    answer = await house.get(LIST, headers=bob)
    assert (answer.status_code, answer.json()) == (403, {"success": False, "error": missing})
    await make(house, ada)


# ---------------------------------------------------------------- table C


async def _others(house: House, own: dict[str, str]) -> None:
    await house.core.sessions.end_others(await _caller(house, own), client())


async def _all_clients(house: House, own: dict[str, str]) -> None:
    await house.core.sessions.end_clients(await _caller(house, own), client())


async def _own_password(house: House, own: dict[str, str]) -> None:
    new = Password.from_plain("another horse battery")
    old = Password.from_plain(PASSWORD)
    await house.core.accounts.change_password(await _caller(house, own), old, new, client())


async def _enrol(house: House, own: dict[str, str]) -> None:
    await house.enrol_totp(await house.core.accounts.person((await _caller(house, own)).account))


async def _everything(house: House, own: dict[str, str]) -> None:
    await house.core.sessions.end_everything((await _caller(house, own)).account, "all")


async def _reset(house: House, own: dict[str, str]) -> None:
    account = (await _caller(house, own)).account
    token = await house.ticket("reset", await house.core.accounts.person(account))
    new = Password.from_plain("another horse battery")
    await house.core.recovery.use("reset", token, client(), password=new)


async def _set_password(house: House, own: dict[str, str]) -> None:
    new = Password.from_plain("another horse battery")
    await house.core.accounts.set_password((await _caller(house, own)).account, new)


async def _deactivate(house: House, own: dict[str, str]) -> None:
    await house.core.life.set_status((await _caller(house, own)).account, "deactivated")


async def _caller(house: House, own: dict[str, str]) -> Any:
    return await house.core.sessions.authenticate(house.core.doors["rocketchat"], own["X-Auth-Token"])


@pytest.mark.parametrize("what", [_others, _all_clients, _own_password, _enrol], ids=lambda f: f.__name__)
async def test_what_a_token_outlives(house: House, what: Any) -> None:
    await house.ada()
    own = await log_in(house)
    key = await make(house, own)
    await what(house, own)
    assert (await house.get(ME, headers=key)).status_code == 200


@pytest.mark.parametrize("what", [_everything, _reset, _set_password, _deactivate], ids=lambda f: f.__name__)
async def test_what_ends_a_token(house: House, what: Any) -> None:
    await house.ada()
    own = await log_in(house)
    key = await make(house, own)
    await what(house, own)
    assert (await house.get(ME, headers=key)).status_code == 401
    await house.core.life.set_status(await house.core.accounts.named("ada"), "active")
    assert (await house.get(ME, headers=key)).status_code == 401


# ---------------------------------------------------------------- tokens for others (8.4)

NOT_AUTHORIZED = {
    "success": False,
    "error": "Not authorized [error-not-authorized]",
    "errorType": "error-not-authorized",
}


async def create(house: House, headers: dict[str, str], **body: Any) -> httpx2.Response:
    return await house.post(CREATE, headers=headers, json={"secret": CREATE_TOKENS_SECRET, **body})


async def test_an_administrator_with_the_secret_opens_a_session_of_another(any_house: House) -> None:
    house = any_house
    ada = await house.ada(administrator=True)
    bob = await house.add(username="bob", email="bob@example.com")
    own = await log_in(house)
    for named in ({"username": "bob"}, {"userId": bob.aliases["rocketchat"]}):
        answer = await create(house, own, **named)
        data = answer.json()["data"]
        assert answer.json() == {"data": data, "success": True}
        assert data == {"userId": bob.aliases["rocketchat"], "authToken": data["authToken"]}
        pair = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}
        assert (await house.get(ME, headers=pair)).json()["username"] == "bob"
    events = [e for e in await house.core.newest_events(10, bob.account.id) if e.kind.startswith("signed_in")]
    assert [(e.kind, e.account, e.address) for e in events[:2]] == [
        ("signed_in", bob.account.id, "192.0.2.1"), ("signed_in_by", bob.account.id, "192.0.2.1"),
    ]  # fmt: skip
    assert events[0].detail["proof"] == "administrator"
    assert events[1].detail == {"by": str(uuid.UUID(bytes=ada.account.id))}
    assert await house.db.scan(_KNOWN, account=bob.account.id) == []


async def test_it_takes_both_the_secret_and_an_administrator(house: House) -> None:
    await house.ada(administrator=True)
    await house.add(username="bob")
    ada, bob = await log_in(house), await log_in(house, "bob")
    key = await make(house, ada, bypassTwoFactor=True)
    before = len(await house.sessions())
    for headers, secret in ((ada, "wrong"), (ada, ""), (ada, "é"), (bob, CREATE_TOKENS_SECRET)):
        answer = await house.post(CREATE, headers=headers, json={"username": "ada", "secret": secret})
        assert (answer.status_code, answer.json()) == (400, NOT_AUTHORIZED)
    answer = await house.post(CREATE, headers=ada, json={"username": "bob"})
    assert (answer.status_code, answer.json()) == (400, NOT_AUTHORIZED)
    assert (await create(house, key, username="bob")).status_code == 403
    assert (await create(house, {}, username="bob")).status_code == 401
    assert (await create(house, ada, username="nobody")).json()["error"] == "User not found."
    assert (await create(house, ada)).json()["errorType"] == "error-user-param-not-provided"
    house.clock.move(FIFTEEN_MINUTES)
    assert (await create(house, ada, username="bob")).json() == WANTED
    assert len(await house.sessions()) == before


async def test_without_a_configured_secret_nobody_makes_tokens(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__rocketchat__create_tokens_secret="") as house:
        await house.ada(administrator=True)
        own = await log_in(house)
        for secret in ("", CREATE_TOKENS_SECRET):
            assert (await create(house, own, username="ada", secret=secret)).json() == NOT_AUTHORIZED


async def test_no_token_gets_past_a_second_factor_or_a_status(house: House) -> None:
    await house.ada(administrator=True)
    bob = await house.add(username="bob", email="bob@example.com", verified=True)
    eve = await house.add(username="eve", email="eve@example.com", verified=True)
    own = await log_in(house)
    await house.enrol_totp(bob)
    await house.enrol_email(eve)
    before, letters = len(await house.sessions()), len(await house.letters("code"))
    for name in ("bob", "eve"):
        assert (await create(house, own, username=name)).json() == NOT_AUTHORIZED
    assert len(await house.letters("code")) == letters, "nobody is mailed a code that has no place to go"
    await house.core.factors.disable_totp(await house.core.accounts.named("bob"))
    for status in ("suspended", "deactivated", "invited"):
        await house.core.life.set_status(await house.core.accounts.named("bob"), status)
        assert (await create(house, own, username="bob")).json() == NOT_AUTHORIZED
    assert len(await house.sessions()) == before


# ---------------------------------------------------------------- methods

FOR_KEYS = frozenset({"logout", "2fa:checkCodesRemaining"})
"""Methods of somebody signed in that a token may call: they change nothing but itself."""
FOR_ANYBODY = frozenset({"registerUser", "sendForgotPasswordEmail", "resetPassword", "verifyEmail", "login"})
"""Methods that do not look at who is signed in."""


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_a_token_calls_no_method_that_changes_the_account(house: House, method: str) -> None:
    """Decision 17 over `method.call` and DDP, which share one table."""
    await house.ada(administrator=True)
    key = await make(house, await log_in(house), bypassTwoFactor=True)
    before, facts = len(await house.sessions()), (await house.core.accounts.named("ada")).facts
    message = json.dumps({"msg": "method", "id": "1", "method": method, "params": ["x", "y"]})
    path = f"/api/v1/method.call/{method}"
    answer = await house.post(path, headers=key, json={"message": message})
    said = json.loads(answer.json()["message"])
    if method not in FOR_KEYS:
        assert "error" in said or method in FOR_ANYBODY, said
    if method not in FOR_KEYS | FOR_ANYBODY | {"getNewToken", "callWithTwoFactorRequired"}:
        assert said["error"]["reason"] == "unauthorized", said
    assert len(await house.sessions()) == before - (method == "logout")
    assert (await house.core.accounts.named("ada")).facts == facts
    working = await house.get(ME, headers=key)
    assert working.status_code == (401 if method == "logout" else 200)
