"""Another session like one's own: never more than it, through the gate alone (decisions 17, 18, 20)."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.core import refusals
from dragoman.core.doors import DAY
from dragoman.model import Caller, Password, SignedIn, Typed
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House, client

_EVENTS = Statement("select detail from event where kind = 'signed_in' and session = :id")
_PARENTS = Statement("select parent, ended_why from session where id = :id")


async def sign_in(house: House, door: str = "rocketchat") -> SignedIn:
    outcome = await house.core.signin.with_password(
        house.core.doors[door], Typed("username", "ada"), Password.from_plain(PASSWORD), client()
    )
    assert isinstance(outcome, SignedIn)
    return outcome


async def derived(house: House, from_: SignedIn) -> SignedIn:
    return await house.core.signin.derive(Caller(from_.session, from_.person.account), client("198.51.100.7", "other"))


async def test_a_copy_ends_when_its_model_would(any_house: House) -> None:
    await any_house.ada()
    first = await sign_in(any_house)
    any_house.clock.move(3 * DAY)
    second = await derived(any_house, first)
    old, new = first.session, second.session
    assert new.ends_at == old.ends_at == second.token_ends_at
    assert (new.methods, new.proved_at, new.door, new.kind) == (old.methods, old.proved_at, old.door, "client")
    assert (new.address, new.user_agent) == ("198.51.100.7", "other")
    caller = await any_house.core.sessions.authenticate(any_house.core.doors["rocketchat"], second.token)
    assert caller.session.id == new.id
    assert (await any_house.db.scan(_EVENTS, id=new.id))[0][0] == '{"proof":"password","policy":"derived"}'
    assert len(await any_house.sessions()) == 2


async def test_an_ended_session_has_no_copies(house: House) -> None:
    await house.ada()
    first = await sign_in(house)
    await house.core.sessions.sign_out(Caller(first.session, first.person.account), client())
    with pytest.raises(refusals.NotSignedIn):
        await derived(house, first)
    second = await sign_in(house)
    await house.core.life.suspend(first.person.account)
    with pytest.raises(refusals.NotSignedIn):
        await derived(house, second)
    assert await house.sessions() == []


async def test_a_child_is_replaced_since_a_parent_has_one(house: House) -> None:
    await house.ada()
    mobile = await sign_in(house, "pocketm8")
    assert mobile.child is not None
    new = await derived(house, mobile.child)
    assert (await house.db.scan(_PARENTS, id=new.session.id))[0] == (mobile.session.id, None)
    assert (await house.db.scan(_PARENTS, id=mobile.child.session.id))[0] == (mobile.session.id, "replaced")
    await house.core.sessions.sign_out(Caller(mobile.session, mobile.person.account), client())
    assert await house.sessions() == []


async def test_copies_count_against_the_cap(house: House) -> None:
    await house.ada()
    last = await sign_in(house)
    for _ in range(52):
        house.clock.move(1)  # the oldest end: which one that is, is not left to chance
        last = await derived(house, last)
    assert len(await house.sessions()) == 50


async def test_neither_keys_nor_other_forms_are_copied(house: House) -> None:
    await house.ada()
    probe, flash = await sign_in(house, "probe"), await sign_in(house, "flashback")
    form = house.core.doors["probe"].key
    assert probe.key is not None
    assert form is not None
    key = await house.core.sessions.authenticate(house.core.doors["probe"], probe.key, form)
    with pytest.raises(refusals.NotForKeys):
        await house.core.signin.derive(key, client())
    for signed_in in (probe, flash):
        with pytest.raises(refusals.NotOffered):
            await derived(house, signed_in)


async def test_a_copy_made_while_its_model_ends(house: House) -> None:
    """It was there to be ended, or it never was, or it came after."""
    await house.ada()
    first = await sign_in(house)
    caller = Caller(first.session, first.person.account)
    made, _ = await asyncio.gather(
        derived(house, first), house.core.sessions.end_clients(caller, client()), return_exceptions=True
    )
    live = len(await house.sessions())
    assert live == 0 if isinstance(made, refusals.NotSignedIn) else live in (0, 1)
