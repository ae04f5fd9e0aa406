"""Refresh tokens and sessions: contract section 7, checks 3 to 6 of section 8, decisions 16, 17, 19 and 21, table C."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2
import pytest

from dialects.flashback.talk import CREDENTIALS, assert_no, bearer, claims, log_in, profile, refresh
from dragoman.core.doors import DAY
from dragoman.core.user_agents import read
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_IDLE = Statement("select idle_until from session where door = 'flashback' order by id desc limit 1")
_KEYS = Statement("select count(*) from session where kind = 'key' and ended_at is null")


async def listed(house: House, token: str, path: str = "/sessions") -> list[dict[str, Any]]:
    answer = await house.get(path, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    return list(answer.json()[path.strip("/").replace("token", "tokens")])


async def beside(house: House, own: dict[str, Any]) -> dict[str, Any]:
    """Return the one client of Ada's beside this."""
    (found,) = [each for each in await listed(house, own["accessToken"]) if each["id"] != own["tokenId"]]
    return found


async def chat(house: House) -> str:
    """Sign Ada in to Rocket.Chat; return its token."""
    answer = await house.post("/api/v1/login", json={"user": "ada", "password": PASSWORD})
    return str(answer.json()["data"]["authToken"])


async def mobile(house: House) -> str:
    body = {"email": "ada@example.com", "password": PASSWORD}
    return str((await house.post("/api/auth/user/sign-in", json=body)).json()["data"]["accessToken"])


async def bob(house: House) -> dict[str, Any]:
    await house.add(email="bob@example.com", username="bob", verified=True)
    return await log_in(house, email="bob@example.com")


async def act(house: House, token: str, id: str, what: str) -> httpx2.Response:
    return await house.post(f"/sessions/{id}/{what}", headers=bearer(token))


# ---------------------------------------------------------------- refresh tokens


async def test_the_list_of_refresh_tokens(house: House) -> None:
    await house.ada()
    first = (await house.post("/user/login", json=CREDENTIALS, headers={"User-Agent": FIREFOX})).json()
    house.clock.move(3600)
    second = await log_in(house)
    house.clock.move(60)
    assert (await refresh(house, first["refreshToken"])).status_code == 200
    answer = await house.get("/token", headers=bearer(second["accessToken"]))
    assert list(answer.json()) == ["success", "tokens"]
    newest, oldest = answer.json()["tokens"]
    assert oldest == {
        "id": first["tokenId"], "createdAt": "2026-11-22T00:00:00.000Z", "expiresAt": "2026-12-22T01:01:00.000Z",
        "lastUsedAt": "2026-11-22T01:01:00.000Z", "userAgent": FIREFOX, "ipAddress": "192.0.2.1", "current": False,
    }  # fmt: skip
    assert (newest["id"], newest["current"]) == (second["tokenId"], True)
    assert first["refreshToken"][:20] not in answer.text


async def test_only_chains_are_refresh_tokens(house: House) -> None:
    await house.ada()
    await chat(house)
    await mobile(house)
    own = await log_in(house)
    assert [each["id"] for each in await listed(house, own["accessToken"], "/token")] == [own["tokenId"]]
    for session in await listed(house, own["accessToken"]):
        if session["id"] != own["tokenId"]:
            answer = await house.delete(f"/token/{session['id']}", headers=bearer(own["accessToken"]))
            assert_no(answer, 404, "NOT_FOUND")
    assert len(await listed(house, own["accessToken"])) == 3


