"""One's own password through PUT /user/{userId} (contract, 4.7 and open point 22; decision 25, table C)."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from dialects.flashback.people import Organization, Someone, organization, signed_in
from dialects.flashback.talk import assert_no, bearer
from dragoman.core.directory import SYSTEM
from dragoman.storage import accounts
from dragoman.storage.engine import Tx
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

NEW = "another Horse battery 7"


@pytest.fixture
async def acme(house: House) -> Organization:
    return await organization(house, "acme", ranks=(0, 2, 255))


@pytest.fixture
def ada(acme: Organization) -> Someone:
    return acme.of[0]


async def change(of: Someone, **body: Any) -> httpx2.Response:
    return await of.call("PUT", f"/user/{of.id}", json={"password": NEW, **body})


async def log_in(of: Someone, password: str) -> int:
    answer = await of.house.post("/user/login", json={"email": of.person.email, "password": password})
    return answer.status_code


async def test_within_ten_minutes_of_signing_in(ada: Someone) -> None:
    answer = await change(ada)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "User updated"})
    assert [await log_in(ada, PASSWORD), await log_in(ada, NEW)] == [401, 200]
    (event,) = [e for e in await ada.house.core.newest_events(10) if e.kind == "password_set"]
    assert event.detail == {"by": "owner"}
    assert {letter.to for letter in await ada.house.letters("password_changed")} == {ada.person.email}


async def test_later_only_with_the_old_one(ada: Someone) -> None:
    ada.house.clock.move(601)
    assert_no(await change(ada), 403, "REAUTHENTICATION_REQUIRED")
    assert await log_in(ada, PASSWORD) == 200
    assert (await change(ada, currentPassword=PASSWORD)).status_code == 200
    assert await log_in(ada, NEW) == 200


async def test_the_proof_counts_in_the_hands_of_the_client_that_gave_it(ada: Someone) -> None:
    stolen = {**bearer(ada.token), "User-Agent": "another"}
    answer = await ada.house.request(
        "PUT", f"/user/{ada.id}", json={"password": NEW}, headers=stolen, address="198.51.100.9"
    )
    assert_no(answer, 403, "REAUTHENTICATION_REQUIRED")


async def test_an_old_one_that_comes_along_is_checked(ada: Someone) -> None:
    """Also within the ten minutes. Not a 401: the client would take that for an expired token."""
    assert_no(await change(ada, currentPassword="wrong"), 403, "INVALID_PASSWORD")
    assert await log_in(ada, PASSWORD) == 200


async def test_five_wrong_ones_end_the_session(ada: Someone) -> None:
    for _ in range(5):
        assert_no(await change(ada, currentPassword="wrong"), 403, "INVALID_PASSWORD")
    assert_no(await change(ada, currentPassword=PASSWORD), 401, "NO_AUTH_USER")


async def test_other_sessions_end_and_this_one_and_keys_stay(house: House) -> None:
    """Table C, in all dialects."""
    person = await house.ada()
    ada, other = await signed_in(house, person), await signed_in(house, person)
    flat = {"email": "ada@example.com", "password": PASSWORD}
    probe = (await house.post("/frontend/api/v1/auth/sign-in", json=flat)).json()
    assert (await change(ada, currentPassword=PASSWORD)).status_code == 200
    assert (await ada.call("GET", "/user/profile")).status_code == 200
    assert (await other.call("GET", "/user/profile")).status_code == 401
    assert sorted(await house.sessions()) == sorted([
        ("flashback", "client", person.account.id), ("probe", "key", person.account.id),
    ])  # fmt: skip
    assert probe["api-token"]


@pytest.mark.parametrize(
    "password", ["Short 1", "no upper case 1", "NO LOWER CASE 1", "No Digit In It", "Password1", "x" * 300 + "X1"]
)
async def test_weak_ones(ada: Someone, password: str) -> None:
    assert_no(await change(ada, password=password), 400, "WEAK_PASSWORD")
    assert_no(await change(ada, password=password, currentPassword=PASSWORD), 400, "WEAK_PASSWORD")
    assert await log_in(ada, PASSWORD) == 200


async def test_the_same_again(house: House) -> None:
    person = await house.add(NEW, email="new@example.com", verified=True)
    answer = await house.post("/user/login", json={"email": "new@example.com", "password": NEW})
    new = Someone(house, person, answer.json()["accessToken"])
    assert_no(await change(new, currentPassword=NEW), 400, "WEAK_PASSWORD")


async def test_a_refused_password_keeps_the_names(ada: Someone) -> None:
    for body in ({"password": "weak"}, {"currentPassword": "wrong"}):
        assert (await change(ada, name="Changed", **body)).status_code in (400, 403)
        assert (await ada.house.core.accounts.by_id(ada.person.account.id)).first_name == "R0"
    assert (await change(ada, name="Changed")).status_code == 200
    assert (await ada.house.core.accounts.by_id(ada.person.account.id)).first_name == "Changed"


async def test_nobody_sets_anothers(acme: Organization) -> None:
    for caller in (acme.of[0], acme.of[2], acme.of[255]):
        target = acme.of[2] if caller is not acme.of[2] else acme.of[0]
        for more in ({}, {"currentPassword": PASSWORD}, {"name": "Changed"}):
            answer = await caller.call("PUT", f"/user/{target.id}", json={"password": NEW, **more})
            assert_no(answer, 403, "FORBIDDEN")
        assert await log_in(target, PASSWORD) == 200


async def test_an_account_of_a_directory(ada: Someone) -> None:
    """Decision 0020: the password is the directory's to change."""

    async def fn(tx: Tx) -> None:
        await accounts.insert_alias(tx, ada.person.account.id, SYSTEM, "entry-1")

    await ada.house.db.transaction(fn)
    for more in ({}, {"currentPassword": PASSWORD}):
        assert_no(await change(ada, **more), 400, "PROVIDER_USER_PASSWORD")


async def test_an_account_without_a_password(house: House) -> None:
    """It came by a mailed link, as one of an outside provider comes by its provider."""
    person = await house.add(None, email="ada@example.com", first_name="Ada")
    token = await house.ticket("verify", person)
    answer = await house.post("/user/verify-email", json={"token": token})
    ada = Someone(house, person, answer.json()["accessToken"])
    for more in ({}, {"currentPassword": PASSWORD}):
        assert_no(await change(ada, **more), 400, "PROVIDER_USER_PASSWORD")


async def test_whoever_was_never_verified_keeps_it(acme: Organization) -> None:
    assert_no(await change(await acme.join("new", 0, verified=False)), 403, "EMAIL_NOT_VERIFIED")


async def test_two_at_once_one_wins(ada: Someone) -> None:
    import asyncio

    first, second = "another Horse battery 8", "another Horse battery 9"
    answers = await asyncio.gather(change(ada, password=first), change(ada, password=second))
    worked = [await log_in(ada, password) for password in (first, second)]
    assert sorted(worked) == [200, 401]
    assert 200 in {answer.status_code for answer in answers}
    assert {answer.status_code for answer in answers} <= {200, 403}
