"""Refreshing over HTTP at a server of two processes, by clients that are processes of their own and lose answers.

Nobody is signed out, and no token ever has two children (decision 19, threat 23). `make torture` runs 8 clients through
2,000 rotations each, on both engines; here it is a part of that (`DRAGOMAN_RACES="clients rotations"`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from journeys.refreshing_child import generation_of
from kit.command import dragoman, serving
from kit.engines import ENGINES
from kit.house import PASSWORD, empty_template
from kit.postgres import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLIENTS, ROTATIONS = (int(part) for part in os.environ.get("DRAGOMAN_RACES", "8 150").split())
LOST = 0.05
ALL_LOST = 0.02
"""The share of rounds in which nobody hears an answer."""
WORKERS = "2"
EMAIL = "ada@example.com"


@pytest.fixture(params=ENGINES)
async def base(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> Any:
    """Serve Ada's house from two processes over either engine; yield the base URL."""
    env = {"DRAGOMAN_ADMIN_PASSWORD": "the first administrator's", "DRAGOMAN_LOG_ACCESS": "false"}
    if request.param == "postgres":
        env["DRAGOMAN_STORAGE_POSTGRES"] = await postgres_cluster.create(await empty_template(postgres_cluster))
    data = tmp_path / "data"
    words = ("account", "add", "--data", str(data), "--email", EMAIL, "--verified", "--password-stdin")

    def furnish() -> None:
        assert dragoman("migrate", "--data", str(data), env=env).returncode == 0
        added = dragoman(*words, given=PASSWORD, env=env)
        assert added.returncode == 0, added.stderr

    await asyncio.to_thread(furnish)
    with serving(data, "--workers", WORKERS, env=env) as server:
        yield server.address
        assert "Traceback" not in server.log.read_text()


class Child:
    """A client in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, **command: Any) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for the answer to a command."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a client has died; what it said stands above"
        said: dict[str, Any] = json.loads(line)
        return said


@contextlib.contextmanager
def children(base: str, number: int) -> Iterator[Sequence[Child]]:
    """Start so many clients and let them end."""
    where = urlsplit(base)
    script = str(Path(__file__).with_name("refreshing_child.py"))
    with contextlib.ExitStack() as stack:
        started = []
        for seed in range(number):
            words = [sys.executable, "-S", script, str(where.hostname), str(where.port), str(seed)]
            process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(stack.enter_context(process))
        yield [Child(process) for process in started]
        for process in started:
            assert process.stdin is not None
            process.stdin.close()


async def sign_in(base: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
        answer = await client.post("/user/login", json={"email": EMAIL, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def is_signed_in(base: str, first: dict[str, Any], token: str) -> None:
    """Refresh once more, use what comes of it, and find the session in the list."""
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
        answer = await client.post("/user/refresh", json={"refreshToken": token})
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
        assert (await client.get("/user/profile", headers=headers)).status_code == 200
        listed = (await client.get("/token", headers=headers)).json()["tokens"]
        assert first["tokenId"] in [each["id"] for each in listed]


async def with_a_chain_each(base: str) -> None:
    firsts = [await sign_in(base) for _ in range(CLIENTS)]

    def race() -> list[dict[str, Any]]:
        with children(base, CLIENTS) as started:
            for child, first in zip(started, firsts, strict=True):
                child.tell(do="alone", token=first["refreshToken"], rotations=ROTATIONS, lost=LOST)
            return [child.hear() for child in started]

    for first, said in zip(firsts, await asyncio.to_thread(race), strict=True):
        assert "surprise" not in said, said
        assert said["thrown"] > 0
        assert generation_of(said["token"]) == ROTATIONS
        await is_signed_in(base, first, said["token"])


async def sharing_a_chain(base: str) -> None:
    """Tabs of one browser: all present the token they keep at once, and keep what one of them hears."""
    first, chance = await sign_in(base), random.Random(7)

    def race() -> tuple[str, int]:
        kept, retries = first["refreshToken"], 0
        with children(base, CLIENTS) as started:
            for number in range(ROTATIONS):
                for child in started:
                    child.tell(do="once", token=kept, use=chance.random() < 0.1)
                answers = [child.hear() for child in started]
                assert {answer["status"] for answer in answers} == {200}, (number, answers)
                made = {answer["said"]["refreshToken"] for answer in answers}
                assert len(made) == 1, (number, "a token has two children")
                assert {generation_of(token) for token in made} == {generation_of(kept) + 1}
                heard = [answer for answer in answers if chance.random() >= LOST]
                if heard and chance.random() >= ALL_LOST:
                    kept = made.pop()
                else:
                    retries += 1
        return kept, retries

    kept, retries = await asyncio.to_thread(race)
    assert generation_of(kept) == ROTATIONS - retries
    await is_signed_in(base, first, kept)


async def test_nobody_is_signed_out_and_no_token_has_two_children(base: str) -> None:
    await with_a_chain_each(base)
    await sharing_a_chain(base)
