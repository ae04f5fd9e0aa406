"""Accounts over Rocket.Chat's wire: contract sections 8.2, 8.3, 8.6; decisions 6, 11, 12, 25, 42; tables B and C."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.core.refusals import NotFound
from dragoman.model import Id
from kit.house import PASSWORD, House, open_house

pytestmark = pytest.mark.slow

V1 = "/api/v1"
LOGIN, ME = f"{V1}/login", f"{V1}/me"
MISSING = {
    "success": False, "error": "User does not have the permissions required for this action [error-unauthorized]",
}  # fmt: skip
UNAUTHORIZED = {"success": False, "error": "unauthorized"}
NEW: dict[str, Any] = {
    "email": "carol@example.com", "name": "Carol Example", "username": "carol", "password": "a long horse story"
}  # fmt: skip
NEW_PASSWORD = "another long story"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with Ada, an administrator, and Bob, who is none."""
    async with open_house(tmp_path) as opened:
        await opened.ada(administrator=True)
        await opened.add(username="bob", email="bob@example.com", first_name="Bob", last_name="Example")
        yield opened


async def log_in(house: House, user: str = "ada", password: str = PASSWORD, **more: Any) -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": password, **more})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def post(house: House, name: str, headers: dict[str, str] | None = None, /, **body: Any) -> httpx2.Response:
    return await house.post(f"{V1}/{name}", headers=headers, json=body)


async def get(house: House, name: str, headers: dict[str, str] | None = None, /, **query: str) -> httpx2.Response:
    return await house.get(f"{V1}/{name}", headers=headers, params=query)


async def give(house: House, headers: dict[str, str], name: str, *roles: str) -> None:
    answer = await post(house, "permissions.update", headers, permissions=[{"_id": name, "roles": roles}])
    assert answer.status_code == 200, answer.text


async def id_of(house: House, username: str) -> str:
    return (await house.core.accounts.person(await house.core.accounts.by_username(username))).aliases["rocketchat"]


def refused(answer: httpx2.Response, status: int, error: str, code: str | None = None) -> None:
    body = answer.json()
    assert (answer.status_code, body["success"]) == (status, False), answer.text
    assert body["error"] == (error if code is None else f"{error} [{code}]")
    assert body.get("errorType") == code


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


# ---------------------------------------------------------------- users.create


async def test_a_new_account_is_shown_and_signs_in(house: House) -> None:
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **NEW, active=True, roles=["user"], verified=True,
                        joinDefaultChannels=True, customFields={"a": 1}, bio="x")  # fmt: skip
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert answer.json() == {"user": user, "success": True}
    assert user == {
        "_id": await id_of(house, "carol"), "name": "Carol Example", "username": "carol", "status": "offline",
        "type": "user", "active": True, "roles": ["user"], "settings": {},
        "emails": [{"address": "carol@example.com", "verified": True}],
        "createdAt": user["createdAt"], "_updatedAt": user["_updatedAt"],
    }  # fmt: skip
    assert len(user["_id"]) == 17
    for name in ("carol", "carol@example.com"):
        await log_in(house, name, NEW["password"])
    account = await house.core.accounts.by_username("carol")
    assert (account.first_name, account.last_name, account.display_name) == ("Carol", "Example", None)
    assert account.default_organization
    line = next(e for e in await house.core.newest_events(10) if e.kind == "account_added")
    assert line.detail["by"] == (await house.core.accounts.by_username("ada")).id.hex()


async def test_addresses_are_checked_loosely(house: House) -> None:
    """As in the original's own tests, which use such an address (contract section 8.2)."""
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **{**NEW, "email": "x@example.com}"})
    assert answer.json()["user"]["emails"] == [{"address": "x@example.com}", "verified": False}]
    for odd in ("", "x", "@", "x@", "@y", "x@y@z", "x y@z", "a\nb@c"):
        answer = await post(house, "users.create", ada, **{**NEW, "username": "dora", "email": odd})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-email"), odd


