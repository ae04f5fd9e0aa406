"""Clients over DDP that sign in, resume, get cut off and come back: who they are never changes, and nothing piles up.

A few seconds with some clients here; `DRAGOMAN_SOAK="500 120"` makes it 500 clients for two minutes (`make torture`).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.command import serving
from kit.ddp import Ddp, dialled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIENTS, SECONDS = (int(part) for part in os.environ.get("DRAGOMAN_SOAK", "40 20").split())
PEOPLE = 20
NAMED = {"too-many-requests", 401}
"""Errors of the contract that a client meets here: a busy server, and a token that ended while it was away."""
PASSWORD = "correct horse battery"


class Visitor:
    """One client with one account, as stubborn as a real one."""

    def __init__(self, base: str, number: int, seen: Counter[str]) -> None:
        self.base, self.number, self.seen = base, number, seen
        self.name = f"p{number % PEOPLE}@example.com"
        self.token: str | None = None
        self.id: str | None = None
        self.mine = True

    async def live(self, ends_at: float) -> None:
        """Come and go until the end, then come for the last time."""
        chance = random.Random(self.number)
        while time.monotonic() < ends_at:
            await self._visit(lambda ddp: self._stay(ddp, chance))
            await asyncio.sleep(chance.random() * 0.3)
        for _ in range(200):
            if await self._visit(lambda ddp: asyncio.sleep(0)):
                return
            await asyncio.sleep(0.1)
        self.seen["never came back"] += 1

    async def _visit(self, stay: Any) -> bool:
        try:
            async with asyncio.timeout(30), dialled(self.base) as ddp:
                if not await self._sign_in(ddp):
                    return False
                await stay(ddp)
                return True
        except (ConnectionClosed, ConnectionError, InvalidStatus):
            self.seen["closed"] += 1
        return False

    async def _sign_in(self, ddp: Ddp) -> bool:
        form: dict[str, Any] = {"user": {"email": self.name}, "password": PASSWORD}
        _, message = await ddp.call("login", {"resume": self.token} if self.token else form)
        if "error" in message:
            self._note(message["error"]["error"])
            if message["error"]["error"] == 401:
                self.token = None
            return False
        result = message["result"]
        self.seen[result["type"]] += 1
        self.mine &= self.id in (None, result["id"])
        self.id, self.token = result["id"], result["token"]
        return True

    async def _stay(self, ddp: Ddp, chance: random.Random) -> None:
        """Do something, then leave politely or not."""
        act = chance.choice(("ping", "leave", "cut", "new", "logout", "sub"))
        if act == "ping":
            assert await ddp.ask(msg="ping") == {"msg": "pong"}
        elif act == "sub":
            assert (await ddp.ask(msg="sub", id="1", name="stream-notify-user"))["msg"] == "ready"
        elif act == "cut":
            ddp.connection.transport.abort()
        elif act in ("new", "logout"):
            _, message = await ddp.call("getNewToken" if act == "new" else "logout")
            if "error" in message:
                self._note(message["error"]["error"])
            else:
                self.token = message["result"]["token"] if act == "new" else None

    def _note(self, error: Any) -> None:
        self.seen[f"error {error}"] += 1
        assert error in NAMED | {"error-invalid-user"}, error


async def test_soak(tmp_path: Path) -> None:
    env = {"DRAGOMAN_ADMIN_PASSWORD": "root's own password", "DRAGOMAN_SERVER_SOCKETS_PER_NETWORK": "5000"}
    with serving(tmp_path / "data", env=env) as server:
        await asyncio.to_thread(add_people, tmp_path / "data")
        base = server.address.replace("http://", "ws://")
        seen: Counter[str] = Counter()
        await crowd(base, seen, 4)
        before = memory(server.process.pid)
        seen.clear()
        visitors = await crowd(base, seen, SECONDS)
        await asyncio.sleep(1)
        after = memory(server.process.pid)
        log = server.log.read_text()
    assert "Traceback" not in log
    assert "unexpected" not in log
    assert all(visitor.mine for visitor in visitors)
    assert seen["never came back"] == 0, seen
    owners = {(visitor.number % PEOPLE, visitor.id) for visitor in visitors}
    assert len(owners) == len({number for number, _ in owners}) == len({id for _, id in owners}) == PEOPLE
    assert seen["password"], seen
    assert seen["resume"], seen
    assert after <= before * 1.1, (before, after)


async def crowd(base: str, seen: Counter[str], seconds: float) -> list[Visitor]:
    """Let all clients come and go for a while; return them."""
    visitors = [Visitor(base, number, seen) for number in range(CLIENTS)]
    ends_at = time.monotonic() + seconds
    await asyncio.gather(*(visitor.live(ends_at) for visitor in visitors))
    return visitors


def add_people(data: Path) -> None:
    """Add the accounts, in a process of its own as the command line would."""
    import subprocess
    import sys

    from kit.command import environment

    program = Path(__file__).parents[2] / "bench" / "people.py"
    subprocess.run(
        [sys.executable, program, str(data), str(PEOPLE), PASSWORD], check=True, env=environment(), timeout=120
    )


def memory(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
