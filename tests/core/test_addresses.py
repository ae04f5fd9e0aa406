"""Changing e-mail address and phone, and taking it back (decisions 6 and 15; threats 11, 12, 30)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman.core import refusals
from dragoman.model import Caller, Password, Person, SignedIn, Typed
from kit.clock import MovableClock
from kit.house import PASSWORD, House, client, fast_settings, house_over, sqlite_copy

pytestmark = pytest.mark.slow

DAY = 24 * 60 * 60
OLD, NEW, OTHER = "ada@example.com", "new@example.com", "other@example.com"
Shown = list[tuple[str, str, bool]]


@pytest.fixture
def house(any_house: House) -> House:
    return any_house


async def sign_in(house: House, email: str = OLD, door: str = "flashback") -> SignedIn:
    outcome = await house.core.signin.with_password(
        house.core.doors[door], Typed("email", email), Password.from_plain(PASSWORD), client()
    )
    assert isinstance(outcome, SignedIn)
    return outcome


async def caller(house: House, email: str = OLD) -> Caller:
    """Sign somebody in and return who calls."""
    outcome = await sign_in(house, email)
    return await house.core.sessions.authenticate(house.core.doors["flashback"], outcome.token)


async def change(house: House, new: str, *, minutes: int = 2) -> Person:
    """Let Ada change her address from a fresh session. Time passes before: no two changes in the same moment."""
    house.clock.move(minutes * 60)
    by = await caller(house)
    return await house.core.addresses.change_email(by.account, new, by=by, client=client())


async def held(house: House, kind: str = "email") -> Shown:
    """Return Ada's addresses: each with its state and whether it is primary."""
    ada = await house.core.accounts.named("username:ada")
    return [(one.shown, one.state, one.primary) for one in await house.core.addresses.held(ada) if one.kind == kind]


async def links(house: House, kind: str, to: str) -> list[str]:
    """Return the tokens mailed to an address in letters of a kind, oldest first."""
    return [
        letter.values["link"].rpartition("/")[2] for letter in await house.letters(kind) if letter.to == to
    ]  # fmt: skip


async def use(house: House, purpose: str, token: str) -> Person:
    return await house.core.recovery.use(purpose, token, client())  # type: ignore[arg-type]


async def verify(house: House, address: str) -> None:
    await use(house, "verify", (await links(house, "verify", address))[-1])


async def test_a_change_counts_at_once_and_tells_both_addresses(house: House) -> None:
    await house.ada()
    elsewhere = await sign_in(house, door="probe")
    assert elsewhere.key is not None
    by = await caller(house)
    person = await house.core.addresses.change_email(by.account, NEW, by=by, client=client())
    assert person.email == NEW
    assert await held(house) == [(NEW, "claimed", True), (OLD, "verified", False)]
    [notice] = await house.letters("address_changed")
    assert (notice.to, notice.values["old"], notice.values["new"], notice.values["days"]) == (OLD, OLD, NEW, "7")
    assert [letter.to for letter in await house.letters("verify")] == [NEW]
    # The client that changed it stays, the others end, keys stay (table C).
    assert {(door, kind) for door, kind, _ in await house.sessions()} == {("probe", "key"), ("flashback", "client")}
    assert await sign_in(house, NEW)
    assert await sign_in(house, OLD)


