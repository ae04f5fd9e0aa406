"""kill -9 of `dragoman worker` while it delivers: no letter is lost, and none comes twice beyond the hand-over itself.

Two workers at a time share the outbox, each with a mail server of its own, so that every copy of a letter can be laid
at the door of the process that handed it over.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dragoman.app import opened
from dragoman.core import Core
from dragoman.core.accounts import NewAccount
from dragoman.settings import Settings
from dragoman.storage.migrate import migrate_postgres
from dragoman.worker import Pace
from kit.command import environment
from kit.house import empty_database, fast_settings
from kit.mailing import put_many
from kit.post import Post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LANES = 2
AT_ONCE = Pace().at_once
PATIENCE = 5.0
"""Seconds for one hand-over: so a lease lasts 17 s, after which the letters of a killed worker are due again."""


@dataclass
class Lane:
    """One worker after another, and the mail server that they hand their letters to."""

    post: Post
    settings: Settings
    chance: random.Random
    log: Path
    lives: list[range] = field(default_factory=list)
    """The connections of each worker that was killed, by their numbers."""

    def environment(self) -> dict[str, str]:
        """Return what a worker is told."""
        return environment(
            DRAGOMAN_STORAGE_DATA=self.settings.storage.data, DRAGOMAN_STORAGE_POSTGRES=self.settings.storage.postgres,
            DRAGOMAN_MAIL_TRANSPORT="smtp", DRAGOMAN_MAIL_HOST="127.0.0.1", DRAGOMAN_MAIL_PORT=str(self.post.port),
            DRAGOMAN_MAIL_SECURITY="none", DRAGOMAN_MAIL_SENDER="id@example.com",
            DRAGOMAN_MAIL_TIMEOUT_SECONDS=str(PATIENCE), DRAGOMAN_SERVER_PUBLIC_URL="http://dragoman.test",
        )  # fmt: skip

    async def start(self) -> asyncio.subprocess.Process:
        """Start a worker."""
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "dragoman", "worker", env=self.environment(), stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip

    async def kill_one(self, number: int, most: int) -> None:
        """Start a worker and kill it: every tenth as it starts, the others in the midst of up to `most` letters."""
        before, first = len(self.post.letters), self.post.connections + 1
        worker = await self.start()
        if number % 10 == 9:
            await asyncio.sleep(self.chance.uniform(0, 0.5))
        else:
            wanted = before + self.chance.randint(0, most)
            await ready(worker)
            await until(lambda: len(self.post.letters) >= wanted, 3.0)
            await asyncio.sleep(self.chance.uniform(0, 0.01))
        worker.kill()
        assert await worker.wait() == -signal.SIGKILL
        # What the dead one had still sent is taken in, so that its last connection is not laid at its successor's door.
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), self.post._loop))
        self.lives.append(range(first, self.post.connections + 1))

    async def rest(self, core: Core) -> None:
        """Let a last worker deliver what is left, then stop it as an operator would."""
        worker = await self.start()
        await ready(worker)
        async with asyncio.timeout(120):
            while await core.outbox.listed(1):  # noqa: ASYNC110  (another process empties it)
                await asyncio.sleep(0.2)
        worker.terminate()
        assert await worker.wait() == 0


async def ready(worker: asyncio.subprocess.Process) -> None:
    """Wait until a worker says that it is at work."""
    assert worker.stdout is not None
    line = await worker.stdout.readline()
    assert json.loads(line)["event"] == "delivering"


async def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for something, or for so many seconds: the letters may have run out."""
    end = asyncio.get_running_loop().time() + seconds
    while not done() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  (another thread does it)
        await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Copy:
    """One letter as one worker handed it over."""

    to: str
    at: float
    life: tuple[int, int]
    """Which lane's, and which of its workers."""


def copies_of(lanes: list[Lane]) -> list[Copy]:
    """Return every letter that any of the mail servers received, in order of time."""
    found = []
    for place, lane in enumerate(lanes):
        life_of = {number: life for life, numbers in enumerate(lane.lives) for number in numbers}
        for letter in lane.post.letters:
            found.append(Copy(letter.to, letter.at, (place, life_of.get(letter.connection, len(lane.lives)))))
    return sorted(found, key=lambda copy: copy.at)


