"""kill -9 under a burst of sign-ins and refreshes, with the command line writing too.

Whatever was acknowledged is there after a restart, the file is whole, and nobody has to repair anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from journeys.drivers import DRIVERS, FLASHBACK, POCKETM8, ROCKETCHAT, Driver, Held
from kit.command import dragoman, environment, serving
from kit.house import PASSWORD

ROUNDS = 50
PEOPLE = 6
CALLERS = 4
BURST = (5, 60)
"""Acknowledgements, from and to, after which the server is killed in the middle of the next."""


@dataclass
class Acknowledged:
    """What the server and the command line said was done."""

    sessions: list[tuple[Driver, Held]] = field(default_factory=list)
    chains: list[Held] = field(default_factory=list)
    """The newest answer of each chain."""
    accounts: list[str] = field(default_factory=list)
    refreshes: int = 0
    wanted: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        """Say when as many sign-ins and refreshes as wanted were acknowledged."""
        if len(self.sessions) + len(self.chains) + self.refreshes >= self.wanted:
            self.enough.set()


class Burst:
    """Callers that sign in and refresh until the server is gone."""

    def __init__(self, base: str, done: Acknowledged, chance: random.Random) -> None:
        self._base, self._done, self._chance = base, done, chance

    async def run(self, kill: Any) -> None:
        """Let the callers loose, kill the server in the midst of it, and wait for them to notice."""
        callers = [asyncio.create_task(self._caller(number)) for number in range(CALLERS)]
        await self._done.enough.wait()
        await asyncio.sleep(self._chance.uniform(0, 0.01))
        kill()
        await asyncio.gather(*callers)

    async def _caller(self, number: int) -> None:
        async with httpx2.AsyncClient(base_url=self._base, timeout=20) as client:

            async def ask(method: str, path: str, *, address: str = "", **wanted: Any) -> httpx2.Response:
                return await client.request(method, path, **wanted)

            with contextlib.suppress(httpx2.TransportError):
                while True:
                    await self._sign_in_and_refresh(ask, number)

    async def _sign_in_and_refresh(self, ask: Any, number: int) -> None:
        email = f"person{self._chance.randrange(PEOPLE)}@example.com"
        driver = FLASHBACK if number % 2 else self._chance.choice(DRIVERS)
        outcome = await driver.sign_in(ask, email)
        if not isinstance(outcome, Held):
            assert outcome.answer.status_code == 503, outcome.answer.text
            return
        if driver is not FLASHBACK:
            self._done.sessions.append((driver, outcome))
            self._done.note()
            return
        self._done.chains.append(outcome)
        self._done.note()
        place = len(self._done.chains) - 1
        for _ in range(self._chance.randrange(12)):
            outcome = await FLASHBACK.refresh(ask, outcome.more["refresh"])
            assert isinstance(outcome, Held), outcome.answer.text
            self._done.chains[place] = outcome
            self._done.refreshes += 1
            self._done.note()


@contextlib.contextmanager
def adding(data: Path, env: dict[str, str], email: str, done: Acknowledged) -> Iterator[subprocess.Popen[str]]:
    """Add an account from the command line meanwhile; wait for it and note it when it was acknowledged."""
    words = ("account", "add", "--data", str(data), "--email", email, "--verified", "--password-stdin")
    with subprocess.Popen(
        [sys.executable, "-m", "dragoman", *words], env=environment(**env), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(PASSWORD)
        process.stdin.close()
        yield process
        assert process.stderr is not None
        said = process.stderr.read()
        code = process.wait(60)
        assert code in {0, -signal.SIGKILL}, said
        if code == 0:
            done.accounts.append(email)


async def is_all_there(base: str, done: Acknowledged) -> None:
    """Ask the restarted server for everything that was acknowledged before the kill."""
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:

        async def ask(method: str, path: str, *, address: str = "", **wanted: Any) -> httpx2.Response:
            return await client.request(method, path, **wanted)

        for driver, held in done.sessions:
            assert await driver.live(ask, held), (driver, "a sign-in that was acknowledged is gone")
            if driver is POCKETM8:
                assert await ROCKETCHAT.live(ask, POCKETM8.chat(held)), "a chat block that was acknowledged is gone"
        for held in done.chains:
            assert await FLASHBACK.live(ask, held), "a refreshed session is gone"
            renewed = await FLASHBACK.refresh(ask, held.more["refresh"])
            assert isinstance(renewed, Held), ("a rotation that was acknowledged is gone", renewed.answer.text)
        for email in done.accounts:
            assert isinstance(await DRIVERS[0].sign_in(ask, email), Held), f"{email} was acknowledged and is gone"


def is_whole(data: Path) -> None:
    """Let SQLite look at every page and every reference, and see that no session came without its event."""
    with contextlib.closing(sqlite3.connect(f"file:{data / 'dragoman.db'}?mode=ro", uri=True)) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert db.execute("pragma foreign_key_check").fetchall() == []
        unexplained = """select count(*) from session s where not exists
                           (select 1 from event e where e.kind = 'signed_in' and e.session = s.id)"""
        assert db.execute(unexplained).fetchone() == (0,)
        halves = """select count(*) from account a where not exists
                      (select 1 from identifier i where i.account = a.id)
                      or (select count(*) from alias x where x.account = a.id) <> 3"""
        assert db.execute(halves).fetchone() == (0,), "half an account was added"


def furnished(data: Path, env: dict[str, str]) -> None:
    """Make the database with its people, each added as an operator does."""
    assert dragoman("migrate", "--data", str(data), env=env).returncode == 0
    for number in range(PEOPLE):
        done = Acknowledged()
        with adding(data, env, f"person{number}@example.com", done):
            pass
        assert done.accounts


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    data, chance = tmp_path / "data", random.Random(20)
    env = {
        "DRAGOMAN_ADMIN_PASSWORD": "the first administrator's", "DRAGOMAN_LOG_ACCESS": "false",
        "DRAGOMAN_PASSWORDS_QUEUE_SECONDS": "10",
    }  # fmt: skip
    furnished(data, env)
    before, total = Acknowledged(), Acknowledged()
    for number in range(ROUNDS + 1):
        with serving(data, env=env) as server:
            is_whole(data)
            await is_all_there(server.address, before)
            if number == ROUNDS:
                break
            done = Acknowledged(wanted=chance.randint(*BURST))
            with adding(data, env, f"added{number}@example.com", done) as command:

                def kill(server: Any = server, command: Any = command, number: int = number) -> None:
                    server.process.kill()
                    if number % 4 == 0:
                        command.kill()

                await Burst(server.address, done, chance).run(kill)
            assert server.process.wait(30) == -signal.SIGKILL
            assert "Traceback" not in server.log.read_text()
        total.sessions += done.sessions
        total.chains += done.chains
        total.accounts += done.accounts
        total.refreshes += done.refreshes
        before = done
    print(json.dumps({"kills": ROUNDS, "sign_ins": len(total.sessions) + len(total.chains),
                      "refreshes": total.refreshes, "accounts": len(total.accounts)}))  # fmt: skip
    # A test of nothing would pass as well: the burst must have been one.
    assert len(total.sessions) > ROUNDS // 2
    assert len(total.chains) > ROUNDS // 2
    assert total.refreshes > 2 * ROUNDS
    assert len(total.accounts) > ROUNDS // 2
