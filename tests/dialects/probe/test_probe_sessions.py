"""Listing and ending sessions, signing out: Probe's contract, sections 3.3 to 3.6, with decision 17 for API tokens."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dragoman.dialects.probe.wire import client_type
from dragoman.model import Password, Typed
from kit.house import PASSWORD, House, client

BASE = "/frontend/api/v1/auth"
SESSION = f"{BASE}/session"
SIGN_OUT = f"{BASE}/sign-out"
FORGOTTEN = "jwt=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def signed_in(house: House, **more: Any) -> tuple[str, str]:
    """Sign Ada in; return the JWT and the API token."""
    headers = {"User-Agent": more.pop("agent", "test")}
    body = {"email": "ada@example.com", "password": PASSWORD, **more}
    answer = (await house.post(f"{BASE}/sign-in", json=body, headers=headers)).json()
    return answer["jwt-token"]["token"], answer["api-token"]


async def listed(house: House, token: str) -> list[dict[str, Any]]:
    answer = await house.get(SESSION, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["sessions"]
    return found


async def live(house: House, token: str) -> bool:
    return (await house.get(SESSION, headers=bearer(token))).status_code == 200


async def test_own_sessions_are_listed_newest_first(house: House) -> None:
    await house.ada()
    await signed_in(house, agent="Mozilla/5.0 (X11; Linux x86_64)")
    house.clock.move(60)
    jwt, api_token = await signed_in(house)
    newest, oldest = await listed(house, jwt)
    assert uuid.UUID(oldest.pop("id")).version == 7
    assert oldest == {
        "created": "2026-11-22T00:00:00Z",
        "expire": "2026-12-06T00:00:00Z",
        "remote-ip": "192.0.2.1",
        "ua-type": "browser",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64)",
    }
    assert (newest["created"], newest["ua-type"]) == ("2026-11-22T00:01:00Z", "other")
    shown_to_jwt, shown_to_key = await listed(house, jwt), await listed(house, api_token)
    assert shown_to_jwt == shown_to_key


async def test_nobody_else_s_sessions_are_listed(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    await house.post(f"{BASE}/sign-in", json={"email": "bob@example.com", "password": PASSWORD})
    assert len(await listed(house, (await signed_in(house))[0])) == 1


async def test_an_account_has_at_most_fifty(house: House) -> None:
    await house.ada()
    first, _ = await signed_in(house)
    for _ in range(49):
        house.clock.move(1)
        last, _ = await signed_in(house)
    assert len(await listed(house, last)) == 50
    house.clock.move(1)
    await signed_in(house)
    assert not await live(house, first)
    assert len(await listed(house, last)) == 50


async def test_all_sessions_end_at_once_and_the_api_token_stays(house: House) -> None:
    await house.ada()
    (one, api_token), (two, _) = await signed_in(house), await signed_in(house)
    answer = await house.delete(SESSION, headers=bearer(one))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["set-cookie"] == FORGOTTEN
    assert not await live(house, one)
    assert not await live(house, two)
    assert await listed(house, api_token) == []


async def test_one_session_ends(house: House) -> None:
    await house.ada()
    one, _ = await signed_in(house)
    house.clock.move(1)
    two, _ = await signed_in(house)
    mine, other = (each["id"] for each in await listed(house, two))
    answer = await house.delete(f"{SESSION}/{other.upper()}", headers=bearer(two))
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    assert (await live(house, one), await live(house, two)) == (False, True)
    answer = await house.delete(f"{SESSION}/{mine}", headers=bearer(two))
    assert (answer.status_code, answer.headers["set-cookie"]) == (204, FORGOTTEN)
    assert not await live(house, two)


async def test_unknown_ended_and_foreign_sessions_are_answered_alike(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    bob = await house.post(f"{BASE}/sign-in", json={"email": "bob@example.com", "password": PASSWORD})
    (theirs,) = await listed(house, bob.json()["jwt-token"]["token"])
    jwt, _ = await signed_in(house)
    house.clock.move(1)
    gone, _ = await signed_in(house)
    ended = (await listed(house, gone))[0]["id"]
    await house.delete(SIGN_OUT, headers=bearer(gone))
    key = next(s for s in await house.core.sessions.list_own(await account_id(house)) if s.kind == "key")
    bodies = set()
    for id in (theirs["id"], ended, str(uuid.UUID(bytes=key.id)), "3c90c3cc-0d44-4b50-8888-8dd25736052a"):
        answer = await house.delete(f"{SESSION}/{id}", headers=bearer(jwt))
        assert answer.status_code == 404
        bodies.add(answer.text)
    assert bodies == {'{"status":"NOT_FOUND","code":0,"error":"not found","context":{}}'}
    assert await live(house, bob.json()["jwt-token"]["token"])


async def account_id(house: House) -> bytes:
    return (await house.core.accounts.named("ada@example.com")).id


@pytest.mark.parametrize(
    "id", ["1", "not-a-uuid", "3c90c3cc0d444b5088888dd25736052a", "{3c90c3cc-0d44-4b50-8888-8dd25736052a}", "ü" * 36]
)
async def test_an_id_that_is_no_uuid_is_refused(house: House, id: str) -> None:
    await house.ada()
    jwt, _ = await signed_in(house)
    answer = await house.delete(f"{SESSION}/{id}", headers=bearer(jwt))
    assert (answer.status_code, answer.json()["context"]) == (400, {"path:session-id": ["#: must be a UUID"]})


async def test_sign_out_ends_the_presented_session(house: House) -> None:
    await house.ada()
    (one, _), (two, _) = await signed_in(house), await signed_in(house)
    answer = await house.delete(SIGN_OUT, headers=bearer(one))
    assert (answer.status_code, answer.json()) == (200, {"ret-url": None, "success": True})
    assert answer.headers["set-cookie"] == FORGOTTEN
    assert (await live(house, one), await live(house, two)) == (False, True)
    assert (await house.delete(SIGN_OUT, headers=bearer(one))).status_code == 401


@pytest.mark.parametrize("value", ["true", "1"])
async def test_sign_out_ends_all_when_asked_to(house: House, value: str) -> None:
    await house.ada()
    (one, api_token), (two, _) = await signed_in(house), await signed_in(house)
    answer = await house.delete(SIGN_OUT, params={"logout-all": value}, headers=bearer(one))
    assert answer.json() == {"ret-url": None, "success": True}
    assert not await live(house, two)
    assert await live(house, api_token)


async def test_an_api_token_signs_out_nothing_but_all(house: House) -> None:
    await house.ada()
    jwt, api_token = await signed_in(house)
    answer = await house.delete(SIGN_OUT, headers=bearer(api_token))
    assert (answer.status_code, answer.json()) == (200, {"ret-url": None, "success": False})
    assert "set-cookie" not in answer.headers
    assert await live(house, jwt)
    answer = await house.delete(SIGN_OUT, params={"logout-all": "true"}, headers=bearer(api_token))
    assert (answer.status_code, answer.json()) == (200, {"ret-url": None, "success": True})
    assert not await live(house, jwt)
    assert await live(house, api_token)


async def test_an_api_token_ends_no_sessions_by_name(house: House) -> None:
    await house.ada()
    jwt, api_token = await signed_in(house)
    (own,) = await listed(house, jwt)
    for path in (SESSION, f"{SESSION}/{own['id']}"):
        answer = await house.delete(path, headers=bearer(api_token))
        assert answer.status_code == 403
        assert answer.json()["error"] == "permission denied: not with an API token"
    assert await live(house, jwt)


async def test_an_account_switched_off_is_out_at_once(house: House) -> None:
    ada = await house.ada()
    jwt, api_token = await signed_in(house)
    await house.core.life.set_status(ada.account, "suspended")
    assert not await live(house, jwt)
    assert not await live(house, api_token)
    await house.core.life.set_status(ada.account, "active")
    assert not await live(house, jwt)
    assert not await live(house, api_token)


async def test_sessions_of_other_dialects_are_listed_and_end_too(house: House) -> None:
    """One account has one list of sessions; child sessions are folded into their parents (decision 20)."""
    doors = {mount.dialect.name: mount.dialect.door for mount in house.app.mounts}
    await house.ada()
    jwt, _ = await signed_in(house)
    others = [door for name, door in doors.items() if name != "probe" and door is not None]
    for door in others:
        house.clock.move(1)
        typed, password = Typed("email", "ada@example.com"), Password.from_plain(PASSWORD)
        await house.core.signin.with_password(door, typed, password, client())
    assert len(await listed(house, jwt)) == 1 + len(others)
    await house.delete(SESSION, headers=bearer(jwt))
    assert {kind for _, kind, _ in await house.sessions()} == {"key"}


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", "browser"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148", "mobile"),
        ("Dart/3.5 (dart:io)", "mobile"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("curl/8.9.1", "other"),
        ("", "other"),
    ],
)
def test_kinds_of_clients(agent: str, kind: str) -> None:
    assert client_type(agent) == kind