async def test_what_nobody_proves_lapses_and_the_one_before_is_back(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    house.clock.move(7 * DAY - 60)
    await house.core.sweep()
    assert len(await held(house)) == 2
    house.clock.move(120)
    await house.core.sweep()
    assert await held(house) == [(OLD, "verified", True)]
    house.clock.move(90 * DAY)
    await house.core.sweep()
    assert await held(house) == [(OLD, "verified", True)]


async def test_a_proved_change_lets_the_one_before_go_after_a_week(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    house.clock.move(DAY / 2)
    await verify(house, NEW)
    house.clock.move(7 * DAY - 60)
    await house.core.sweep()
    assert await held(house) == [(NEW, "verified", True), (OLD, "verified", False)]
    house.clock.move(120)
    await house.core.sweep()
    assert await held(house) == [(NEW, "verified", True)]
    [undo] = await links(house, "address_changed", OLD)
    with pytest.raises(refusals.BadTicket):
        await use(house, "undo", undo)


@pytest.mark.parametrize("proved", [False, True])
async def test_the_one_before_undoes_a_change_for_a_week(house: House, proved: bool) -> None:
    await house.ada()
    await change(house, NEW)
    if proved:
        await verify(house, NEW)
        await house.core.recovery.request_reset("flashback", NEW, client("203.0.113.5"))
    house.clock.move(6 * DAY)
    await sign_in(house, NEW)
    [undo] = await links(house, "address_changed", OLD)
    assert (await use(house, "undo", undo)).email == OLD
    assert await held(house) == [(OLD, "verified", True)]
    assert [kind for _, kind, _ in await house.sessions()] == []
    for token in await links(house, "reset", NEW):
        with pytest.raises(refusals.BadTicket):
            await house.core.recovery.use("reset", token, client(), password=Password.from_plain("thief's own word"))
    await house.core.sweep()
    assert await held(house) == [(OLD, "verified", True)]


async def test_a_thief_who_changes_it_again_neither_shortens_nor_voids_the_first_ones_way_back(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    await verify(house, NEW)
    house.clock.move(6 * DAY)
    await change(house, OTHER)
    assert {letter.to for letter in (await house.letters("address_changed"))[-2:]} == {NEW, OLD}
    await verify(house, OTHER)
    house.clock.move(6 * DAY)
    await house.core.sweep()
    # The thief goes back to the address in between; that link must not take the owner's away.
    assert (await use(house, "undo", (await links(house, "address_changed", NEW))[-1])).email == NEW
    assert (await use(house, "undo", (await links(house, "address_changed", OLD))[-1])).email == OLD
    assert await held(house) == [(OLD, "verified", True)]
    with pytest.raises(refusals.BadTicket):
        await use(house, "undo", (await links(house, "address_changed", NEW))[-1])


async def test_a_lapsed_second_change_brings_the_last_proved_one_back(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    await verify(house, NEW)
    house.clock.move(DAY)
    await change(house, OTHER)
    assert await held(house) == [(OTHER, "claimed", True), (OLD, "verified", False), (NEW, "verified", False)]
    house.clock.move(7 * DAY + 60)
    await house.core.sweep()
    assert await held(house) == [(NEW, "verified", True), (OLD, "verified", False)]
    house.clock.move(7 * DAY)
    await house.core.sweep()
    assert await held(house) == [(NEW, "verified", True)]


async def test_an_address_that_was_merely_claimed_is_replaced_without_further_ado(house: House) -> None:
    await house.ada()
    await change(house, "typo@example.com")
    await change(house, NEW)
    assert await held(house) == [(NEW, "claimed", True), (OLD, "verified", False)]
    [first] = await links(house, "verify", "typo@example.com")
    with pytest.raises(refusals.BadTicket):
        await use(house, "verify", first)
    assert {letter.to for letter in await house.letters("address_changed")} == {OLD}


async def test_the_owner_goes_back_without_proving_anything_again(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    await change(house, OLD)
    assert await held(house) == [(OLD, "verified", True)]
    assert len(await house.letters("verify")) == 1


async def test_a_reset_by_the_one_before_takes_an_unproved_change_back(house: House) -> None:
    await house.ada()
    await change(house, NEW)
    await house.core.recovery.request_reset("flashback", OLD, client())
    token = await house.token("reset")
    await house.core.recovery.use("reset", token, client(), password=Password.from_plain("a new battery staple"))
    assert await held(house) == [(OLD, "verified", True)]


async def test_another_spelling_is_the_same_address(house: House) -> None:
    await house.ada()
    house.clock.move(60)
    assert (await change(house, "Ada@EXAMPLE.com")).email == "Ada@EXAMPLE.com"
    assert await held(house) == [("Ada@EXAMPLE.com", "verified", True)]
    assert await house.letters("address_changed") == await house.letters("verify") == []


async def test_an_address_of_another_account_is_taken_and_yields_to_a_proof_alone(house: House) -> None:
    ada, bob = await house.ada(), await house.add(email="bob@example.com", username="bob")
    with pytest.raises(refusals.IdentifierTaken):
        await change(house, "BOB@example.com")
    with pytest.raises(refusals.IdentifierTaken):
        await house.core.addresses.change_email(ada.account, "bob@example.com", state="verified")
    await house.core.addresses.change_email(bob.account, "claimed@example.com")
    house.clock.move(61)
    with pytest.raises(refusals.IdentifierTaken):
        await change(house, "claimed@example.com")
    taken = await house.core.addresses.change_email(ada.account, "claimed@example.com", state="verified")
    assert taken.email == "claimed@example.com"
    bob = await house.core.accounts.person(await house.core.accounts.named("username:bob"))
    assert [(one.shown, one.primary) for one in bob.emails] == [("bob@example.com", True)]


async def test_five_changes_a_day_and_three_proved_addresses(house: House) -> None:
    await house.ada()
    for n in range(5):
        await change(house, f"n{n}@example.com")
    with pytest.raises(refusals.TooSoon):
        await change(house, NEW)
    house.clock.move(DAY)
    for address in (NEW, OTHER):
        await change(house, address)
        await verify(house, address)
    with pytest.raises(refusals.TooSoon) as refused:
        await change(house, "third@example.com")
    house.clock.move(refused.value.retry_after + 7 * DAY)
    await house.core.sweep()
    await change(house, "third@example.com")
    assert len(await house.letters("address_changed")) == 5 + 1 + 2 + 2


async def test_a_change_needs_a_fresh_proof_and_no_key(house: House) -> None:
    await house.ada()
    by = await caller(house)
    house.clock.move(11 * 60)
    with pytest.raises(refusals.FreshProofRequired):
        await house.core.addresses.change_email(by.account, NEW, by=by, client=client())
    with pytest.raises(refusals.FreshProofRequired):
        await house.core.addresses.change_phone(by.account, "+14155550100", by=by, client=client())
    await house.core.signin.confirm(by, Password.from_plain(PASSWORD), client())
    assert await house.core.addresses.change_phone(by.account, "+14155550100", by=by, client=client())
    probe = house.core.doors["probe"]
    key = (await sign_in(house, door="probe")).key or ""
    with_key = await house.core.sessions.authenticate(probe, key, probe.key)
    with pytest.raises(refusals.NotForKeys):
        await house.core.addresses.change_email(by.account, NEW, by=with_key, client=client())
    await house.core.sessions.sign_out(by, client())
    with pytest.raises(refusals.NotSignedIn):
        await house.core.addresses.change_email(by.account, NEW, by=by, client=client())


@pytest.mark.parametrize(("rank", "may"), [(253, False), (254, True)])
async def test_others_addresses_are_changed_from_rank_254(house: House, rank: int, may: bool) -> None:
    ada = await house.ada()
    await house.add(email="bob@example.com", username="bob", verified=True, rank=rank)
    by = await caller(house, "bob@example.com")
    if not may:
        with pytest.raises(refusals.NotAllowed):
            await house.core.addresses.change_email(ada.account, NEW, by=by, client=client())
        return
    await house.core.addresses.change_email(ada.account, NEW, by=by, client=client())
    assert [letter.to for letter in await house.letters("address_changed")] == [OLD]


async def test_a_phone_number_comes_and_goes_and_comes_back(house: House) -> None:
    await house.ada(phone="+14155550100")
    by = await caller(house)
    for number in ("+14155550101", "+1 415 555 0102"):
        house.clock.move(60)
        person = await house.core.addresses.change_phone(by.account, number, by=by, client=client())
    assert person.phone == "+14155550102"
    assert await held(house, "phone") == [("+14155550102", "claimed", True), ("+14155550100", "verified", False)]
    assert len(await house.sessions()) == 1, "sessions stay (table C)"
    house.clock.move(60)
    person = await house.core.addresses.remove_phone(by.account, by=by, client=client())
    assert person.phone is None
    assert [letter.to for letter in await house.letters("phone_changed")] == [OLD, OLD, OLD]
    assert (await house.letters("phone_changed"))[-1].values["new"] == ""
    assert (await use(house, "undo", (await links(house, "phone_changed", OLD))[-1])).phone == "+14155550100"
    assert len(await house.sessions()) == 1
    await house.core.addresses.remove_phone(by.account, by=by, client=client())
    house.clock.move(7 * DAY + 60)
    await house.core.sweep()
    assert await held(house, "phone") == []


async def test_a_first_phone_number_is_told_and_undone(house: House) -> None:
    await house.ada()
    by = await caller(house)
    assert await house.core.addresses.remove_phone(by.account, by=by, client=client())
    assert await house.letters() == []
    await house.core.addresses.change_phone(by.account, "+14155550100", by=by, client=client())
    [letter] = await house.letters("phone_changed")
    assert (letter.to, letter.values["old"], letter.values["new"]) == (OLD, "", "+14155550100")
    assert (await use(house, "undo", await house.token("phone_changed"))).phone is None


async def test_whoever_merely_claims_an_address_is_told_and_has_nothing_to_undo(house: House) -> None:
    bob = await house.add(username="bob")
    await house.core.addresses.change_email(bob.account, "bob@example.com")
    with pytest.raises(refusals.VerificationRequired):
        await house.core.addresses.change_phone(bob.account, "+14155550100")
    await house.core.addresses.change_phone(bob.account, "+14155550100", state="vouched")
    [letter] = await house.letters("phone_changed")
    assert (letter.to, letter.values["link"]) == ("bob@example.com", "")
    # It has nothing to go back to and does not lapse.
    house.clock.move(8 * DAY)
    await house.core.sweep()
    assert (await house.core.accounts.person(await house.core.accounts.named("bob"))).email == "bob@example.com"


async def test_an_operator_vouches_for_what_was_claimed(house: House) -> None:
    ada = await house.ada()
    await change(house, NEW)
    await house.core.addresses.change_email(ada.account, NEW, state="vouched")
    assert await held(house) == [(NEW, "vouched", True), (OLD, "verified", False)]
    house.clock.move(7 * DAY + 60)
    await house.core.sweep()
    assert await held(house) == [(NEW, "vouched", True)]


async def test_bad_addresses_are_refused_before_anything(house: House) -> None:
    ada = await house.ada()
    for bad in ("", "no at", "a@b@c", "a\n@example.com", "x" * 250 + "@example.com"):
        with pytest.raises(refusals.BadIdentifier):
            await house.core.addresses.change_email(ada.account, bad)
    with pytest.raises(refusals.BadIdentifier):
        await house.core.addresses.change_phone(ada.account, "12")
    assert await house.letters() == []
    assert re.fullmatch("[^@]+@example.com", (await held(house))[0][0])


class _Ticking(MovableClock):
    """Every look at it finds a later millisecond, as on a slow machine."""

    def now(self) -> int:
        self.move(0.001)
        return super().now()


async def test_a_change_is_undone_however_long_it_took(tmp_path: Path) -> None:
    async with sqlite_copy(tmp_path) as db, house_over(db, fast_settings(tmp_path), tmp_path, _Ticking()) as house:
        ada = await house.ada()
        await house.core.addresses.change_email(ada.account, NEW)
        await house.core.addresses.change_phone(ada.account, "+14155550100")
        for kind in ("phone_changed", "address_changed"):
            await use(house, "undo", await house.token(kind))
        assert await held(house) == [(OLD, "verified", True)]
        assert await held(house, "phone") == []