@pytest.mark.parametrize("name", ["admin", "administrator", "system", "user", "Admin", "USER"])
async def test_blocked_usernames(house: House, name: str) -> None:
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **{**NEW, "username": name})
    refused(answer, 400, f"{name} is blocked and can't be used!", "error-blocked-username")
    answer = await post(house, "users.updateOwnBasicInfo", ada, data={"username": name})
    refused(answer, 400, "Could not save user identity", "error-could-not-save-identity")
    answer = await post(house, "users.update", ada, userId=await id_of(house, "bob"), data={"username": name})
    refused(answer, 400, f"{name} is blocked and can't be used!", "error-blocked-username")


async def test_names_in_use(house: House) -> None:
    ada = await log_in(house)
    for field, value in (("username", "bob"), ("username", "BOB"), ("email", "bob@example.com"),
                         ("email", "Bob@Example.com")):  # fmt: skip
        answer = await post(house, "users.create", ada, **{**NEW, field: value})
        refused(answer, 400, f"{value} is already in use :(", "error-field-unavailable")
    assert (await post(house, "users.create", ada, **NEW)).status_code == 200


async def test_what_is_missing_or_does_not_fit(house: House) -> None:
    ada = await log_in(house)
    for field in ("email", "name", "username"):
        answer = await post(house, "users.create", ada, **{k: v for k, v in NEW.items() if k != field})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "invalid-params")
        assert field in answer.json()["error"]
    answer = await post(house, "users.create", ada, **{**NEW, "password": ""})
    refused(answer, 400, "The field Password is required", "error-the-field-is-required")
    answer = await post(house, "users.create", ada, **{**NEW, "username": "  "})
    refused(answer, 400, "The field Username is required", "error-the-field-is-required")
    answer = await post(house, "users.create", ada, **{**NEW, "name": " "})
    refused(answer, 400, "The field Name is required", "error-the-field-is-required")
    for odd in ("a b", "ä", "a/b", "<b>", "x" * 65):
        answer = await post(house, "users.create", ada, **{**NEW, "username": odd})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "error-invalid-username"), odd
    for weak in ("1", "password", "carol@example.com"):
        answer = await post(house, "users.create", ada, **{**NEW, "password": weak})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "error-password-policy-not-met"), weak
    for body in ({"active": "maybe"}, {"roles": "user"}, {"verified": 7}, {"name": None}, {"username": {"$gt": ""}}):
        assert (await post(house, "users.create", ada, **{**NEW, **body})).status_code == 400
    with pytest.raises(NotFound):
        await house.core.accounts.by_username("carol")


async def test_roles_become_labels_and_never_authority(house: House) -> None:
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **NEW, roles=["guest", "user", "livechat-agent"])
    assert answer.json()["user"]["roles"] == ["user", "guest", "livechat-agent"]
    answer = await post(house, "users.create", ada, **{**NEW, "username": "d", "email": "d@example.com"}, roles=["bot"])
    assert (answer.json()["user"]["roles"], answer.json()["user"]["type"]) == (["user", "bot"], "bot")
    assert (await house.core.accounts.by_username("d")).kind == "bot"
    other = {**NEW, "username": "e", "email": "e@example.com"}
    for roles in (["admin"], ["user", "admin"]):
        answer = await post(house, "users.create", ada, **other, roles=roles)
        refused(answer, 400, "Assigning admin is not allowed", "error-action-not-allowed")
    answer = await post(house, "users.create", ada, **other, roles=["root"])
    refused(answer, 400, "The field Roles consist invalid role id", "error-action-not-allowed")
    carol = await log_in(house, "carol", NEW["password"])
    assert (await house.get(ME, headers=carol)).json()["roles"] == ["user", "guest", "livechat-agent"]


async def test_an_inactive_account_waits(house: House) -> None:
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **NEW, active=False)
    assert answer.json()["user"]["active"] is False
    answer = await house.post(LOGIN, json={"user": "carol", "password": NEW["password"]})
    assert answer.json()["error"] == "error-user-is-not-activated"


async def test_a_password_that_is_to_be_replaced(house: House) -> None:
    ada = await log_in(house)
    answer = await post(house, "users.create", ada, **NEW, requirePasswordChange=True)
    assert answer.json()["user"]["requirePasswordChange"] is True
    carol = await log_in(house, "carol", NEW["password"])
    assert (await house.get(ME, headers=carol)).json()["requirePasswordChange"] is True
    house.clock.move(7 * 86400 + 1)
    assert (await house.post(LOGIN, json={"user": "carol", "password": NEW["password"]})).status_code == 401