def repeated(copies: list[Copy]) -> Counter[tuple[int, int]]:
    """Return how many letters of each life came again: all but the last copy of each, which was noted as sent."""
    found: Counter[tuple[int, int]] = Counter()
    last: dict[str, Copy] = {}
    for copy in copies:
        if copy.to in last:
            assert last[copy.to].life != copy.life, "one worker sent a letter twice"
            found[last[copy.to].life] += 1
        last[copy.to] = copy
    return found


async def story(settings: Settings, folder: Path, letters: int, kills: int) -> None:
    """Queue letters, kill workers, let the rest be delivered, and count."""
    addresses = [f"person{n}@example.com" for n in range(letters)]
    async with opened(settings) as core:
        ada = await core.accounts.add(NewAccount(email="ada@example.com", username="ada", verified=True), None)
        await put_many(core, ada, addresses)
    loop = asyncio.get_running_loop()
    with Post() as one, Post() as two:
        lanes = [Lane(p, settings, random.Random(n), folder / f"worker{n}.log") for n, p in enumerate((one, two))]
        began = loop.time()

        async def killing(lane: Lane) -> None:
            for number in range(kills // LANES):
                await lane.kill_one(number, most=2 * letters * 7 // (10 * kills))

        await asyncio.gather(*(killing(lane) for lane in lanes))
        killed = loop.time()
        async with opened(settings) as core:
            left = (await core.outbox.stats()).waiting
            await asyncio.gather(*(lane.rest(core) for lane in lanes))
            noted, last = Counter[str](), 0
            while page := await core.events_after(last):
                noted.update(event.kind for event in page)
                last = page[-1].id
    received = [letter for lane in lanes for letter in lane.post.letters]
    copies = copies_of(lanes)
    again = repeated(copies)
    lived_on = [(place, len(lane.lives)) for place, lane in enumerate(lanes)]
    sent = Counter(copy.life for copy in copies if copy.life not in lived_on)
    print(json.dumps({
        "letters": letters, "kills": kills, "copies": len(received), "twice": len(received) - letters,
        "most_of_one_kill": max(again.values(), default=0), "left_after_kills": left,
        "seconds": [round(killed - began), round(loop.time() - killed)],
    }))  # fmt: skip
    # None is lost: every letter came, and each was noted as sent exactly once.
    assert {letter.to for letter in received} == set(addresses)
    assert noted["message_sent"] == letters
    assert noted["message_dead"] == noted["message_dropped"] == 0
    # Twice only within the hand-over: every copy is the same letter, and a kill repeats at most those under way.
    assert len({letter.message_id for letter in received}) == letters
    assert max(again.values(), default=0) <= AT_ONCE
    assert not set(again) & set(lived_on), "a worker that nobody killed left a letter unnoted"
    assert len(received) - letters <= AT_ONCE * kills
    # A test of nothing would pass as well: most kills came in the midst of letters.
    assert sum(len(lane.lives) for lane in lanes) == kills
    assert len(sent) > 0.6 * kills
    assert sent.total() > letters / 4
    assert not [lane for lane in lanes if "Traceback" in lane.log.read_text()]


async def test_two_hundred_kills_of_ten_thousand_letters(tmp_path: Path) -> None:
    settings = fast_settings(tmp_path)
    settings.database.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(empty_database(), settings.database)
    await story(settings, tmp_path, letters=10_000, kills=200)


async def test_twenty_kills_of_a_thousand_letters_on_postgres(tmp_path: Path, postgres_dsn: str) -> None:
    await asyncio.to_thread(migrate_postgres, postgres_dsn)
    settings = fast_settings(tmp_path, storage__postgres=postgres_dsn)
    Path(settings.storage.data).mkdir(mode=0o700)
    await story(settings, tmp_path, letters=1000, kills=20)
