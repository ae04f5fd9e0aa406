"""Sub users: adding, suspending, their passwords and sessions (contract sections 3.3, 3.5, 3.8, 4 and 7)."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.organizations import DEEPEST
from dragoman.model import Password
from kit.house import PASSWORD, House, client, open_house
from kit.relatives import BASE, Relatives, Someone, arrive, enter, relatives

pytestmark = pytest.mark.slow

NEW_PASSWORD = "another horse battery"
SIGN_IN_AGAIN = (403, "permission denied: sign in again first")
WRONG_OLD = (403, "permission denied: wrong old password")


@pytest.fixture
async def kin(house: House) -> Relatives:
    return await relatives(house)


async def accept(house: House, email: str) -> None:
    """Choose a password with the newest invitation."""
    letters = [letter for letter in await house.letters("invite") if letter.to == email]
    token = letters[-1].values["link"].rpartition("/")[2]
    done = await house.post(f"/invite/{token}", data={"password": NEW_PASSWORD, "again": NEW_PASSWORD})
    assert done.status_code == 200, done.text


# ---------------------------------------------------------------- POST user/current, POST user/{user-id}


async def test_a_sub_user_is_invited_and_begins(any_house: House) -> None:
    house, ada = any_house, await arrive(any_house, "ada")
    body = {"email": "New@Example.com", "first-name": "New", "last-name": "Example"}
    made = (await ada.works("POST", "/user/current", json=body))["user"]
    assert made == {
        "id": ada.number + 1,
        "username": "new",
        "email": "New@Example.com",
        "additional-emails": [],
        "first-name": "New",
        "last-name": "Example",
        "role": "sub",
        "status": "pending",
        "parent": {"id": ada.number, "username": "ada", "email": ada.email, "role": "user", "status": "active"},
        "parent-user-ids": [ada.number],
        "root-user-id": ada.number,
        "permissions": {
            name: {"name": name, "scopes": []}
            for name in ("read:media", "read:profile", "read:statistics", "write:media")
        },
        "restrictions": {},
        "created": "2026-11-22T00:00:00Z",
        "updated": "2026-11-22T00:00:00Z",
    }
    account = await house.core.accounts.by_alias("probe", str(made["id"]))
    assert (account.parent, account.organization, account.rank) == (ada.id, ada.person.account.organization, 0)
    (letter,) = await house.letters("invite")
    assert (letter.to, letter.values["by"]) == ("New@Example.com", "Ada")
    body = {"email": "new@example.com", "password": NEW_PASSWORD}
    assert (await house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 401
    await accept(house, "New@Example.com")
    child = await enter(house, await house.core.accounts.person(account), "new@example.com", NEW_PASSWORD)
    assert (await child.works("GET", "/user/current"))["status"] == "active"
    assert (await ada.works("GET", f"/user/{made['id']}"))["status"] == "active"
    added = [e for e in await house.core.newest_events(50, account.id) if e.kind == "account_added"]
    assert [e.detail["by"] for e in added] == [ada.id.hex()]


async def test_one_is_added_below_a_sub_user(kin: Relatives) -> None:
    body = {"email": "new@example.com", "permissions": ["read:profile", "read:media"]}
    made = (await kin.ada.works("POST", f"/user/{kin.carol.number}", json=body))["user"]
    assert made["parent"]["id"] == kin.carol.number
    assert made["parent-user-ids"] == [kin.carol.number, kin.bob.number, kin.ada.number]
    assert list(made["permissions"]) == ["read:media", "read:profile"]
    assert await kin.carol.said("GET", f"/user/{made['id']}") == (403, "permission denied")
    assert await kin.dan.said("GET", f"/user/{made['id']}") == (404, "not found")
    again = await kin.ada.works("POST", f"/user/{kin.ada.number}", json={"email": "second@example.com"})
    assert again["user"]["parent"]["id"] == kin.ada.number


async def test_an_organization_of_ones_own_is_the_sub_users_too(kin: Relatives) -> None:
    made = (await kin.mallory.works("POST", "/user/current", json={"email": "new@example.com"}))["user"]
    account = await kin.house.core.accounts.by_alias("probe", str(made["id"]))
    assert account.organization == kin.mallory.person.account.organization


async def test_an_address_that_is_taken_is_told_ten_times(kin: Relatives) -> None:
    taken = (409, "already exists: the name is taken")
    for _ in range(12):
        assert await kin.ada.said("POST", "/user/current", json={"email": kin.bob.email}) == taken, "within reach"
    for _ in range(10):
        assert await kin.ada.said("POST", "/user/current", json={"email": "EVE@example.com"}) == taken
    for email in (kin.eve.email, "free@example.com"):
        answer = await kin.ada.call("POST", "/user/current", json={"email": email})
        assert (answer.status_code, answer.headers["retry-after"] > "0") == (429, True)
    kin.house.clock.move(60 * 60 + 1)
    assert (await kin.ada.works("POST", "/user/current", json={"email": "free@example.com"}))["user"]


@pytest.mark.parametrize(
    "email",
    ["", "a@b", "no address", "a@b@example.com", "x" * 250 + "@example.com", 'a"@example.com', "ada@[127.0.0.1]"],
)
async def test_addresses_that_are_none(kin: Relatives, email: str) -> None:
    assert (await kin.ada.call("POST", "/user/current", json={"email": email})).status_code == 400
    assert await kin.house.letters("invite") == []


async def test_invitations_have_a_budget_and_nobody_is_added_without(kin: Relatives) -> None:
    for number in range(20):
        await kin.ada.works("POST", "/user/current", json={"email": f"new{number}@example.com"})
    answer = await kin.ada.call("POST", "/user/current", json={"email": "more@example.com"})
    assert (answer.status_code, answer.json()["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert int(answer.headers["retry-after"]) > 0
    with pytest.raises(Exception, match="No such object"):
        await kin.house.core.accounts.by_email("more@example.com")
    assert (await kin.ada.works("GET", "/user"))["pagination"]["total"] == 23


async def test_without_a_mailer_nobody_is_added(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        ada = await arrive(house, "ada")
        said = await ada.said("POST", "/user/current", json={"email": "new@example.com"})
        assert said == (403, "permission denied: not offered here")
        assert (await ada.works("GET", "/user"))["users"] == []


async def test_a_family_is_only_so_deep(house: House) -> None:
    """Deeper down nobody's ancestors would reach him."""
    ada = await arrive(house, "ada")
    above = ada.person
    for number in range(DEEPEST):
        above = await house.add(email=f"deep{number}@example.com", verified=True, parent=above.account.id)
    assert (await ada.works("GET", f"/user/{above.aliases['probe']}"))["root-user-id"] == ada.number
    body = {"email": "deeper@example.com"}
    assert await ada.said("POST", f"/user/{above.aliases['probe']}", json=body) == (403, "permission denied")
    assert (await ada.works("GET", "/user"))["pagination"]["total"] == DEEPEST


