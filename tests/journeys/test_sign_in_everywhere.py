"""One account through every dialect: one password, one lock, one list of sessions."""

from __future__ import annotations

import pytest

from dragoman.model import Password
from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, POCKETM8, PROBE, ROCKETCHAT, Asked, Driver, Held, Refused
from kit.house import House

pytestmark = pytest.mark.slow

HOME = "192.0.2.1"
on_sqlite = pytest.mark.parametrize("any_house", ["sqlite"], indirect=True)
"""For what judges no storage and takes long."""
every_driver = pytest.mark.parametrize("driver", DRIVERS, ids=str)


def stranger(number: int) -> str:
    """Return an address of a network of its own."""
    return f"198.18.{number}.9"


async def signed_in_everywhere(house: House, *, address: str = HOME) -> dict[str, tuple[Driver, Held]]:
    """Sign Ada in through every dialect, and hold what else that gave: the chat block and the API token."""
    found = {driver.name: (driver, await driver.held(house.request, address=address)) for driver in DRIVERS}
    found["chat"] = (ROCKETCHAT, POCKETM8.chat(found["pocketm8"][1]))
    found["key"] = (PROBE, PROBE.key(found["probe"][1]))
    return found


async def live(house: House, held: dict[str, tuple[Driver, Held]]) -> set[str]:
    """Return the names of those that are still signed in."""
    return {name for name, (driver, one) in held.items() if await driver.live(house.request, one)}


EVERYTHING = {"rocketchat", "pocketm8", "probe", "flashback", "chat", "key"}


