"""What changes while a hash is computed or a code compared wins over the sign-in under way (threat 3), both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.model import Password, Status
from dragoman.storage.engine import Statement, Tx
from kit.engines import ENGINES, open_engine
from kit.house import PASSWORD, House, empty_template, fast_settings, house_over, sqlite_copy
from kit.meddling import Meddling
from kit.postgres import Cluster
from kit.recipes import Guest

pytestmark = pytest.mark.slow

Story = tuple[House, Meddling, Guest]
Change = Callable[[House, Guest], Awaitable[Any]]


@pytest.fixture(params=ENGINES)
async def story(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[Story]:
    settings = fast_settings(tmp_path)
    opened = (
        sqlite_copy(tmp_path)
        if request.param == "sqlite"
        else open_engine("postgres", tmp_path, postgres_cluster, template=await empty_template(postgres_cluster))
    )
    async with opened as inner:
        db = Meddling(inner)
        async with house_over(db, settings, tmp_path) as house:
            person = await house.ada()
            yield house, db, Guest(house, person, "ada@example.com", "ada", "192.0.2.1")
            assert await house.sessions_without_event() == 0


async def replace_password(house: House, guest: Guest) -> None:
    new = Password.from_plain("another good password")
    await house.core.accounts.set_password(guest.person.account, new)


async def set_the_same_password(house: House, guest: Guest) -> None:
    """The same words, set anew: still another credential than the one that was verified."""
    await house.core.accounts.set_password(guest.person.account, Password.from_plain(PASSWORD), allow_weak=True)


async def enrol(house: House, guest: Guest) -> None:
    await house.core.factors.enable_totp(guest.person.account)


async def remove_factor(house: House, guest: Guest) -> None:
    await house.core.factors.disable_totp(guest.person.account)


async def end_everything(house: House, guest: Guest) -> None:
    await house.core.sessions.end_everything(guest.person.account, "test")


_ERASE = Statement("delete from account where id = :id")


async def erase(house: House, guest: Guest) -> None:
    async def fn(tx: Tx) -> None:
        await tx.run(_ERASE, id=guest.person.account.id)

    await house.db.transaction(fn)


async def lock(house: House, guest: Guest) -> None:
    for _ in range(10):
        await guest.call("POST", "/user/login", json={"email": guest.email, "password": "wrong"})


def become(status: Status) -> Change:
    async def change(house: House, guest: Guest) -> None:
        await house.core.life.set_status(guest.person.account, status)

    return change


CHANGES: dict[str, Change] = {
    "password replaced": replace_password,
    "same password set again": set_the_same_password,
    "suspended": become("suspended"),
    "deleted": become("deleted"),
    "erased": erase,
    "factor enrolled": enrol,
    "everything ended": end_everything,
    "lane locked": lock,
}

DOORS: dict[str, tuple[str, dict[str, str]]] = {
    "rocketchat": ("/api/v1/login", {"user": "ada", "password": PASSWORD}),
    "pocketm8": ("/api/auth/user/sign-in", {"email": "ada@example.com", "password": PASSWORD}),
    "probe": ("/frontend/api/v1/auth/sign-in", {"email": "ada@example.com", "password": PASSWORD}),
    "flashback": ("/user/login", {"email": "ada@example.com", "password": PASSWORD}),
}


@pytest.mark.parametrize("change", list(CHANGES))
async def test_a_right_password_of_yesterday_opens_nothing(story: Story, change: str) -> None:
    house, db, guest = story
    for path, body in (
        DOORS.values() if change not in ("factor enrolled", "erased", "lane locked") else [DOORS["probe"]]
    ):
        db.before_next(lambda: CHANGES[change](house, guest))
        answer = await guest.call("POST", path, json=body)
        assert db.happened
        assert answer.status_code in (400, 401, 403, 429), f"{path}: {answer.status_code} {answer.text}"
        assert await house.sessions() == []
        if change == "suspended":
            await house.core.life.activate(guest.person.account)
        elif change == "deleted":
            assert await house.core.life.restore(guest.person.account) == "active"
        elif change == "password replaced":
            given = Password.from_plain(PASSWORD)
            await house.core.accounts.set_password(guest.person.account, given, allow_weak=True)


@pytest.mark.parametrize("change", [*CHANGES, "factor removed"])
async def test_a_right_code_of_yesterday_opens_nothing(story: Story, change: str) -> None:
    house, db, guest = story
    await guest.pause()
    act = {**CHANGES, "factor removed": remove_factor, "factor enrolled": remove_factor}[change]
    code = guest.code()
    db.before_next(lambda: act(house, guest))
    body = {"challengeId": guest.held["p8_challenge"], "code": code}
    answer = await guest.call("POST", "/api/auth/user/verify-challenge", json=body)
    assert db.happened
    assert answer.status_code in (400, 429), f"{answer.status_code} {answer.text}"
    assert await house.sessions() == []


async def test_a_change_of_nothing_that_was_verified_lets_the_sign_in_through(story: Story) -> None:
    """The hash rewritten in a better form, the name changed, a session ended: the password is still the one proved."""
    house, db, guest = story
    path, body = DOORS["probe"]
    db.before_next(lambda: house.core.accounts.rename(guest.person.account, "ada2"))
    assert (await guest.call("POST", path, json=body)).status_code == 200
    assert db.happened


async def test_two_clients_with_one_code_make_one_session(story: Story) -> None:
    """The second takes its step while the first is being decided (threat 8)."""
    house, db, guest = story
    await guest.pause()
    code = guest.code()
    path, body = DOORS["probe"]
    seen: list[int] = []

    async def other() -> None:
        seen.append((await house.post(path, json={**body, "code": code}, address="198.51.100.7")).status_code)

    db.before_next(other)
    answer = await guest.call("POST", path, json={**body, "code": code})
    assert sorted([answer.status_code, *seen]) == [200, 401]
    assert len([s for s in await house.sessions() if s[1] == "client"]) == 1
