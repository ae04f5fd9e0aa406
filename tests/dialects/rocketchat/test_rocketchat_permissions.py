"""Permissions over Rocket.Chat's wire: contract section 6.5, decision 11, table B."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.dialects.rocketchat.permissions import DEFAULTS
from dragoman.storage import accounts
from kit.house import PASSWORD, House, house_over, open_house

LOGIN, LIST, UPDATE = "/api/v1/login", "/api/v1/permissions.listAll", "/api/v1/permissions.update"
MISSING = {
    "success": False, "error": "User does not have the permissions required for this action [error-unauthorized]",
}  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with Ada, an administrator, and Bob, who is none."""
    async with open_house(tmp_path) as opened:
        await opened.ada(administrator=True)
        await opened.add(username="bob")
        yield opened


async def log_in(house: House, user: str = "ada") -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def give(house: House, headers: dict[str, str], **permissions: list[str]) -> httpx2.Response:
    wanted = [{"_id": name.replace("_", "-"), "roles": roles} for name, roles in permissions.items()]
    return await house.post(UPDATE, headers=headers, json={"permissions": wanted})


async def label(house: House, name: str, *labels: str) -> None:
    account = await house.core.accounts.named(name)
    await house.db.transaction(lambda tx: accounts.put_labels(tx, account.id, "rocketchat", labels, 5))


async def listed(house: House, headers: dict[str, str], **query: Any) -> dict[str, list[str]]:
    answer = await house.get(LIST, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["remove"], body["success"]) == ([], True)
    return {each["_id"]: each["roles"] for each in body["update"]}


async def test_everybody_signed_in_reads_the_defaults_of_the_original(house: House) -> None:
    for user in ("ada", "bob"):
        shown = await listed(house, await log_in(house, user))
        assert shown == {name: list(roles) for name, roles in DEFAULTS.items()}
    assert shown["create-personal-access-tokens"] == ["admin", "user"]
    assert shown["api-bypass-rate-limit"] == ["admin", "bot", "app"]
    assert shown["delete-user"] == ["admin"]
    assert (await house.get(LIST)).status_code == 401


async def test_what_changed_since(house: House) -> None:
    ada = await log_in(house)
    assert await listed(house, ada, updatedSince="2018-11-27T13:52:01Z") == {}
    await give(house, ada, delete_user=["admin", "user"])
    assert await listed(house, ada, updatedSince="2018-11-27T13:52:01Z") == {"delete-user": ["admin", "user"]}
    assert await listed(house, ada, updatedSince="2218-11-27") == {}
    for odd in ("fsafdf", "", "2018-13-01", "9" * 40):
        answer = await house.get(LIST, headers=ada, params={"updatedSince": odd})
        assert (answer.status_code, answer.json()["success"]) == (400, False), odd


async def test_a_change_counts_at_once_in_every_process(house: House, tmp_path: Path) -> None:
    ada = await log_in(house)
    async with house_over(house.db, house.settings, tmp_path, house.clock) as other:
        assert (await other.get("/api/v1/settings", headers=ada)).status_code == 200
        answer = await give(house, ada, view_privileged_setting=[], delete_user=["user", "admin", "user"])
        assert answer.status_code == 200
        shown = {each["_id"]: each for each in answer.json()["permissions"]}
        assert answer.json()["success"] is True
        assert shown.keys() == DEFAULTS.keys()
        assert shown["view-privileged-setting"]["roles"] == []
        assert shown["delete-user"]["roles"] == ["admin", "user"]
        assert shown["delete-user"]["_updatedAt"] > shown["create-user"]["_updatedAt"] == "1970-01-01T00:00:00.000Z"
        for there in (house, other):
            answer = await there.get("/api/v1/settings", headers=ada)
            assert (answer.status_code, answer.json()) == (403, MISSING)
        assert (await give(other, ada, view_privileged_setting=["admin"])).status_code == 200
        assert (await house.get("/api/v1/settings", headers=ada)).status_code == 200


