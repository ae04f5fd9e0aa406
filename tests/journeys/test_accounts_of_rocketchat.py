"""An account made, barred, let in, signed out and deleted over Rocket.Chat's wire: all dialects and sockets feel it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, POCKETM8, ROCKETCHAT, Refused
from journeys.test_sign_in_everywhere import EVERYTHING, live, signed_in_everywhere
from kit.ddp import PATIENCE, dialled, listening
from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

ROOT = ("root", "root's own password")


class Administrator:
    """Root, signed in with Rocket.Chat's wire."""

    def __init__(self, house: House, headers: dict[str, str]) -> None:
        self._house, self._headers = house, headers

    @classmethod
    async def of(cls, house: House) -> Administrator:
        """Sign root in."""
        answer = await house.post("/api/v1/login", json={"user": ROOT[0], "password": ROOT[1]})
        data = answer.json()["data"]
        return cls(house, {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]})

    async def does(self, name: str, /, **body: Any) -> Any:
        """Make a call that works; return what it says."""
        answer = await self._house.post(f"/api/v1/{name}", headers=self._headers, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def make_ada(self) -> str:
        """Make Ada's account; return her id."""
        made = await self.does(
            "users.create", email=EMAIL, name="Ada Example", username="ada", password=PASSWORD, verified=True
        )
        return str(made["user"]["_id"])


async def test_an_account_made_there_signs_in_everywhere(house: House) -> None:
    root = await Administrator.of(house)
    ada = await root.make_ada()
    held = await signed_in_everywhere(house)
    assert await live(house, held) == EVERYTHING
    assert held["rocketchat"][1].user == ada


@pytest.mark.parametrize("ending", ["setActiveStatus", "delete", "logout"])
async def test_ended_there_is_ended_everywhere(house: House, ending: str) -> None:
    root = await Administrator.of(house)
    ada = await root.make_ada()
    held = await signed_in_everywhere(house)
    body = {"activeStatus": False} if ending == "setActiveStatus" else {}
    await root.does(f"users.{ending}", userId=ada, **body)
    assert await live(house, held) == set()
    assert isinstance(await ROCKETCHAT.resume(house.request, held["rocketchat"][1].token), Refused)
    if ending == "delete":
        for driver in DRIVERS:
            await driver.refused(house.request, "inactive")
        return
    if ending == "setActiveStatus":
        for driver in DRIVERS:
            await driver.refused(house.request, "inactive")
        await root.does("users.setActiveStatus", userId=ada, activeStatus=True)
        assert await live(house, held) == set(), "what ended stays ended"
    assert await live(house, await signed_in_everywhere(house)) == EVERYTHING


async def test_a_password_set_there_is_the_password_everywhere(house: House) -> None:
    root = await Administrator.of(house)
    ada = await root.make_ada()
    held = await signed_in_everywhere(house)
    await root.does("users.update", userId=ada, data={"password": "another long story"})
    assert await live(house, held) == set()
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong")
        await driver.held(house.request, password="another long story")


async def test_who_deletes_himself_there_is_gone_everywhere(house: House) -> None:
    root = await Administrator.of(house)
    await root.make_ada()
    held = await signed_in_everywhere(house)
    chat = held["rocketchat"][1]
    answer = await house.post("/api/v1/users.deleteOwnAccount", headers=dict(chat.headers), json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert await live(house, held) == set()


async def test_a_name_changed_there_is_the_name_everywhere(house: House) -> None:
    root = await Administrator.of(house)
    await root.make_ada()
    held = await signed_in_everywhere(house)
    chat = held["rocketchat"][1]
    data = {"name": "Augusta King of Lovelace", "username": "augusta"}
    answer = await house.post("/api/v1/users.updateOwnBasicInfo", headers=dict(chat.headers), json={"data": data})
    assert answer.status_code == 200, answer.text
    assert await live(house, held) == EVERYTHING
    account = await house.core.accounts.by_username("augusta")
    assert (account.first_name, account.last_name) == ("Augusta", "King of Lovelace")
    for driver in (ROCKETCHAT, POCKETM8, FLASHBACK):
        assert "Augusta" in (await driver.who_am_i(house.request, held[driver.name][1])).text, driver.name
    await house.add(username="ada")


@pytest.mark.parametrize("ending", ["setActiveStatus", "delete", "logout"])
async def test_sockets_close_within_a_second(house: House, ending: str) -> None:
    root = await Administrator.of(house)
    ada = await root.make_ada()
    async with listening(house.app) as base, dialled(base) as first, dialled(base) as second:
        await first.sign_in()
        await second.sign_in()
        closing = asyncio.gather(first.closed(60), second.closed(60))
        body = {"activeStatus": False} if ending == "setActiveStatus" else {}
        await root.does(f"users.{ending}", userId=ada, **body)
        began = time.monotonic()
        assert await asyncio.wait_for(closing, PATIENCE) == [1000, 1000]
        assert time.monotonic() - began < 1
