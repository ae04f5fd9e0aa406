"""An operator at the command line and clients at a real server, over one data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, POCKETM8, PROBE, ROCKETCHAT, Asked, Driver, Held, Refused
from journeys.test_sign_in_everywhere import EVERYTHING
from kit.command import dragoman, serving
from kit.house import PASSWORD

pytestmark = pytest.mark.slow


class Server:
    """What the drivers ask: a server on loopback. Every client stands in one network there."""

    def __init__(self, base: str) -> None:
        self._base = base

    async def request(self, method: str, path: str, *, address: str = "", **wanted: Any) -> httpx2.Response:
        """Send one request; the address is the machine's own, whatever the story says."""
        async with httpx2.AsyncClient(base_url=self._base, timeout=60) as client:
            return await client.request(method, path, **wanted)

    async def signed_in_everywhere(self, password: str = PASSWORD) -> dict[str, tuple[Driver, Held]]:
        """Sign Ada in through every dialect, and hold what else that gave."""
        held = {driver.name: (driver, await driver.held(self.request, EMAIL, password)) for driver in DRIVERS}
        held["chat"] = (ROCKETCHAT, POCKETM8.chat(held["pocketm8"][1]))
        held["key"] = (PROBE, PROBE.key(held["probe"][1]))
        return held

    async def live(self, held: dict[str, tuple[Driver, Held]]) -> set[str]:
        """Return the names of those that are still signed in."""
        return {name for name, (driver, one) in held.items() if await driver.live(self.request, one)}


def command(data: Path, *words: str, given: str = "") -> str:
    """Run a command over the server's data folder, which must succeed; return what it printed."""
    done = dragoman(*words, "--data", str(data), given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_ada(data: Path) -> None:
    """Add Ada as an operator does."""
    command(
        data, "account", "add", "--email", EMAIL, "--username", "ada", "--first-name", "Ada", "--last-name", "Example",
        "--verified", "--password-stdin", given=PASSWORD,
    )  # fmt: skip


async def test_what_the_operator_ends_is_refused_at_the_next_call_in_every_dialect(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as running:
        server = Server(running.address)
        add_ada(data)
        held = await server.signed_in_everywhere()
        assert await server.live(held) == EVERYTHING
        listed = json.loads(command(data, "session", "list", "ada", "--json"))
        one = next(each["id"] for each in listed if each["dialect"] == "pocketm8")
        command(data, "session", "end", "ada", "--session", one)
        assert await server.live(held) == EVERYTHING - {"pocketm8", "chat"}
        command(data, "session", "end", EMAIL)
        assert await server.live(held) == set()
        chain = await FLASHBACK.refresh(server.request, held["flashback"][1].more["refresh"])
        assert isinstance(chain, Refused)
        assert isinstance(await ROCKETCHAT.resume(server.request, held["rocketchat"][1].token), Refused)

        held = await server.signed_in_everywhere()
        command(data, "account", "set-password", "ada", "--password-stdin", given="another long secret")
        assert await server.live(held) == set()
        for driver in DRIVERS:
            await driver.refused(server.request, "wrong")
        held = await server.signed_in_everywhere("another long secret")

        command(data, "account", "totp", "enable", "ada")
        assert await server.live(held) == {"key"}
        for driver in DRIVERS:
            assert isinstance(await driver.sign_in(server.request, EMAIL, "another long secret"), Asked)
        command(data, "account", "totp", "disable", "ada")

        held = await server.signed_in_everywhere("another long secret")
        command(data, "account", "set-status", "ada", "suspended")
        assert await server.live(held) == set()
        for driver in DRIVERS:
            await driver.refused(server.request, "inactive", EMAIL, "another long secret")


async def test_unlock_opens_every_dialect_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as running:
        server = Server(running.address)
        add_ada(data)
        for number in range(10):
            await DRIVERS[number % len(DRIVERS)].refused(server.request, "wrong", EMAIL, "not her password")
        for driver in DRIVERS:
            await driver.refused(server.request, "locked")
        command(data, "account", "unlock", "ada")
        assert await server.live(await server.signed_in_everywhere()) == EVERYTHING


async def test_keys_rotate_without_signing_anybody_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as running:
        server = Server(running.address)
        add_ada(data)
        held = await server.signed_in_everywhere()
        command(data, "keys", "rotate")
        assert await server.live(held) == EVERYTHING
        assert isinstance(await FLASHBACK.refresh(server.request, held["flashback"][1].more["refresh"]), Held)
        assert await server.live(await server.signed_in_everywhere()) == EVERYTHING