async def test_a_random_password_is_none_and_a_link(house: House) -> None:
    ada = await log_in(house)
    body = {k: v for k, v in NEW.items() if k != "password"}
    answer = await post(house, "users.create", ada, **body, setRandomPassword=True)
    assert answer.status_code == 200
    person = await house.core.accounts.person(await house.core.accounts.by_username("carol"))
    assert not person.has_password
    assert len([each for each in await house.letters() if each.kind == "reset"]) == 1


async def test_only_administrators_with_the_permission_create(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    refused(
        await post(house, "users.create", bob, **NEW), 400, "Adding user is not allowed", "error-action-not-allowed"
    )
    await give(house, ada, "create-user", "user")
    assert (await post(house, "users.create", bob, **NEW)).json() == UNAUTHORIZED
    refused(
        await post(house, "users.create", ada, **NEW), 400, "Adding user is not allowed", "error-action-not-allowed"
    )
    assert (await post(house, "users.create", **NEW)).status_code == 401


# ---------------------------------------------------------------- users.info


async def test_info_of_others_is_as_much_as_the_permission_says(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    for query in ({"username": "bob"}, {"userId": bob["X-User-Id"]}, {"username": "BOB"}):
        user = (await get(house, "users.info", ada, **query)).json()["user"]
        assert (user["username"], user["emails"], user["active"], user["roles"]) == (
            "bob", [{"address": "bob@example.com", "verified": False}], True, ["user"]
        )  # fmt: skip
        assert "lastLogin" in user
    assert (await get(house, "users.info", ada, email="Bob@example.com")).json()["user"]["username"] == "bob"
    for email in ("ada@example.com", "nobody@example.com"):
        assert (await get(house, "users.info", bob, email=email)).json() == MISSING
    user = (await get(house, "users.info", bob, username="ada")).json()["user"]
    assert user == {"_id": ada["X-User-Id"], "name": "Ada Example", "username": "ada", "status": "offline"}
    assert "emails" in (await get(house, "users.info", bob, username="bob")).json()["user"]
    await give(house, ada, "view-full-other-user-info", "admin", "user")
    assert "emails" in (await get(house, "users.info", bob, username="ada")).json()["user"]


async def test_unknown_people_and_strangers_are_alike(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    elsewhere = await house.core.accounts.organization("Elsewhere")
    eve = await house.add(username="eve", organization=elsewhere)
    gone = await house.add(username="gone")
    await house.core.life.delete(gone.account)
    for query in ({"username": "nobody"}, {"username": "eve"}, {"userId": eve.aliases["rocketchat"]},
                  {"username": "gone"}, {"userId": "invalid"}, {"username": "a\nb"},
                  {"username": "bob@example.com"}):  # fmt: skip
        refused(await get(house, "users.info", bob, **query), 400, "User not found.")
    refused(await get(house, "users.info", bob), 400, "Invalid search query.")
    assert (await get(house, "users.info", ada, username="eve")).status_code == 200
    assert (await get(house, "users.info", username="bob")).status_code == 401


# ---------------------------------------------------------------- users.setActiveStatus, users.delete


async def test_barred_is_out_at_once_and_back_when_let_in(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    answer = await post(house, "users.setActiveStatus", ada, userId=bob["X-User-Id"], activeStatus=False)
    assert answer.json() == {"user": {"_id": bob["X-User-Id"], "active": False}, "success": True}
    assert (await house.get(ME, headers=bob)).status_code == 401
    assert (await house.core.accounts.by_username("bob")).status == "suspended"
    answer = await house.post(LOGIN, json={"user": "bob", "password": PASSWORD})
    assert answer.json()["error"] == "error-user-is-not-activated"
    answer = await post(house, "users.setActiveStatus", ada, userId=bob["X-User-Id"], activeStatus=True)
    assert answer.json()["user"]["active"] is True
    assert (await house.get(ME, headers=bob)).status_code == 401, "what ended does not come back"
    await log_in(house, "bob")


async def test_deleted_is_out_and_reserved(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    answer = await post(house, "users.delete", ada, userId=bob["X-User-Id"], confirmRelinquish=True)
    assert (answer.status_code, answer.json()) == (200, {"deletedRooms": [], "success": True})
    assert (await house.get(ME, headers=bob)).status_code == 401
    refused(await post(house, "users.delete", ada, userId=bob["X-User-Id"]), 400, "User not found.")
    refused(await post(house, "users.delete", ada, username="nobody"), 400, "User not found.")
    answer = await post(house, "users.create", ada, **{**NEW, "username": "bob"})
    refused(answer, 400, "bob is already in use :(", "error-field-unavailable")
    answer = await post(house, "users.delete", ada)
    assert answer.json()["errorType"] == "error-user-param-not-provided"
    await house.core.life.restore(await house.core.accounts.by_username("bob"))
    assert (await post(house, "users.delete", ada, username="Bob")).status_code == 200


async def test_acts_on_others_want_permission_rank_and_a_fresh_proof(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    carol = (await house.add(username="carol")).aliases["rocketchat"]
    manager = await house.add(username="mona", rank=2)
    mona = await log_in(house, "mona")
    await give(house, ada, "manage-moderation-actions")
    acts: dict[str, tuple[str, dict[str, Any]]] = {
        "users.setActiveStatus": ("edit-other-user-active-status", {"activeStatus": True}),
        "users.delete": ("delete-user", {}),
    }
    for name, (permission, body) in acts.items():
        for who in (bob, mona):
            assert (await post(house, name, who, userId=carol, **body)).json() == MISSING
            assert (await post(house, name, userId=carol, **body)).status_code == 401
        await give(house, ada, permission, "user")
        assert (await post(house, name, ada, userId=carol, **body)).json() == MISSING, "administrators as well"
        for target in (carol, ada["X-User-Id"], manager.aliases["rocketchat"]):
            answer = await post(house, name, bob, userId=target, **body)
            assert (answer.status_code, answer.json()) == (403, UNAUTHORIZED), "a label carries no authority"
        assert (await post(house, name, mona, userId=ada["X-User-Id"], **body)).json() == UNAUTHORIZED
        assert (await post(house, name, mona, userId=carol, **body)).status_code == 200, "rank 2 above rank 0"
        await give(house, ada, permission, "admin")
    for name, (_, body) in acts.items():
        house.clock.move(601)
        assert (await post(house, name, bob, userId=carol, **body)).json() == MISSING, "a permission before a proof"
        answer = await post(house, name, ada, userId=carol, **body)
        assert (answer.status_code, answer.json()["errorType"]) == (400, "totp-required")
        ada = await log_in(house)


async def test_people_of_other_organizations_are_unknown(house: House) -> None:
    """Decision 12: whoever is no administrator cannot tell a stranger's id from one that nobody has (threat 29)."""
    ada = await log_in(house)
    elsewhere = await house.core.accounts.organization("Elsewhere")
    eve = (await house.add(username="eve", organization=elsewhere)).aliases["rocketchat"]
    await house.add(username="mona", rank=254)
    mona = await log_in(house, "mona")
    for name in ("edit-other-user-active-status", "delete-user", "edit-other-user-info", "logout-other-user",
                 "view-full-other-user-info", "edit-other-user-password", "assign-roles"):  # fmt: skip
        await give(house, ada, name, "admin", "user")
    for id in (eve, "nobody", ""):
        for answer in (
            await post(house, "users.setActiveStatus", mona, userId=id, activeStatus=False),
            await post(house, "users.delete", mona, userId=id),
            await post(house, "users.update", mona, userId=id, data={"password": NEW_PASSWORD, "roles": ["guest"]}),
            await post(house, "users.logout", mona, userId=id),
            await get(house, "users.info", mona, userId=id),
            await get(house, "users.getPresence", mona, userId=id),
        ):
            refused(answer, 400, "User not found.")
        assert (await get(house, "users.presence", mona, ids=id)).json()["users"] == []
    assert (await get(house, "users.checkUsernameAvailability", mona, username="eve")).json()["result"] is False
    assert (await house.core.accounts.by_username("eve")).status == "active"


async def test_an_owner_of_people_changes_their_addresses_and_passwords(house: House) -> None:
    """From rank 254 (threat 30); nobody but an administrator vouches for an address (decision 15)."""
    ada = await log_in(house)
    for name in ("edit-other-user-info", "edit-other-user-password"):
        await give(house, ada, name, "admin", "user")
    await house.add(username="mona", rank=254)
    mona, bob = await log_in(house, "mona"), await id_of(house, "bob")
    data = {"email": "rob@example.com", "verified": True}
    answer = await post(house, "users.update", mona, userId=bob, data=data)
    assert answer.json()["user"]["emails"][0] == {"address": "rob@example.com", "verified": False}
    assert "address_changed" in [each.kind for each in await house.letters()]
    answer = await post(house, "users.update", mona, userId=bob, data={"password": NEW_PASSWORD})
    assert answer.status_code == 200
    await log_in(house, "bob", NEW_PASSWORD)


async def test_the_last_administrator_stays(house: House) -> None:
    ada = await log_in(house)
    await house.core.life.suspend(await house.core.accounts.by_username("root"))
    text = "Leaving the app without an active admin is not allowed"
    for answer in (
        await post(house, "users.setActiveStatus", ada, userId=ada["X-User-Id"], activeStatus=False),
        await post(house, "users.delete", ada, userId=ada["X-User-Id"]),
        await post(house, "users.deleteOwnAccount", ada, password=digest(PASSWORD)),
    ):
        refused(answer, 400, text, "error-action-not-allowed")
    assert (await house.get(ME, headers=ada)).status_code == 200


async def test_who_bars_himself_rests(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    await give(house, ada, "edit-other-user-active-status", "admin", "user")
    answer = await post(house, "users.setActiveStatus", bob, userId=bob["X-User-Id"], activeStatus=False)
    assert answer.json()["user"]["active"] is False
    assert (await house.core.accounts.by_username("bob")).status == "deactivated"
    assert (await house.get(ME, headers=bob)).status_code == 401


# ---------------------------------------------------------------- users.update


async def test_an_administrator_changes_what_others_are_called(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    data = {"name": "Robert Example the Third", "username": "rob", "email": "rob@example.com", "verified": True,
            "roles": ["user", "guest"]}  # fmt: skip
    answer = await post(house, "users.update", ada, userId=bob["X-User-Id"], data=data)
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert (user["name"], user["username"], user["roles"]) == ("Robert Example the Third", "rob", ["user", "guest"])
    assert user["emails"][0] == {"address": "rob@example.com", "verified": True}
    assert (await house.get(ME, headers=bob)).status_code == 401, "a changed address ends the clients (table C)"
    assert (await house.post(LOGIN, json={"user": "bob", "password": PASSWORD})).status_code == 401
    await log_in(house, "rob")
    answer = await post(house, "users.update", ada, userId=bob["X-User-Id"], data={"active": False})
    assert answer.json()["user"]["active"] is False
    answer = await post(house, "users.update", ada, userId=bob["X-User-Id"], data={"active": True, "roles": ["user"]})
    assert (answer.json()["user"]["active"], answer.json()["user"]["roles"]) == (True, ["user"])


async def test_a_password_set_by_an_administrator(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    body = {"password": NEW_PASSWORD, "requirePasswordChange": True}
    answer = await post(house, "users.update", ada, userId=bob["X-User-Id"], data=body)
    assert answer.json()["user"]["requirePasswordChange"] is True
    assert (await house.get(ME, headers=bob)).status_code == 401
    await log_in(house, "bob", NEW_PASSWORD)
    assert "password_set" in [each.kind for each in await house.letters()]
    answer = await post(house, "users.update", ada, userId=ada["X-User-Id"], data=body)
    refused(answer, 400, "Editing user password is not allowed", "error-action-not-allowed")


async def test_an_address_is_confirmed_on_an_administrators_word(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    answer = await post(house, "users.update", ada, userId=bob["X-User-Id"], data={"verified": True})
    assert answer.json()["user"]["emails"] == [{"address": "bob@example.com", "verified": True}]
    answer = await post(house, "users.update", ada, userId=ada["X-User-Id"], data={"verified": True})
    refused(answer, 400, "Editing email verification is not allowed", "error-action-not-allowed")


async def test_who_may_change_others(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    carol = (await house.add(username="carol")).aliases["rocketchat"]
    await house.add(username="mona", rank=2)
    mona = await log_in(house, "mona")
    answer = await post(house, "users.update", bob, userId=carol, data={"name": "X"})
    refused(answer, 400, "Editing user is not allowed", "error-action-not-allowed")
    for permission in ("edit-other-user-info", "edit-other-user-password", "assign-roles"):
        await give(house, ada, permission, "admin", "user")
    for data in ({"name": "X"}, {"email": "x@example.com"}, {"password": NEW_PASSWORD}, {"roles": ["guest"]}):
        assert (await post(house, "users.update", bob, userId=carol, data=data)).json() == UNAUTHORIZED
        assert (await post(house, "users.update", mona, userId=ada["X-User-Id"], data=data)).status_code in (400, 403)
    assert (await post(house, "users.update", mona, userId=carol, data={"name": "X"})).status_code == 200
    for data in ({"email": "x@example.com"}, {"password": NEW_PASSWORD}):
        answer = await post(house, "users.update", mona, userId=carol, data=data)
        assert answer.json() == UNAUTHORIZED, "address and password of others from rank 254 (threat 30)"
    for roles, target in ((["admin"], carol), (["user"], ada["X-User-Id"])):
        answer = await post(house, "users.update", ada, userId=target, data={"roles": roles})
        refused(answer, 400, "Assigning admin is not allowed", "error-action-not-allowed")
    await give(house, ada, "assign-roles")
    answer = await post(house, "users.update", ada, userId=carol, data={"roles": ["guest"]})
    refused(answer, 400, "Assign roles is not allowed", "error-action-not-allowed")
    answer = await post(house, "users.update", ada, userId=carol, data={"roles": ["user"], "username": "bob"})
    refused(answer, 400, "bob is already in use :(", "error-field-unavailable")
    refused(await post(house, "users.update", ada, userId="nobody", data={}), 400, "User not found.")


# ---------------------------------------------------------------- oneself


async def test_one_changes_ones_name_username_and_password(house: House) -> None:
    """As in the original's own tests."""
    bob, other = await log_in(house, "bob"), await log_in(house, "bob")
    data = {"name": "edited name", "username": "edited.bob", "currentPassword": digest(PASSWORD),
            "newPassword": NEW_PASSWORD}  # fmt: skip
    answer = await post(house, "users.updateOwnBasicInfo", bob, data=data)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["user"]["username"], answer.json()["user"]["name"]) == ("edited.bob", "edited name")
    assert (await house.get(ME, headers=bob)).json()["username"] == "edited.bob"
    assert (await house.get(ME, headers=other)).status_code == 401, "other clients end (table C)"
    await log_in(house, "edited.bob", NEW_PASSWORD)
    answer = await post(house, "users.updateOwnBasicInfo", bob, data={"username": "edited.bob"})
    assert answer.json()["user"]["username"] == "edited.bob"
    await house.add(username="bob")


async def test_a_new_address_is_claimed_and_takes_the_password(house: House) -> None:
    bob = await log_in(house, "bob")
    data = {"email": "new@example.com"}
    for wrong in ({}, {"currentPassword": digest("wrong")}, {"currentPassword": "wrong"}):
        answer = await post(house, "users.updateOwnBasicInfo", bob, data={**data, **wrong, "name": "Changed"})
        refused(answer, 400, "Invalid password", "error-invalid-password")
    assert (await house.get(ME, headers=bob)).json()["name"] == "Bob Example", "all or nothing"
    answer = await post(house, "users.updateOwnBasicInfo", bob, data={**data, "currentPassword": digest(PASSWORD)})
    assert answer.json()["user"]["emails"][0] == {"address": "new@example.com", "verified": False}
    assert (await house.get(ME, headers=bob)).status_code == 200
    kinds = [each.kind for each in await house.letters()]
    assert kinds.count("verify") == 1
    assert kinds.count("address_changed") == 1
    answer = await post(house, "users.updateOwnBasicInfo", bob,
                        data={"email": "ada@example.com", "currentPassword": PASSWORD})  # fmt: skip
    refused(answer, 400, "ada@example.com is already in use :(", "error-field-unavailable")


async def test_what_one_cannot_be_called(house: House) -> None:
    bob = await log_in(house, "bob")
    for username in ("ada", "ADA", "a b", "", "x" * 65, "ä"):
        answer = await post(house, "users.updateOwnBasicInfo", bob, data={"username": username})
        refused(answer, 400, "Could not save user identity", "error-could-not-save-identity")
    for name in ("  ", "", "x" * 600, "a\u0007b"):
        assert (await post(house, "users.updateOwnBasicInfo", bob, data={"name": name})).status_code == 400
    answer = await post(house, "users.updateOwnBasicInfo", bob, data={"newPassword": NEW_PASSWORD})
    refused(answer, 400, "Invalid password", "error-invalid-password")
    data = {"currentPassword": digest(PASSWORD), "newPassword": "2"}
    answer = await post(house, "users.updateOwnBasicInfo", bob, data=data)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-password-policy-not-met")
    data["newPassword"] = PASSWORD
    answer = await post(house, "users.updateOwnBasicInfo", bob, data=data)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "error-password-same-as-current")
    assert (await house.get(ME, headers=bob)).json()["username"] == "bob"


@pytest.mark.parametrize("form", [digest(PASSWORD), digest(PASSWORD).upper(), PASSWORD])
async def test_one_deletes_oneself_with_the_password(house: House, form: str) -> None:
    bob = await log_in(house, "bob")
    house.clock.move(3600)
    answer = await post(house, "users.deleteOwnAccount", bob, password=digest("wrong"))
    refused(answer, 400, "Invalid password", "error-invalid-password")
    assert (await post(house, "users.deleteOwnAccount", bob)).json()["errorType"] == "invalid-params"
    answer = await post(house, "users.deleteOwnAccount", bob, password=form, confirmRelinquish=True)
    assert (answer.status_code, answer.json()) == (200, {"deletedRooms": [], "success": True})
    assert (await house.get(ME, headers=bob)).status_code == 401
    assert (await house.core.accounts.by_username("bob")).status == "deleted"
    assert "account_deleted" in [each.kind for each in await house.letters()]


async def test_guessing_the_password_within_a_session_ends_it(house: House) -> None:
    bob = await log_in(house, "bob")
    for _ in range(5):
        answer = await post(house, "users.deleteOwnAccount", bob, password="wrong")
    assert answer.status_code == 400
    assert (await house.get(ME, headers=bob)).status_code == 401


# ---------------------------------------------------------------- ending sessions


async def mint_key(house: House, username: str) -> Id:
    """Give somebody a key of another dialect's, which stays where only clients end."""
    email = (await house.core.accounts.person(await house.core.accounts.by_username(username))).email
    answer = await house.post("/frontend/api/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return bytes(answer.json()["api-token"], "ascii")


async def holds(house: House, key: Id) -> bool:
    headers = {"Authorization": f"Bearer {key.decode()}"}
    return (await house.get("/frontend/api/v1/auth/session", headers=headers)).status_code == 200


async def test_logout_ends_everything_of_ones_own(house: House) -> None:
    await house.core.addresses.change_email(
        await house.core.accounts.by_username("bob"), "bob@example.com", state="verified"
    )
    bob, other, key = await log_in(house, "bob"), await log_in(house, "bob"), await mint_key(house, "bob")
    house.clock.move(3600)
    assert await holds(house, key)
    answer = await post(house, "users.logout", bob)
    assert answer.json() == {"message": f"User {bob['X-User-Id']} has been logged out!", "success": True}
    for headers in (bob, other):
        assert (await house.get(ME, headers=headers)).status_code == 401
    assert not await holds(house, key)


async def test_logout_of_others(house: House) -> None:
    ada, bob = await log_in(house), await log_in(house, "bob")
    carol = await house.add(username="carol")
    session = await log_in(house, "carol")
    id = carol.aliases["rocketchat"]
    answer = await post(house, "users.logout", bob, userId=id)
    assert (answer.status_code, answer.json()) == (403, UNAUTHORIZED)
    await give(house, ada, "logout-other-user", "user")
    assert (await post(house, "users.logout", ada, userId=id)).json() == UNAUTHORIZED, "as the original's tests do it"
    assert (await post(house, "users.logout", bob, userId=id)).json() == UNAUTHORIZED, "and no authority in the core"
    await give(house, ada, "logout-other-user", "admin")
    house.clock.move(601)
    assert (await post(house, "users.logout", ada, userId=id)).json()["errorType"] == "totp-required"
    assert (await house.get(ME, headers=session)).status_code == 200
    proved = {**ada, "x-2fa-code": digest(PASSWORD), "x-2fa-method": "password"}
    answer = await post(house, "users.logout", proved, userId=id)
    assert answer.json() == {"message": f"User {id} has been logged out!", "success": True}
    assert (await house.get(ME, headers=session)).status_code == 401
    refused(await post(house, "users.logout", ada, userId="nobody"), 400, "User not found.")
    line = next(e for e in await house.core.newest_events(5) if e.kind == "sessions_ended")
    assert (line.account, line.detail["why"]) == (carol.account.id, "all")


@pytest.mark.parametrize("name", ["users.logoutOtherClients", "users.removeOtherTokens"])
async def test_other_clients_end_and_keys_stay(house: House, name: str) -> None:
    await house.core.addresses.change_email(
        await house.core.accounts.by_username("bob"), "bob@example.com", state="verified"
    )
    here, there, key = await log_in(house, "bob"), await log_in(house, "bob"), await mint_key(house, "bob")
    answer = await post(house, name, here)
    assert answer.status_code == 200
    body = answer.json()
    if name == "users.logoutOtherClients":
        assert (body.pop("token"), len(body.pop("tokenExpires"))) == (here["X-Auth-Token"], 24)
    assert body == {"success": True}
    assert (await house.get(ME, headers=here)).status_code == 200
    assert (await house.get(ME, headers=there)).status_code == 401
    assert await holds(house, key)


# ---------------------------------------------------------------- small ones


async def test_presence_is_offline(house: House) -> None:
    bob = await log_in(house, "bob")
    await house.post(LOGIN, json={"resume": bob["X-Auth-Token"]})
    assert (await get(house, "users.getPresence", bob)).json() == {"presence": "offline", "success": True}
    assert (await get(house, "users.getPresence", bob, username="ada")).json()["presence"] == "offline"
    refused(await get(house, "users.getPresence", bob, userId="nobody"), 400, "User not found.")
    assert (await get(house, "users.presence", bob)).json() == {"users": [], "full": True, "success": True}
    shown = (await get(house, "users.presence", bob, ids=f"{bob['X-User-Id']},nobody,")).json()
    assert shown["full"] is False
    assert shown["users"] == [
        {"_id": bob["X-User-Id"], "name": "Bob Example", "username": "bob", "status": "offline"}
    ]  # fmt: skip
    answer = await get(house, "users.presence", bob, **{"from": "never"})
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert (await get(house, "users.presence", bob, **{"from": "2026-01-01T00:00:00.000Z"})).status_code == 200


async def test_nothing_is_suggested_as_a_picture(house: House) -> None:
    answer = await get(house, "users.getAvatarSuggestion", await log_in(house, "bob"))
    assert answer.json() == {"suggestions": {}, "success": True}


async def test_usernames_that_can_be_had(house: House) -> None:
    bob = await log_in(house, "bob")
    for name, free in (("bob", True), ("Bob", True), ("bobby", True), ("ada", False), ("ADA", False), ("admin", False),
                       ("a b", False), ("", False)):  # fmt: skip
        answer = await get(house, "users.checkUsernameAvailability", bob, username=name)
        assert answer.json() == {"result": free, "success": True}, name
    assert (await get(house, "users.checkUsernameAvailability", bob)).status_code == 400


async def test_nobody_is_asked_who_is_not_signed_in(house: House) -> None:
    for name in ("users.getPresence", "users.presence", "users.getAvatarSuggestion", "users.info",
                 "users.checkUsernameAvailability"):  # fmt: skip
        answer = await get(house, name, username="bob")
        assert (answer.status_code, answer.json()["message"]) == (401, "You must be logged in to do this.")
    for name in ("update", "updateOwnBasicInfo", "deleteOwnAccount", "logout", "logoutOtherClients",
                 "removeOtherTokens", "setActiveStatus", "delete"):  # fmt: skip
        assert (await post(house, f"users.{name}")).status_code == 401
