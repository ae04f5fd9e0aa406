"""What people learn of accounts that are not theirs: nothing, in every dialect (threats 29 and 36, decision 12)."""

from __future__ import annotations

import uuid
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from dragoman.core import first_factor
from dragoman.core.chain import derive
from dragoman.core.keys import KeySet
from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, POCKETM8, PROBE, ROCKETCHAT, Driver, Held, Refused
from journeys.test_sign_in_everywhere import every_driver, on_sqlite, stranger
from kit.house import PASSWORD, House, open_house

pytestmark = pytest.mark.slow

BOB = "bob@example.com"
ALWAYS_DIFFERENT = {"x-request-id"}


def shown(answer: httpx2.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that a client sees of an answer, but the ids that differ from one request to the next."""
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in ALWAYS_DIFFERENT]
    return answer.status_code, answer.content, headers


async def other_organization(house: House) -> Any:
    """Add Bob, who belongs to an organization of his own."""
    organization = await house.core.accounts.organization("Elsewhere")
    return await house.add(email=BOB, username="bob", verified=True, organization=organization, rank=255)


async def test_who_is_not_admitted_is_told_so_only_after_the_right_password(house: House) -> None:
    await other_organization(house)
    for driver in (ROCKETCHAT, POCKETM8):
        await driver.refused(house.request, "wrong", BOB, "not his password")
        await driver.refused(house.request, "not_admitted", BOB, PASSWORD)
    for driver in (PROBE, FLASHBACK):
        await driver.held(house.request, BOB)
    assert {door for door, _, _ in await house.sessions()} == {"probe", "flashback"}


async def test_sessions_of_another_organization_are_unknown(house: House) -> None:
    """Even an owner of rank 255 sees an unknown id where somebody else's stands."""
    await house.ada(rank=255)
    await other_organization(house)
    ada, bob = await FLASHBACK.held(house.request), await PROBE.held(house.request, BOB)
    path = f"{PROBE.base}/auth/session"
    there = await house.delete(f"{path}/{ada.more['session']}", headers=bob.headers)
    nowhere = await house.delete(f"{path}/{uuid.uuid4()}", headers=bob.headers)
    assert there.status_code == 404
    assert shown(there) == shown(nowhere)
    assert await FLASHBACK.live(house.request, ada)
    listed = (await PROBE.who_am_i(house.request, bob)).json()["sessions"]
    assert ada.more["session"] not in {one["id"] for one in listed}


async def test_a_user_id_of_another_organization_is_unknown_to_rocketchat(house: House) -> None:
    await house.ada()
    bob = await other_organization(house)
    held = await ROCKETCHAT.held(house.request)
    answers = [
        await house.get("/api/v1/me", headers={**held.headers, "X-User-Id": user})
        for user in (bob.aliases["rocketchat"], "23456789ABCDEFGHJ")
    ]
    assert shown(answers[0]) == shown(answers[1])
    assert ROCKETCHAT.said(answers[0]) == ROCKETCHAT.words["signed_out"]


async def test_a_session_id_of_another_organization_is_unknown_to_flashback(house: House) -> None:
    """Session ids are shown in lists; a refresh token forged from one is answered as one from thin air."""
    await house.ada()
    await other_organization(house)
    bob = await FLASHBACK.held(house.request, BOB)
    keys: KeySet = house.core.keystore.keys()
    key = replace(keys.current("flashback_refresh"), material=b"\0" * 32)
    forged = [derive(key, id, 0, bytes(16)) for id in (uuid.UUID(bob.more["session"]).bytes, uuid.uuid4().bytes)]
    answers = []
    for token in forged:
        outcome = await FLASHBACK.refresh(house.request, token)
        assert isinstance(outcome, Refused)
        answers.append(shown(outcome.answer))
        assert (await house.post("/user/logout", json={"refreshToken": token})).status_code == 200
    assert answers[0] == answers[1]
    assert await FLASHBACK.live(house.request, bob)


async def test_a_challenge_of_another_is_of_no_use_and_says_nothing(house: House) -> None:
    ada, bob = await house.ada(), await house.add(email=BOB, username="bob", verified=True)
    hers, his = await house.enrol_totp(ada), await house.enrol_totp(bob)
    outcome = await POCKETM8.sign_in(house.request, BOB)
    answers = [
        await house.post("/api/auth/user/verify-challenge", json={"challengeId": challenge, "code": hers.code()})
        for challenge in (outcome.go_on["challengeId"], "0123456789abcdef0123")  # type: ignore[union-attr]
    ]
    assert shown(answers[0]) == shown(answers[1])
    assert isinstance(await POCKETM8.with_code(house.request, outcome, his.code()), Held)  # type: ignore[arg-type]


GROUPS = ("unknown", "wrong password", "no password", "suspended", "other organization", "second factor", "imported")


async def people(house: House) -> dict[str, str]:
    """Add one account of each group; return their addresses."""
    ada = await house.ada()
    silent = await house.add(None, email="silent@example.com", verified=True)
    gone = await house.add(email="gone@example.com", verified=True)
    await house.core.life.set_status(gone.account, "suspended")
    await other_organization(house)
    factor = await house.add(email="factor@example.com", verified=True)
    await house.enrol_totp(factor)
    imported = await house.add(None, email="imported@example.com", verified=True)
    await house.core.accounts.import_hash(
        imported.account, "bcrypt:$2b$04$BBBBBBBBBBBBBBBBBBBBBOa6t0VQ1hJ5nT1Zt8W9JwGg3kE6sT5Uq"
    )
    assert ada.email == EMAIL
    assert silent.has_password is False
    return dict(
        zip(
            GROUPS,
            ("nobody@example.com", EMAIL, "silent@example.com", "gone@example.com", BOB, "factor@example.com",
             "imported@example.com"),
            strict=True,
        )
    )  # fmt: skip


@every_driver
async def test_a_wrong_password_is_answered_alike_whoever_is_meant(house: House, driver: Driver) -> None:
    """Body and headers are identical, each costs one hash evaluation, and each leaves the same rows."""
    if driver.words["unknown"] != driver.words["wrong"]:
        return
    found = await people(house)
    answers = {}
    for number, (group, email) in enumerate(found.items()):
        before = house.hash_evaluations()
        outcome = await driver.sign_in(house.request, email, "not the password", address=stranger(number))
        assert house.hash_evaluations() == before + 1, group
        answers[group] = shown(outcome.answer)
    assert len(set(map(repr, answers.values()))) == 1, answers


@every_driver
async def test_a_locked_name_is_answered_alike_whether_anybody_has_it(house: House, driver: Driver) -> None:
    found = await people(house)
    answers = []
    for email in (found["unknown"], found["wrong password"], found["no password"]):
        for number in range(10):
            await driver.sign_in(house.request, email, "not the password", address=stranger(number))
        outcome = await driver.refused(house.request, "locked", email, "x", address=stranger(40))
        answers.append(shown(outcome.answer))
    assert answers[0] == answers[1] == answers[2]


@on_sqlite
async def test_flashback_tells_ten_times_an_hour_and_network_then_no_more(house: House) -> None:
    found = await people(house)
    for number in range(10):
        outcome = await FLASHBACK.sign_in(house.request, f"nobody{number}@example.com", "x" * 8)
        assert outcome.answer.json()["error_code"] == "USER_NOT_FOUND"
    answers = set()
    for email in found.values():
        outcome = await FLASHBACK.refused(house.request, "wrong", email, "not the password")
        answers.add(repr(shown(outcome.answer)))
    assert len(answers) == 1
    # Another network has telling answers of its own; this one has them again in an hour.
    await FLASHBACK.refused(house.request, "unknown", found["unknown"], "x" * 8, address=stranger(3))
    silent = await FLASHBACK.sign_in(house.request, found["no password"], "x" * 8, address=stranger(3))
    assert silent.answer.json()["error_code"] == "NO_PASSWORD_SET"
    house.clock.move(60 * 60 + 1)
    await FLASHBACK.refused(house.request, "unknown", "nobody2@example.com", "x" * 8)


async def test_concealed_accounts_are_never_told(tmp_path: Any) -> None:
    async with open_house(tmp_path, accounts__conceal=True) as house:
        found = await people(house)
        for driver in DRIVERS:
            answers = set()
            for number, email in enumerate(found.values()):
                outcome = await driver.refused(house.request, "wrong", email, "guess", address=stranger(number))
                answers.add(repr(shown(outcome.answer)))
            assert len(answers) == 1


@on_sqlite
@pytest.mark.parametrize("seconds", [0.5, 0.0001], ids=["imports cost more", "imports cost less"])
async def test_every_refusal_takes_as_long_as_the_slowest_hash_in_the_store(
    house: House, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Threat 36: what was computed and what is waited add up to one slot, the same for every group of accounts.

    The waits are written down instead of waited, and what a hash costs is told to the pool, so that a busy machine does
    not decide.
    """
    found = await people(house)
    house.clock.move(61)
    await house.core.tick()
    pool = house.core.pool
    imported, canonical = "bcrypt:cost=4", pool._label
    waited: list[float] = []

    async def written_down(seconds: float) -> None:
        waited.append(seconds)

    for number, (group, email) in enumerate(found.items()):
        for label, cost in ((imported, seconds), (canonical, 0.02)):
            for _ in range(64):
                pool._measured(label, cost)
        with monkeypatch.context() as patched:
            patched.setattr(first_factor.asyncio, "sleep", written_down)
            waited.clear()
            await ROCKETCHAT.refused(house.request, "wrong", email, "guess", address=stranger(number))
        assert len(waited) == 1, group
        computed = seconds if group == "imported" else 0.02
        assert waited[0] + computed == pytest.approx(max(seconds, 0.02)), group


@on_sqlite
async def test_a_digest_against_an_import_costs_a_canonical_hash_and_waits_like_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await people(house)
    house.clock.move(61)
    await house.core.tick()
    for _ in range(64):
        house.core.pool._measured("bcrypt:cost=4", 0.5)
        house.core.pool._measured(house.core.pool._label, 0.02)
    waited: list[float] = []

    async def written_down(seconds: float) -> None:
        waited.append(seconds)

    with monkeypatch.context() as patched:
        patched.setattr(first_factor.asyncio, "sleep", written_down)
        digest = {"digest": "0" * 64, "algorithm": "sha-256"}
        for email in (found["imported"], found["unknown"]):
            answer = await house.post("/api/v1/login", json={"user": email, "password": digest})
            assert ROCKETCHAT.said(answer) == ROCKETCHAT.words["wrong"]
    assert waited == [pytest.approx(0.48)] * 2
