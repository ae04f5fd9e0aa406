"""Whoever follows a session is told of its end, whichever process ended it, and however it came about (decision 23)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.core import feed, refusals
from dragoman.core.doors import DAY
from dragoman.model import Caller, Password, SignedIn, Typed
from dragoman.storage.engine import Engine, Row, Statement, StorageUnavailable, Tx
from dragoman.storage.sqlite import SqliteEngine
from kit.engines import sqlite_engine
from kit.house import PASSWORD, House, client, empty_database, fast_settings, house_over
from kit.recording import Recording

pytestmark = pytest.mark.slow

_DELETE = Statement("delete from session where id = :id")
_MANY = Statement(
    """insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address, user_agent,
       methods, proved_at, ended_at)
       select :id, account, organization, door, kind, token_use, created_at, seen_at, address, user_agent, methods,
         proved_at, :now from session where id = :like"""
)


class Told:
    """Notes when it was told."""

    def __init__(self) -> None:
        self.times = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._event.set()

    async def within(self, seconds: float) -> bool:
        """Wait to be told; tell whether it was in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return self.times > 0


async def sign_in(house: House, name: str = "ada", door: str = "rocketchat") -> SignedIn:
    outcome = await house.core.signin.with_password(
        house.core.doors[door], Typed("username", name), Password.from_plain(PASSWORD), client()
    )
    assert isinstance(outcome, SignedIn)
    return outcome


def caller(signed_in: SignedIn) -> Caller:
    return Caller(signed_in.session, signed_in.person.account)


@contextlib.asynccontextmanager
async def neighbour(house: House, folder: Path) -> AsyncIterator[House]:
    """A second Core over the same database, on a connection of its own where the database is a file."""
    if isinstance(house.db, SqliteEngine):
        db: Engine = await SqliteEngine.open(house.settings.database, rehearse=True)
    else:
        db = house.db
    try:
        async with house_over(db, house.settings, folder, house.clock) as other:
            yield other
    finally:
        if db is not house.db:
            await db.close()


async def test_an_end_in_another_process_is_told_within_a_second(any_house: House, tmp_path: Path) -> None:
    await any_house.ada()
    told, spared = Told(), Told()
    async with neighbour(any_house, tmp_path) as other:
        one, two = await sign_in(any_house), await sign_in(any_house)
        any_house.core.feed.follow(one.session, told)
        any_house.core.feed.follow(two.session, spared)
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await other.core.sessions.sign_out(caller(one), client())
        assert await told.within(1)
        assert time.monotonic() - began < 1
    await asyncio.sleep(0.6)
    assert (told.times, spared.times) == (1, 0)


Act = Callable[[House, SignedIn], Awaitable[Any]]


async def _end_all(house: House, signed_in: SignedIn) -> None:
    await house.core.sessions.end_everything(signed_in.person.account, "operator")


async def _suspend(house: House, signed_in: SignedIn) -> None:
    await house.core.life.suspend(signed_in.person.account)


async def _delete(house: House, signed_in: SignedIn) -> None:
    await house.core.life.delete(signed_in.person.account)


async def _new_password(house: House, signed_in: SignedIn) -> None:
    await house.core.accounts.set_password(signed_in.person.account, Password.from_plain("another good passphrase"))


async def _end_clients(house: House, signed_in: SignedIn) -> None:
    await house.core.sessions.end_clients(caller(signed_in), client())


async def _reach_end(house: House, signed_in: SignedIn) -> None:
    house.clock.move(90 * DAY)


async def _parent_ends(house: House, signed_in: SignedIn) -> None:
    await house.core.sessions.sign_out(caller(signed_in), client())


@pytest.mark.parametrize("act", [_end_all, _suspend, _delete, _new_password, _end_clients, _reach_end])
async def test_every_way_to_end_is_told(house: House, act: Act) -> None:
    await house.ada()
    signed_in, told = await sign_in(house), Told()
    house.core.feed.follow(signed_in.session, told)
    await act(house, signed_in)
    assert await told.within(1)


async def test_a_child_ends_with_its_parent(house: House) -> None:
    await house.ada()
    mobile, told = await sign_in(house, door="pocketm8"), Told()
    assert mobile.child is not None
    house.core.feed.follow(mobile.child.session, told)
    await _parent_ends(house, mobile)
    assert await told.within(1)


async def test_several_follow_one_session_and_one_of_them_leaves(house: House) -> None:
    await house.ada()
    signed_in, told, gone = await sign_in(house), Told(), Told()
    house.core.feed.follow(signed_in.session, told)
    leave = house.core.feed.follow(signed_in.session, gone)
    leave()
    leave()
    await house.core.sessions.sign_out(caller(signed_in), client())
    assert await told.within(1)
    assert (told.times, gone.times) == (1, 0)


