"""An account is deleted, brought back and erased at the command line; clients of all four dialects feel it at once."""

from __future__ import annotations

import json
from pathlib import Path

import pyotp
import pytest

from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, PROBE, ROCKETCHAT, Asked, Held, Refused
from journeys.test_command_line import Server, add_ada, command
from journeys.test_sign_in_everywhere import EVERYTHING
from kit.command import dragoman, serving
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow


async def test_deleted_brought_back_and_erased_while_the_server_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as running:
        server = Server(running.address)
        add_ada(data)
        held = await server.signed_in_everywhere()
        assert await server.live(held) == EVERYTHING

        command(data, "account", "delete", "ada")
        assert await server.live(held) == set()
        for driver in DRIVERS:
            await driver.refused(server.request, "inactive")
            await driver.refused(server.request, "wrong", EMAIL, "not her password")
        chain = await FLASHBACK.refresh(server.request, held["flashback"][1].more["refresh"])
        assert isinstance(chain, Refused)
        assert isinstance(await ROCKETCHAT.resume(server.request, held["rocketchat"][1].token), Refused)
        taken = dragoman(
            "account", "add", "--email", "ADA@example.com", "--generate-password", "--data", str(data)
        )  # fmt: skip
        assert "another account has this email" in taken.stderr

        command(data, "account", "restore", "ada")
        assert await server.live(held) == set(), "what was ended stays ended"
        again = await server.signed_in_everywhere()
        assert await server.live(again) == EVERYTHING
        assert again["key"][1].token != held["key"][1].token
        assert again["rocketchat"][1].user == held["rocketchat"][1].user

        told = json.loads(command(data, "account", "export", "ada"))
        assert {one["dialect"] for one in told["sessions"]} == {"rocketchat", "pocketm8", "probe", "flashback"}
        assert {one["endedWhy"] for one in told["sessions"]} == {"deleted", None}
        tokens = [one.token for _, one in again.values()]
        assert not any(token in json.dumps(told) for token in (*tokens, PASSWORD))

        command(data, "account", "erase", "ada", "--yes")
        assert await server.live(again) == set()
        for driver in DRIVERS:
            await driver.refused(server.request, "unknown")
        add_ada(data)
        new = await server.signed_in_everywhere()
        assert await server.live(new) == EVERYTHING
        assert new["rocketchat"][1].user != held["rocketchat"][1].user
        assert await server.live(again) == set()


async def test_brought_back_with_the_second_factor_it_had(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as running:
        server = Server(running.address)
        add_ada(data)
        enrolled = json.loads(command(data, "account", "totp", "enable", "ada", "--json"))
        command(data, "account", "delete", "ada", "--yes")
        command(data, "account", "restore", "ada")
        codes = iter(enrolled["recoveryCodes"])
        for driver in DRIVERS:
            asked = await driver.sign_in(server.request)
            assert isinstance(asked, Asked), driver
            assert isinstance(await driver.with_code(server.request, asked, next(codes)), Held)
        asked = await PROBE.sign_in(server.request)
        assert isinstance(asked, Asked)
        assert isinstance(
            await PROBE.with_code(server.request, asked, pyotp.TOTP(enrolled["secret"]).now()), Held
        )  # fmt: skip


@pytest.mark.parametrize("ending", ["deactivate", "suspend", "delete", "erase"])
async def test_a_sign_in_under_way_is_not_finished(house: House, ending: str) -> None:
    """An attempt that waits for its code when the account goes is refused, in every dialect that keeps one."""
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    asked = [(driver, await driver.sign_in(house.request)) for driver in DRIVERS]
    await getattr(house.core.life, ending)(ada.account)
    for driver, one in asked:
        assert isinstance(one, Asked)
        assert isinstance(await driver.with_code(house.request, one, totp.code()), Refused), driver
    assert [account for _, _, account in await house.sessions() if account == ada.account.id] == []
