"""The members of an organization: seen, added, invited, renamed, deleted, brought back (contract, 4.5, 4.7, 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.flashback.people import NOBODY, RANKS, Organization, Someone, organization, signed_in, text
from dialects.flashback.talk import assert_no, bearer
from dragoman.storage import identifiers
from kit.house import PASSWORD, House, open_house

pytestmark = pytest.mark.slow

USERS = "/organization/users"
GOOD = "another Horse battery 7"
BOB = {"email": "Bob@example.com", "firstName": "Bob", "lastName": "Example"}


@pytest.fixture
async def acme(house: House) -> Organization:
    return await organization(house, "acme")


@pytest.fixture
async def other(house: House) -> Organization:
    return await organization(house, "other", ranks=(0, 255))


def shown(member: Someone, rank: int, role: str, roles: list[int]) -> dict[str, Any]:
    account = member.person.account
    return {
        "id": member.id, "email": member.person.email, "name": account.first_name, "lastName": "Example",
        "orgId": text(account.organization), "orgRole": rank, "validated": True, "deletedAt": None,
        "orgRoleDescription": role, "orgRoles": roles,
    }  # fmt: skip


def assert_odd(answer: httpx2.Response, status: int, code: str, **more: Any) -> None:
    """Assert a failure with the documented oddities of these calls (open point 17)."""
    body = answer.json()
    assert (answer.status_code, body["error_code"], body["success"]) == (status, code, False), answer.text
    assert {name: body[name] for name in more} == more
    assert set(body) == {"success", "error_code", "message", "error", *more}
    assert answer.headers["content-type"] == "application/json"


# ---------------------------------------------------------------- looking


async def test_the_documented_list(acme: Organization) -> None:
    for rank in (2, 254, 255):
        answer = await acme.of[rank].call("GET", USERS)
        assert answer.status_code == 200
        assert set(answer.json()) == {"success", "data", "total"}
        assert answer.json()["total"] == len(RANKS)
        data = {each["id"]: each for each in answer.json()["data"]}
        assert data[acme.of[2].id] == shown(acme.of[2], 2, "WORKSPACES", [0, 1, 2])
        assert {each["orgRole"] for each in data.values()} == set(RANKS)


async def test_a_part_of_the_list(acme: Organization) -> None:
    whole = (await acme.of[2].call("GET", USERS)).json()["data"]
    parts = [
        (await acme.of[2].call("GET", f"{USERS}?limit=2&offset={offset}")).json() for offset in (0, 2, 4, 6)
    ]  # fmt: skip
    assert [each for part in parts for each in part["data"]] == whole
    assert {part["total"] for part in parts} == {len(RANKS)}
    for query in ("limit=0", "limit=1001", "offset=-1", "limit=x"):
        assert_odd(await acme.of[2].call("GET", f"{USERS}?{query}"), 400, "INVALID_REQUEST", data=[], total=0)


async def test_the_list_is_for_managers(acme: Organization) -> None:
    for rank in (0, 1):
        assert_odd(await acme.of[rank].call("GET", USERS), 403, "FORBIDDEN", data=[], total=0)
    assert_odd(await acme.house.get(USERS), 401, "NO_AUTH_USER", data=[], total=0)


async def test_one_member_comes_without_an_envelope(acme: Organization) -> None:
    answer = await acme.of[2].call("GET", f"{USERS}/{acme.of[255].id}")
    assert (answer.status_code, answer.json()) == (200, shown(acme.of[255], 255, "OWNER", [0, 1, 2, 254, 255]))
    assert_no(await acme.of[1].call("GET", f"{USERS}/{acme.of[0].id}"), 403, "FORBIDDEN")


async def test_any_member_sees_the_role_of_any_other(acme: Organization) -> None:
    for caller in acme.of.values():
        for rank, target in acme.of.items():
            answer = await caller.call("GET", f"/user/{target.id}")
            data = answer.json()["data"]
            assert (data["userId"], data["orgRole"]) == (target.id, rank)
    assert data == {
        "userId": acme.of[255].id, "orgRole": 255, "orgRoleDescription": "OWNER", "orgRoles": [0, 1, 2, 254, 255],
    }  # fmt: skip


async def test_fixed_words_are_no_ids(acme: Organization) -> None:
    """Contract, check 9."""
    assert (await acme.of[0].call("GET", "/user/profile")).json()["data"]["id"] == acme.of[0].id
    assert_no(await acme.of[0].call("GET", "/user/login"), 405, "METHOD_NOT_ALLOWED")
    assert_no(await acme.of[0].call("GET", "/user/deactivate"), 405, "METHOD_NOT_ALLOWED")


# ---------------------------------------------------------------- strangers (decision 12, open point 16)

ON_ONE: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/user/{id}", None),
    ("PUT", "/user/{id}", {"name": "Changed"}),
    ("PUT", "/user/{id}", {"password": GOOD}),
    ("PUT", "/user/{id}/role", {"orgRole": 1}),
    ("GET", "/organization/users/{id}", None),
    ("PUT", "/organization/users/{id}", {"name": "Changed", "orgRole": 1}),
    ("DELETE", "/organization/users/{id}", None),
    ("POST", "/organization/users/{id}/activate", None),
    ("POST", "/organization/users/{id}/resend-invitation", None),
)
"""Every operation that takes somebody's id."""