async def test_an_api_token_adds_nobody(kin: Relatives) -> None:
    for path in ("/user/current", f"/user/{kin.bob.number}"):
        said = await kin.ada.said("POST", path, token=kin.ada.key, json={"email": "new@example.com"})
        assert said == (403, "permission denied: not with an API token")


# ---------------------------------------------------------------- PUT user/{user-id}


async def test_a_parent_changes_names(kin: Relatives) -> None:
    seen = await kin.ada.works("PUT", f"/user/{kin.carol.number}", json={"first-name": "Caroline"})
    assert (seen["id"], seen["first-name"]) == (kin.carol.number, "Caroline")
    seen = await kin.ada.works("PUT", f"/user/{kin.carol.number}", token=kin.ada.key, data={"last-name": "X"})
    assert (seen["first-name"], seen["last-name"]) == ("Caroline", "X")
    event = (await kin.house.core.newest_events(1, kin.carol.id))[0]
    assert (event.kind, event.detail["by"]) == ("account_changed", kin.ada.id.hex())


async def test_a_parent_suspends_and_lets_in_again(kin: Relatives) -> None:
    path, body = f"/user/{kin.bob.number}", {"email": kin.bob.email, "password": PASSWORD}
    assert (await kin.ada.works("PUT", path, json={"status": "suspended"}))["status"] == "suspended"
    assert not await kin.bob.live()
    assert (await kin.bob.call("GET", "/auth/session", token=kin.bob.key)).status_code == 401
    refused = await kin.house.post(f"{BASE}/auth/sign-in", json=body)
    assert (refused.status_code, refused.json()["error"]) == (403, "permission denied: account is suspended")
    assert (await kin.ada.works("PUT", path, json={"status": "suspended"}))["status"] == "suspended"
    assert (await kin.ada.works("PUT", path, json={"status": "active"}))["status"] == "active"
    assert (await kin.house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 200
    assert not await kin.bob.live(), "what was ended stays ended"


async def test_what_was_done_above_is_not_undone_below(kin: Relatives) -> None:
    """A parent lets in whom he, or somebody below him, suspended; not whom an operator or an administrator did."""
    await kin.bob.permit("write:sub-user", "read:sub-user", "read:profile")
    path, free = f"/user/{kin.carol.number}", {"status": "active"}
    await kin.bob.works("PUT", path, json={"status": "suspended"})
    assert (await kin.ada.works("PUT", path, json=free))["status"] == "active"
    await kin.ada.works("PUT", path, json={"status": "suspended"})
    assert await kin.bob.said("PUT", path, json=free) == (403, "permission denied")
    assert (await kin.ada.works("PUT", path, json=free))["status"] == "active"
    for barring in (kin.house.core.life.suspend, kin.house.core.life.deactivate):
        await barring(await kin.house.core.accounts.by_id(kin.carol.id))
        assert await kin.ada.said("PUT", path, json=free) == (403, "permission denied")
        assert (await kin.root.works("PUT", path, json=free))["status"] == "active"
    await kin.root.works("PUT", path, json={"status": "suspended"})
    assert await kin.ada.said("PUT", path, json=free) == (403, "permission denied")


async def test_status_and_permissions_want_a_fresh_proof(kin: Relatives) -> None:
    kin.house.clock.move(20 * 60)
    path = f"/user/{kin.bob.number}"
    for body in ({"status": "suspended"}, {"permissions": ["read:media"]}, {"permissions": []}):
        assert await kin.ada.said("PUT", path, json=body) == SIGN_IN_AGAIN
    assert await kin.ada.said("PUT", "/user/current", json={"permissions": []}) == SIGN_IN_AGAIN
    assert (await kin.ada.works("PUT", path, json={"first-name": "Robert"}))["first-name"] == "Robert"


async def test_nobody_suspends_himself_and_odd_statuses_change_nothing(kin: Relatives) -> None:
    for one in (kin.ada, kin.root):
        seen = await one.works("PUT", f"/user/{one.number}", json={"status": "suspended"})
        assert seen["status"] == "active"
    for status in ("pending", "anonymous", "active", None):
        assert (await kin.ada.works("PUT", f"/user/{kin.bob.number}", json={"status": status}))["status"] == "active"
    assert (await kin.ada.call("PUT", f"/user/{kin.bob.number}", json={"status": "deleted"})).status_code == 400


async def test_an_invited_one_is_suspended_and_its_invitation_void(kin: Relatives) -> None:
    made = (await kin.ada.works("POST", "/user/current", json={"email": "new@example.com"}))["user"]
    seen = await kin.ada.works("PUT", f"/user/{made['id']}", json={"status": "suspended"})
    assert seen["status"] == "suspended"
    assert await kin.house.letters("invite") == []
    assert (await kin.ada.works("PUT", f"/user/{made['id']}", json={"status": "active"}))["status"] == "pending"


# ---------------------------------------------------------------- PUT auth/{user-id}/password


def passwords(old: str = PASSWORD, new: str = NEW_PASSWORD) -> dict[str, Any]:
    return {"data": {"old-password": old, "new-password": new}}


async def test_a_parent_sets_the_password(any_house: House) -> None:
    """Table C: every session and key of the sub user ends, and it is told."""
    kin = await relatives(any_house)
    for child, path in ((kin.bob, ""), (kin.carol, "?logout-all=true")):
        how = passwords() if child is kin.bob else {"json": passwords()["data"]}
        answer = await kin.ada.call("PUT", f"/auth/{child.number}/password{path}", **how)
        assert (answer.status_code, answer.content) == (204, b"")
        assert not await child.live()
        assert (await child.call("GET", "/auth/session", token=child.key)).status_code == 401
        again = await enter(any_house, child.person, child.email, NEW_PASSWORD)
        assert again.key != child.key
        letters = [letter.kind for letter in await any_house.letters() if letter.to == child.email]
        assert letters == ["password_set"]
        (event,) = [e for e in await any_house.core.newest_events(20, child.id) if e.kind == "password_set"]
        assert event.detail["by"] == kin.ada.id.hex()
    assert await kin.ada.live()
    assert await kin.dan.live()


async def test_a_wrong_old_password_counts_against_the_sub_user(kin: Relatives) -> None:
    path = f"/auth/{kin.bob.number}/password"
    assert await kin.ada.said("PUT", path, **passwords("wrong password")) == WRONG_OLD
    assert await kin.bob.live()
    refused = [e for e in await kin.house.core.newest_events(9, kin.bob.id) if e.kind == "password_refused"]
    assert len(refused) == 1
    for _ in range(3):
        assert await kin.ada.said("PUT", path, **passwords("wrong password")) == WRONG_OLD
    assert await kin.ada.live()
    assert await kin.ada.said("PUT", path, **passwords("wrong password")) == WRONG_OLD
    assert not await kin.ada.live(), "five misses end the session they were typed in"
    assert await kin.bob.live()


async def test_a_locked_sub_user_is_not_guessed_at(kin: Relatives) -> None:
    """The misses of whoever guesses as a parent are those of whoever guesses at the door."""
    for number in range(10):
        body = {"email": kin.bob.email, "password": f"wrong {number}"}
        assert (await kin.house.post(f"{BASE}/auth/sign-in", json=body)).status_code == 401
    answer = await kin.ada.call("PUT", f"/auth/{kin.bob.number}/password", **passwords())
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)