async def test_an_end_just_before_is_told_too(house: House) -> None:
    await house.ada()
    signed_in, told = await sign_in(house), Told()
    await house.core.sessions.sign_out(caller(signed_in), client())
    house.clock.move(9)
    house.core.feed.follow(signed_in.session, told)
    assert await told.within(1)


async def test_hundreds_that_ended_at_one_moment_hide_nobody(any_house: House) -> None:
    await any_house.ada()
    signed_in, told = await sign_in(any_house), Told()
    now = any_house.clock.now()

    async def fn(tx: Tx) -> None:
        for number in range(450):
            await tx.run(_MANY, id=bytes(12) + number.to_bytes(4), now=now, like=signed_in.session.id)
            await tx.run(_MANY, id=b"\xff" * 12 + number.to_bytes(4), now=now, like=signed_in.session.id)

    await any_house.core.sessions.sign_out(caller(signed_in), client())
    await any_house.db.transaction(fn)
    any_house.core.feed.follow(signed_in.session, told)
    assert await told.within(1)
    await any_house.db.transaction(lambda tx: _forget(tx, 450))


async def _forget(tx: Tx, number: int) -> None:
    for each in range(number):
        await tx.run(_DELETE, id=bytes(12) + each.to_bytes(4))
        await tx.run(_DELETE, id=b"\xff" * 12 + each.to_bytes(4))


async def test_what_leaves_no_end_is_found_in_the_next_round(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY_SECONDS", 0.05)
    await house.ada()
    kept = [(await sign_in(house)).session for _ in range(5)]
    told = {session.id: Told() for session in kept}
    for session in kept:
        house.core.feed.follow(session, told[session.id])

    async def fn(tx: Tx) -> None:
        await tx.run(_DELETE, id=kept[3].id)

    await house.db.transaction(fn)
    assert await told[kept[3].id].within(1)
    assert sum(each.times for each in told.values()) == 1


class _Cut:
    """An engine that can be out of reach."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def one(self, statement: Statement, /, **args: Any) -> Row | None:
        self._check()
        return await self._inner.one(statement, **args)

    async def all(self, statement: Statement, /, **args: Any) -> list[Row]:
        self._check()
        return await self._inner.all(statement, **args)

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("away")


@pytest.fixture
async def cut_house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose `db.away` cuts its reads off."""
    import shutil

    shutil.copy(empty_database(), tmp_path / "dragoman.db")
    async with (
        sqlite_engine(tmp_path) as db,
        house_over(_Cut(db), fast_settings(tmp_path), tmp_path) as house,  # type: ignore[arg-type]
    ):
        yield house


async def test_what_ended_while_the_database_was_away_is_told_after(cut_house: House) -> None:
    await cut_house.ada()
    signed_in, told = await sign_in(cut_house), Told()
    cut_house.core.feed.follow(signed_in.session, told)
    await asyncio.sleep(0.3)
    cut_house.db.away = True  # type: ignore[attr-defined]
    await asyncio.sleep(0.3)
    await cut_house.core.sessions.sign_out(caller(signed_in), client())
    cut_house.clock.move(25)
    await asyncio.sleep(0.4)
    assert told.times == 0
    cut_house.db.away = False  # type: ignore[attr-defined]
    assert await told.within(1)


async def test_who_follows_in_the_dark_is_told_in_the_end(cut_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BLIND_SECONDS", 0.8)
    await cut_house.ada()
    signed_in, told = await sign_in(cut_house), Told()
    cut_house.core.feed.follow(signed_in.session, told)
    await asyncio.sleep(0.3)
    cut_house.db.away = True  # type: ignore[attr-defined]
    assert not await told.within(0.4)
    assert await told.within(1.5)
    cut_house.db.away = False  # type: ignore[attr-defined]
    again = Told()
    cut_house.core.feed.follow(signed_in.session, again)
    assert not await again.within(1.5)


async def test_nothing_is_read_while_nobody_follows(tmp_path: Path) -> None:
    import shutil

    shutil.copy(empty_database(), tmp_path / "dragoman.db")
    async with sqlite_engine(tmp_path) as db:
        recording = Recording(db)
        async with house_over(recording, fast_settings(tmp_path), tmp_path) as house:  # type: ignore[arg-type]
            await house.ada()
            signed_in = await sign_in(house)
            leave = house.core.feed.follow(signed_in.session, Told())
            await asyncio.sleep(0.3)
            leave()
            await asyncio.sleep(0.6)
            recording.seen.clear()
            await asyncio.sleep(0.6)
            assert not recording.seen


async def test_again_is_the_row_as_it_is_now(house: House) -> None:
    await house.ada()
    signed_in = await sign_in(house)
    assert (await house.core.sessions.again(signed_in.session)).session.id == signed_in.session.id
    await house.core.life.suspend(signed_in.person.account)
    with pytest.raises(refusals.NotSignedIn):
        await house.core.sessions.again(signed_in.session)