@pytest.mark.parametrize(("method", "path", "body"), ON_ONE)
async def test_a_stranger_is_answered_as_nobody(
    acme: Organization, other: Organization, method: str, path: str, body: Any
) -> None:
    people = list(other.of.values())
    people.append(Someone(acme.house, await _invited(other), ""))
    for caller in acme.of.values():
        wanted = {} if body is None else {"json": body}
        nobody = await caller.call(method, path.replace("{id}", NOBODY), **wanted)
        assert (nobody.status_code, nobody.json()["error_code"]) == (404, "USER_NOT_FOUND")
        for stranger in people:
            answer = await caller.call(method, path.replace("{id}", stranger.id), **wanted)
            assert (answer.status_code, answer.content) == (404, nobody.content)
        for nonsense in ("nonsense", "0", "%2e%2e", stranger.id[:-1]):
            answer = await caller.call(method, path.replace("{id}", nonsense), **wanted)
            assert (answer.status_code, answer.content) == (404, nobody.content)
    for stranger in people:
        account = await acme.house.core.accounts.by_id(stranger.person.account.id)
        assert account == stranger.person.account or account.signed_in_at is not None
        assert (account.first_name, account.rank, account.status) == (
            stranger.person.account.first_name, stranger.person.account.rank, stranger.person.account.status,
        )  # fmt: skip


def test_every_operation_with_an_id_is_tried() -> None:
    from dragoman.dialects.flashback import DIALECT

    declared = {(each.method, each.path) for each in DIALECT.operations if "{user_id}" in each.path}
    assert declared == {(method, path.replace("{id}", "{user_id}")) for method, path, _ in ON_ONE}


async def _invited(of: Organization) -> Any:
    return await of.house.add(
        None, email=f"invited@{of.name}.example.com", organization=of.id, status="invited", first_name="In"
    )


# ---------------------------------------------------------------- names


async def test_everybody_changes_his_own_names(acme: Organization) -> None:
    for caller in acme.of.values():
        answer = await caller.call("PUT", f"/user/{caller.id}", json={"name": "Nova", "lastName": ""})
        assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "User updated"})
        data = (await caller.call("GET", "/user/profile")).json()["data"]
        assert (data["name"], data["lastName"]) == ("Nova", "")
    (event, *_) = [e for e in await acme.house.core.newest_events(5) if e.kind == "account_changed"]
    assert event.detail == {"what": "names", "by": "owner"}


async def test_managers_change_the_names_of_others(acme: Organization) -> None:
    """Roles 2, 254 and 255, whatever the other's role (contract, 4.7)."""
    for rank, caller in acme.of.items():
        for target in acme.of.values():
            if target is caller:
                continue
            body = {"name": f"By {rank}"}
            answers = [
                await caller.call("PUT", f"/user/{target.id}", json=body),
                await caller.call("PUT", f"{USERS}/{target.id}", json=body),
            ]
            assert {a.status_code for a in answers} == ({200} if rank >= 2 else {403})
            name = (await acme.house.core.accounts.by_id(target.person.account.id)).first_name
            assert (name == f"By {rank}") is (rank >= 2)
    assert_odd(
        await acme.of[0].call("PUT", f"{USERS}/{acme.of[0].id}", json={"name": "Me"}), 403, "FORBIDDEN", data={}
    )  # fmt: skip


