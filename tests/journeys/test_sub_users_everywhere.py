"""A sub user of Probe is one account in every dialect: locked, watched, suspended, ended from where its parent is."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx2
import pytest

from dragoman.model import uuid_text
from journeys.drivers import DRIVERS, FLASHBACK, PROBE, ROCKETCHAT, Driver, Held
from journeys.test_sign_in_everywhere import HOME, stranger
from kit.house import PASSWORD, House
from kit.relatives import arrive

pytestmark = pytest.mark.slow

BOB = "bob@example.com"


async def bob_everywhere(house: House) -> dict[str, tuple[Driver, Held]]:
    """Sign Bob in through every dialect."""
    return {driver.name: (driver, await driver.held(house.request, BOB)) for driver in DRIVERS}


async def live(house: House, held: dict[str, tuple[Driver, Held]]) -> set[str]:
    return {name for name, (driver, one) in held.items() if await driver.live(house.request, one)}


async def test_a_sub_user_locked_in_probe_is_locked_everywhere(house: House) -> None:
    ada = await arrive(house, "ada")
    await house.add(email=BOB, username="bob", verified=True, parent=ada.id)
    held = await bob_everywhere(house)
    for number in range(10):
        await PROBE.refused(house.request, "wrong", BOB, f"wrong {number}", address=stranger(number))
    for driver in DRIVERS:
        await driver.refused(house.request, "locked", BOB, PASSWORD, address=stranger(50))
        assert isinstance(await driver.sign_in(house.request, BOB, address=HOME), Held), "his own network stays open"
    assert await live(house, held) == {driver.name for driver in DRIVERS}, "who is signed in stays so"


async def test_its_parent_sees_and_ends_its_sessions_of_other_dialects(house: House) -> None:
    ada = await arrive(house, "ada")
    bob = await house.add(email=BOB, username="bob", verified=True, parent=ada.id)
    held = await bob_everywhere(house)
    query = f"/auth/session?user-id={bob.aliases['probe']}"
    left = {driver.name for driver in DRIVERS}
    assert len((await ada.works("GET", query))["sessions"]) == len(left)
    for driver in (ROCKETCHAT, FLASHBACK):
        ids = await sessions_of(house, bob.account.id, driver.name)
        for id in ids:
            assert id in {one["id"] for one in (await ada.works("GET", query))["sessions"]}
            await ada.works("DELETE", f"/auth/session/{id}")
        left -= {driver.name}
        assert await live(house, held) == left
    assert {one["user-id"] for one in (await ada.works("GET", query))["sessions"]} == {int(bob.aliases["probe"])}
    assert await ada.live()


async def sessions_of(house: House, account: bytes, door: str) -> list[str]:
    """Return the ids of somebody's live clients at one door."""
    return [uuid_text(each.id) for each in await house.core.sessions.list_clients(account) if each.door == door]


async def test_a_sub_user_of_another_organization_is_not_admitted_and_watched_all_the_same(house: House) -> None:
    organization = await house.core.accounts.organization("Elsewhere")
    ada = await arrive(house, "ada", organization=organization, rank=255)
    bob = await house.add(email=BOB, username="bob", verified=True, parent=ada.id, organization=organization)
    await ROCKETCHAT.refused(house.request, "not_admitted", BOB, PASSWORD)
    flash = await FLASHBACK.held(house.request, BOB)
    (one,) = (await ada.works("GET", f"/auth/session?user-id={bob.aliases['probe']}"))["sessions"]
    await ada.works("DELETE", f"/auth/session/{one['id']}")
    assert not await FLASHBACK.live(house.request, flash)


@pytest.mark.parametrize("ending", ["suspended", "password"])
async def test_what_a_parent_does_holds_everywhere(house: House, ending: str) -> None:
    ada = await arrive(house, "ada")
    bob = await house.add(email=BOB, username="bob", verified=True, parent=ada.id)
    held = await bob_everywhere(house)
    held["key"] = (PROBE, PROBE.key(held["probe"][1]))
    number, new = bob.aliases["probe"], "another horse battery"
    if ending == "suspended":
        await ada.works("PUT", f"/user/{number}", json={"status": "suspended"})
    else:
        body: dict[str, Any] = {"old-password": PASSWORD, "new-password": new}
        await ada.works("PUT", f"/auth/{number}/password", json=body)
    assert await live(house, held) == set()
    for driver in DRIVERS:
        await driver.refused(house.request, "inactive" if ending == "suspended" else "wrong", BOB, PASSWORD)
    if ending == "suspended":
        await ada.works("PUT", f"/user/{number}", json={"status": "active"})
    for driver in DRIVERS:
        wanted = PASSWORD if ending == "suspended" else new
        assert isinstance(await driver.sign_in(house.request, BOB, wanted), Held)
    assert await live(house, held) == set(), "what was ended stays ended"


async def test_who_leaves_elsewhere_leaves_no_children_to_nobody(house: House) -> None:
    """The same rule wherever the owner asks: Flashback's deactivation, Rocket.Chat's deletion."""
    ada = await arrive(house, "ada")
    bob = await house.add(email=BOB, username="bob", verified=True, parent=ada.id)
    flash, chat = await FLASHBACK.held(house.request, ada.email), await ROCKETCHAT.held(house.request, ada.email)
    digest = {"password": hashlib.sha256(PASSWORD.encode()).hexdigest()}

    async def deletes() -> httpx2.Response:
        return await house.post("/api/v1/users.deleteOwnAccount", headers=chat.headers, json=digest)

    answer = await house.post("/user/deactivate", headers=flash.headers)
    assert answer.json()["error_code"] == "LAST_OWNER", answer.text
    answer = await deletes()
    assert answer.json()["errorType"] == "error-action-not-allowed", answer.text
    assert await ada.live()
    await house.core.life.delete(bob.account)
    assert (await deletes()).status_code == 200
    assert not await ada.live()
