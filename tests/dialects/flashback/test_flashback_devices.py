"""Devices: contract section 7, `deviceInfo` of section 4.1, decision 25, and that trust weakens nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dialects.flashback.talk import CREDENTIALS, assert_no, bearer, log_in, profile, refresh
from dragoman.core.devices import CAP
from dragoman.core.doors import DAY
from dragoman.storage.engine import Statement
from kit.house import House

pytestmark = pytest.mark.slow

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LAPTOP = {"userAgent": FIREFOX, "deviceType": "DESKTOP", "os": "Linux", "browser": "Firefox 140.0", "platform": "x86"}
PHONE = {"userAgent": "App/3.1", "deviceType": "MOBILE", "os": "Android 15", "browser": "App", "deviceMemory": 8}
_ROWS = Statement("select count(*) from device")
_LINKED = Statement("select count(*) from session where device_id is not null")
_STATEMENTS = Statement("select name, user_agent, os from device")


async def on(house: House, device: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Sign in on a device."""
    return await log_in(house, deviceInfo=device, **more)


async def devices(house: House, own: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await house.get("/devices", headers=bearer(own["accessToken"]))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["devices"])


async def device(house: House, own: dict[str, Any], id: str) -> dict[str, Any]:
    answer = await house.get(f"/devices/{id}", headers=bearer(own["accessToken"]))
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["device"])


async def trust(house: House, own: dict[str, Any], fingerprint: str) -> Any:
    return await house.post("/devices/trust", json={"fingerprint": fingerprint}, headers=bearer(own["accessToken"]))


async def trusted(house: House, own: dict[str, Any]) -> str:
    """Trust the one device there is; return its id."""
    (only,) = await devices(house, own)
    shown = await device(house, own, only["id"])
    assert (await trust(house, own, shown["deviceFingerprint"])).status_code == 200
    return str(only["id"])


async def rows(house: House) -> int:
    return int((await house.db.scan(_ROWS))[0][0])


# ---------------------------------------------------------------- seen


async def test_the_documented_shape(any_house: House) -> None:
    house = any_house
    await house.ada()
    own = await on(house, LAPTOP)
    answer = await house.get("/devices", headers=bearer(own["accessToken"]))
    assert list(answer.json()) == ["success", "devices"]
    (shown,) = answer.json()["devices"]
    id = shown.pop("id")
    assert uuid.UUID(id).version == 7
    assert shown == {
        "deviceName": "Firefox 140.0 on Linux", "deviceType": "DESKTOP", "os": "Linux", "browser": "Firefox 140.0",
        "ipAddress": "192.0.2.1", "country": None, "city": None, "isTrusted": False, "trustLevel": "UNKNOWN",
        "lastSeen": "2026-11-22T00:00:00.000Z", "createdAt": "2026-11-22T00:00:00.000Z", "trustExpiresAt": None,
    }  # fmt: skip
    whole = await device(house, own, id)
    assert whole["userAgent"] == FIREFOX
    assert len(bytes.fromhex(whole["deviceFingerprint"])) == 32
    ((session),) = whole["sessions"]
    assert (session["id"], session["deviceName"]) == (own["tokenId"], "Firefox 140.0 on Linux")


async def test_what_looks_alike_is_one_device(any_house: House) -> None:
    house = any_house
    await house.ada()
    first = await on(house, LAPTOP)
    house.clock.move(60)
    updated = {**LAPTOP, "browser": "Firefox 141.0", "userAgent": FIREFOX.replace("140", "141"), "timezone": "UTC"}
    second = await house.post(
        "/user/login", json={**CREDENTIALS, "deviceInfo": updated}, address="198.51.100.7"
    )  # fmt: skip
    assert second.status_code == 200
    (only,) = await devices(house, first)
    assert only["browser"] == "Firefox 141.0"
    assert (only["createdAt"], only["lastSeen"]) == ("2026-11-22T00:00:00.000Z", "2026-11-22T00:01:00.000Z")
    assert only["ipAddress"] == "198.51.100.7"
    assert {s["id"] for s in (await device(house, first, only["id"]))["sessions"]} == {
        first["tokenId"], second.json()["tokenId"]
    }  # fmt: skip
    house.clock.move(60)
    await on(house, PHONE)
    assert [each["deviceType"] for each in await devices(house, first)] == ["MOBILE", "DESKTOP"]


async def test_a_sign_in_that_says_nothing_makes_none(house: House) -> None:
    await house.ada()
    own = await on(house, None)
    await house.post("/frontend/api/v1/auth/sign-in", json={**CREDENTIALS, "deviceInfo": LAPTOP})
    assert await devices(house, own) == []
    assert await rows(house) == 0
    assert (await house.db.scan(_LINKED))[0][0] == 0