async def test_nobody_but_administrators_renames_one(acme: Organization) -> None:
    admin = await acme.join("admin", 0, administrator=True)
    assert_no(await acme.of[255].call("PUT", f"/user/{admin.id}", json={"name": "x"}), 403, "FORBIDDEN")
    assert (await admin.call("PUT", f"/user/{acme.of[255].id}", json={"name": "x"})).status_code == 200


@pytest.mark.parametrize("body", [{"name": "x" * 256}, {"lastName": 1}, {"name": "a\u0007b"}, {"name": "a\u0000b"}])
async def test_names_that_cannot_be_kept(acme: Organization, body: Any) -> None:
    assert_no(await acme.of[0].call("PUT", f"/user/{acme.of[0].id}", json=body), 400, "INVALID_REQUEST")


async def test_nothing_to_change_changes_nothing(acme: Organization) -> None:
    before = await acme.house.core.newest_events(1)
    caller = acme.of[2]
    name = caller.person.account.first_name
    for body in ({}, {"name": name}, {"name": None}, {"unknown": 1}):
        assert (await caller.call("PUT", f"/user/{caller.id}", json=body)).status_code == 200
        assert (await caller.call("PUT", f"{USERS}/{acme.of[0].id}", json={})).status_code == 200
    assert await acme.house.core.newest_events(1) == before


async def test_the_answer_to_a_change(acme: Organization) -> None:
    body = {"name": "Zoe", "lastName": "Zed", "orgRole": 1}
    answer = await acme.of[2].call("PUT", f"{USERS}/{acme.of[0].id}", json=body)
    wanted = shown(acme.of[0], 1, "BILLING", [0, 1]) | {"name": "Zoe", "lastName": "Zed"}
    assert (answer.status_code, answer.json()) == (200, {"success": True, "data": wanted, "message": "User updated"})


async def test_a_refused_role_keeps_the_names(acme: Organization) -> None:
    body = {"name": "Zoe", "orgRole": 255}
    assert_odd(await acme.of[254].call("PUT", f"{USERS}/{acme.of[0].id}", json=body), 403, "FORBIDDEN", data={})
    assert (await acme.house.core.accounts.by_id(acme.of[0].person.account.id)).first_name == "R0"


# ---------------------------------------------------------------- adding


async def test_somebody_is_invited(acme: Organization) -> None:
    house = acme.house
    answer = await acme.of[2].call("POST", USERS, json=BOB)
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data == {
        "id": data["id"], "email": "Bob@example.com", "name": "Bob", "lastName": "Example",
        "orgId": text(acme.id), "orgRole": 0, "validated": False, "deletedAt": None, "orgRoleDescription": "USER",
        "orgRoles": [0],
    }  # fmt: skip
    assert answer.json()["message"] == "User added; an invitation was sent"
    (letter,) = await house.letters("invite")
    assert (letter.to, letter.values["by"]) == ("Bob@example.com", "R2 Example")
    token = await house.token("invite")
    before = await house.post("/user/pre-verify-email", json={"token": token})
    assert before.json()["hasPassword"] is False
    assert_no(await house.post("/user/verify-email", json={"token": token}), 400, "PASSWORD_REQUIRED")
    done = await house.post("/user/verify-email", json={"token": token, "password": GOOD})
    assert done.json()["user"]["orgId"] == text(acme.id)
    own = await house.get("/user/profile", headers=bearer(done.json()["accessToken"]))
    assert own.json()["data"]["validated"] is True


async def test_a_password_that_was_given_counts_no_more_once_the_address_is_proved(acme: Organization) -> None:
    house = acme.house
    answer = await acme.of[255].call("POST", USERS, json={**BOB, "password": GOOD, "orgRole": 254})
    assert answer.json()["data"]["orgRole"] == 254
    flat = {"email": BOB["email"], "password": GOOD}
    assert_no(await house.post("/user/login", json=flat), 401, "USER_INACTIVE")
    token = await house.token("invite")
    assert (await house.post("/user/pre-verify-email", json={"token": token})).json()["hasPassword"] is False
    assert_no(await house.post("/user/verify-email", json={"token": token}), 400, "PASSWORD_REQUIRED")
    own = {"email": BOB["email"], "password": "His own horse 7"}
    assert (await house.post("/user/verify-email", json={"token": token, **own})).status_code == 200
    assert (await house.post("/user/login", json=own)).status_code == 200
    assert_no(await house.post("/user/login", json=flat), 401, "INVALID_PASSWORD")