async def test_a_right_old_password_makes_no_proof_of_the_parents_fresher(kin: Relatives) -> None:
    kin.house.clock.move(20 * 60)
    assert await kin.ada.said("PUT", f"/auth/{kin.bob.number}/password", **passwords()) == (204, None)
    assert await kin.ada.said("PUT", f"/user/{kin.bob.number}", json={"permissions": []}) == SIGN_IN_AGAIN


@pytest.mark.parametrize("new", [PASSWORD, "short", "password123", "x" * 257])
async def test_new_passwords_that_are_none(kin: Relatives, new: str) -> None:
    for one in (kin.bob, kin.ada):
        assert (await kin.ada.call("PUT", f"/auth/{one.number}/password", **passwords(new=new))).status_code == 400
    assert await kin.bob.live()


async def test_fields_and_ids_of_a_change(kin: Relatives) -> None:
    path = f"/auth/{kin.bob.number}/password"
    for body in ({}, {"old-password": PASSWORD}, {"new-password": NEW_PASSWORD}):
        assert (await kin.ada.call("PUT", path, data=body)).status_code == 400
    assert (await kin.ada.call("PUT", f"{path}?logout-all=maybe", **passwords())).status_code == 400
    assert (await kin.ada.call("PUT", "/auth/0/password", **passwords())).status_code == 400
    assert (await kin.house.request("PUT", f"{BASE}{path}", **passwords())).status_code == 401
    said = await kin.ada.said("PUT", path, token=kin.ada.key, **passwords())
    assert said == (403, "permission denied: not with an API token")


