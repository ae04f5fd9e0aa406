"""Accounts as their owners see and change them, and the list: Probe's contract, sections 2.4 and 4."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec.structs import replace

from dragoman.dialects.probe.permissions import ALL, DEFAULTS, NONE, Name, of, role_of, stored
from dragoman.dialects.probe.wire_users import STATUSES, status_of
from dragoman.model import Status
from kit.house import PASSWORD, House
from kit.relatives import BASE, Relatives, arrive, relatives

pytestmark = pytest.mark.slow

CURRENT = "/user/current"
NO_SESSION = (401, "unauthenticated: session is not active")


@pytest.fixture
async def kin(house: House) -> Relatives:
    return await relatives(house)


def mapped(names: frozenset[str]) -> dict[str, Any]:
    return {name: {"name": name, "scopes": []} for name in names}


# ---------------------------------------------------------------- GET user/current, GET user/{user-id}


async def test_ones_own_account(kin: Relatives) -> None:
    number = kin.ada.number
    assert await kin.ada.works("GET", CURRENT) == {
        "id": number,
        "username": "ada",
        "email": "ada@example.com",
        "additional-emails": [],
        "first-name": "Ada",
        "last-name": "Example",
        "role": "user",
        "status": "active",
        "parent-user-ids": [],
        "root-user-id": number,
        "permissions": mapped(DEFAULTS["user"]),
        "restrictions": {},
        "created": "2026-11-22T00:00:00Z",
        "updated": "2026-11-22T00:00:00Z",
    }
    assert await kin.ada.works("GET", f"/user/{number}") == await kin.ada.works("GET", CURRENT)
    assert await kin.ada.works("GET", CURRENT, token=kin.ada.key) == await kin.ada.works("GET", CURRENT)


async def test_a_sub_user_names_its_parents(kin: Relatives) -> None:
    seen = await kin.ada.works("GET", f"/user/{kin.carol.number}")
    assert seen == await kin.carol.works("GET", CURRENT)
    assert seen["role"] == "sub"
    assert seen["parent"] == {
        "id": kin.bob.number, "username": "bob", "email": "bob@example.com", "role": "sub", "status": "active",
    }  # fmt: skip
    assert (seen["parent-user-ids"], seen["root-user-id"]) == ([kin.bob.number, kin.ada.number], kin.ada.number)
    assert seen["permissions"] == mapped(DEFAULTS["sub"])


async def test_without_a_credential_there_is_an_anonymous_one(kin: Relatives) -> None:
    answer = await kin.house.get(f"{BASE}{CURRENT}")
    assert (answer.status_code, answer.json()) == (200, {"id": 0, "status": "anonymous", "permissions": {}})
    answer = await kin.house.get(f"{BASE}/user/{kin.ada.number}")
    assert (answer.status_code, answer.json()["error"]) == NO_SESSION


@pytest.mark.parametrize("path", [CURRENT, "/user/2"])
async def test_a_bad_credential_is_not_none(kin: Relatives, path: str) -> None:
    """The first that is present decides (contract section 2.1): an expired client is not shown as nobody."""
    await kin.ada.works("DELETE", "/auth/sign-out")
    assert await kin.ada.said("GET", path) == NO_SESSION
    for headers in ({"Authorization": "Bearer nonsense"}, {"Cookie": "jwt=a.b.c"}):
        assert (await kin.house.get(f"{BASE}{path}", headers=headers)).status_code == 401
    assert (await kin.house.get(f"{BASE}{path}?jwt=a.b.c")).status_code == 401


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.0", "9" * 30, "00", "%20", "2%2F", "currently", "\u0661"])
async def test_what_is_no_number(kin: Relatives, number: str) -> None:
    answer = await kin.ada.call("GET", f"/user/{number}")
    if answer.status_code != 404:  # an encoded slash is one more segment
        assert answer.status_code == 400
        assert answer.json()["context"] == {"path:user-id": ["#: must be an integer >= 1"]}
    assert await kin.ada.said("PUT", f"/user/{number}", json={}) in (
        (400, "invalid argument: validation failed"), (404, "not found")
    )  # fmt: skip


def test_roles_and_statuses_are_total() -> None:
    assert set(STATUSES) == set(get_args(Status))
    assert frozenset(get_args(Name)) == ALL
    assert len(ALL) == 14
    assert all(names <= ALL for names in DEFAULTS.values())


async def test_roles(kin: Relatives) -> None:
    """Table B."""
    admin = await arrive(kin.house, "admin", administrator=True)
    for one, role in ((kin.root, "root"), (admin, "admin"), (kin.ada, "user"), (kin.bob, "sub"), (kin.eve, "user")):
        assert (await one.works("GET", CURRENT))["role"] == role
        assert (await one.works("GET", CURRENT))["permissions"] == mapped(DEFAULTS[role])  # type: ignore[index]


async def test_statuses(kin: Relatives) -> None:
    account = kin.ada.person.account
    shown = {each: status_of(replace(account, status=each)) for each in get_args(Status)}
    assert shown == {
        "invited": "pending", "active": "active", "deactivated": "suspended", "suspended": "suspended",
        "deleted": "suspended",
    }  # fmt: skip
    assert status_of(replace(account, first_verified_at=None)) == "pending"
    assert status_of(replace(account, status="suspended", first_verified_at=None)) == "suspended"


def test_no_permission_is_another_thing_than_none_stored() -> None:
    assert stored(()) == (NONE,)
    assert stored(("write:user", "read:media")) == ("read:media", "write:user")


async def test_a_permission_is_one_that_all_above_have(kin: Relatives) -> None:
    person = kin.carol.person
    labelled = replace(person, labels={"probe": ("read:media", "write:user", "not one of ours")})
    assert of(labelled, ()) == {"read:media", "write:user"}
    assert of(labelled, (kin.bob.person, kin.ada.person)) == {"read:media"}
    assert role_of(person.account) == "sub"


# ---------------------------------------------------------------- PUT user/current


async def test_names_change(kin: Relatives) -> None:
    kin.house.clock.move(60)
    seen = await kin.ada.works("PUT", CURRENT, json={"first-name": "Adah", "role": "root", "email": "x@example.com"})
    assert (seen["first-name"], seen["last-name"], seen["role"]) == ("Adah", "Example", "user")
    assert (seen["email"], seen["updated"]) == ("ada@example.com", "2026-11-22T00:01:00Z")
    seen = await kin.ada.works("PUT", CURRENT, data={"last-name": "Changed"})
    assert (seen["first-name"], seen["last-name"]) == ("Adah", "Changed")
    seen = await kin.ada.works("PUT", f"/user/{kin.ada.number}", json={"first-name": "", "last-name": None})
    assert (seen["first-name"], seen["last-name"]) == ("", "Changed")
    assert await kin.ada.works("PUT", CURRENT, json={}) == seen
    (event,) = await kin.house.core.newest_events(1, kin.ada.id)
    assert (event.kind, event.detail["what"], event.detail["by"]) == ("account_changed", "names", "owner")


async def test_an_api_token_changes_names_and_nothing_that_weighs(kin: Relatives) -> None:
    seen = await kin.ada.works("PUT", CURRENT, token=kin.ada.key, json={"first-name": "Adah"})
    assert seen["first-name"] == "Adah"
    said = await kin.ada.said("PUT", CURRENT, token=kin.ada.key, json={"permissions": ["read:profile"]})
    assert said == (403, "permission denied: not with an API token")
    for body in ({"status": "suspended"}, {"permissions": []}):
        said = await kin.ada.said("PUT", f"/user/{kin.bob.number}", token=kin.ada.key, json=body)
        assert said == (403, "permission denied: not with an API token")


@pytest.mark.parametrize(
    ("body", "context"),
    [
        ({"first-name": "x" * 256}, {"body": ["#/first-name: length must be <= 255"]}),
        ({"first-name": 7}, {"body": ["#/first-name: must be str | null, got int"]}),
        ({"permissions": ["read:everything"]}, {"body": ["#/permissions/0: is not one of the allowed values"]}),
        ({"restrictions": {"ip": "x"}}, {"body": ["#/restrictions: restrictions are not kept here"]}),
        (
            {"permissions": {"read:media": {"name": "read:media", "scopes": ["x"]}}},
            {"body": ["#/permissions/read:media/scopes: scopes are not kept here"]},
        ),
    ],
)
async def test_bodies_that_do_not_fit(kin: Relatives, body: dict[str, Any], context: dict[str, Any]) -> None:
    for path in (CURRENT, f"/user/{kin.bob.number}"):
        answer = await kin.ada.call("PUT", path, json=body)
        assert (answer.status_code, answer.json()["context"]) == (400, context), answer.text
    wanted = {"email": "new@example.com", **body}
    for path in (CURRENT, f"/user/{kin.bob.number}"):
        answer = await kin.ada.call("POST", path, json=wanted)
        assert (answer.status_code, answer.json()["context"]) == (400, context), answer.text


async def test_control_characters_and_other_content_types(kin: Relatives) -> None:
    assert (await kin.ada.call("PUT", CURRENT, json={"first-name": "a\x07b"})).status_code == 400
    assert (await kin.ada.call("PUT", CURRENT, json={"first-name": "a\0b"})).status_code == 400
    plain = await kin.ada.call("PUT", CURRENT, content=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert (await kin.house.request("PUT", f"{BASE}{CURRENT}", json={})).status_code == 401


async def test_what_was_read_can_be_sent_back(kin: Relatives) -> None:
    """A client that sends the whole object changes nothing by it, an hour after signing in too."""
    kin.house.clock.move(60 * 60)
    for one, path in ((kin.bob, CURRENT), (kin.ada, f"/user/{kin.bob.number}"), (kin.root, f"/user/{kin.eve.number}")):
        seen = await one.works("GET", path)
        assert await one.works("PUT", path, json=seen) == seen


# ---------------------------------------------------------------- DELETE user/current


async def test_an_account_deletes_itself(kin: Relatives) -> None:
    answer = await kin.carol.call("DELETE", CURRENT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["set-cookie"].startswith("jwt=; Path=/; Max-Age=0")
    assert not await kin.carol.live()
    assert (await kin.carol.call("GET", "/auth/session", token=kin.carol.key)).status_code == 401
    assert await kin.bob.works("GET", CURRENT)
    assert await kin.ada.said("GET", f"/user/{kin.carol.number}") == (404, "not found")
    assert kin.carol.number not in {one["id"] for one in (await kin.ada.works("GET", "/user"))["users"]}
    body = {"email": "carol@example.com", "password": PASSWORD}
    assert (await kin.house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 403
    await kin.house.core.life.restore(kin.carol.person.account)
    assert (await kin.house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 200


async def test_deleting_oneself_wants_a_fresh_proof_and_no_api_token(kin: Relatives) -> None:
    assert await kin.dan.said("DELETE", CURRENT, token=kin.dan.key) == (
        403, "permission denied: not with an API token"
    )  # fmt: skip
    kin.house.clock.move(20 * 60)
    assert await kin.dan.said("DELETE", CURRENT) == (403, "permission denied: sign in again first")
    assert await kin.dan.live()


async def test_whoever_has_sub_users_does_not_leave_them_to_nobody(kin: Relatives) -> None:
    left = (403, "permission denied: members or sub users would be left behind")
    assert await kin.ada.said("DELETE", CURRENT) == left
    assert await kin.bob.said("DELETE", CURRENT) == (204, None), "Ada is above Carol still"
    assert await kin.ada.works("GET", f"/user/{kin.carol.number}")
    for one in (kin.dan, kin.carol):
        await kin.house.core.life.delete(await kin.house.core.accounts.by_id(one.id))
    assert await kin.ada.said("DELETE", CURRENT) == (204, None)


async def test_the_last_administrator_stays(kin: Relatives) -> None:
    assert await kin.root.said("DELETE", CURRENT) == (403, "permission denied: nobody else could administer")


# ---------------------------------------------------------------- GET user


async def test_a_parent_lists_those_below(kin: Relatives) -> None:
    listed = await kin.ada.works("GET", "/user")
    assert listed == {
        "filter": {},
        "pagination": {"page": 1, "limit": 10, "count": 3, "total": 3},
        "sort": {"field": "id", "order": "asc"},
        "users": [
            {"id": one.number, "username": one.person.username, "email": one.email, "role": "sub", "status": "active"}
            for one in (kin.bob, kin.carol, kin.dan)
        ],
    }
    assert await kin.ada.works("GET", "/user", token=kin.ada.key) == listed
    assert (await kin.mallory.works("GET", "/user"))["users"] == []
    assert (await kin.eve.works("GET", "/user"))["users"] == [], "a rank is no kinship"
    assert (await kin.house.get(f"{BASE}/user")).status_code == 401


async def test_an_administrator_lists_everybody(kin: Relatives) -> None:
    listed = await kin.root.works("GET", "/user")
    assert [one["username"] for one in listed["users"]] == ["root", "ada", "bob", "carol", "dan", "eve", "mallory"]
    assert listed["users"][0]["role"] == "root"


async def test_pages(any_house: House) -> None:
    kin = await relatives(any_house)
    wanted = [one.number for one in (kin.bob, kin.carol, kin.dan)]
    for page in (1, 2, 3, 4):
        query = f"pagination[page]={page}&pagination[limit]=1"
        listed = await kin.ada.works("GET", f"/user?{query}")
        assert [one["id"] for one in listed["users"]] == wanted[page - 1 : page]
        assert listed["pagination"] == {"page": page, "limit": 1, "count": int(page < 4), "total": 3}
    everybody = await kin.root.works("GET", "/user?pagination[limit]=2&pagination[page]=2")
    assert [one["username"] for one in everybody["users"]] == ["bob", "carol"]
    assert everybody["pagination"]["total"] == 7


async def test_orders(any_house: House) -> None:
    kin = await relatives(any_house)
    await kin.house.core.life.suspend(kin.bob.person.account)
    kin.house.clock.move(60)
    await kin.carol.works("PUT", CURRENT, json={"first-name": "Later"})
    nobody = await arrive(any_house, "zoe", parent=kin.ada.id)
    orders = {
        "id": [kin.bob, kin.carol, kin.dan, nobody],
        "username": [kin.bob, kin.carol, kin.dan, nobody],
        "email": [kin.bob, kin.carol, kin.dan, nobody],
        "status": [kin.carol, kin.dan, nobody, kin.bob],
        "created": [kin.bob, kin.carol, kin.dan, nobody],
        "updated": [kin.bob, kin.dan, kin.carol, nobody],
    }
    for field, people in orders.items():
        numbers = [one.number for one in people]
        for order, wanted in (("asc", numbers), ("desc", numbers[::-1])):
            for one in (kin.ada, kin.root):
                listed = await one.works("GET", f"/user?sort[field]={field}&sort[order]={order}&pagination[limit]=100")
                assert listed["sort"] == {"field": field, "order": order}
                found = [each["id"] for each in listed["users"] if each["id"] in wanted]
                assert found == wanted, (field, order)


async def test_filters(any_house: House) -> None:
    kin = await relatives(any_house)
    await any_house.core.life.suspend(kin.bob.person.account)
    await any_house.core.life.deactivate(kin.dan.person.account)
    invited = await any_house.add(None, email="new@example.com", status="invited", parent=kin.ada.id)
    never = await any_house.add(email="never@example.com", parent=kin.ada.id)
    of_all = {
        "active": {kin.carol.number}, "suspended": {kin.bob.number, kin.dan.number}, "anonymous": set(),
        "pending": {int(invited.aliases["probe"]), int(never.aliases["probe"])},
    }  # fmt: skip
    for query, wanted in (
        *((f"status={word}", numbers) for word, numbers in of_all.items()),
        ("status=active&status=pending", of_all["active"] | of_all["pending"]),
        ("status[]=active&status[]=suspended", of_all["active"] | of_all["suspended"]),
        ("", set().union(*of_all.values())),
    ):
        listed = await kin.ada.works("GET", f"/user?{query}")
        assert {one["id"] for one in listed["users"]} == wanted, query
        assert listed["pagination"]["total"] == len(wanted)
    assert (await kin.ada.works("GET", "/user?status=active&status=pending"))["filter"] == {
        "status": ["active", "pending"]
    }


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("pagination[limit]=0", "query:pagination"), ("pagination[limit]=101", "query:pagination"),
        ("pagination[page]=0", "query:pagination"), ("pagination[page]=x", "query:pagination"),
        ("pagination[page]=99999999999", "query:pagination"), ("pagination=1", "query:pagination"),
        ("sort[field]=password", "query:sort"), ("sort[order]=up", "query:sort"), ("status=gone", "query:status"),
    ],
)  # fmt: skip
async def test_queries_that_do_not_fit(kin: Relatives, query: str, key: str) -> None:
    answer = await kin.ada.call("GET", f"/user?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["context"]) == [key], answer.text


async def test_an_unknown_name_in_the_query_is_ignored(kin: Relatives) -> None:
    listed = await kin.ada.works("GET", "/user?role=root&pagination[size]=1&sort[x]=1&sort[order]=asc")
    assert listed["pagination"]["total"] == 3