async def test_one_account_signs_in_everywhere(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    assert await live(house, held) == EVERYTHING
    assert {door for door, _, account in await house.sessions() if account == ada.account.id} == {
        "rocketchat", "pocketm8", "probe", "flashback",
    }  # fmt: skip
    assert held["rocketchat"][1].user == held["chat"][1].user == ada.aliases["rocketchat"]
    assert held["probe"][1].user == ada.aliases["probe"]


@every_driver
async def test_signing_out_ends_that_client_alone(house: House, driver: Driver) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    if not driver.can_sign_out:
        return
    assert (await driver.sign_out(house.request, held[driver.name][1])).status_code == 200
    assert await live(house, held) == EVERYTHING - {driver.name}


async def test_the_chat_block_is_a_session_of_rocketchat_that_ends_alone_or_with_its_parent(house: House) -> None:
    await house.ada()
    held = await POCKETM8.held(house.request)
    chat = POCKETM8.chat(held)
    assert await ROCKETCHAT.live(house.request, chat)
    resumed = await ROCKETCHAT.resume(house.request, chat.token)
    assert isinstance(resumed, Held)
    assert resumed.headers == chat.headers
    await ROCKETCHAT.sign_out(house.request, chat)
    assert not await ROCKETCHAT.live(house.request, chat)
    assert await POCKETM8.live(house.request, held)
    other = await POCKETM8.held(house.request)
    house.clock.move(1)
    probe = await PROBE.held(house.request)
    listed = (await PROBE.who_am_i(house.request, probe)).json()["sessions"]
    for one in reversed(listed):  # its own, the newest, at last
        gone = await house.delete(f"{PROBE.base}/auth/session/{one['id']}", headers=probe.headers)
        assert gone.status_code == 204
    assert not await POCKETM8.live(house.request, other)
    assert not await ROCKETCHAT.live(house.request, POCKETM8.chat(other))
    assert isinstance(await ROCKETCHAT.resume(house.request, POCKETM8.chat(other).token), Refused)


async def test_a_flashback_session_is_seen_and_revoked_through_probe(house: House) -> None:
    await house.ada()
    flashback, probe = await FLASHBACK.held(house.request), await PROBE.held(house.request)
    listed = (await PROBE.who_am_i(house.request, probe)).json()["sessions"]
    assert flashback.more["session"] in {one["id"] for one in listed}
    gone = await house.delete(f"{PROBE.base}/auth/session/{flashback.more['session']}", headers=probe.headers)
    assert gone.status_code == 204
    assert not await FLASHBACK.live(house.request, flashback)
    refused = await FLASHBACK.refresh(house.request, flashback.more["refresh"])
    assert isinstance(refused, Refused)
    assert refused.said == FLASHBACK.words["chain_ended"]
    assert await PROBE.live(house.request, probe)


async def test_ending_all_through_probe_ends_all_everywhere_but_the_key(house: House) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    ended = await house.delete(f"{PROBE.base}/auth/session", headers=held["probe"][1].headers)
    assert ended.status_code == 204
    assert await live(house, held) == {"key"}


async def test_signing_in_with_logout_other_ends_the_others_everywhere_but_the_key(house: House) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    body = {"email": EMAIL, "password": "correct horse battery", "logout-other": True}
    assert (await house.post(f"{PROBE.base}/auth/sign-in", json=body)).status_code == 200
    assert await live(house, held) == {"key"}


async def test_a_password_set_by_the_operator_ends_every_session_and_key(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    await house.core.accounts.set_password(ada.account, Password.from_plain("another long secret"))
    assert await live(house, held) == set()
    chain = await FLASHBACK.refresh(house.request, held["flashback"][1].more["refresh"])
    assert isinstance(chain, Refused)
    assert isinstance(await ROCKETCHAT.resume(house.request, held["rocketchat"][1].token), Refused)
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong")
        renewed = await driver.held(house.request, EMAIL, "another long secret")
        assert await driver.live(house.request, renewed)
        if driver is PROBE:
            assert PROBE.key(renewed).token != held["key"][1].token


async def test_suspending_ends_everything_and_is_told_only_after_the_right_password(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    await house.core.life.set_status(ada.account, "suspended")
    assert await live(house, held) == set()
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong", EMAIL, "not her password")
        await driver.refused(house.request, "inactive")
    # Whoever holds the right refresh token of a session has proved the password once and is told as well.
    chain = await FLASHBACK.refresh(house.request, held["flashback"][1].more["refresh"])
    assert isinstance(chain, Refused)
    assert chain.said == FLASHBACK.words["inactive"]
    await house.core.life.set_status(ada.account, "active")
    assert await live(house, held) == set()
    await signed_in_everywhere(house)


@every_driver
async def test_a_wrong_password_counts_once_whatever_the_door(house: House, driver: Driver) -> None:
    ada = await house.ada()
    before = house.hash_evaluations()
    await driver.refused(house.request, "wrong", EMAIL, "not her password", address=stranger(1))
    assert house.hash_evaluations() == before + 1
    events = await house.core.newest_events(200, ada.account.id)
    assert [(e.kind, e.door) for e in events if e.kind == "password_refused"] == [("password_refused", driver.name)]
    # Nine more through the others close the lane: it took exactly ten.
    for number in range(9):
        other = DRIVERS[number % len(DRIVERS)]
        await other.refused(house.request, "wrong", EMAIL, "not her password", address=stranger(2 + number))
    for each in DRIVERS:
        await each.refused(house.request, "locked", address=stranger(50))
    assert house.hash_evaluations() == before + 10


@every_driver
async def test_locked_in_one_is_locked_in_all_but_not_for_the_network_the_owner_uses(
    house: House, driver: Driver
) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    for number in range(10):
        await driver.refused(house.request, "wrong", EMAIL, "not her password", address=stranger(number))
    for each in DRIVERS:
        await each.refused(house.request, "locked", EMAIL, "not her password", address=stranger(60))
        await each.refused(house.request, "locked", address=stranger(61))
        await each.refused(house.request, "wrong", EMAIL, "not her password", address=HOME)
        assert await each.live(house.request, held[each.name][1], address=stranger(62)), "locks judge no tokens"
        await each.held(house.request, address=HOME)
    house.clock.move(5 * 60 + 1)
    for each in DRIVERS:
        await each.held(house.request, address=stranger(63))


async def test_a_storm_of_strangers_from_thirty_networks_leaves_the_owner_alone(house: House) -> None:
    await house.ada()
    await signed_in_everywhere(house)
    before, refused = house.hash_evaluations(), 0
    for number in range(60):
        driver = DRIVERS[number % len(DRIVERS)]
        outcome = await driver.sign_in(house.request, EMAIL, f"guess {number}", address=stranger(number % 30))
        assert isinstance(outcome, Refused)
        refused += outcome.said == driver.words["locked"]
    assert (refused, house.hash_evaluations() - before) == (50, 10)
    await signed_in_everywhere(house, address=HOME)
    # The owner who comes from somewhere new stands with the strangers until the lane opens.
    await ROCKETCHAT.refused(house.request, "locked", address="203.0.113.7")


async def test_guessing_from_the_owners_network_closes_that_network_alone(house: House) -> None:
    await house.ada()
    await ROCKETCHAT.held(house.request, address=HOME)
    for _ in range(10):
        await PROBE.refused(house.request, "wrong", EMAIL, "not her password", address=HOME)
    for each in DRIVERS:
        await each.refused(house.request, "locked", address=HOME)
        await each.held(house.request, address=stranger(DRIVERS.index(each)))


@on_sqlite
@pytest.mark.slow
async def test_thirty_days_of_guessing_stay_within_the_daily_caps(house: House) -> None:
    """Threat 33: a patient guesser gets 60 tries a day inside the owner's network, and 100 in all as a stranger."""
    await house.ada()
    await ROCKETCHAT.held(house.request, address=HOME)
    tries: list[tuple[int, int]] = []
    outside = 0
    for step in range(30 * 24 * 60 // 22):
        driver = DRIVERS[step % len(DRIVERS)]
        before = house.hash_evaluations()
        await driver.sign_in(house.request, EMAIL, f"guess {step}", address=HOME)
        tries.append((house.clock.now(), house.hash_evaluations() - before))
        if step % 3 == 0:
            before = house.hash_evaluations()
            await driver.sign_in(house.request, EMAIL, f"guess {step}", address=stranger(step % 250))
            outside += house.hash_evaluations() - before
        house.clock.move(22 * 60)
    day = 24 * 60 * 60 * 1000
    most = max(sum(spent for at, spent in tries if start <= at < start + day) for start, _ in tries)
    assert (most, outside) == (60, 100)
    await ROCKETCHAT.refused(house.request, "locked", address=stranger(251))
    house.clock.move(24 * 60 * 60)
    await ROCKETCHAT.held(house.request, address=HOME)
    # A success in the known lane opens nothing for strangers.
    await ROCKETCHAT.refused(house.request, "locked", address=stranger(252))


async def test_a_clock_set_back_opens_nothing_and_breaks_nothing(house: House) -> None:
    ada = await house.ada()
    held = await signed_in_everywhere(house)
    totp = await house.enrol_totp(ada)
    asked = await ROCKETCHAT.sign_in(house.request)
    assert isinstance(asked, Asked)
    used = totp.code()
    assert isinstance(await ROCKETCHAT.with_code(house.request, asked, used), Held)
    for number in range(10):
        await PROBE.refused(house.request, "wrong", EMAIL, "not her password", address=stranger(number))
    house.clock.move(-24 * 60 * 60)
    assert await live(house, held) == {"key"}, "what enrolling ended stays ended"
    for each in DRIVERS:
        await each.refused(house.request, "locked", address=stranger(20))
    challenge = await POCKETM8.sign_in(house.request)
    assert isinstance(challenge, Asked)
    again = await POCKETM8.with_code(house.request, challenge, used)
    assert isinstance(again, Refused)
    earlier = await POCKETM8.with_code(house.request, challenge, totp._app.at(house.clock.now() // 1000))
    assert isinstance(earlier, Refused), "steps only grow"
    house.clock.move(24 * 60 * 60)
    house.clock.move(60)
    again = await POCKETM8.sign_in(house.request)
    assert isinstance(again, Asked)
    assert isinstance(await POCKETM8.with_code(house.request, again, totp.code()), Held)
