"""Permissions and reach: permission by permission, and every operation with an id against everybody who is out of reach
(contract section 2.4 and point 27, decisions 11 and 12, threats 18, 29 and 30)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dragoman.dialects.probe.permissions import ALL
from dragoman.storage.engine import Statement, Tx
from kit.engines import ENGINES
from kit.house import PASSWORD, House, open_house_of
from kit.postgres import Cluster
from kit.relatives import Relatives, Someone, arrive, relatives

pytestmark = pytest.mark.slow

NEW_PASSWORD = "another horse battery"
DENIED = "permission denied"


@pytest.fixture
async def kin(house: House) -> Relatives:
    return await relatives(house)


def on(path: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every call that takes somebody's number, for one number."""
    return [
        ("GET", f"/user/{path}", {}),
        ("PUT", f"/user/{path}", {"json": {"first-name": "Changed"}}),
        ("PUT", f"/user/{path}", {"json": {"status": "suspended"}}),
        ("PUT", f"/user/{path}", {"json": {"permissions": []}}),
        ("POST", f"/user/{path}", {"json": {"email": "below@example.com"}}),
        ("PUT", f"/auth/{path}/password", {"data": {"old-password": PASSWORD, "new-password": NEW_PASSWORD}}),
        ("GET", f"/auth/session?user-id={path}", {}),
    ]


# ---------------------------------------------------------------- permission by permission


def asked(kin: Relatives) -> list[tuple[Someone, str, str, dict[str, Any], str]]:
    """Return every operation that asks for a permission, with who calls it and which it is."""
    own, child, elsewhere = kin.ada.number, kin.bob.number, kin.mallory.number
    admin = kin.root
    name, invited = {"json": {"first-name": "X"}}, {"json": {"email": "new@example.com"}}
    return [
        (kin.ada, "GET", "/user/current", {}, "read:profile"),
        (kin.ada, "PUT", "/user/current", name, "read:profile"),
        (kin.ada, "GET", f"/user/{own}", {}, "read:profile"),
        (kin.ada, "PUT", f"/user/{own}", name, "read:profile"),
        (kin.ada, "GET", "/user", {}, "read:sub-user"),
        (kin.ada, "GET", f"/user/{child}", {}, "read:sub-user"),
        (kin.ada, "PUT", f"/user/{child}", name, "write:sub-user"),
        (kin.ada, "POST", "/user/current", invited, "write:sub-user"),
        (kin.ada, "POST", f"/user/{own}", {"json": {"email": "new2@example.com"}}, "write:sub-user"),
        (kin.ada, "POST", f"/user/{child}", {"json": {"email": "new3@example.com"}}, "write:sub-user"),
        (kin.ada, "GET", f"/auth/session?user-id={child}", {}, "read:sub-user"),
        (admin, "GET", "/user", {}, "read:user"),
        (admin, "GET", f"/user/{elsewhere}", {}, "read:user"),
        (admin, "PUT", f"/user/{elsewhere}", name, "write:user"),
        (admin, "POST", f"/user/{elsewhere}", {"json": {"email": "new4@example.com"}}, "write:user"),
        (admin, "GET", f"/auth/session?user-id={elsewhere}", {}, "read:user"),
    ]


@pytest.mark.parametrize("number", range(16))
async def test_each_operation_asks_for_one_permission(kin: Relatives, number: int) -> None:
    who, method, path, body, name = asked(kin)[number]
    await who.permit(name)
    assert (await who.call(method, path, **body)).status_code == 200, (method, path)
    await who.permit(*(ALL - {name}))
    answer = await who.call(method, path, **body)
    assert (answer.status_code, answer.json()) == (
        403, {"status": "PERMISSION_DENIED", "code": 0, "error": DENIED, "context": {"permission": [name]}}
    )  # fmt: skip