async def test_only_who_has_access_permissions_changes_any(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    answer = await give(house, bob, delete_user=["user"])
    assert (answer.status_code, answer.json()) == (403, MISSING)
    assert (await house.post(UPDATE, json={"permissions": []})).status_code == 401
    await give(house, ada, access_permissions=["user"])
    assert (await give(house, bob, view_statistics=["user"])).status_code == 200
    assert (await house.get("/api/info", headers=bob)).json()["info"]["version"] == "8.8.0"
    assert "info" not in (await house.get("/api/info", headers=ada)).json()
    assert (await give(house, ada, access_permissions=["admin"])).status_code == 200, "administrators keep it"
    assert (await give(house, bob, view_statistics=["user"])).json() == MISSING


async def test_a_permission_carries_no_authority_of_the_core(house: House) -> None:
    """Decision 11: whoever may, as far as this dialect goes, is judged by the core once more."""
    ada, bob = await log_in(house), await log_in(house, "bob")
    await give(house, ada, edit_privileged_setting=["user"], view_privileged_setting=["user"])
    name = "Block_Multiple_Failed_Logins_Attempts_Until_Block_by_User"
    for answer in (
        await house.get(f"/api/v1/settings/{name}", headers=bob),
        await house.post(f"/api/v1/settings/{name}", headers=bob, json={"value": 2}),
        await house.get("/api/v1/settings", headers=bob),
    ):
        assert (answer.status_code, answer.json()) == (403, {"success": False, "error": "unauthorized"})


async def test_labels_count_as_roles(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    await give(house, ada, view_statistics=["livechat-manager"])
    assert "info" not in (await house.get("/api/info", headers=bob)).json()
    await label(house, "bob", "livechat-manager", "user")
    assert "info" in (await house.get("/api/info", headers=bob)).json()
    assert (await house.get("/api/v1/me", headers=bob)).json()["roles"] == ["user", "livechat-manager"]
    await label(house, "ada", "bot")
    assert (await house.get("/api/v1/me", headers=ada)).json()["roles"] == ["admin", "bot"]
    await label(house, "bob")
    assert (await house.get("/api/v1/me", headers=bob)).json()["roles"] == ["user"]
    assert "info" not in (await house.get("/api/info", headers=bob)).json()


async def test_what_does_not_fit_changes_nothing(house: House) -> None:
    ada = await log_in(house)
    before = await listed(house, ada)
    answer = await give(house, ada, delete_user=["user"], this_permission_does_not_exist=["admin"])
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-permission")
    answer = await give(house, ada, delete_user=["this-role-does-not-exist"])
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-role")
    for permissions in ("", None, {}, [1], [{"_id": "delete-user"}], [{"_id": 5, "roles": []}],
                        [{"_id": "delete-user", "roles": "admin"}], [{"_id": "delete-user", "roles": [5]}],
                        [{"_id": "delete-user", "roles": ["user"] * 101}]):  # fmt: skip
        answer = await house.post(UPDATE, headers=ada, json={"permissions": permissions})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params"), permissions
    assert (await house.post(UPDATE, headers=ada)).status_code == 400
    assert await listed(house, ada) == before


async def test_a_change_needs_a_fresh_proof_and_is_in_the_audit_trail(house: House) -> None:
    ada = await log_in(house)
    answer = await give(house, ada, delete_user=["user"], create_user=["admin"])
    assert answer.status_code == 200
    line, before = await house.core.newest_events(2)
    assert (line.kind, line.door, line.account) == (
        "setting_changed", "rocketchat", (await house.core.accounts.named("ada")).id
    )  # fmt: skip
    assert line.detail["name"] == "rocketchat.permissions.delete-user"
    assert (line.detail["from"], line.detail["to"]) == ("admin", "user")
    assert before.kind != "setting_changed", "what stayed as it was is no change"
    house.clock.move(601)
    answer = await give(house, ada, delete_user=["admin"])
    assert (answer.status_code, answer.json()["errorType"]) == (400, "totp-required")


async def test_changes_at_the_same_time_are_all_kept(any_house: House) -> None:
    await any_house.ada(administrator=True)
    ada = await log_in(any_house)
    names = sorted(DEFAULTS)
    answers = await asyncio.gather(*(give(any_house, ada, **{name.replace("-", "_"): ["user"]}) for name in names))
    assert {answer.status_code for answer in answers} == {200}
    assert await listed(any_house, ada) == {name: ["user"] for name in names}