async def test_what_is_left_out_is_guessed_from_the_user_agent(house: House) -> None:
    await house.ada()
    headers = {"User-Agent": FIREFOX}
    own = (await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": {}}, headers=headers)).json()
    (shown,) = await devices(house, own)
    assert (shown["deviceName"], shown["deviceType"]) == ("Firefox on Linux", "DESKTOP")


async def test_what_is_told_cannot_break_a_line_or_a_table(house: House) -> None:
    await house.ada()
    own = await on(house, {"os": "Li\r\nnux\x1b[31m\u202e" + "x" * 500, "browser": "<script>\t", "userAgent": "a\nb"})
    (shown,) = await devices(house, own)
    assert shown["os"] == ("Linux[31m" + "x" * 500)[:64]
    assert shown["browser"] == "<script>"
    ((name, agent, os),) = await house.db.scan(_STATEMENTS)
    assert all(text.isprintable() for text in (name, agent, os))


async def test_a_paused_sign_in_is_seen_when_it_is_finished(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    limited = await on(house, LAPTOP)
    assert await rows(house) == 0
    body = {"mfaType": "GOOGLE_AUTH", "code": totp.code()}
    full = await house.post("/mfa/verify-login", json=body, headers=bearer(limited["accessToken"]))
    (shown,) = await devices(house, {"accessToken": full.json()["fullAccessToken"]})
    assert shown["os"] == "Linux"


async def test_a_refused_sign_in_leaves_no_device(house: House) -> None:
    await house.ada()
    answer = await house.post("/user/login", json={**CREDENTIALS, "password": "wrong", "deviceInfo": LAPTOP})
    assert answer.status_code == 401
    assert await rows(house) == 0


async def test_fingerprints_of_two_accounts_have_nothing_in_common(house: House) -> None:
    await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True)
    ada, bob = await on(house, LAPTOP), await on(house, LAPTOP, email="bob@example.com")
    (hers,), (his,) = await devices(house, ada), await devices(house, bob)
    prints = [(await device(house, o, d["id"]))["deviceFingerprint"] for o, d in ((ada, hers), (bob, his))]
    assert prints[0] != prints[1]
    assert_no(await trust(house, ada, prints[1]), 404, "NOT_FOUND")


async def test_last_seen_follows_the_use_of_its_sessions(house: House) -> None:
    await house.ada()
    own = await on(house, LAPTOP)
    house.clock.move(1800)
    assert (await refresh(house, own["refreshToken"])).status_code == 200
    (shown,) = await devices(house, own)
    assert shown["lastSeen"] == "2026-11-22T00:30:00.000Z"


async def test_an_account_has_at_most_fifty(any_house: House) -> None:
    house = any_house
    await house.ada()
    for number in range(CAP + 2):
        house.clock.move(1)
        own = await on(house, {"platform": f"machine {number}"})
    assert len(await devices(house, own)) == CAP == await rows(house)
    (linked,) = [s for s in (await house.get("/sessions", headers=bearer(own["accessToken"]))).json()["sessions"]
                 if s["id"] == own["tokenId"]]  # fmt: skip
    assert linked["deviceName"]


async def test_a_device_goes_ninety_days_after_its_last_sign_in(house: House) -> None:
    await house.ada()
    await on(house, LAPTOP)
    house.clock.move(89 * DAY)
    await on(house, PHONE)
    house.clock.move(2 * DAY)
    await house.core.sweep()
    assert [each["deviceType"] for each in await devices(house, await on(house, PHONE))] == ["MOBILE"]


# ---------------------------------------------------------------- trusted


async def test_trust_lasts_thirty_days(any_house: House) -> None:
    house = any_house
    await house.ada()
    own = await on(house, LAPTOP)
    (only,) = await devices(house, own)
    shown = await device(house, own, only["id"])
    answer = await trust(house, own, shown["deviceFingerprint"].upper())
    assert (answer.status_code, list(answer.json())) == (200, ["success", "message", "trustExpiresAt"])
    assert answer.json()["trustExpiresAt"] == "2026-12-22T00:00:00.000Z"
    (only,) = await devices(house, own)
    assert (only["isTrusted"], only["trustLevel"]) == (True, "HIGH")
    assert only["trustExpiresAt"] == "2026-12-22T00:00:00.000Z"
    house.clock.move(30 * DAY)
    (only,) = await devices(house, await on(house, LAPTOP))
    assert (only["isTrusted"], only["trustLevel"], only["trustExpiresAt"]) == (False, "LOW", None)


async def test_trust_can_be_taken_back_any_number_of_times(house: House) -> None:
    await house.ada()
    own = await on(house, LAPTOP)
    id = await trusted(house, own)
    for _ in range(2):
        answer = await house.post(f"/devices/{id}/untrust", headers=bearer(own["accessToken"]))
        assert (answer.status_code, list(answer.json())) == (200, ["success", "message"])
        (only,) = await devices(house, own)
        assert (only["isTrusted"], only["trustLevel"], only["trustExpiresAt"]) == (False, "LOW", None)
    changes = [e.detail["what"] for e in await house.core.newest_events(50) if e.kind == "device_changed"]
    assert changes == ["untrusted", "trusted"]


async def test_trusting_needs_a_fresh_proof(house: House) -> None:
    await house.ada()
    own = await on(house, LAPTOP)
    (only,) = await devices(house, own)
    fingerprint = (await device(house, own, only["id"]))["deviceFingerprint"]
    house.clock.move(20 * 60)
    assert_no(await trust(house, own, fingerprint), 403, "REAUTHENTICATION_REQUIRED")
    assert (await trust(house, await on(house, LAPTOP), fingerprint)).status_code == 200


async def test_trusting_waits_for_a_verified_address(house: House) -> None:
    await house.ada(verified=False)
    own = await on(house, LAPTOP)
    (only,) = await devices(house, own)
    fingerprint = (await device(house, own, only["id"]))["deviceFingerprint"]
    assert_no(await trust(house, own, fingerprint), 403, "EMAIL_NOT_VERIFIED")


@pytest.mark.parametrize("fingerprint", ["x", "00", "a" * 64, "%", "é"])
async def test_an_unknown_fingerprint(house: House, fingerprint: str) -> None:
    await house.ada()
    assert_no(await trust(house, await on(house, LAPTOP), fingerprint), 404, "NOT_FOUND")


async def test_a_trusted_device_is_asked_for_everything_that_another_is(house: House) -> None:
    """Trust is a mark in a list: the second factor, fresh proofs and the lanes are what they were."""
    ada = await house.ada()
    own = await on(house, LAPTOP)
    await trusted(house, own)
    await house.enrol_totp(ada)
    limited = await on(house, LAPTOP)
    assert "refreshToken" not in limited
    assert_no(await profile(house, limited["accessToken"]), 403, "MFA_REQUIRED")
    for _ in range(10):
        answer = await house.post(
            "/user/login", json={**CREDENTIALS, "password": "wrong", "deviceInfo": LAPTOP}, address="203.0.113.9"
        )  # fmt: skip
        assert_no(answer, 401, "INVALID_PASSWORD")
    locked = await house.post("/user/login", json={**CREDENTIALS, "deviceInfo": LAPTOP}, address="203.0.113.9")
    assert_no(locked, 429, "RATE_LIMITED")


# ---------------------------------------------------------------- removed, and others'


async def test_removing_a_device_ends_its_sessions_and_no_other(any_house: House) -> None:
    house = any_house
    await house.ada()
    phone, again, own = await on(house, PHONE), await on(house, PHONE), await on(house, LAPTOP)
    (gone,) = [each for each in await devices(house, own) if each["deviceType"] == "MOBILE"]
    answer = await house.delete(f"/devices/{gone['id']}", headers=bearer(own["accessToken"]))
    assert (answer.status_code, list(answer.json())) == (200, ["success", "message"])
    for ended in (phone, again):
        assert_no(await profile(house, ended["accessToken"]), 401, "NO_AUTH_USER")
        assert_no(await refresh(house, ended["refreshToken"]), 401, "INVALID_REFRESH_TOKEN")
    (left,) = await devices(house, own)
    assert left["deviceType"] == "DESKTOP"
    answer = await house.delete(f"/devices/{gone['id']}", headers=bearer(own["accessToken"]))
    assert_no(answer, 404, "NOT_FOUND")
    assert (await house.delete(f"/devices/{left['id']}", headers=bearer(own["accessToken"]))).status_code == 200
    assert_no(await profile(house, own["accessToken"]), 401, "NO_AUTH_USER")
    assert await rows(house) == 0


async def test_a_device_that_comes_back_is_a_new_one(house: House) -> None:
    await house.ada()
    own = await on(house, LAPTOP)
    old = await trusted(house, own)
    await house.delete(f"/devices/{old}", headers=bearer(own["accessToken"]))
    (back,) = await devices(house, await on(house, LAPTOP))
    assert back["id"] != old
    assert back["trustLevel"] == "UNKNOWN"


async def test_devices_of_others_are_unknown(house: House) -> None:
    """To whoever manages the account, too."""
    await house.ada(administrator=True, rank=255)
    await house.add(email="bob@example.com", username="bob", verified=True)
    own, bob = await on(house, LAPTOP), await on(house, PHONE, email="bob@example.com")
    (his,) = await devices(house, bob)
    headers = bearer(own["accessToken"])
    assert [each["deviceType"] for each in await devices(house, own)] == ["DESKTOP"]
    for id in (his["id"], str(uuid.UUID(int=1)), "x"):
        assert_no(await house.get(f"/devices/{id}", headers=headers), 404, "NOT_FOUND")
        assert_no(await house.post(f"/devices/{id}/untrust", headers=headers), 404, "NOT_FOUND")
        assert_no(await house.delete(f"/devices/{id}", headers=headers), 404, "NOT_FOUND")
    assert (await profile(house, bob["accessToken"])).status_code == 200


async def test_erasing_an_account_takes_its_devices(house: House) -> None:
    ada = await house.ada()
    await on(house, LAPTOP)
    await house.core.life.set_status(ada.account, "deleted")
    house.clock.move(31 * DAY)
    await house.core.sweep()
    assert await rows(house) == 0