async def test_acting_on_an_administrator_asks_for_another(kin: Relatives) -> None:
    admin = await arrive(kin.house, "admin", administrator=True)
    await kin.root.permit(*(ALL - {"read:admin", "write:admin"}))
    for method, path, body in on(str(admin.number)):
        assert await kin.root.said(method, path, **body) == (403, DENIED), (method, path)
    await kin.root.permit(*ALL)
    assert (await kin.root.works("GET", f"/user/{admin.number}"))["role"] == "admin"


async def test_a_password_and_a_session_of_another_ask_for_write(kin: Relatives) -> None:
    session = (await kin.bob.works("GET", "/auth/session"))["sessions"][0]["id"]
    body = {"data": {"old-password": PASSWORD, "new-password": NEW_PASSWORD}}
    await kin.ada.permit(*(ALL - {"write:sub-user"}))
    before = kin.house.hash_evaluations()
    assert await kin.ada.said("PUT", f"/auth/{kin.bob.number}/password", **body) == (403, DENIED)
    assert kin.house.hash_evaluations() == before
    assert await kin.ada.said("DELETE", f"/auth/session/{session}") == (403, DENIED)
    assert await kin.bob.live()
    await kin.ada.permit("write:sub-user")
    assert await kin.ada.said("DELETE", f"/auth/session/{session}") == (204, None)
    assert await kin.ada.said("PUT", f"/auth/{kin.bob.number}/password", **body) == (204, None)


async def test_ones_own_sessions_password_and_leaving_ask_for_none(kin: Relatives) -> None:
    await kin.carol.permit()
    session = (await kin.carol.works("GET", "/auth/session"))["sessions"][0]["id"]
    await kin.carol.works("GET", f"/auth/session?user-id={kin.carol.number}")
    body = {"data": {"old-password": PASSWORD, "new-password": NEW_PASSWORD}}
    assert await kin.carol.said("PUT", f"/auth/{kin.carol.number}/password", **body) == (204, None)
    assert await kin.carol.said("DELETE", "/user/current") == (204, None)
    await kin.dan.permit()
    session = (await kin.dan.works("GET", "/auth/session"))["sessions"][0]["id"]
    assert await kin.dan.said("DELETE", f"/auth/session/{session}") == (204, None)


# ---------------------------------------------------------------- giving


async def test_a_parent_gives_what_it_has_and_takes_it_back(kin: Relatives) -> None:
    path = f"/user/{kin.bob.number}"
    for given, wanted in (
        (["read:sub-user", "write:sub-user", "read:profile"], ["read:profile", "read:sub-user", "write:sub-user"]),
        ({"read:media": {"name": "read:media", "scopes": []}}, ["read:media"]),
        ({"any": {"name": "read:media"}, "other": {"name": "read:profile"}}, ["read:media", "read:profile"]),
        ([], []),
        ({}, []),
        (["read:profile"], ["read:profile"]),
    ):
        seen = await kin.ada.works("PUT", path, json={"permissions": given})
        assert list(seen["permissions"]) == wanted
    assert await kin.bob.works("GET", "/user/current") == seen


async def test_nobody_gives_what_he_has_not(kin: Relatives) -> None:
    path = f"/user/{kin.bob.number}"
    for name in sorted(ALL):
        mine = name in (await kin.ada.works("GET", "/user/current"))["permissions"]
        answer = await kin.ada.call("PUT", path, json={"permissions": [name]})
        assert answer.status_code == (200 if mine else 403), name
        invited = {"email": f"{name.replace(':', '-')}@example.com", "permissions": [name]}
        if not mine:
            assert answer.json()["context"] == {"permission": [name]}
            assert (await kin.ada.call("POST", "/user/current", json=invited)).status_code == 403
            assert (await kin.ada.call("PUT", "/user/current", json={"permissions": [name]})).status_code == 403
    await kin.root.works("PUT", path, json={"permissions": ["write:user"]})
    assert (await kin.root.works("GET", path))["permissions"] == {}, "Ada has it not, so Bob has not"


