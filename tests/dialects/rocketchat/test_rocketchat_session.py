"""Who is signed in, and signing out: contract sections 1, 4 and 5."""

from __future__ import annotations

from typing import Any

import pytest

from kit.house import PASSWORD, House

LOGIN, ME, LOGOUT = "/api/v1/login", "/api/v1/me", "/api/v1/logout"
TEXT = "You must be logged in to do this."
NOT_SIGNED_IN = {"success": False, "error": TEXT, "status": "error", "message": TEXT}
LOGGED_OUT = {"status": "success", "data": {"message": "You've been logged out!"}, "success": True}
PREFERENCES = {
    "alsoSendThreadToChannel": "default", "autoImageLoad": True, "collapseMediaByDefault": False,
    "convertAsciiEmoji": True, "desktopNotificationRequireInteraction": False, "desktopNotifications": "all",
    "displayAvatars": True, "emailNotificationMode": "mentions", "enableAutoAway": True, "enableMobileRinging": True,
    "featuresPreview": "[]", "hideFlexTab": False, "hideRoles": False, "hideUsernames": False, "idleTimeLimit": 300,
    "masterVolume": 100, "muteFocusedConversations": True, "themeAppearence": "auto", "voipRingerVolume": 100,
    "newMessageNotification": "chime", "newRoomNotification": "door", "notificationsSoundVolume": 100,
    "notifyCalendarEvents": True, "omnichannelTranscriptEmail": False, "pushNotifications": "all",
    "saveMobileBandwidth": True, "sendOnEnter": "normal", "showThreadsInMainChannel": False,
    "sidebarDisplayAvatar": True, "sidebarGroupByType": True,
    "sidebarSectionsOrder": [
        "Incoming_Calls", "Incoming_Livechats", "Open_Livechats", "On_Hold_Chats", "Unread", "Favorites", "Teams",
        "Discussions", "Channels", "Direct_Messages", "Conversations",
    ],
    "sidebarShowFavorites": True, "sidebarShowUnread": False, "sidebarSortby": "activity", "sidebarViewMode": "medium",
    "unreadAlert": True, "useEmojis": True,
}  # fmt: skip


async def log_in(house: House, user: str = "ada", **more: Any) -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def test_me_shows_the_documented_fields_and_no_others(house: House) -> None:
    ada = await house.ada()
    headers = await log_in(house)
    answer = await house.get(ME, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert shown == {
        "_id": ada.aliases["rocketchat"],
        "name": "Ada Example",
        "username": "ada",
        "emails": [{"address": "ada@example.com", "verified": True}],
        "email": "ada@example.com",
        "status": "offline",
        "statusConnection": "offline",
        "avatarUrl": "http://dragoman.test/avatar/ada",
        "settings": {"profile": {}, "preferences": PREFERENCES, "calendar": {}},
        "roles": ["user"],
        "active": True,
        "isOAuthUser": False,
        "services": {"password": {"exists": True}},
        "createdAt": shown["createdAt"],
        "lastLogin": shown["lastLogin"],
        "_updatedAt": shown["_updatedAt"],
        "success": True,
    }
    assert len(shown["settings"]["preferences"]) == 37
    for name in ("createdAt", "lastLogin", "_updatedAt"):
        assert len(shown[name]) == 24
        assert shown[name].endswith("Z")


async def test_me_leaves_out_what_is_not_there(house: House) -> None:
    await house.add(username="bob")
    shown = (await house.get(ME, headers=await log_in(house, "bob"))).json()
    assert shown["name"] == "bob"
    assert "emails" not in shown
    assert "email" not in shown
    await house.ada(verified=False)
    shown = (await house.get(ME, headers=await log_in(house))).json()
    assert shown["emails"] == [{"address": "ada@example.com", "verified": False}]
    assert "email" not in shown


async def test_me_shows_the_role_and_the_second_factor(house: House) -> None:
    ada = await house.ada(administrator=True)
    totp = await house.enrol_totp(ada)
    shown = (await house.get(ME, headers=await log_in(house, code=totp.code()))).json()
    assert shown["roles"] == ["admin"]
    assert shown["services"] == {"password": {"exists": True}, "totp": {"enabled": True}}


async def test_last_login_is_the_one_just_made(house: House) -> None:
    await house.ada()
    await log_in(house)
    house.clock.move(86400)
    answer = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})
    shown = answer.json()["data"]["me"]["lastLogin"]
    data = answer.json()["data"]
    again = await house.get(ME, headers={"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]})
    assert shown == again.json()["lastLogin"]


async def test_a_resume_is_the_last_login_written_down_within_minutes(house: House) -> None:
    await house.ada()
    headers = await log_in(house)
    began = (await house.get(ME, headers=headers)).json()["lastLogin"]
    house.clock.move(60)
    soon = await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]})
    assert soon.json()["data"]["me"]["lastLogin"] > began
    await house.core.sessions.flush_seen()
    assert (await house.get(ME, headers=headers)).json()["lastLogin"] == began, "too soon to be worth a write"
    house.clock.move(3600)
    late = (await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]})).json()["data"]["me"]["lastLogin"]
    assert late > began
    await house.core.sessions.flush_seen()
    assert (await house.get(ME, headers=headers)).json()["lastLogin"] == late


