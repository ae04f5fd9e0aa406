"""Letters on their way: a real SMTP server, good and bad, and nobody who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman.core.ports import Letter, Refused
from dragoman.storage.engine import StorageUnavailable
from dragoman.worker import deliver_for_ever
from kit.house import PASSWORD, House, fast_settings, house_over, open_house, sqlite_copy
from kit.mailing import QUICK, delivering, put, put_many, smtp, until_empty
from kit.meddling import Meddling
from kit.post import Post

pytestmark = pytest.mark.slow

ADA = "ada@example.com"
LINK = "https://id.example.com/reset-password/abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def post() -> Iterator[Post]:
    """A mail server."""
    with Post() as opened:
        yield opened


async def settled(house: House, done: Callable[[Any], bool], seconds: float = 10.0) -> Any:
    """Wait until the only letter in the outbox is as wanted; return its row."""
    async with asyncio.timeout(seconds):
        while True:
            rows = await house.core.outbox.listed()
            if len(rows) == 1 and done(rows[0]):
                return rows[0]
            await asyncio.sleep(0.01)


async def events(house: House) -> list[str]:
    lines = await house.core.newest_events(1000)
    return [line.kind for line in reversed(lines) if line.kind.startswith("message_")]


async def test_a_letter_arrives_and_leaves_the_outbox(any_house: House, post: Post) -> None:
    ada = await any_house.ada()
    async with delivering(any_house, post):
        await put(any_house.core, ada, "reset", link=LINK, hours="1")
        (letter,) = await post.arrived()
        await until_empty(any_house)
    assert (letter.to, letter.links()) == (ADA, [LINK])
    assert await any_house.core.outbox.listed() == []
    assert await events(any_house) == ["message_sent"]
    assert (await any_house.core.outbox.stats()).sent == 1


async def test_several_deliveries_share_the_work_and_send_nothing_twice(any_house: House, post: Post) -> None:
    ada = await any_house.ada()
    addresses = [f"person{n}@example.com" for n in range(120)]
    await put_many(any_house.core, ada, addresses)
    async with delivering(any_house, post), delivering(any_house, post), delivering(any_house, post):
        await until_empty(any_house, 60)
    assert sorted(letter.to for letter in post.letters) == sorted(addresses)
    assert await events(any_house) == ["message_sent"] * 120


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.mark.parametrize("how", ["slow", "silent", "refusing"])
async def test_no_request_waits_for_a_mail_server(house: House, post: Post, how: str) -> None:
    ada = await house.ada()
    await put_many(house.core, ada, (f"person{n}@example.com" for n in range(12)))
    if how == "slow":
        post.delay = 6.0
    elif how == "refusing":
        post.refuse(451)
    patient = replace(QUICK, longest=8.0, farewell=0.1)
    async with silent() as port:
        server = replace_port(post, port) if how == "silent" else post
        async with delivering(house, server, patient, timeout=7.0):
            longest = 0.0
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                began = time.monotonic()
                answer = await house.post("/user/login", json={"email": ADA, "password": PASSWORD})
                longest = max(longest, time.monotonic() - began)
                assert answer.status_code == 200, answer.text
    assert longest < 3.0, "a sign-in waited for the mail server"
    assert post.letters == []
    assert how != "slow" or post.tried == patient.at_once


def replace_port(post: Post, port: int) -> Post:
    """Return a post office that is elsewhere."""
    elsewhere = Post()
    elsewhere.port = port
    return elsewhere


async def test_a_slow_server_gets_every_letter_once(house: House, post: Post) -> None:
    ada = await house.ada()
    post.delay = 0.2
    addresses = [f"person{n}@example.com" for n in range(12)]
    await put_many(house.core, ada, addresses)
    async with delivering(house, post):
        await until_empty(house)
    assert sorted(letter.to for letter in post.letters) == sorted(addresses)


async def test_what_is_refused_for_now_comes_later(any_house: House, post: Post) -> None:
    ada = await any_house.ada()
    post.refuse(451, times=2)
    await put(any_house.core, ada, "password_changed")
    async with delivering(any_house, post):
        for tries in (1, 2):
            row = await settled(any_house, lambda row, tries=tries: row.tries == tries)
            assert row.fault == "RCPT: 451"
            any_house.clock.move((row.due_at - any_house.clock.now()) / 1000 + 0.001)
        await until_empty(any_house)
    assert len(post.letters) == 1
    assert await events(any_house) == ["message_sent"]


async def test_what_is_refused_for_good_holds_nobody_up_and_is_sent_when_retried(any_house: House, post: Post) -> None:
    ada = await any_house.ada()
    post.refuse(550, to="gone@example.com", times=1)
    gone = await put(any_house.core, ada, "password_changed", "gone@example.com")
    await put(any_house.core, ada, "password_changed")
    async with delivering(any_house, post):
        await post.arrived(1, to=ADA)
        row = await settled(any_house, lambda row: row.dead_at is not None)
        assert (row.id, row.fault, row.tries) == (gone, "RCPT: 550", 1)
        assert await any_house.core.outbox.retry() == 1
        await post.arrived(1, to="gone@example.com")
        await until_empty(any_house)
    assert sorted(await events(any_house)) == ["message_dead", "message_sent", "message_sent"]


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA", "middle"])
async def test_a_server_that_dies_before_it_has_the_letter_gets_it_once(house: House, post: Post, phase: Any) -> None:
    ada = await house.ada()
    post.die(phase)
    await put(house.core, ada, "password_changed")
    async with delivering(house, post):
        row = await settled(house, lambda row: row.tries == 1)
        assert row.fault
        house.clock.move(60)
        await until_empty(house)
    assert len(post.letters) == 1


async def test_the_one_window_in_which_a_letter_comes_twice(house: House, post: Post) -> None:
    """The server has it, and we never hear so: nobody can know, and a lost letter is worse than two alike."""
    ada = await house.ada()
    post.die("answer")
    await put(house.core, ada, "password_changed")
    async with delivering(house, post):
        await settled(house, lambda row: row.tries == 1)
        house.clock.move(60)
        await until_empty(house)
    first, second = post.letters
    assert first.message_id == second.message_id


async def test_letters_wait_for_a_server_that_is_down(house: House, post: Post) -> None:
    ada = await house.ada()
    async with delivering(house, post):
        with post.down():
            await put(house.core, ada, "password_changed")
            row = await settled(house, lambda row: row.tries == 1)
            assert row.fault.startswith("connect: ")
        house.clock.move(60)
        await until_empty(house)
    assert len(post.letters) == 1


async def test_a_code_that_expired_while_the_server_was_away_is_not_sent(house: House, post: Post) -> None:
    ada = await house.ada()
    post.refuse(421, at="MAIL", times=1)
    await put(house.core, ada, "code", life=600_000, code="123456", minutes="10")
    async with delivering(house, post):
        await settled(house, lambda row: row.tries == 1)
        house.clock.move(600)
        await until_empty(house)
    assert post.letters == []
    assert await events(house) == ["message_dropped"]


class Odd:
    """A mailer that misbehaves as no server could make ours."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, letter: Letter) -> None:
        if letter.to == "break@example.com":
            raise KeyError(letter.to)
        if letter.to == "hang@example.com":
            await asyncio.sleep(3600)
        if letter.to == "refuse@example.com":
            raise Refused("no")
        self.sent.append(letter.to)

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_broken_mailer_stops_nothing(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    ada = await house.ada()
    await put_many(house.core, ada, ["break@example.com", "hang@example.com", "refuse@example.com", ADA])
    odd = Odd()
    task = asyncio.create_task(deliver_for_ever(house.core, odd, replace(QUICK, longest=0.3)))
    async with asyncio.timeout(10):
        while len(rows := await house.core.outbox.listed()) != 3 or any(row.fault is None for row in rows):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert odd.sent == [ADA]
    faults = {row.fault: row.dead_at is not None for row in rows}
    assert faults == {"the mailer broke: KeyError": False, "no end within 0.3 s": False, "no": True}
    said = capsys.readouterr()
    assert "mailer broke" in said.out + said.err
    assert "break@example.com" not in said.out + said.err


async def test_a_database_away_for_a_moment_makes_no_letter_come_twice(tmp_path: Path, post: Post) -> None:
    async with sqlite_copy(tmp_path) as db:
        meddling = Meddling(db)
        async with house_over(meddling, fast_settings(tmp_path), tmp_path) as house:
            ada = await house.ada()
            post.delay = 0.3
            await put(house.core, ada, "password_changed")

            async def away() -> None:
                raise StorageUnavailable("gone for a moment")

            async with delivering(house, post):
                await settled(house, lambda row: row.lease is not None)
                meddling.before_next(away)
                await until_empty(house)
            assert meddling.happened
            assert len(post.letters) == 1
            assert await events(house) == ["message_sent"]


# ---------------------------------------------------------------- stopping


@contextlib.asynccontextmanager
async def stopped(house: House, post: Post, farewell: float) -> AsyncIterator[None]:
    """Deliver until the block ends, then stop as a process does that is told to."""
    mailer = smtp(house, post, timeout=5.0)
    pace = replace(QUICK, longest=5.0, farewell=farewell)
    task = asyncio.create_task(deliver_for_ever(house.core, mailer, pace))
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await mailer.close()


async def begun(post: Post, letters: int) -> None:
    """Wait until so many letters are on their way into the mail server."""
    async with asyncio.timeout(5):
        while post.tried < letters:  # noqa: ASYNC110  (another thread counts)
            await asyncio.sleep(0.01)


async def test_stopping_lets_hand_overs_end_and_gives_the_rest_back(any_house: House, post: Post) -> None:
    ada = await any_house.ada()
    post.delay = 0.5
    await put_many(any_house.core, ada, (f"person{n}@example.com" for n in range(10)))
    async with stopped(any_house, post, farewell=5.0):
        await begun(post, 4)
    assert len(post.letters) == 4
    rows = await any_house.core.outbox.listed()
    assert len(rows) == 6
    assert {(row.lease, row.tries) for row in rows} == {(None, 0)}
    post.delay = 0.0
    async with delivering(any_house, post):
        await until_empty(any_house)
    assert len({letter.to for letter in post.letters}) == len(post.letters) == 10


async def test_stopping_waits_for_nobody_for_ever(house: House, post: Post) -> None:
    ada = await house.ada()
    post.delay = 4.0
    await put(house.core, ada, "password_changed")
    async with stopped(house, post, farewell=0.2):
        await begun(post, 1)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    (row,) = await house.core.outbox.listed()
    assert (row.lease, row.tries, row.fault) == (None, 0, None)


# ---------------------------------------------------------------- counting


async def test_the_counters_are_shown(tmp_path: Path, post: Post) -> None:
    async with open_house(tmp_path) as house:
        ada = await house.ada()
        await put(house.core, ada, "password_changed")
        house.clock.move(60)
        text = (await house.get("/metrics")).text
        assert "dragoman_outbox_waiting 1.0" in text
        assert "dragoman_outbox_oldest_seconds 60.0" in text
        post.refuse(550, to="gone@example.com")
        await put(house.core, ada, "password_changed", "gone@example.com")
        async with delivering(house, post):
            await until_empty(house)
        house.clock.move(5)
        text = (await house.get("/metrics")).text
    for line in ("waiting 0.0", "dead 1.0", "oldest_seconds 0.0", "sent_total 1.0", "failed_total 1.0"):
        assert f"dragoman_outbox_{line}" in text, text