async def test_an_invitation_may_wait(acme: Organization) -> None:
    answer = await acme.of[2].call("POST", USERS, json={**BOB, "sendInvite": False})
    assert answer.json()["message"] == "User added; no invitation was sent"
    assert await acme.house.letters("invite") == []
    id = answer.json()["data"]["id"]
    sent = await acme.of[2].call("POST", f"{USERS}/{id}/resend-invitation")
    assert (sent.status_code, sent.json()) == (200, {"success": True, "message": "A new invitation was sent"})
    assert len(await acme.house.letters("invite")) == 1


async def test_an_added_address_is_only_claimed(acme: Organization) -> None:
    """Whoever owns an organization answers for nobody (decision 15, threat 12); an administrator of the house does."""
    house = acme.house
    admin = await acme.join("admin", 0, administrator=True)
    for number, (caller, state) in enumerate([(acme.of[255], "claimed"), (admin, "vouched")]):
        email = f"new{number}@example.com"
        await caller.call("POST", USERS, json={**BOB, "email": email})
        held = await identifiers.find(house.db, "email", email)
        assert held is not None
        assert held.state == state


HIGHEST = {0: -1, 1: -1, 2: 1, 254: 2, 255: 255}
"""The highest role that each may add."""


async def test_who_may_add_whom(acme: Organization) -> None:
    number = 0
    for rank, caller in acme.of.items():
        for role in RANKS:
            number += 1
            body = {**BOB, "email": f"new{number}@example.com", "orgRole": role, "sendInvite": False}
            answer = await caller.call("POST", USERS, json=body)
            if role <= HIGHEST[rank]:
                assert answer.status_code == 201
                assert answer.json()["data"]["orgRole"] == role
            else:
                assert_odd(answer, 403, "FORBIDDEN", data={})


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"email": "nonsense"}, "INVALID_EMAIL"),
    ({"email": ""}, "INVALID_REQUEST"),
    ({"email": None}, "INVALID_REQUEST"),
    ({"firstName": None}, "INVALID_REQUEST"),
    ({"lastName": "x" * 256}, "INVALID_REQUEST"),
    ({"firstName": "a\u0007"}, "INVALID_REQUEST"),
    ({"password": "Short1"}, "WEAK_PASSWORD"),
    ({"password": "all lower case 1"}, "WEAK_PASSWORD"),
    ({"password": "ALL UPPER CASE 1"}, "WEAK_PASSWORD"),
    ({"password": "No Digit In This"}, "WEAK_PASSWORD"),
    ({"orgRole": 3}, "INVALID_ROLE"),
    ({"orgRole": "0"}, "INVALID_REQUEST"),
    ({"sendInvite": "yes"}, "INVALID_REQUEST"),
)


@pytest.mark.parametrize(("wrong", "code"), WRONG)
async def test_what_cannot_be_added(acme: Organization, wrong: dict[str, Any], code: str) -> None:
    answer = await acme.of[255].call("POST", USERS, json={**BOB, **wrong})
    assert_odd(answer, 400, code, data={})
    assert (await acme.of[255].call("GET", USERS)).json()["total"] == len(RANKS)


async def test_an_address_that_is_taken_is_told_within_the_telling_budget(
    acme: Organization, other: Organization
) -> None:
    """Here and in every organization; after ten such answers nobody is added from that network (decision 29)."""
    caller = acme.of[255]
    colleague = {**BOB, "email": acme.of[0].person.email}
    for _ in range(12):
        assert_odd(await caller.call("POST", USERS, json=colleague), 400, "EMAIL_ALREADY_EXISTS", data={})
    stranger = {**BOB, "email": other.of[0].person.email.upper()}
    for _ in range(10):
        assert_odd(await caller.call("POST", USERS, json=stranger), 400, "EMAIL_ALREADY_EXISTS", data={})
    taken, free = [await caller.call("POST", USERS, json=body) for body in (stranger, BOB)]
    assert_odd(taken, 429, "RATE_LIMITED", data={})
    assert (free.status_code, free.content) == (429, taken.content)
    assert taken.headers["retry-after"] == free.headers["retry-after"]
    acme.house.clock.move(3601)
    again = await signed_in(acme.house, caller.person)
    assert (await again.call("POST", USERS, json=BOB)).status_code == 201