async def test_ones_own_id_is_current(kin: Relatives) -> None:
    other = await enter(kin.house, kin.bob.person, kin.bob.email)
    path = f"/auth/{kin.bob.number}/password"
    assert await kin.bob.said("PUT", path, **passwords("wrong password")) == WRONG_OLD
    assert await kin.bob.said("PUT", path, **passwords()) == (204, None)
    assert (await kin.bob.live(), await other.live()) == (True, True)
    assert await kin.bob.said("PUT", f"{path}?logout-all=1", **passwords(NEW_PASSWORD, PASSWORD)) == (204, None)
    assert (await kin.bob.live(), await other.live()) == (True, False)


async def test_who_has_no_password_has_none_to_prove(kin: Relatives) -> None:
    made = (await kin.ada.works("POST", "/user/current", json={"email": "new@example.com"}))["user"]
    before = kin.house.hash_evaluations()
    assert await kin.ada.said("PUT", f"/auth/{made['id']}/password", **passwords()) == WRONG_OLD
    assert kin.house.hash_evaluations() == before + 1


async def test_a_parent_that_is_none_any_more_when_the_hash_is_done(kin: Relatives) -> None:
    """Who may is judged again in the transaction of the act."""
    caller = await kin.house.core.sessions.authenticate(kin.house.core.doors["probe"], kin.ada.jwt)
    target = await kin.house.core.accounts.by_id(kin.bob.id)
    old, new = Password.from_plain(PASSWORD), Password.from_plain(NEW_PASSWORD)

    async def suspended_meanwhile() -> None:
        await kin.house.core.life.suspend(kin.ada.person.account)

    done = await asyncio.gather(
        kin.house.core.family.set_password(caller, target, new, client(), old=old), suspended_meanwhile(),
        return_exceptions=True,
    )  # fmt: skip
    assert type(done[0]).__name__ == "NotSignedIn"
    assert await kin.bob.live()


# ---------------------------------------------------------------- auth/session


async def test_a_parent_sees_the_sessions_of_those_below(kin: Relatives) -> None:
    own = (await kin.carol.works("GET", "/auth/session"))["sessions"]
    query = f"user-id={kin.carol.number}"
    assert (await kin.ada.works("GET", f"/auth/session?{query}"))["sessions"] == [
        {**own[0], "user-id": kin.carol.number}
    ]
    kin.house.clock.move(1)
    await enter(kin.house, kin.bob.person, kin.bob.email)
    repeated = f"user-id={kin.carol.number}&user-id={kin.bob.number}&user-id={kin.ada.number}&user-id={kin.bob.number}"
    found = (await kin.ada.works("GET", f"/auth/session?{repeated}", token=kin.ada.key))["sessions"]
    assert [one["user-id"] for one in found].count(kin.bob.number) == 2
    assert {one["user-id"] for one in found} == {kin.ada.number, kin.bob.number, kin.carol.number}
    assert found[0]["user-id"] == kin.bob.number, "newest first"
    assert all("user-id" not in one for one in (await kin.ada.works("GET", "/auth/session"))["sessions"])
    assert len((await kin.root.works("GET", f"/auth/session?user-id={kin.eve.number}"))["sessions"]) == 1