async def test_the_token_id_still_ends_the_chain_after_three_refreshes(house: House) -> None:
    """Check 5 of the contract's section 8: the id names the session."""
    await house.ada()
    first, other = await log_in(house), await log_in(house)
    newest = first
    for _ in range(3):
        newest = (await refresh(house, newest["refreshToken"])).json()
        assert claims(newest["accessToken"])["jti"] == first["tokenId"]
        assert "tokenId" not in newest
    answer = await house.delete(f"/token/{first['tokenId']}", headers=bearer(other["accessToken"]))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert_no(await refresh(house, newest["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await profile(house, newest["accessToken"]), 401, "NO_AUTH_USER")
    assert (await profile(house, other["accessToken"])).status_code == 200
    again = await house.delete(f"/token/{first['tokenId']}", headers=bearer(other["accessToken"]))
    assert_no(again, 404, "NOT_FOUND")


@pytest.mark.parametrize("id", ["x", "0", "ada@example.com", "%00", str(uuid.UUID(int=0)), "9" * 400])
async def test_ids_that_name_nothing(house: House, id: str) -> None:
    await house.ada()
    token = (await log_in(house))["accessToken"]
    assert_no(await house.delete(f"/token/{id}", headers=bearer(token)), 404, "NOT_FOUND")
    for what in ("revoke", "heartbeat"):
        assert_no(await act(house, token, id, what), 404, "NOT_FOUND")


async def test_ids_of_others_are_answered_like_unknown_ones(house: House) -> None:
    """Not even somebody who manages an account ends its sessions here: the calls are about one's own."""
    await house.ada(administrator=True, rank=255)
    own, other = await log_in(house), await bob(house)
    unknown = await house.delete(f"/token/{uuid.UUID(int=1)}", headers=bearer(own["accessToken"]))
    foreign = await house.delete(f"/token/{other['tokenId']}", headers=bearer(own["accessToken"]))
    assert_no(foreign, 404, "NOT_FOUND")
    assert foreign.content == unknown.content
    for what in ("revoke", "heartbeat"):
        assert_no(await act(house, own["accessToken"], other["tokenId"], what), 404, "NOT_FOUND")
    assert (await profile(house, other["accessToken"])).status_code == 200
    assert len(await listed(house, own["accessToken"])) == 1


# ---------------------------------------------------------------- checks 3, 4 and 6


async def test_a_stale_bearer_is_ignored_where_a_token_is_obtained(house: House) -> None:
    """Check 3: the client keeps sending the bearer it was once given."""
    await house.ada()
    first = await log_in(house)
    await house.delete(f"/token/{first['tokenId']}", headers=bearer(first["accessToken"]))
    for stale in (first["accessToken"], "x", "eyJhbGciOiJub25lIn0.e30."):
        headers = bearer(stale)
        fresh = (await house.post("/user/login", json=CREDENTIALS, headers=headers)).json()
        answer = await house.post("/user/refresh", json={"refresh_token": fresh["refreshToken"]}, headers=headers)
        assert answer.status_code == 200


async def test_check_4_both_spellings_and_the_fate_of_the_old_token(house: House) -> None:
    """As decision 19 has it: the parent gives the same child while that was not used; older ones end the chain."""
    await house.ada()
    held = [(await log_in(house))["refreshToken"]]
    for spelling in ("refreshToken", "refresh_token"):
        answer = await house.post("/user/refresh", json={spelling: held[-1]})
        assert answer.status_code == 200
        assert answer.json()["refreshToken"] not in held
        held.append(answer.json()["refreshToken"])
    house.clock.move(7200)
    again = await refresh(house, held[1])
    assert again.json()["refreshToken"] == held[2]
    assert (await profile(house, again.json()["accessToken"])).status_code == 200
    assert_no(await refresh(house, held[0]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await refresh(house, held[2]), 401, "INVALID_REFRESH_TOKEN")
    assert_no(await profile(house, again.json()["accessToken"]), 401, "NO_AUTH_USER")
    assert await house.sessions() == []


async def test_check_6_neither_token_in_the_place_of_the_other(house: House) -> None:
    await house.ada()
    held = await log_in(house)
    for path in ("/user/profile", "/token", "/sessions"):
        assert_no(await house.get(path, headers=bearer(held["refreshToken"])), 401, "NO_AUTH_USER")
    assert_no(await refresh(house, held["accessToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert (await profile(house, held["accessToken"])).status_code == 200
    assert (await refresh(house, held["refreshToken"])).status_code == 200


# ---------------------------------------------------------------- sessions


async def test_the_list_holds_the_clients_of_all_dialects(house: House) -> None:
    await house.ada()
    await chat(house)
    house.clock.move(60)
    await mobile(house)
    house.clock.move(60)
    headers = {"User-Agent": FIREFOX}
    await house.post("/frontend/api/v1/auth/sign-in", json=CREDENTIALS, headers=headers)
    house.clock.move(60)
    own = await log_in(house)
    found = await listed(house, own["accessToken"])
    # Pocketm8's chat block and Probe's key are none: one folded into its parent, the other no client.
    assert [each["startedAt"] for each in found] == [f"2026-11-22T00:0{n}:00.000Z" for n in (3, 2, 1, 0)]
    assert found[0] == {
        "id": own["tokenId"], "deviceName": read(f"python-httpx2/{httpx2.__version__}").name, "ipAddress": "192.0.2.1",
        "location": None, "startedAt": "2026-11-22T00:03:00.000Z", "lastActivity": "2026-11-22T00:03:00.000Z",
        "expiresAt": "2026-12-22T00:03:00.000Z", "loginMethod": "PASSWORD",
    }  # fmt: skip
    assert found[1]["deviceName"] == "Firefox on Linux"
    assert found[1]["expiresAt"] == "2026-12-06T00:02:00.000Z"


async def test_the_list_names_the_second_factor(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    limited = await log_in(house)
    body = {"mfaType": "GOOGLE_AUTH", "code": totp.code()}
    full = await house.post("/mfa/verify-login", json=body, headers=bearer(limited["accessToken"]))
    (only,) = await listed(house, full.json()["fullAccessToken"])
    assert only["loginMethod"] == "PASSWORD+TOTP"
    assert_no(await house.get("/sessions", headers=bearer(limited["accessToken"])), 403, "MFA_REQUIRED")


async def test_revoking_ends_a_client_of_any_dialect_at_once(house: House) -> None:
    await house.ada()
    token, own = await chat(house), await log_in(house)
    user = (await house.post("/api/v1/login", json={"resume": token})).json()["data"]["userId"]
    there = await beside(house, own)
    answer = await act(house, own["accessToken"], there["id"], "revoke")
    assert (answer.status_code, list(answer.json())) == (200, ["success", "message"])
    me = await house.get("/api/v1/me", headers={"X-Auth-Token": token, "X-User-Id": user})
    assert me.status_code == 401
    assert_no(await act(house, own["accessToken"], there["id"], "revoke"), 404, "NOT_FOUND")
    assert (await act(house, own["accessToken"], own["tokenId"], "revoke")).status_code == 200
    assert_no(await profile(house, own["accessToken"]), 401, "NO_AUTH_USER")


async def test_revoking_all_ends_every_client_and_no_key(house: House) -> None:
    await house.ada()
    other = await bob(house)
    await chat(house)
    await mobile(house)
    await house.post("/frontend/api/v1/auth/sign-in", json=CREDENTIALS)
    own = await log_in(house)
    answer = await house.post("/sessions/revoke-all", headers=bearer(own["accessToken"]))
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert_no(await profile(house, own["accessToken"]), 401, "NO_AUTH_USER")
    assert_no(await refresh(house, own["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    assert [kind for door, kind, _ in await house.sessions() if door != "flashback"] == ["key"]
    assert (await house.db.scan(_KEYS))[0][0] == 1
    assert (await profile(house, other["accessToken"])).status_code == 200


async def test_revoke_all_is_not_taken_for_an_id(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    assert_no(await act(house, own["accessToken"], "revoke-all", "revoke"), 404, "NOT_FOUND")
    assert_no(await house.get("/sessions/revoke-all", headers=bearer(own["accessToken"])), 405, "METHOD_NOT_ALLOWED")


# ---------------------------------------------------------------- heartbeat


async def idle_until(house: House) -> int:
    return int((await house.db.scan(_IDLE))[0][0])


async def test_a_heartbeat_moves_the_idle_end_and_nothing_else(house: House) -> None:
    await house.ada()
    own = await log_in(house)
    house.clock.move(3000)
    answer = await act(house, own["accessToken"], own["tokenId"], "heartbeat")
    assert list(answer.json()) == ["success", "message", "newExpiry"]
    assert answer.json()["newExpiry"] == "2026-12-22T00:50:00.000Z"
    (shown,) = await listed(house, own["accessToken"])
    assert shown["expiresAt"] == "2026-12-22T00:50:00.000Z"
    assert (await refresh(house, own["refreshToken"])).status_code == 200
    house.clock.move(601)
    assert_no(await profile(house, own["accessToken"]), 401, "NO_AUTH_USER")  # the token's own hour is over


async def test_a_heartbeat_is_written_every_five_minutes_at_most(house: House) -> None:
    await house.ada()
    own, before = await log_in(house), await idle_until(house)
    for _ in range(4):
        house.clock.move(70)
        answer = await act(house, own["accessToken"], own["tokenId"], "heartbeat")
        assert answer.json()["newExpiry"] == "2026-12-22T00:00:00.000Z"
    assert await idle_until(house) == before
    house.clock.move(20)
    await act(house, own["accessToken"], own["tokenId"], "heartbeat")
    assert await idle_until(house) == before + 300_000


async def test_heartbeats_keep_a_session_alive_and_not_beyond_its_end(house: House) -> None:
    await house.ada()
    own, other = await log_in(house), await log_in(house)
    for day in range(20, 90, 20):
        house.clock.move(20 * DAY)
        own = {**own, **(await refresh(house, own["refreshToken"])).json()}
        answer = await act(house, own["accessToken"], other["tokenId"], "heartbeat")
        assert answer.status_code == 200, day
    assert answer.json()["newExpiry"] == "2027-02-20T00:00:00.000Z"  # 90 days after the sign-in, not 110
    house.clock.move(9 * DAY)
    own = {**own, **(await refresh(house, own["refreshToken"])).json()}
    assert (await refresh(house, other["refreshToken"])).status_code == 200
    house.clock.move(DAY)
    own = await log_in(house)
    assert_no(await act(house, own["accessToken"], other["tokenId"], "heartbeat"), 404, "NOT_FOUND")


async def test_a_heartbeat_revives_nothing(house: House) -> None:
    await house.ada()
    idle, revoked = await log_in(house), await log_in(house)
    house.clock.move(30 * DAY + 1)
    own = await log_in(house)
    assert_no(await act(house, own["accessToken"], idle["tokenId"], "heartbeat"), 404, "NOT_FOUND")
    assert_no(await refresh(house, idle["refreshToken"]), 401, "REFRESH_TOKEN_EXPIRED")
    assert_no(await act(house, own["accessToken"], revoked["tokenId"], "heartbeat"), 404, "NOT_FOUND")
    await house.delete(f"/token/{own['tokenId']}", headers=bearer(own["accessToken"]))
    again = await log_in(house)
    assert_no(await act(house, again["accessToken"], own["tokenId"], "heartbeat"), 404, "NOT_FOUND")


async def test_a_heartbeat_of_a_client_without_an_idle_end_says_when_it_ends(house: House) -> None:
    await house.ada()
    await chat(house)
    own = await log_in(house)
    there = await beside(house, own)
    answer = await act(house, own["accessToken"], there["id"], "heartbeat")
    assert (answer.status_code, answer.json()["newExpiry"]) == (200, there["expiresAt"])


# ---------------------------------------------------------------- names of programs


@pytest.mark.parametrize(
    ("agent", "name", "kind"),
    [
        (FIREFOX, "Firefox on Linux", "DESKTOP"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
         " Edg/140.0", "Edge on Windows", "DESKTOP"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1 (KHTML) Version/18.5 Mobile/15E148"
         " Safari/604.1", "Safari on iOS", "MOBILE"),
        ("Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1 CriOS/140.0 Mobile/15E148 Safari/604.1",
         "Chrome on iPadOS", "TABLET"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
         "Chrome on Android", "MOBILE"),
        ("Mozilla/5.0 (Linux; Android 15; SM-X910) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
         "Chrome on Android", "TABLET"),
        ("RC Mobile; ios 18.5; v4.60.0 (60000)", "RC on iOS", "MOBILE"),
        ("node", "node", "DESKTOP"),
        ("okhttp/4.12", "okhttp", "MOBILE"),
        ("", "Unknown device", "DESKTOP"),
        ("(((((", "Unknown device", "DESKTOP"),
    ],
)  # fmt: skip
def test_what_a_user_agent_says(agent: str, name: str, kind: str) -> None:
    assert (read(agent).name, read(agent).device_type) == (name, kind)