async def test_without_mail_people_are_added_and_told_of_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        acme = await organization(house, "acme", ranks=(255,))
        answer = await acme.of[255].call("POST", USERS, json=BOB)
        assert (answer.status_code, answer.json()["message"]) == (201, "User added; no invitation was sent")
        id = answer.json()["data"]["id"]
        assert_no(await acme.of[255].call("POST", f"{USERS}/{id}/resend-invitation"), 403, "FORBIDDEN")


async def test_a_rank_is_given_on_a_fresh_proof(acme: Organization) -> None:
    acme.house.clock.move(601)
    answer = await acme.of[255].call("POST", USERS, json={**BOB, "orgRole": 1})
    assert_odd(answer, 403, "REAUTHENTICATION_REQUIRED", data={})
    assert (await acme.of[255].call("POST", USERS, json=BOB)).status_code == 201


# ---------------------------------------------------------------- invited again


async def test_an_invitation_sent_again_voids_the_one_before(acme: Organization) -> None:
    house = acme.house
    id = (await acme.of[2].call("POST", USERS, json=BOB)).json()["data"]["id"]
    first, path = await house.token("invite"), f"{USERS}/{id}/resend-invitation"
    answer = await acme.of[2].call("POST", path)
    assert_no(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    house.clock.move(61)
    assert (await acme.of[2].call("POST", path)).status_code == 200
    gone = await house.post("/user/verify-email", json={"token": first, "password": GOOD})
    assert_no(gone, 400, "INVALID_VERIFICATION_TOKEN")
    second = await house.token("invite")
    assert (await house.post("/user/verify-email", json={"token": second, "password": GOOD})).status_code == 200
    assert_no(await acme.of[2].call("POST", path), 400, "INVALID_REQUEST")


async def test_only_managers_above_invite_again(acme: Organization) -> None:
    answer = await acme.of[255].call("POST", USERS, json={**BOB, "orgRole": 2, "sendInvite": False})
    path = f"{USERS}/{answer.json()['data']['id']}/resend-invitation"
    for rank in (0, 1, 2):
        assert_no(await acme.of[rank].call("POST", path), 403, "FORBIDDEN")
    assert (await acme.of[254].call("POST", path)).status_code == 200


# ---------------------------------------------------------------- deleting and bringing back


async def test_deleted_and_brought_back(acme: Organization) -> None:
    house, manager, target = acme.house, acme.of[2], acme.of[0]
    answer = await manager.call("DELETE", f"{USERS}/{target.id}")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "User deleted"})
    assert (await target.call("GET", "/user/profile")).status_code == 401
    flat = {"email": target.person.email, "password": PASSWORD}
    assert_no(await house.post("/user/login", json=flat), 401, "USER_INACTIVE")
    seen = (await manager.call("GET", f"{USERS}/{target.id}")).json()
    assert seen["deletedAt"] == "2026-11-22T00:00:00.000Z"
    assert seen in (await manager.call("GET", USERS)).json()["data"]
    assert_no(await manager.call("GET", f"/user/{target.id}"), 404, "USER_NOT_FOUND")
    assert (await manager.call("DELETE", f"{USERS}/{target.id}")).status_code == 200, "its 30 days run on"
    answer = await manager.call("POST", f"{USERS}/{target.id}/activate")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "User activated"})
    assert (await manager.call("GET", f"{USERS}/{target.id}")).json()["deletedAt"] is None
    assert (await house.post("/user/login", json=flat)).status_code == 200
    assert (await target.call("GET", "/user/profile")).status_code == 401, "what was ended stays ended"
    assert_no(await manager.call("POST", f"{USERS}/{target.id}/activate"), 400, "INVALID_REQUEST")
    by = manager.person.account.id.hex()
    told = [e.detail for e in await house.core.newest_events(20) if e.kind == "account_changed"]
    assert told == [
        {"what": "status", "status": "active", "was": "deleted", "by": by},
        {"what": "status", "status": "deleted", "was": "active", "by": by},
    ]  # fmt: skip
    assert {letter.to for letter in await house.letters("account_deleted")} == {target.person.email}