@pytest.mark.parametrize("query", ["user-id=0", "user-id=x", "user-id=", "user-id=-1", "user-id=" + "9" * 30])
async def test_ids_of_sessions_users_that_are_none(kin: Relatives, query: str) -> None:
    answer = await kin.ada.call("GET", f"/auth/session?{query}")
    assert (answer.status_code, list(answer.json()["context"])) == (400, ["query:user-id"])
    many = "&".join(f"user-id={number}" for number in range(1, 102))
    assert (await kin.ada.call("GET", f"/auth/session?{many}")).status_code == 400


async def test_one_that_is_out_of_reach_hides_the_others(kin: Relatives) -> None:
    query = f"user-id={kin.bob.number}&user-id={kin.eve.number}"
    assert await kin.ada.said("GET", f"/auth/session?{query}") == (404, "not found")


async def session_of(one: Someone) -> str:
    """Return the id of somebody's newest session."""
    return str((await one.works("GET", "/auth/session"))["sessions"][0]["id"])


async def test_a_parent_ends_a_session(kin: Relatives) -> None:
    id = await session_of(kin.carol)
    answer = await kin.ada.call("DELETE", f"/auth/session/{id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    assert not await kin.carol.live()
    assert await kin.ada.said("DELETE", f"/auth/session/{id}") == (404, "not found")
    assert await kin.ada.live()


async def test_nobody_else_ends_it(kin: Relatives) -> None:
    """Nor does a rank, nor a permission; a key is no session."""
    id = await session_of(kin.bob)
    await kin.eve.permit("write:user", "write:sub-user", "write:admin")
    nowhere = await kin.ada.call("DELETE", f"/auth/session/{uuid.uuid4()}")
    for one in (kin.carol, kin.dan, kin.eve, kin.mallory):
        answer = await one.call("DELETE", f"/auth/session/{id}")
        assert (answer.status_code, answer.content) == (404, nowhere.content)
    keys = [each for each in await kin.house.core.sessions.list_own(kin.bob.id) if each.kind == "key"]
    assert await kin.ada.said("DELETE", f"/auth/session/{uuid.UUID(bytes=keys[0].id)}") == (404, "not found")
    assert await kin.bob.live()


# ---------------------------------------------------------------- what becomes of children


async def test_children_of_an_erased_one_get_its_parent(any_house: House) -> None:
    kin = await relatives(any_house)
    await any_house.core.life.erase(kin.bob.person.account)
    seen = await kin.ada.works("GET", f"/user/{kin.carol.number}")
    assert (seen["role"], seen["parent"]["id"], seen["parent-user-ids"]) == ("sub", kin.ada.number, [kin.ada.number])
    assert await kin.carol.live()


async def test_who_stays_behind_without_anybody_may_do_no_more_than_before(any_house: House) -> None:
    ada = await arrive(any_house, "ada")
    made = (await ada.works("POST", "/user/current", json={"email": "new@example.com"}))["user"]
    await accept(any_house, "new@example.com")
    account = await any_house.core.accounts.by_alias("probe", str(made["id"]))
    child = await enter(any_house, await any_house.core.accounts.person(account), "new@example.com", NEW_PASSWORD)
    await any_house.core.life.erase(ada.person.account)
    seen = await child.works("GET", "/user/current")
    assert (seen["role"], "parent" in seen, seen["root-user-id"]) == ("user", False, made["id"])
    assert seen["permissions"] == made["permissions"]
    assert await child.said("POST", "/user/current", json={"email": "more@example.com"}) == (403, "permission denied")


async def test_a_deleted_parent_is_shown_no_more_and_reaches_nobody(kin: Relatives) -> None:
    await kin.house.core.life.delete(kin.bob.person.account)
    seen = await kin.ada.works("GET", f"/user/{kin.carol.number}")
    assert (seen["parent"]["id"], seen["parent-user-ids"]) == (kin.ada.number, [kin.ada.number])
    assert await kin.ada.said("POST", f"/user/{kin.bob.number}", json={"email": "x@example.com"}) == (404, "not found")
