"""Mailed links: asked for, used once, bound to purpose and account (decisions 5, 6, 15, 44; threats 15 and 36)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from msgspec import json

from dragoman.core import refusals
from dragoman.core.accounts import NewAccount
from dragoman.core.recovery import Changed
from dragoman.core.tickets import LIVES, Purpose
from dragoman.model import Identifier, Password, Pending, Person, SignedIn, Typed
from dragoman.settings import with_values
from dragoman.storage import accounts, credentials, identifiers
from dragoman.storage.engine import Statement, Tx
from kit.house import PASSWORD, House, client, house_over

NEW = Password.from_plain("A quite different battery 7")
PURPOSES: tuple[Purpose, ...] = ("reset", "verify", "invite", "undo", "open")
_FACTORS = Statement("select kind from credential where account = :account order by kind")


@pytest.fixture
def house(any_house: House) -> House:
    return any_house


async def sign_in(house: House, password: str = PASSWORD, door: str = "flashback", **wanted: str) -> SignedIn | Pending:
    """Sign Ada in at a door."""
    return await house.core.signin.with_password(
        house.core.doors[door], Typed("email", "ada@example.com"), Password.from_plain(password), client(), **wanted
    )  # fmt: skip


async def ticket(house: House, purpose: Purpose, person: Person, about: str = "ada@example.com") -> str:
    """Return the token of a ticket that was put as a mail would have it."""
    draft = house.core.recovery._t.tickets.draft(purpose, person.account.id, about=about)

    async def fn(tx: Tx) -> None:
        await house.core.recovery._t.tickets.put(tx, draft)

    await house.db.transaction(fn)
    return draft.token


async def test_a_reset_sets_the_password_and_ends_everything_but_the_factor(house: House) -> None:
    ada = await house.ada()
    app = await house.enrol_totp(ada)
    pending = await sign_in(house)
    assert isinstance(pending, Pending)
    await house.core.signin.with_code(house.core.doors["flashback"], pending.attempt or "", app.code(), client())
    await house.core.recovery.request_reset("pages", " ADA@example.com", client())
    [letter] = await house.letters("reset")
    assert (letter.to, letter.values["hours"], letter.values["name"]) == ("ada@example.com", "1", "Ada Example")
    token = await house.token("reset")
    assert (await house.core.recovery.check("reset", token)).account.id == ada.account.id
    await house.core.recovery.use("reset", token, client(), password=NEW)
    assert await house.sessions() == []
    with pytest.raises(refusals.WrongPassword):
        await sign_in(house)
    assert isinstance(await sign_in(house, "A quite different battery 7"), Pending)
    assert [kind for (kind,) in await house.db.all(_FACTORS, account=ada.account.id)] == ["password", "totp"]
    assert len(await house.letters("password_reset")) == 1


async def test_a_link_is_good_once_and_for_its_purpose_alone(house: House) -> None:
    ada = await house.ada(verified=False)
    tokens = {purpose: await ticket(house, purpose, ada) for purpose in PURPOSES}
    for made, token in tokens.items():
        for purpose in PURPOSES:
            if purpose != made:
                with pytest.raises(refusals.BadTicket) as refused:
                    await house.core.recovery.use(purpose, token, client(), password=NEW)
                assert type(refused.value) is refusals.BadTicket
    await house.core.recovery.use("verify", tokens["verify"], client())
    for odd in (tokens["verify"], "", "x" * 43, tokens["reset"][:-1], tokens["reset"] + "A", "\ud800", "ß" * 43):
        with pytest.raises(refusals.BadTicket):
            await house.core.recovery.use("verify", odd, client())


async def test_a_link_runs_out(house: House) -> None:
    ada = await house.ada()
    for purpose in ("reset", "verify", "open"):
        token = await ticket(house, purpose, ada)
        house.clock.move(LIVES[purpose] / 1000 - 1)
        assert (await house.core.recovery.check(purpose, token)).account.id == ada.account.id
        house.clock.move(2)
        with pytest.raises(refusals.TicketExpired):
            await house.core.recovery.use(purpose, token, client(), password=NEW)


async def test_a_weak_password_does_not_use_the_link_up(house: House) -> None:
    ada = await house.ada()
    token = await ticket(house, "reset", ada)
    for weak, reason in (("short", "too_short"), ("password123", "common"), ("x" * 257, "too_long")):
        with pytest.raises(refusals.WeakPassword) as refused:
            await house.core.recovery.use("reset", token, client(), password=Password.from_plain(weak))
        assert refused.value.reason == reason
    with pytest.raises(refusals.PasswordNeeded):
        await house.core.recovery.use("reset", token, client())
    await house.core.recovery.use("reset", token, client(), password=NEW)


async def test_three_links_are_live_and_one_used_voids_the_others(house: House) -> None:
    ada = await house.ada()
    tokens = []
    for _ in range(4):
        tokens.append(await ticket(house, "reset", ada))
        house.clock.move(1)
    with pytest.raises(refusals.BadTicket):
        await house.core.recovery.check("reset", tokens[0])
    await house.core.recovery.use("reset", tokens[2], client(), password=NEW)
    for token in tokens:
        with pytest.raises(refusals.BadTicket):
            await house.core.recovery.use("reset", token, client(), password=NEW)


async def test_asking_is_alike_for_everybody(house: House) -> None:
    """No mail for the unknown, the suspended, a claimed address beside a proved one; the same answer and slot."""
    await house.ada()
    bob = await house.add(email="bob@example.com", username="bob")
    await house.core.life.set_status(bob.account, "suspended")
    took = []
    for n, address in enumerate(
        ("nobody@example.com", "bob@example.com", "@", "", "ada\u0000@example.com", "ada@example.com")
    ):
        began = time.monotonic()
        await house.core.recovery.request_reset("pages", address, client(f"198.51.100.{n}"))
        took.append(time.monotonic() - began)
    assert [letter.to for letter in await house.letters()] == ["ada@example.com"]
    assert min(took) >= 0.05
    asked = [event for event in await house.core.newest_events(50) if event.kind == "link_asked_for"]
    assert len(asked) == 6


async def test_the_sending_budget_holds_for_unknown_addresses_too(house: House) -> None:
    await house.ada()
    for n in range(6):
        await house.core.recovery.request_reset("pages", "ada@example.com", client(f"198.51.100.{n}"))
        house.clock.move(61)
    assert len(await house.letters("reset")) == 3
    for n in range(25):
        await house.core.recovery.request_reset("pages", f"nobody{n}@example.com", client("203.0.113.5"))
    await house.core.recovery.request_reset("pages", "root@example.com", client("203.0.113.5"))
    assert len(await house.letters("reset")) == 3


async def test_a_claimed_address_is_written_to_only_while_there_is_no_other(house: House) -> None:
    ada = await house.ada()
    new = Identifier("email", "new@example.com", "claimed", False)

    async def claim(tx: Tx) -> None:
        await accounts.insert_identifier(tx, ada.account.id, new, new.shown, 1)

    await house.db.transaction(claim)
    await house.core.recovery.request_reset("pages", "new@example.com", client())
    assert await house.letters() == []


async def test_a_change_is_undone_with_all_that_came_after_it(house: House) -> None:
    ada = await house.ada()
    about = json.encode(Changed("email", "ada@example.com", "thief@example.com")).decode()
    undo = await ticket(house, "undo", ada, about)

    async def change(tx: Tx) -> None:
        for n, address in enumerate(("thief@example.com", "other@example.com")):
            await accounts.insert_identifier(
                tx, ada.account.id, Identifier("email", address, "claimed", False), address, house.clock.now() + n
            )
        await identifiers.make_primary(tx, ada.account.id, "email", "other@example.com")
        await identifiers.verify(tx, ada.account.id, "email", "other@example.com", 5)

    await house.db.transaction(change)
    await sign_in(house)
    later = await ticket(house, "reset", ada, "other@example.com")
    person = await house.core.recovery.use("undo", undo, client())
    assert [(one.shown, one.primary, one.state) for one in person.emails] == [("ada@example.com", True, "verified")]
    assert await house.sessions() == []
    with pytest.raises(refusals.BadTicket):
        await house.core.recovery.use("reset", later, client(), password=NEW)


async def test_an_invitation_brings_a_password_and_the_account_to_life(house: House) -> None:
    bob = await house.core.accounts.add(NewAccount(email="bob@example.com", status="invited"), None)
    named = await house.core.recovery.invite(bob.account, by="Ada Example")
    assert (await house.letters("invite"))[0].values["by"] == "Ada Example"
    first = await house.token("invite")
    with pytest.raises(refusals.TooSoon):
        await house.core.recovery.resend(house.core.doors["flashback"], bytes.fromhex(named.replace("-", "")), client())
    house.clock.move(61)
    await house.core.recovery.resend(house.core.doors["flashback"], bytes.fromhex(named.replace("-", "")), client())
    with pytest.raises(refusals.BadTicket):
        await house.core.recovery.check("invite", first)
    token = await house.token("invite")
    with pytest.raises(refusals.PasswordNeeded):
        await house.core.recovery.use("invite", token, client())
    signed_in = await house.core.signin.with_ticket(
        house.core.doors["flashback"], "invite", token, client(), password=NEW
    )
    assert isinstance(signed_in, SignedIn)
    assert (signed_in.session.methods, signed_in.person.account.status) == ("mail", "active")
    assert signed_in.person.emails[0].state == "verified"


async def test_a_link_stands_for_the_password_never_for_the_second_factor(house: House) -> None:
    ada = await house.ada(verified=False)
    app = await house.enrol_totp(ada)
    door = house.core.doors["flashback"]
    token = await ticket(house, "verify", ada)
    pending = await house.core.signin.with_ticket(door, "verify", token, client())
    assert isinstance(pending, Pending)
    assert await house.sessions() == []
    done = await house.core.signin.with_code(door, pending.attempt or "", app.code(), client())
    assert done.session.methods == "mail,totp"
    assert done.person.emails[0].state == "verified"


async def test_a_link_pauses_for_an_account_without_password_too(house: House) -> None:
    bob = await house.add(None, email="bob@example.com", username="bob")
    app = await house.enrol_totp(bob)
    door = house.core.doors["pocketm8"]
    pending = await house.core.signin.with_ticket(
        door, "verify", await ticket(house, "verify", bob, "bob@example.com"), client()
    )
    assert isinstance(pending, Pending)
    done = await house.core.signin.with_code(door, pending.attempt or "", app.code(), client())
    assert done.session.methods == "mail,totp"


async def test_own_password_change(house: House) -> None:
    await house.ada()
    here, there = await sign_in(house), await sign_in(house, door="probe")
    assert isinstance(here, SignedIn)
    assert isinstance(there, SignedIn)
    caller = await house.core.sessions.authenticate(house.core.doors["flashback"], here.token)
    change = house.core.accounts.change_password
    old = Password.from_plain(PASSWORD)
    with pytest.raises(refusals.SamePassword):
        await change(caller, old, old, client())
    with pytest.raises(refusals.WeakPassword):
        await change(caller, old, Password.from_plain("Example123"), client())
    await change(caller, old, NEW, client())
    left = sorted((door, kind) for door, kind, _ in await house.sessions())
    assert left == [("flashback", "client"), ("probe", "key")]
    assert len(await house.letters("password_changed")) == 1
    assert isinstance(await sign_in(house, "A quite different battery 7"), SignedIn)


async def test_five_misses_within_a_session_end_it(house: House) -> None:
    ada = await house.ada()
    here = await sign_in(house)
    assert isinstance(here, SignedIn)
    caller = await house.core.sessions.authenticate(house.core.doors["flashback"], here.token)
    for _ in range(5):
        assert len(await house.sessions()) == 1
        before = house.hash_evaluations()
        with pytest.raises(refusals.WrongPassword):
            await house.core.signin.confirm(caller, Password.from_plain("not it"), client())
        assert house.hash_evaluations() == before + 1
    assert await house.sessions() == []
    assert (await credentials.find(house.db, ada.account.id, "password")) is not None


async def test_confirming_makes_the_proof_fresh(house: House) -> None:
    await house.ada()
    here = await sign_in(house)
    assert isinstance(here, SignedIn)
    door = house.core.doors["flashback"]
    caller = await house.core.sessions.authenticate(door, here.token)
    house.clock.move(1200)
    await house.core.signin.confirm(caller, Password.from_plain(PASSWORD), client())
    again = await house.core.sessions.authenticate(door, here.token)
    assert again.session.proved_at == house.clock.now()


async def test_of_two_only_one_uses_a_link(house: House) -> None:
    ada = await house.ada()
    token = await ticket(house, "reset", ada)
    other = Password.from_plain("another different battery")
    outcomes = await asyncio.gather(
        house.core.recovery.use("reset", token, client(), password=NEW),
        house.core.recovery.use("reset", token, client(), password=other),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["BadTicket", "Person"]


async def test_opening_makes_the_owners_network_known(house: House) -> None:
    ada = await house.ada()
    for n in range(30):
        with pytest.raises((refusals.WrongPassword, refusals.AccountLocked)):
            await house.core.signin.with_password(
                house.core.doors["probe"], Typed("email", "ada@example.com"), NEW, client(f"198.51.100.{n}")
            )
    with pytest.raises(refusals.AccountLocked):
        await sign_in(house)
    await house.core.recovery.use("open", await ticket(house, "open", ada), client())
    assert isinstance(await sign_in(house), SignedIn)


async def test_nothing_is_mailed_where_no_mail_is_sent(house: House, tmp_path: Path) -> None:
    await house.ada()
    silent = with_values(house.settings, {"mail.transport": "off"})
    async with house_over(house.db, silent, tmp_path, house.clock) as other:
        with pytest.raises(refusals.NotOffered):
            await other.core.recovery.request_reset("pages", "ada@example.com", client())


async def test_resets_by_mail_stop_when_they_are_switched_off(house: House) -> None:
    await house.ada()
    await house.core.recovery.request_reset("pages", "ada@example.com", client())
    await house.core.settings.set("accounts.password_reset", False, None)
    with pytest.raises(refusals.NotOffered):
        await house.core.recovery.request_reset("pages", "ada@example.com", client())
