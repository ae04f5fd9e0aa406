"""Who may see and manage whom (decisions 11 and 12, threats 29 and 30)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from dragoman.core import ports, refusals
from dragoman.core.organizations import DEEPEST, ancestors, may_manage, may_parent, may_see
from dragoman.dialects.flashback import DIALECT
from dragoman.model import Account, Caller, Id, Password, SignedIn, Typed
from dragoman.storage import accounts
from dragoman.storage.engine import Statement, Tx
from kit.house import PASSWORD, House, client

RANKS = (0, 1, 2, 254, 255)


@dataclass
class Organization:
    """Another organization with people of every rank."""

    id: Id
    people: dict[int, Account]


async def organization(house: House, name: str) -> Organization:
    """Make an organization with one person of each rank."""
    id = ports.new_id(house.core.clock, house.core.random)
    now = house.clock.now()
    await house.db.transaction(lambda tx: accounts.insert_organization(tx, id, name, now, business=True, default=False))
    people = {}
    for rank in RANKS:
        person = await house.add(email=f"r{rank}@{name}.example.com", organization=id, rank=rank, verified=True)
        people[rank] = person.account
    return Organization(id, people)


async def test_every_pair_of_ranks(house: House) -> None:
    ours, theirs = await organization(house, "ours"), await organization(house, "theirs")
    for caller_rank, caller in ours.people.items():
        for target_rank, target in ours.people.items():
            assert may_see(caller, target)
            wanted = caller_rank >= 2 and caller_rank > target_rank
            assert await may_manage(house.db, caller, target) == wanted, (caller_rank, target_rank)
        for target in theirs.people.values():
            assert not may_see(caller, target)
            assert not await may_manage(house.db, caller, target)


async def test_an_administrator_manages_all_and_is_managed_by_administrators_alone(house: House) -> None:
    ours = await organization(house, "ours")
    root = await house.core.accounts.named("root")
    owner = await house.add(email="owner@example.com", rank=255)
    assert all([await may_manage(house.db, root, target) for target in ours.people.values()])
    assert not await may_manage(house.db, owner.account, root)
    assert await may_manage(house.db, root, root)


async def test_an_ancestor_manages_descendants_of_its_own_organization(house: House) -> None:
    ada = (await house.ada()).account
    child = (await house.add(email="child@example.com", parent=ada.id)).account
    grandchild = (await house.add(email="grandchild@example.com", parent=child.id)).account
    assert await may_manage(house.db, ada, grandchild)
    assert not await may_manage(house.db, grandchild, ada)
    assert not await may_manage(house.db, child, ada)


async def test_a_parent_acts_on_those_below_and_a_rank_makes_no_parent(house: House) -> None:
    ada = (await house.ada()).account
    child = (await house.add(email="child@example.com", parent=ada.id, rank=254)).account
    grandchild = (await house.add(email="grandchild@example.com", parent=child.id)).account
    sibling = (await house.add(email="sibling@example.com", parent=ada.id)).account
    owner = (await house.add(email="owner@example.com", rank=255)).account
    root = await house.core.accounts.named("root")
    promoted = (await house.add(email="promoted@example.com", parent=ada.id, administrator=True)).account
    elsewhere = await house.core.accounts.organization("Elsewhere")
    moved = replace(grandchild, organization=elsewhere)
    allowed = {
        (caller.id, target.id)
        for caller in (ada, child, grandchild, sibling, owner)
        for target in (ada, child, grandchild, sibling, owner, root, promoted)
        if await may_parent(house.db, caller, target)
    }
    assert allowed == {
        (ada.id, child.id), (ada.id, grandchild.id), (ada.id, sibling.id), (child.id, grandchild.id)
    }  # fmt: skip
    assert await may_manage(house.db, child, ada), "as a manager he may, elsewhere"
    assert all([await may_parent(house.db, root, each) for each in (ada, owner, promoted, moved)])
    assert not await may_parent(house.db, ada, moved)


async def test_ancestors_nearest_first_and_no_further_than_the_deepest(house: House) -> None:
    """A circle cannot be made; if there were one, walking it would end."""
    line = [(await house.ada()).account]
    for number in range(DEEPEST + 2):
        line.append((await house.add(email=f"deep{number}@example.com", parent=line[-1].id)).account)
    assert [each.id for each in await ancestors(house.db, line[2])] == [line[1].id, line[0].id]
    assert len(await ancestors(house.db, line[-1])) == DEEPEST
    assert not await may_parent(house.db, line[0], line[-1])
    circle = Statement("update account set parent = :parent where id = :id")

    async def fn(tx: Tx) -> None:
        await tx.run(circle, id=line[0].id, parent=line[1].id)

    await house.db.transaction(fn)
    assert len(await ancestors(house.db, await house.core.accounts.by_id(line[1].id))) == DEEPEST
    assert not await may_parent(house.db, line[2], line[0])


async def signed_in(house: House, email: str) -> Caller:
    """Sign in at Flashback's door, which admits every organization."""
    door = DIALECT.door
    assert door is not None
    outcome = await house.core.signin.with_password(
        door, Typed("email", email), Password.from_plain(PASSWORD), client()
    )
    assert isinstance(outcome, SignedIn)
    return await house.core.sessions.authenticate(door, outcome.token)


async def test_a_manager_ends_a_session_and_nobody_else_can(house: House) -> None:
    await organization(house, "ours")
    await organization(house, "theirs")
    target = await signed_in(house, "r1@ours.example.com")
    for stranger in ("r255@theirs.example.com", "r0@ours.example.com", "r1@theirs.example.com"):
        caller = await signed_in(house, stranger)
        with pytest.raises(refusals.NotFound):
            await house.core.sessions.end_one(caller, target.session.id, client())
    manager = await signed_in(house, "r2@ours.example.com")
    await house.core.sessions.end_one(manager, target.session.id, client())
    with pytest.raises(refusals.NotFound):
        await house.core.sessions.end_one(manager, target.session.id, client())
