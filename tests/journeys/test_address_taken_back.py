"""A thief changes the address, twice; the owner takes it back and the thief is out everywhere (decision 6)."""

from __future__ import annotations

import pytest

from dragoman.core import refusals
from dragoman.model import Password
from journeys.drivers import DRIVERS, EMAIL, FLASHBACK, Held
from journeys.test_sign_in_everywhere import EVERYTHING, HOME, live, signed_in_everywhere, stranger
from kit.house import PASSWORD, House, client

pytestmark = pytest.mark.slow

DAY = 24 * 60 * 60
THIEF = stranger(7)


async def change(house: House, held: Held, new: str) -> None:
    """Change the address of whoever holds a session of Flashback, from where the thief is."""
    door = house.core.doors["flashback"]
    by = await house.core.sessions.authenticate(door, held.token)
    await house.core.addresses.change_email(
        by.account, new, by=by, client=client(by.session.address, by.session.user_agent)
    )


async def links(house: House, kind: str, to: str) -> list[str]:
    return [one.values["link"].rpartition("/")[2] for one in await house.letters(kind) if one.to == to]


@pytest.mark.parametrize("which", [0, -1], ids=["first letter", "last letter"])
async def test_the_first_address_undoes_whatever_a_thief_made_of_it(house: House, which: int) -> None:
    await house.ada()
    await signed_in_everywhere(house, address=HOME)
    house.clock.move(60)
    thief = await FLASHBACK.held(house.request, address=THIEF)
    await change(house, thief, "thief@example.com")
    await house.core.recovery.use("verify", (await links(house, "verify", "thief@example.com"))[-1], client(THIEF))
    house.clock.move(60)
    await change(house, thief, "second@example.com")
    taken = {driver.name: await driver.held(house.request, "second@example.com", address=THIEF) for driver in DRIVERS}
    # The last notice of the last change went to the first address, too.
    told = await house.letters("address_changed")
    assert [one.to for one in told if one.values["new"] == "second@example.com"].count(EMAIL) == 1
    await house.core.recovery.request_reset("flashback", "thief@example.com", client(THIEF))
    house.clock.move(3 * DAY)

    await house.core.recovery.use("undo", (await links(house, "address_changed", EMAIL))[which], client(HOME))
    for driver in DRIVERS:
        assert not await driver.live(house.request, taken[driver.name]), driver
        assert not isinstance(await driver.sign_in(house.request, "second@example.com"), Held)
    house.clock.move(3600)
    for address in ("thief@example.com", "second@example.com"):
        before = len(await house.letters())
        await house.core.recovery.request_reset("flashback", address, client(THIEF))
        assert len(await house.letters()) == before
        for token in await links(house, "reset", address):
            with pytest.raises(refusals.BadTicket):
                await house.core.recovery.use("reset", token, client(), password=Password.from_plain("mine now, all"))
        for token in await links(house, "address_changed", address):
            with pytest.raises(refusals.BadTicket):
                await house.core.recovery.use("undo", token, client(THIEF))

    await house.core.recovery.request_reset("flashback", EMAIL, client(HOME))
    fresh = "a battery of her own"
    await house.core.recovery.use("reset", (await links(house, "reset", EMAIL))[-1], client(HOME),
                                  password=Password.from_plain(fresh))  # fmt: skip
    for driver in DRIVERS:
        await driver.refused(house.request, "wrong", EMAIL, PASSWORD, address=THIEF)
        await driver.held(house.request, EMAIL, fresh, address=HOME)


async def test_a_change_ends_the_clients_of_every_dialect_but_the_one_that_made_it(house: House) -> None:
    await house.ada()
    held = await signed_in_everywhere(house)
    assert await live(house, held) == EVERYTHING
    await change(house, held["flashback"][1], "new@example.com")
    assert await live(house, held) == {"flashback", "key"}
    for driver in DRIVERS:
        assert await driver.held(house.request, "new@example.com")
        assert await driver.held(house.request, EMAIL)
