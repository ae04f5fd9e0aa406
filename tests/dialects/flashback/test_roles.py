"""Who may give whom which role: every caller role, every target role, every new role (contract, check 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialects.flashback.people import NOBODY, RANKS, Organization, Someone, organization
from dialects.flashback.talk import assert_no
from kit.engines import ENGINES
from kit.house import House, open_house, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

OTHERS = """
    caller  target   may become
    0       0        -
    0       1        -
    0       2        -
    0       254      -
    0       255      -
    1       0        -
    1       1        -
    1       2        -
    1       254      -
    1       255      -
    2       0        0 1
    2       1        0 1
    2       2        -
    2       254      -
    2       255      -
    254     0        0 1 2
    254     1        0 1 2
    254     2        0 1 2
    254     254      -
    254     255      -
    255     0        0 1 2 254 255
    255     1        0 1 2 254 255
    255     2        0 1 2 254 255
    255     254      0 1 2 254 255
    255     255      0 1 2 254 255
"""
ONESELF = """
    caller  -        may become
    0       0        0
    1       1        0 1
    2       2        0 1 2
    254     254      0 1 2 254
    255     255      0 1 2 254 255
"""
"""Contract, section 4.8 and open point 15, written out."""


def rows(table: str) -> Iterator[tuple[int, int, frozenset[int]]]:
    for line in table.strip().splitlines()[1:]:
        caller, target, *new = line.split()
        yield int(caller), int(target), frozenset(int(each) for each in new if each != "-")


def test_the_tables_are_whole() -> None:
    assert [(caller, target) for caller, target, _ in rows(OTHERS)] == [(c, t) for c in RANKS for t in RANKS]
    assert [caller for caller, _, _ in rows(ONESELF)] == list(RANKS)


@pytest.fixture
async def acme(house: House) -> Organization:
    """An organization with another owner, so that nobody is the last."""
    made = await organization(house, "acme")
    await made.join("another", 255)
    return made


async def say(caller: Someone, id: str, role: object, path: str = "/user/{id}/role") -> tuple[int, str | None]:
    answer = await caller.call("PUT", path.replace("{id}", id), json={"orgRole": role})
    return answer.status_code, answer.json().get("error_code")


FORMS = ("/user/{id}/role", "/organization/users/{id}")


@pytest.mark.parametrize("path", FORMS)
async def test_every_role_of_others(acme: Organization, path: str) -> None:
    target = await acme.join("target", 0)
    for caller_rank, target_rank, may in rows(OTHERS):
        for new in RANKS:
            await target.set_rank(target_rank)
            said = await say(acme.of[caller_rank], target.id, new, path)
            what = (caller_rank, target_rank, new, said)
            assert said == ((200, None) if new in may else (403, "FORBIDDEN")), what
            assert await target.rank() == (new if new in may else target_rank), what


@pytest.mark.parametrize("path", FORMS)
async def test_every_role_of_ones_own(acme: Organization, path: str) -> None:
    """Anyone may lower their own; the calls about members are for managers alone."""
    for rank, _, may in rows(ONESELF):
        caller = acme.of[rank]
        for new in RANKS:
            await caller.set_rank(rank)
            said = await say(caller, caller.id, new, path)
            allowed = new in may and (path == FORMS[0] or rank >= 2)
            assert said == ((200, None) if allowed else (403, "FORBIDDEN")), (rank, new, said)
            assert await caller.rank() == (new if allowed else rank)


async def test_the_documented_answer(acme: Organization) -> None:
    target = acme.of[0]
    answer = await acme.of[2].call("PUT", f"/user/{target.id}/role", json={"orgRole": 1})
    assert (answer.status_code, answer.json()) == (200, {
        "success": True,
        "data": {"userId": target.id, "previousRole": 0, "newRole": 1, "message": "Role updated"},
    })  # fmt: skip
    (event,) = [e for e in await acme.house.core.newest_events(5) if e.kind == "account_changed"]
    by = acme.of[2].person.account.id.hex()
    assert (event.account, event.detail) == (
        target.person.account.id, {"what": "rank", "role": "1", "was": "0", "by": by},
    )  # fmt: skip
    again = await acme.of[2].call("PUT", f"/user/{target.id}/role", json={"orgRole": 1})
    assert again.json()["data"] == {"userId": target.id, "previousRole": 1, "newRole": 1, "message": "Role unchanged"}
    assert [e.kind for e in await acme.house.core.newest_events(5)].count("account_changed") == 1


async def test_the_new_role_counts_at_once(acme: Organization) -> None:
    caller = acme.of[0]
    assert (await caller.call("GET", "/organization/users")).status_code == 403
    assert await say(acme.of[255], caller.id, 2) == (200, None)
    assert (await caller.call("GET", "/organization/users")).status_code == 200
    assert (await caller.call("GET", "/user/profile")).json()["data"]["orgRoles"] == [0, 1, 2]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("role", [3, 100, 253, -1, 256, 2**40])
async def test_reserved_roles_are_not_given(acme: Organization, path: str, role: int) -> None:
    assert await say(acme.of[255], acme.of[0].id, role, path) == (400, "INVALID_ROLE")


@pytest.mark.parametrize("role", ["2", 2.5, True, [], {}, 2**70])
async def test_what_is_no_number_is_no_role(acme: Organization, role: object) -> None:
    assert await say(acme.of[255], acme.of[0].id, role) == (400, "INVALID_REQUEST")
    assert await acme.of[0].rank() == 0


async def test_a_reserved_role_that_somebody_has_is_ranked(acme: Organization) -> None:
    odd, target = await acme.join("odd", 100), acme.of[2]
    assert await say(odd, target.id, 2) == (200, None)
    assert await say(odd, target.id, 254) == (403, "FORBIDDEN")
    assert await say(acme.of[2], odd.id, 0) == (403, "FORBIDDEN")


async def test_an_old_sign_in_changes_no_role(acme: Organization) -> None:
    caller, target = acme.of[255], acme.of[0]
    acme.house.clock.move(601)
    for path in FORMS:
        assert await say(caller, target.id, 1, path) == (403, "REAUTHENTICATION_REQUIRED")
    unchanged = await caller.call("PUT", f"/organization/users/{target.id}", json={"orgRole": 0, "name": "Zero"})
    assert unchanged.json()["data"]["name"] == "Zero", "names, and a role that stays, need no fresh proof"
    assert await target.rank() == 0


# ---------------------------------------------------------------- the last owner


async def test_the_last_owner_stays(house: House) -> None:
    acme = await organization(house, "acme")
    owner = acme.of[255]
    for role in (0, 1, 2, 254):
        for path in FORMS:
            assert await say(owner, owner.id, role, path) == (400, "LAST_OWNER")
    assert await say(owner, owner.id, 255) == (200, None)
    assert await say(owner, acme.of[254].id, 255) == (200, None)
    assert await say(owner, owner.id, 0) == (200, None)


async def test_owners_who_cannot_act_are_none(house: House) -> None:
    """Deactivated, suspended, invited and deleted ones do not count."""
    acme = await organization(house, "acme")
    owner, life = acme.of[255], house.core.life
    for name, status in (("a", "deactivated"), ("b", "suspended"), ("c", "invited"), ("d", "deleted")):
        other = await acme.join(name, 255)
        await life.set_status(other.person.account, status)  # type: ignore[arg-type]
    assert await say(owner, owner.id, 0) == (400, "LAST_OWNER")


async def test_administrators_keep_the_last_owner_too(house: House) -> None:
    acme = await organization(house, "acme")
    root = await Organization(house, "home", await house.core.accounts.default_organization()).join(
        "admin", 255, administrator=True
    )
    assert await say(root, acme.of[255].id, 0) == (400, "LAST_OWNER")
    assert await say(root, acme.of[254].id, 255) == (200, None)
    assert await say(root, acme.of[255].id, 0) == (200, None)


async def test_nobody_but_administrators_ranks_an_administrator(house: House) -> None:
    default = Organization(house, "home", await house.core.accounts.default_organization())
    owner = await default.join("owner", 255)
    admin, low = await default.join("admin", 255, administrator=True), await default.join("low", 0, administrator=True)
    for target in (admin, low):
        assert await say(owner, target.id, 1) == (403, "FORBIDDEN")
    assert await say(admin, low.id, 1) == (200, None)


@pytest.mark.parametrize("engine", ENGINES)
async def test_two_owners_who_demote_each_other_leave_one(
    tmp_path: Path, postgres_cluster: Cluster, engine: str
) -> None:  # fmt: skip
    async with open_house_of(engine, tmp_path, postgres_cluster) as house:  # type: ignore[arg-type]
        for number in range(6):
            acme = await organization(house, f"acme{number}", ranks=())
            one, two = await acme.join("one", 255), await acme.join("two", 255)
            said = await asyncio.gather(say(one, two.id, 0), say(two, one.id, 0))
            assert sorted(said, key=str) == [(200, None), (403, "FORBIDDEN")], said
            assert sorted([await one.rank(), await two.rank()]) == [0, 255]


@pytest.mark.parametrize("engine", ENGINES)
async def test_two_owners_who_go_at_once_leave_one(tmp_path: Path, postgres_cluster: Cluster, engine: str) -> None:
    """Each in another way: one demotes himself, the other deactivates himself."""
    async with open_house_of(engine, tmp_path, postgres_cluster) as house:  # type: ignore[arg-type]
        for number in range(6):
            acme = await organization(house, f"acme{number}", ranks=())
            one, two = await acme.join("one", 255), await acme.join("two", 255)
            answers = await asyncio.gather(
                one.call("PUT", f"/user/{one.id}/role", json={"orgRole": 0}), two.call("POST", "/user/deactivate")
            )
            assert sorted(a.status_code for a in answers) == [200, 400], [a.text for a in answers]
            assert [a.json()["error_code"] for a in answers if a.status_code == 400] == ["LAST_OWNER"]


# ---------------------------------------------------------------- strangers and the never verified


async def test_strangers_are_nobody(tmp_path: Path) -> None:
    """An id of another organization is answered as one that nobody has, whoever asks (open point 16)."""
    async with open_house(tmp_path) as house:
        acme, other = await organization(house, "acme"), await organization(house, "other")
        for caller in acme.of.values():
            for id in (*(each.id for each in other.of.values()), NOBODY, "nonsense", "0"):
                for path in FORMS:
                    assert await say(caller, id, 0, path) == (404, "USER_NOT_FOUND")
        assert [await each.rank() for each in other.of.values()] == list(RANKS)


async def test_whoever_was_never_verified_changes_nothing(acme: Organization) -> None:
    caller = await acme.join("new", 255, verified=False)
    answer = await caller.call("PUT", f"/user/{acme.of[0].id}/role", json={"orgRole": 1})
    assert_no(answer, 403, "EMAIL_NOT_VERIFIED")
