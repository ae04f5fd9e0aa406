"""Stolen refresh tokens over HTTP, on both engines: every theft is found (decision 19, threat 22).

Leapfrog and late parents at once; a thief in step, from another network or with another program, within 8 generations.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import pytest

from kit.house import PASSWORD, House

pytestmark = pytest.mark.slow

Steps = Literal["owner first", "thief first"]
HOUR = 3600
MOST = 8
OWNER = ("192.0.2.1", "app/1")
THIEVES = {
    "another network": ("198.51.100.9", "app/1"),
    "another program": ("192.0.2.1", "curl/8"),
    "another of both": ("198.51.100.9", "curl/8"),
}
NO = (401, "INVALID_REFRESH_TOKEN")


@dataclass
class Holder:
    """Somebody who holds a refresh token of Ada's session: she, or who copied it."""

    house: House
    address: str
    agent: str
    token: str
    access: str = ""

    async def refresh(self) -> tuple[int, str]:
        """Present the token, use the new access token once, and return status and error code."""
        headers = {"User-Agent": self.agent}
        answer = await self.house.post(
            "/user/refresh", json={"refresh_token": self.token}, headers=headers, address=self.address
        )
        if answer.status_code != 200:
            return answer.status_code, answer.json()["error_code"]
        self.token, self.access = answer.json()["refreshToken"], answer.json()["accessToken"]
        used = await self.use()
        return used.status_code, used.json().get("error_code", "")

    async def use(self) -> httpx2.Response:
        """Read the profile, and wait until what that proves is written down."""
        headers = {"Authorization": f"Bearer {self.access}", "User-Agent": self.agent}
        answer = await self.house.get("/user/profile", headers=headers, address=self.address)
        await self.house.core.stop()
        return answer


async def sign_in(house: House) -> Holder:
    """Sign Ada in by her own program."""
    address, agent = OWNER
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = await house.post("/user/login", json=body, headers={"User-Agent": agent}, address=address)
    assert answer.status_code == 200, answer.text
    return Holder(house, address, agent, answer.json()["refreshToken"], answer.json()["accessToken"])


def copied(owner: Holder, who: str) -> Holder:
    """Return a thief with the token that the owner holds now."""
    return Holder(owner.house, *THIEVES[who], token=owner.token)


async def assert_over(*holders: Holder) -> None:
    """Nobody gets anything by what they hold, and the trail tells of one theft more."""
    for holder in holders:
        assert await holder.refresh() == NO
        if holder.access:
            assert (await holder.use()).status_code == 401


async def thefts(house: House) -> list[dict[str, Any]]:
    return [event.detail for event in await house.core.newest_events(5000) if event.kind == "chain_stolen"]


@pytest.fixture
async def ada(any_house: House) -> House:
    await any_house.ada()
    return any_house


async def test_leapfrog_is_found_at_once(ada: House) -> None:
    """Whoever goes on with the copy gets two generations ahead; the first to come with an older one ends it all."""
    for number, who in enumerate([*THIEVES] * 3):
        owner = await sign_in(ada)
        thief = copied(owner, who)
        ahead, behind = (thief, owner) if number % 2 else (owner, thief)
        for _ in range(2 + number // 3):
            ada.clock.move(1 + number)
            assert (await ahead.refresh())[0] == 200
        assert await behind.refresh() == NO
        await assert_over(ahead, behind)
    assert [each["reason"] for each in await thefts(ada)] == ["spent"] * 9


async def test_a_late_parent_is_found_at_once(ada: House) -> None:
    """The child was used and the half minute is over: the parent is in other hands, whoever's came first."""
    for number, who in enumerate([*THIEVES] * 3):
        owner = await sign_in(ada)
        thief = copied(owner, who)
        first, late = (thief, owner) if number % 2 else (owner, thief)
        assert (await first.refresh())[0] == 200
        ada.clock.move(31 + number * HOUR)
        assert await late.refresh() == NO
        await assert_over(first, late)
    assert [each["reason"] for each in await thefts(ada)] == ["confirmed"] * 9


@pytest.mark.parametrize("who", THIEVES)
@pytest.mark.parametrize("order", ["owner first", "thief first"])
async def test_a_thief_in_step_is_found_within_eight_generations(ada: House, who: str, order: Steps) -> None:
    """The thief refreshes each time the owner does, a moment earlier or later, so that nobody ever falls behind."""
    chance, took = random.Random(f"{who} {order}"), []
    for _ in range(12):
        owner = await sign_in(ada)
        thief = copied(owner, who)
        leader, follower = (owner, thief) if order == "owner first" else (thief, owner)
        for generation in range(1, MOST + 1):
            ada.clock.move(chance.randint(600, 2 * HOUR))
            led = await leader.refresh()
            ada.clock.move(chance.randint(0, 29))
            if 401 in (led[0], (await follower.refresh())[0]):
                took.append(generation)
                break
        else:
            pytest.fail("nobody noticed the thief in eight generations")
        await assert_over(owner, thief)
    assert len(await thefts(ada)) == len(took) == 12
    assert max(took) <= MOST


async def test_the_owner_is_told(ada: House) -> None:
    owner = await sign_in(ada)
    thief = copied(owner, "another network")
    assert (await owner.refresh())[0] == 200
    ada.clock.move(HOUR)
    assert await thief.refresh() == NO
    (letter,) = await ada.letters("chain_stolen")
    assert THIEVES["another network"][0] in str(letter.values)


async def test_forged_tokens_end_nothing(ada: House) -> None:
    """Session ids and generations are no secrets: a token that we did not make signs nobody out (threat 24)."""
    owner = await sign_in(ada)
    for _ in range(3):
        assert (await owner.refresh())[0] == 200
    for place in (0, 20, 28, 40, 74):
        letter = "A" if owner.token[place] != "A" else "B"
        forged = Holder(ada, *THIEVES["another network"], token=owner.token[:place] + letter + owner.token[place + 1 :])
        assert await forged.refresh() == NO
    assert (await owner.refresh())[0] == 200
    assert await thefts(ada) == []