@pytest.mark.parametrize("path", [ME, "/api/v1/me/", "/api/v1/me?", "/api/v1/me///?x=y&x=%ff"])
async def test_me_bears_slashes_and_queries(house: House, path: str) -> None:
    await house.ada()
    assert (await house.get(path, headers=await log_in(house))).json()["username"] == "ada"


async def test_head_is_get_without_a_body(house: House) -> None:
    await house.ada()
    headers = await log_in(house)
    answer = await house.request("HEAD", ME, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == (await house.get(ME, headers=headers)).headers["content-length"]
    assert (await house.request("HEAD", ME)).status_code == 401


async def test_both_headers_are_needed_and_name_one_person(house: House) -> None:
    await house.ada()
    await house.add(username="bob", email="bob@example.com")
    ada, bob = await log_in(house), await log_in(house, "bob")
    token, id = ada["X-Auth-Token"], ada["X-User-Id"]
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"X-Auth-Token": token},
        {"X-User-Id": id},
        {"X-Auth-Token": token, "X-User-Id": bob["X-User-Id"]},
        {"X-Auth-Token": bob["X-Auth-Token"], "X-User-Id": id},
        {"X-Auth-Token": token, "X-User-Id": "ada"},
        {"X-Auth-Token": token, "X-User-Id": id.swapcase()},
        {"X-Auth-Token": token, "X-User-Id": ""},
        {"X-Auth-Token": "", "X-User-Id": id},
        {"X-Auth-Token": "undefined", "X-User-Id": "undefined"},
        {"X-Auth-Token": token[:-1], "X-User-Id": id},
        {"X-Auth-Token": token * 100, "X-User-Id": id},
        {"X-Auth-Token": "a" * 43, "X-User-Id": id},
        {"Authorization": f"Bearer {token}", "X-User-Id": id},
        {"Cookie": f"rc_token={token}; rc_uid={id}"},
    )
    for method, path in (("GET", ME), ("POST", LOGOUT), ("GET", LOGOUT)):
        for headers in wrong:
            answer = await house.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, NOT_SIGNED_IN), (method, path, headers)
        answer = await house.request(method, path, params={"access_token": token, "userId": id})
        assert answer.status_code == 401
    assert (await house.get(ME, headers=ada)).status_code == 200
    assert (await house.get(ME, headers={k.lower(): v for k, v in bob.items()})).status_code == 200


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("POST", {"json": {}}),
        ("POST", {}),
        ("POST", {"content": b"not json", "headers": {"Content-Type": "application/json"}}),
        ("POST", {"content": b"\xff" * 100}),
        ("POST", {"data": {"a": "b"}}),
        ("GET", {}),
    ],
)
async def test_logout_ends_the_presented_session_alone_and_at_once(
    house: House, method: str, wanted: dict[str, Any]
) -> None:
    await house.ada()
    here, there = await log_in(house), await log_in(house)
    headers = {**here, **wanted.pop("headers", {})}
    answer = await house.request(method, LOGOUT, headers=headers, **wanted)
    assert (answer.status_code, answer.json()) == (200, LOGGED_OUT)
    assert (await house.get(ME, headers=here)).json() == NOT_SIGNED_IN
    assert (await house.request(method, LOGOUT, headers=here)).json() == NOT_SIGNED_IN
    assert (await house.get(ME, headers=there)).status_code == 200
    assert len(await house.sessions()) == 1


async def test_a_session_ends_wherever_it_is_ended(house: House) -> None:
    ada = await house.ada()
    first, second = await log_in(house), await log_in(house)
    await house.core.sessions.end_everything(ada.account, "operator")
    for headers in (first, second):
        assert (await house.get(ME, headers=headers)).json() == NOT_SIGNED_IN
    third = await log_in(house)
    await house.core.life.set_status(ada.account, "suspended")
    assert (await house.get(ME, headers=third)).json() == NOT_SIGNED_IN


async def test_a_session_ends_after_ninety_days(house: House) -> None:
    await house.ada()
    headers = await log_in(house)
    house.clock.move(90 * 86400 - 1)
    assert (await house.get(ME, headers=headers)).status_code == 200
    house.clock.move(2)
    assert (await house.get(ME, headers=headers)).json() == NOT_SIGNED_IN


async def test_the_oldest_of_more_than_fifty_sessions_ends(house: House) -> None:
    await house.ada()
    first = await log_in(house)
    second = first
    for number in range(50):
        house.clock.move(1)
        headers = await log_in(house)
        second = headers if number == 0 else second
    assert (await house.get(ME, headers=first)).status_code == 401
    assert (await house.get(ME, headers=second)).status_code == 200


async def test_neither_locks_nor_budgets_refuse_a_live_session(house: House) -> None:
    await house.ada()
    headers = await log_in(house)
    for _ in range(12):
        await house.post(LOGIN, json={"user": "ada", "password": "wrong"}, address="203.0.113.9")
    assert (await house.get(ME, headers=headers, address="203.0.113.9")).status_code == 200
    resumed = await house.post(LOGIN, json={"resume": headers["X-Auth-Token"]}, address="203.0.113.9")
    assert resumed.status_code == 200