async def test_what_a_parent_loses_those_below_lose(kin: Relatives) -> None:
    for one in (kin.bob, kin.carol):
        await one.permit("read:sub-user", "read:profile", "write:sub-user")
    assert await kin.bob.works("GET", f"/user/{kin.carol.number}")
    await kin.ada.permit("read:profile")
    assert await kin.bob.said("GET", f"/user/{kin.carol.number}") == (403, DENIED)
    assert list((await kin.carol.works("GET", "/user/current"))["permissions"]) == ["read:profile"]
    await kin.ada.permit("read:profile", "read:sub-user")
    assert await kin.bob.works("GET", f"/user/{kin.carol.number}")


async def test_giving_up_ones_own(kin: Relatives) -> None:
    seen = await kin.ada.works("PUT", "/user/current", json={"permissions": ["read:profile", "read:media"]})
    assert list(seen["permissions"]) == ["read:media", "read:profile"]
    more = {"permissions": ["read:profile", "read:media", "read:sub-user"]}
    assert await kin.ada.said("PUT", "/user/current", json=more) == (403, DENIED)
    assert await kin.ada.said("PUT", f"/user/{kin.ada.number}", json=more) == (403, DENIED)
    given = await kin.root.works("PUT", f"/user/{kin.ada.number}", json=more)
    assert list(given["permissions"]) == ["read:media", "read:profile", "read:sub-user"]


# ---------------------------------------------------------------- everybody else (decision 12)


_MOVE = Statement("update account set organization = :organization where id = :id")


@pytest.mark.parametrize("kind", ENGINES)
async def test_everybody_out_of_reach_is_unknown_alike(kind: Any, tmp_path: Any, postgres_cluster: Cluster) -> None:
    """Whatever permissions are stored, and whatever the rank: no parent, sibling, stranger, administrator, nobody of
    another organization, nobody deleted, nobody at all is told from another, in any operation."""
    async with open_house_of(kind, tmp_path, postgres_cluster) as house:
        kin = await relatives(house)
        gone = await arrive(house, "gone", parent=kin.bob.id)
        await house.core.life.delete(gone.person.account)
        moved = await arrive(house, "moved", parent=kin.bob.id)
        elsewhere = kin.mallory.person.account.organization

        async def move(tx: Tx) -> None:
            await tx.run(_MOVE, organization=elsewhere, id=moved.id)

        await house.db.transaction(move)
        admin = await arrive(house, "admin", administrator=True, parent=kin.bob.id)
        strangers = (kin.ada, kin.dan, kin.eve, kin.mallory, kin.root, gone, moved, admin)
        for one in (kin.ada, kin.bob, kin.eve):
            await one.permit(*ALL)
        for caller in (kin.bob, kin.eve):
            for index, (method, path, body) in enumerate(on("999")):
                unknown = await caller.call(method, path, **body)
                assert (unknown.status_code, unknown.json()["error"]) == (404, "not found"), (method, path)
                for number in (one.number for one in strangers if one is not caller):
                    before = house.hash_evaluations()
                    answer = await caller.call(*(on(str(number))[index][:2]), **body)
                    assert (answer.status_code, answer.content) == (404, unknown.content), (method, path, number)
                    assert house.hash_evaluations() == before
        for one in (kin.ada, kin.dan, kin.eve, kin.mallory, kin.root):
            assert await one.live()
            session = (await one.works("GET", "/auth/session"))["sessions"][0]["id"]
            for caller in (kin.carol, kin.bob):
                answer = await caller.call("DELETE", f"/auth/session/{session}")
                nowhere = await caller.call("DELETE", f"/auth/session/{uuid.uuid4()}")
                assert (answer.status_code, answer.content) == (404, nowhere.content)
            assert await one.live()
        assert await house.letters("invite") == []
        numbers = {each["id"] for each in (await kin.bob.works("GET", "/user"))["users"]}
        assert numbers == {kin.carol.number}


async def test_a_permission_reaches_nobody(kin: Relatives) -> None:
    """Stored words are no authority (decision 11)."""
    await kin.eve.permit(*ALL)
    listed = await kin.eve.works("GET", "/user")
    assert listed["users"] == []
    assert await kin.eve.said("GET", f"/user/{kin.root.number}") == (404, "not found")