async def test_nobody_brings_back_whom_he_may_not_delete(acme: Organization) -> None:
    may = {0: (), 1: (), 2: (0, 1), 254: (0, 1, 2), 255: (0, 1, 2, 254, 255)}
    for rank, caller in acme.of.items():
        for target_rank in RANKS:
            target = await acme.join(f"t{rank}-{target_rank}", target_rank)
            deleted = await caller.call("DELETE", f"{USERS}/{target.id}")
            allowed = target_rank in may[rank]
            assert deleted.status_code == (200 if allowed else 403), (rank, target_rank, deleted.text)
            await acme.house.core.life.delete(target.person.account)
            back = await caller.call("POST", f"{USERS}/{target.id}/activate")
            assert back.status_code == (200 if allowed else 403), (rank, target_rank, back.text)


async def test_nobody_deletes_himself_here(acme: Organization) -> None:
    for rank in (2, 254, 255):
        assert_no(await acme.of[rank].call("DELETE", f"{USERS}/{acme.of[rank].id}"), 400, "INVALID_REQUEST")


async def test_an_administrator_leaves_members_their_last_owner(acme: Organization) -> None:
    admin = await acme.join("admin", 0, administrator=True)
    assert_no(await admin.call("DELETE", f"{USERS}/{acme.of[255].id}"), 400, "LAST_OWNER")
    assert_no(await acme.of[255].call("DELETE", f"{USERS}/{admin.id}"), 403, "FORBIDDEN")


async def test_deleting_needs_a_fresh_proof(acme: Organization) -> None:
    acme.house.clock.move(601)
    assert_no(await acme.of[2].call("DELETE", f"{USERS}/{acme.of[0].id}"), 403, "REAUTHENTICATION_REQUIRED")
    assert (await acme.house.core.accounts.by_id(acme.of[0].person.account.id)).status == "active"


# ---------------------------------------------------------------- leaving


async def test_deactivating_oneself(acme: Organization) -> None:
    house, caller = acme.house, acme.of[0]
    answer = await caller.call("POST", "/user/deactivate")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "The account was deactivated"})
    assert (await caller.call("GET", "/user/profile")).status_code == 401
    flat = {"email": caller.person.email, "password": PASSWORD}
    assert_no(await house.post("/user/login", json=flat), 401, "USER_INACTIVE")
    assert {letter.to for letter in await house.letters("account_deactivated")} == {caller.person.email}


async def test_the_only_owner_of_others_stays(acme: Organization) -> None:
    assert_no(await acme.of[255].call("POST", "/user/deactivate"), 400, "LAST_OWNER")
    alone = await organization(acme.house, "alone", ranks=(255,))
    invited = await _invited(alone)
    assert_no(await alone.of[255].call("POST", "/user/deactivate"), 400, "LAST_OWNER")
    await acme.house.core.life.delete(invited.account)
    assert (await alone.of[255].call("POST", "/user/deactivate")).status_code == 200


async def test_leaving_needs_a_fresh_proof(acme: Organization) -> None:
    acme.house.clock.move(601)
    assert_no(await acme.of[0].call("POST", "/user/deactivate"), 403, "REAUTHENTICATION_REQUIRED")


# ---------------------------------------------------------------- never verified (contract, check 7)


@pytest.fixture
async def new(acme: Organization) -> Someone:
    return await acme.join("new", 255, verified=False)


async def test_whoever_was_never_verified_reads_and_does_not_write(acme: Organization, new: Someone) -> None:
    from dragoman.dialects.flashback import DIALECT

    for path in ("/user/profile", f"/user/{acme.of[0].id}", USERS, f"{USERS}/{acme.of[0].id}", "/settings/user"):
        assert (await new.call("GET", path)).status_code == 200
    tried = 0
    for each in DIALECT.operations:
        ours = each.tag in ("organization", "settings") or each.path.startswith("/user/{user_id}")
        if ours and each.method != "GET":
            answer = await new.call(each.method, each.path.replace("{user_id}", acme.of[0].id), json={})
            assert (answer.status_code, answer.json()["error_code"]) == (403, "EMAIL_NOT_VERIFIED"), each.path
            tried += 1
    assert tried >= 13
    assert_no(await new.call("POST", "/user/deactivate"), 403, "EMAIL_NOT_VERIFIED")
