"""Notices by mail: which act tells the owner, at which address, and how often at most (decisions 6, 8, 19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core import refusals
from dragoman.core.letters import NOTICES
from dragoman.core.notices import A_DAY
from dragoman.model import Client, Password, Pending, SignedIn, Typed
from dragoman.settings import NOTICES as NAMED
from dragoman.settings import BadSettings, load
from kit.house import PASSWORD, House, client, fast_settings, house_over, open_house, sqlite_copy
from kit.recording import Recording

pytestmark = pytest.mark.slow

HOUR = 60 * 60
DAY = 24 * HOUR
EMAIL = "ada@example.com"
HOME = "192.0.2.1"
NOWHERE = client("")
"""A client while addresses are not trusted."""


@pytest.fixture
def house(any_house: House) -> House:
    return any_house


async def sign_in(
    house: House, where: Client | str = HOME, password: str = PASSWORD, *, door: str = "probe", code: str | None = None
) -> SignedIn | Pending:
    """Sign Ada in, the whole login at once."""
    there = client(where) if isinstance(where, str) else where
    return await house.core.signin.with_password(
        house.core.doors[door], Typed("email", EMAIL), Password.from_plain(password), there, code=code
    )


async def refused(house: House, where: Client | str, kind: type[Exception], **wanted: str) -> None:
    with pytest.raises(kind):
        await sign_in(house, where, **wanted)


async def kinds(house: House) -> list[str]:
    """Return the kinds of all letters, in the order of the alphabet: the clock stands still between them."""
    return sorted(letter.kind for letter in await house.letters())


def stranger(number: int) -> str:
    return f"198.51.100.{number}"


# ---------------------------------------------------------------- new networks


async def test_a_sign_in_from_an_unknown_network_is_told_once(house: House) -> None:
    await house.ada()
    await sign_in(house)
    assert await house.letters() == [], "the first sign-in ever tells nothing"
    await sign_in(house, Client("198.51.100.7", "198.51.100.7/32", "Firefox"))
    [letter] = await house.letters()
    assert (letter.kind, letter.to) == ("new_network", EMAIL)
    assert (letter.values["address"], letter.values["client"]) == ("198.51.100.7", "Firefox")
    await sign_in(house, "198.51.100.7")
    await sign_in(house)
    assert len(await house.letters()) == 1


async def test_a_sign_in_by_a_mailed_link_is_told_like_any_other(house: House) -> None:
    ada = await house.ada()
    await sign_in(house)
    token = await house.ticket("verify", ada, about=EMAIL)
    where = Client("198.51.100.7", "198.51.100.7/32", "Firefox")
    await house.core.signin.with_ticket(house.core.doors["flashback"], "verify", token, where)
    assert await kinds(house) == ["new_network"]


async def test_nothing_is_told_of_networks_while_addresses_are_not_trusted(house: House) -> None:
    await house.ada()
    await sign_in(house)
    await sign_in(house, NOWHERE)
    assert await house.letters() == []


async def test_at_most_five_new_networks_a_day_are_told(house: House) -> None:
    await house.ada()
    await sign_in(house)
    for number in range(8):
        await sign_in(house, stranger(number))
    assert len(await house.letters("new_network")) == 5
    house.clock.move(DAY + 1)
    await sign_in(house, stranger(9))
    assert len(await house.letters("new_network")) == 6


async def test_a_sign_in_that_is_not_finished_tells_nothing(house: House) -> None:
    ada = await house.ada()
    await sign_in(house)
    totp = await house.enrol_totp(ada)
    before = await kinds(house)
    assert isinstance(await sign_in(house, stranger(1)), Pending)
    await refused(house, stranger(1), refusals.WrongCode, code=totp.wrong())
    assert await kinds(house) == before
    assert isinstance(await sign_in(house, stranger(1), code=totp.code()), SignedIn)
    assert await kinds(house) == sorted([*before, "new_network"])


async def test_a_known_client_costs_no_statement_more(tmp_path: Path) -> None:
    """With mail and without, a sign-in from a known network runs the same statements."""
    seen = []
    for transport in ("off", "console"):
        folder = tmp_path / transport
        folder.mkdir()
        async with sqlite_copy(folder) as db:
            noted = Recording(db)
            settings = fast_settings(folder, mail__transport=transport)
            async with house_over(noted, settings, folder) as house:
                totp = await house.enrol_totp(await house.ada())
                await sign_in(house, code=totp.code())
                await sign_in(house, code=totp.code())
                noted.seen.clear()
                await sign_in(house, code=totp.code())
                seen.append({statement.sql for statement in noted.seen})
    assert seen[0] == seen[1]
    assert not [sql for sql in seen[1] if "language" in sql or ("limit 1" in sql and "known_network" in sql)]


# ---------------------------------------------------------------- theft, factors, passwords


async def test_the_theft_of_a_chain_sends_exactly_one_letter(house: House) -> None:
    await house.ada()
    first = await sign_in(house, door="flashback")
    assert isinstance(first, SignedIn)
    door, thief = house.core.doors["flashback"], Client("198.51.100.9", "198.51.100.9/32", "curl")
    second = await house.core.sessions.refresh(door, first.refresh_token or "", client())
    third = await house.core.sessions.refresh(door, second.refresh_token or "", client())
    for token in (first, first, second, third):
        with pytest.raises(refusals.BadRefreshToken):
            await house.core.sessions.refresh(door, token.refresh_token or "", thief)
    [letter] = await house.letters()
    assert (letter.kind, letter.to) == ("chain_stolen", EMAIL)
    assert (letter.values["address"], letter.values["client"]) == ("198.51.100.9", "curl")


async def test_stealing_from_oneself_again_and_again_does_not_flood_the_owner(house: House) -> None:
    await house.ada()
    door = house.core.doors["flashback"]
    for _ in range(7):
        first = await sign_in(house, door="flashback")
        assert isinstance(first, SignedIn)
        second = await house.core.sessions.refresh(door, first.refresh_token or "", client())
        await house.core.sessions.refresh(door, second.refresh_token or "", client())
        with pytest.raises(refusals.ChainStolen):
            await house.core.sessions.refresh(door, first.refresh_token or "", client())
    assert await kinds(house) == ["chain_stolen"] * 5


async def test_operators_acts_are_told(house: House) -> None:
    ada = await house.ada()
    await house.enrol_totp(ada)
    await house.core.factors.disable_totp(ada.account)
    await house.core.accounts.set_password(ada.account, Password.from_plain("another battery"), allow_weak=True)
    assert await kinds(house) == ["factor_added", "factor_removed", "password_set"]
    assert {letter.values.get("factor") for letter in await house.letters()} == {"totp", None}
    await house.core.accounts.import_hash(ada.account, await house.core.pool.make(Password.from_plain("an old one")))
    assert len(await house.letters()) == 3, "bringing accounts along writes to nobody"


async def test_codes_by_mail_are_told_as_a_factor_that_came_and_went(house: House) -> None:
    ada = await house.ada()
    await house.core.factors.enable_email(ada.account)
    house.clock.move(1)
    await house.core.factors.disable_email(await house.core.accounts.named("ada"))
    assert [(one.kind, one.values["factor"]) for one in await house.letters() if one.kind.startswith("factor")] == [
        ("factor_added", "email"), ("factor_removed", "email"),
    ]  # fmt: skip


async def test_own_password_changes_are_told_where_the_address_was_proved_before(house: House) -> None:
    await house.ada()
    outcome = await sign_in(house, door="flashback")
    assert isinstance(outcome, SignedIn)
    by = await house.core.sessions.authenticate(house.core.doors["flashback"], outcome.token)
    await house.core.addresses.change_email(by.account, "thief@example.com", by=by, client=client())
    new = Password.from_plain("The thief's 1 battery")
    await house.core.accounts.change_password(by, Password.from_plain(PASSWORD), new, client())
    [letter] = await house.letters("password_changed")
    assert (letter.to, letter.values["address"]) == (EMAIL, HOME)


async def test_every_proved_address_is_told_and_a_claimed_one_only_for_want_of_another(house: House) -> None:
    ada = await house.ada()
    await house.core.addresses.change_email(ada.account, "new@example.com", state="verified")
    await house.core.factors.enable_totp(await house.core.accounts.named("ada"))
    assert {letter.to for letter in await house.letters("factor_added")} == {EMAIL, "new@example.com"}
    bob = await house.add(username="bob")
    await house.core.factors.enable_totp(bob.account)
    await house.core.addresses.change_email(bob.account, "bob@example.com")
    await house.core.factors.disable_totp(await house.core.accounts.named("bob"))
    assert [letter.to for letter in await house.letters("factor_removed")] == ["bob@example.com"]


# ---------------------------------------------------------------- lanes that close


@pytest.mark.slow
async def test_two_hundred_wrong_codes_send_one_letter_a_day(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    for day in range(2):
        for number in range(200):
            with pytest.raises((refusals.WrongCode, refusals.TooManyCodes)):
                await sign_in(house, stranger(number % 20), code=totp.wrong())
            if number % 20 == 19:
                house.clock.move(HOUR)
        assert len(await house.letters("codes_used_up")) == day + 1
        house.clock.move(14 * HOUR + 60)


async def test_a_known_networks_codes_are_opened_again_by_its_owner(house: House) -> None:
    totp = await house.enrol_totp(await house.ada())
    assert isinstance(await sign_in(house, code=totp.code()), SignedIn)
    for _ in range(10):
        await refused(house, HOME, refusals.WrongCode, code=totp.wrong())
    await refused(house, HOME, refusals.TooManyCodes, code=totp.code())
    assert isinstance(await sign_in(house, stranger(1), code=totp.code()), SignedIn), "only that lane closes"
    await house.core.recovery.use("open", await house.token("codes_used_up"), client())
    assert isinstance(await sign_in(house, code=totp.code()), SignedIn)
    assert len(await house.letters("codes_used_up")) == 1


async def test_the_strangers_lane_tells_its_owner_when_it_closes_and_once_a_day(house: House) -> None:
    await house.ada()
    await sign_in(house)
    for number in range(110):
        with pytest.raises((refusals.WrongPassword, refusals.AccountLocked)):
            await sign_in(house, stranger(number % 50), "not her password")
        house.clock.move(HOUR)
    assert await kinds(house) == ["lane_closed"]
    expired = await house.token("lane_closed")
    house.clock.move(DAY)
    for _ in range(3):
        await refused(house, "203.0.113.7", refusals.AccountLocked)
    assert await kinds(house) == ["lane_closed"] * 2
    with pytest.raises(refusals.TicketExpired):
        await house.core.recovery.use("open", expired, client("203.0.113.7"))
    await house.core.recovery.use("open", await house.token("lane_closed"), client("203.0.113.7"))
    assert isinstance(await sign_in(house, "203.0.113.7"), SignedIn)
    await refused(house, stranger(99), refusals.AccountLocked)


async def test_a_name_that_nobody_has_closes_without_a_letter(house: House) -> None:
    for number in range(101):
        with pytest.raises((refusals.WrongPassword, refusals.AccountLocked)):
            await sign_in(house, stranger(number % 50), "not her password")
        house.clock.move(HOUR)
    assert await house.letters() == []


# ---------------------------------------------------------------- what an operator switches off


async def provoke(house: House) -> None:
    """Do what tells of a new network, a factor, a password and an address."""
    ada = await house.ada()
    await sign_in(house)
    await sign_in(house, stranger(1))
    await house.enrol_totp(ada)
    await house.core.accounts.set_password(ada.account, Password.from_plain("another battery"), allow_weak=True)
    await house.core.addresses.change_email(ada.account, "new@example.com", state="vouched")


@pytest.mark.parametrize("off", ["new_network", "factor_added", "password_set", "address_changed"])
async def test_each_kind_is_switched_off_by_itself(tmp_path: Path, off: str) -> None:
    async with open_house(tmp_path, mail__notices_off=[off]) as house:
        await provoke(house)
        every = ["address_changed", "factor_added", "new_network", "password_set"]
        assert await kinds(house) == [kind for kind in every if kind != off]


async def test_without_a_mailer_nothing_is_kept_to_be_sent(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        await provoke(house)
        ada = await house.core.accounts.named("ada")
        await house.core.addresses.change_email(ada, "unproved@example.com")
        assert await house.letters() == []
        # Nobody could prove it, so it does not lapse.
        house.clock.move(8 * DAY)
        await house.core.sweep()
        assert (
            await house.core.accounts.person(await house.core.accounts.named("ada"))
        ).email == "unproved@example.com"


def test_settings_name_the_notices_of_the_catalogue() -> None:
    assert NOTICES.keys() == NAMED
    assert A_DAY.keys() <= NOTICES.keys()
    with pytest.raises(BadSettings, match=r"mail\.notices_off: found 'reset', expected some of account_deactivated"):
        load(None, {"DRAGOMAN_MAIL_NOTICES_OFF": "new_network, reset"}, {})
