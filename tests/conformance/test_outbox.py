"""The outbox on both engines: who has a letter, what becomes of it, and what is written down about it."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from dragoman.core.outbox import MOST_TRIES, Leased
from dragoman.core.ports import DeliveryFailed, Refused, Unreachable
from dragoman.model import Person
from dragoman.storage import outbox as stored
from dragoman.storage.engine import Statement, Tx
from kit.house import House
from kit.mailing import put, put_many

pytestmark = pytest.mark.slow

LEASE = 60.0
DAY = 24 * 3600
_SPOIL = Statement("update outbox set sealed = :sealed where id = :id")
_ERASE = Statement("delete from account where id = :id")
LINK = "https://id.example.com/reset-password/abcdefghijklmnopqrstuvwxyz"


async def written(house: House) -> list[tuple[str, dict[str, str]]]:
    """Return what the audit trail says of letters, oldest first."""
    lines = await house.core.newest_events(1000)
    return [(line.kind, line.detail) for line in reversed(lines) if line.kind.startswith("message_")]


async def only(house: House, seconds: float = LEASE) -> Leased:
    """Lease the one letter that is due."""
    (leased,) = await house.core.outbox.lease(20, seconds)
    return leased


def until(house: House, at: int) -> None:
    """Move the clock to this millisecond."""
    house.clock.move((at - house.clock.now() + 0.5) / 1000)


async def spoil(house: House, id: bytes, sealed: bytes) -> None:
    async def fn(tx: Tx) -> None:
        await tx.run(_SPOIL, id=id, sealed=sealed)

    await house.db.transaction(fn)


async def test_a_letter_is_had_by_one_until_it_is_delivered(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    id = await put(any_house.core, ada, "reset", link=LINK, hours="1")
    leased = await only(any_house)
    assert (leased.letter.id, leased.letter.kind, leased.letter.to) == (id, "reset", "ada@example.com")
    assert leased.letter.values["link"] == LINK
    assert await outbox.lease(20, LEASE) == []
    assert await outbox.delivered(leased)
    assert not await outbox.delivered(leased)
    assert await outbox.listed() == []
    assert await written(any_house) == [("message_sent", {"message": "reset", "tries": "1"})]


async def test_a_letter_of_a_rolled_back_act_was_never_there(any_house: House) -> None:
    core, ada = any_house.core, await any_house.ada()
    letter = await core.letters.draft("password_changed", ada, None)
    now = any_house.clock.now()

    async def fn(tx: Tx) -> None:
        await core.letters.put(tx, now, letter)
        raise LookupError

    with pytest.raises(LookupError):
        await any_house.db.transaction(fn)
    assert await core.outbox.lease(20, LEASE) == []


async def test_a_lease_that_ended_counts_no_more(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    first = await only(any_house)
    until(any_house, first.until - 1)
    assert await outbox.lease(20, LEASE) == []
    until(any_house, first.until)
    second = await only(any_house)
    assert second.letter == first.letter
    assert not await outbox.delivered(first)
    await outbox.failed(first, Refused("RCPT: 550"))
    await outbox.give_back([first])
    assert not await outbox.may_begin(first, 2 * LEASE)
    (row,) = await outbox.listed()
    assert (row.lease, row.due_at) == (second.lease, second.until)
    assert await outbox.delivered(second)
    assert [kind for kind, _ in await written(any_house)] == ["message_sent"]


async def test_however_many_take_at_once_each_letter_is_had_by_one(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put_many(any_house.core, ada, (f"person{n}@example.com" for n in range(60)))
    had: list[str] = []

    async def take() -> None:
        while leased := await outbox.lease(7, LEASE):
            had.extend(one.letter.to for one in leased)

    async with asyncio.timeout(60):
        while len(had) < 60:
            await asyncio.gather(*(take() for _ in range(6)))
    assert sorted(had) == sorted(f"person{n}@example.com" for n in range(60))


async def test_the_longest_due_come_first_and_as_many_as_asked_for(any_house: House) -> None:
    ada = await any_house.ada()
    for n in range(5):
        await put(any_house.core, ada, "code", f"person{n}@example.com", code="1", minutes="10")
        any_house.clock.move(1)
    taken = [await any_house.core.outbox.lease(2, LEASE) for _ in range(4)]
    assert [[one.letter.to[6] for one in some] for some in taken] == [["0", "1"], ["2", "3"], ["4"], []]


async def test_the_back_off_doubles_to_an_hour_and_ends_after_two_days(any_house: House) -> None:
    outbox, clock, ada = any_house.core.outbox, any_house.clock, await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    began, pauses = clock.now(), []
    for tries in itertools.count(1):
        leased = await only(any_house)
        assert leased.tries == tries - 1
        again = await outbox.failed(leased, Unreachable("RCPT: 451"))
        (row,) = await outbox.listed()
        assert (row.tries, row.fault, row.lease) == (tries, "RCPT: 451", None)
        if not again:
            break
        assert row.due_at is not None
        pauses.append((row.due_at - clock.now()) / 1000)
        until(any_house, row.due_at - 1)
        assert await outbox.lease(20, LEASE) == []
        until(any_house, row.due_at)
    usual = [min(30 * 2**n, 3600) for n in range(MOST_TRIES - 1)]
    assert all(0.8 * u <= p <= 1.2 * u for p, u in zip(pauses, usual, strict=True))
    assert len({round(p / u, 3) for p, u in zip(pauses, usual, strict=True)}) > 10, "nothing spreads the tries"
    assert 1.7 * DAY < (clock.now() - began) / 1000 < 2.3 * DAY
    assert (row.due_at, row.dead_at) == (None, clock.now())
    dead = {"message": "password_changed", "tries": str(MOST_TRIES), "fault": "RCPT: 451"}
    assert await written(any_house) == [("message_dead", dead)]


async def test_what_is_refused_is_dead_at_once_until_somebody_retries_it(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    id = await put(any_house.core, ada, "password_changed")
    assert not await outbox.failed(await only(any_house), Refused("RCPT: 550"))
    any_house.clock.move(3 * DAY)
    assert await outbox.lease(20, LEASE) == []
    (dead,) = await outbox.listed(dead=True)
    assert (dead.id, dead.fault, dead.tries) == (id, "RCPT: 550", 1)
    assert await outbox.retry(id) == 1
    assert await outbox.listed(dead=True) == []
    again = await only(any_house)
    assert (again.letter.id, again.tries) == (id, 0)
    assert await outbox.retry(id) == 0, "it is just being handed over"
    assert await outbox.delivered(again)
    assert await outbox.retry(id) == 0


async def test_all_that_was_given_up_or_put_off_is_retried_together(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put_many(any_house.core, ada, (f"person{n}@example.com" for n in range(130)))
    for why in [Refused("RCPT: 550")] * 60 + [Unreachable("RCPT: 451")] * 60:
        (leased,) = await outbox.lease(1, LEASE)
        await outbox.failed(leased, why)
    held = await outbox.lease(4, LEASE)
    assert await outbox.retry() == 120
    taken = [one.letter.to for _ in range(8) for one in await outbox.lease(20, LEASE)]
    assert len(taken) == len(set(taken)) == 126
    assert not set(taken) & {one.letter.to for one in held}


async def test_what_is_of_no_use_any_more_is_dropped_unsent(any_house: House) -> None:
    outbox, clock, ada = any_house.core.outbox, any_house.clock, await any_house.ada()
    await put(any_house.core, ada, "code", life=600_000, code="123456", minutes="10")
    await put(any_house.core, ada, "password_changed")
    clock.move(600)
    assert [one.letter.kind for one in await outbox.lease(20, LEASE)] == ["password_changed"]
    assert [row.kind for row in await outbox.listed()] == ["password_changed"]
    assert await written(any_house) == [("message_dropped", {"message": "code", "tries": "0", "fault": "expired"})]


async def test_what_loses_its_use_while_it_is_leased_is_dropped_before_it_is_sent(any_house: House) -> None:
    outbox, clock, ada = any_house.core.outbox, any_house.clock, await any_house.ada()
    await put(any_house.core, ada, "code", life=10_000, code="123456", minutes="10")
    leased = await only(any_house)
    assert await outbox.may_begin(leased, LEASE)
    clock.move(10)
    assert not await outbox.may_begin(leased, LEASE)
    assert await outbox.listed() == []
    assert [kind for kind, _ in await written(any_house)] == ["message_dropped"]


async def test_what_is_put_off_beyond_its_use_is_dropped_when_that_ends(any_house: House) -> None:
    outbox, clock, ada = any_house.core.outbox, any_house.clock, await any_house.ada()
    await put(any_house.core, ada, "code", life=10_000, code="123456", minutes="10")
    assert await outbox.failed(await only(any_house), Unreachable("connect: ECONNREFUSED"))
    clock.move(10)
    assert await outbox.lease(20, LEASE) == []
    assert [(kind, detail["tries"]) for kind, detail in await written(any_house)] == [("message_dropped", "1")]


async def test_a_lease_is_made_longer_before_a_hand_over_that_it_would_not_cover(any_house: House) -> None:
    outbox, clock, ada = any_house.core.outbox, any_house.clock, await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    leased = await only(any_house)
    clock.move(LEASE - 10)
    assert await outbox.may_begin(leased, 30)
    clock.move(29)
    assert await outbox.lease(20, LEASE) == []
    clock.move(1)
    other = await only(any_house)
    assert not await outbox.may_begin(leased, 30)
    assert await outbox.may_begin(other, 30)


async def test_what_is_given_back_is_had_by_the_next_at_once(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put_many(any_house.core, ada, ["a@example.com", "b@example.com"])
    leased = await outbox.lease(20, LEASE)
    await outbox.give_back(leased)
    again = await outbox.lease(20, LEASE)
    assert {one.letter.to for one in again} == {"a@example.com", "b@example.com"}
    assert {one.tries for one in again} == {0}


@pytest.mark.parametrize("how", ["altered", "of another row", "no letter"])
async def test_what_does_not_open_is_buried_and_holds_nobody_up(any_house: House, how: str) -> None:
    core, ada = any_house.core, await any_house.ada()
    broken = await put(core, ada, "reset", link=LINK, hours="1")
    whole = await put(core, ada, "password_changed")
    spoilt = {
        "altered": b"\x01" * 60,
        "of another row": stored.seal(core.sealer, whole, ada.account.id, b"{}"),
        "no letter": stored.seal(core.sealer, broken, ada.account.id, b'{"to": 7}'),
    }
    await spoil(any_house, broken, spoilt[how])
    assert (await only(any_house)).letter.id == whole
    (dead,) = await core.outbox.listed(dead=True)
    assert (dead.id, dead.due_at) == (broken, None)
    assert dead.fault in {"its seal does not open", "its content cannot be read"}
    assert [kind for kind, _ in await written(any_house)] == ["message_dead"]
    assert await core.outbox.retry(broken) == 1
    assert await core.outbox.lease(20, LEASE) == []
    assert len(await core.outbox.listed(dead=True)) == 1


async def test_an_operator_drops_a_letter_whatever_its_state(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    ids = [await put(any_house.core, ada, "password_changed") for _ in range(3)]
    waiting, dead, leased = ids
    for each in await outbox.lease(20, LEASE):
        if each.letter.id == dead:
            await outbox.failed(each, Refused("no"))
        elif each.letter.id == waiting:
            await outbox.give_back([each])
    assert [await outbox.forget(id) for id in ids] == [True, True, True]
    assert not await outbox.forget(leased)
    assert await outbox.listed() == []
    assert [(k, d["fault"]) for k, d in await written(any_house) if k == "message_dropped"] == [
        ("message_dropped", "by an operator")
    ] * 3


async def test_letters_go_with_their_account(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    leased = await only(any_house)

    async def fn(tx: Tx) -> None:
        await tx.run(_ERASE, id=ada.account.id)

    await any_house.db.transaction(fn)
    assert await outbox.listed() == []
    assert not await outbox.delivered(leased)
    assert await written(any_house) == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("RCPT: 451", "RCPT: 451"),
        ("two\r\nlines\x00 and \x1b[2J", "two  lines  and  [2J"),
        ("\ud800", " "),
        ("x" * 5000, "x" * 200),
        ("", "Unreachable"),
    ],
)
async def test_a_fault_is_kept_as_one_printable_line(any_house: House, said: str, kept: str) -> None:
    ada = await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    await any_house.core.outbox.failed(await only(any_house), Unreachable(said))
    (row,) = await any_house.core.outbox.listed()
    assert row.fault == kept


async def _everything(house: House, ada: Person) -> None:
    """Send a letter, put one off, give one up, drop one and let one expire."""
    outbox = house.core.outbox
    values: dict[str, Any] = {"link": LINK, "hours": "1"}
    for _ in range(4):
        await put(house.core, ada, "reset", "canary@example.com", **values)
    await put(house.core, ada, "reset", "canary@example.com", life=1, **values)
    house.clock.move(1)
    sent, off, dead, dropped = await outbox.lease(20, LEASE)
    await outbox.delivered(sent)
    faults: list[tuple[Leased, DeliveryFailed]] = [(off, Unreachable("RCPT: 451")), (dead, Refused("RCPT: 550"))]
    for leased, why in faults:
        await outbox.failed(leased, why)
    await outbox.forget(dropped.letter.id)


async def test_neither_events_nor_lists_tell_addresses_or_links(any_house: House) -> None:
    ada = await any_house.ada()
    await _everything(any_house, ada)
    told = await written(any_house)
    assert sorted(kind for kind, _ in told) == [
        "message_dead", "message_dropped", "message_dropped", "message_sent",
    ]  # fmt: skip
    assert {key for _, detail in told for key in detail} == {"message", "tries", "fault"}
    text = json.dumps(told) + repr(await any_house.core.outbox.listed())
    assert "canary" not in text
    assert LINK not in text


async def test_it_is_counted(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    assert await outbox.stats() == await outbox.stats()
    assert (await outbox.stats()).oldest_seconds == 0
    any_house.clock.move(5)
    await _everything(any_house, ada)
    any_house.clock.move(60)
    stats = await outbox.stats()
    assert (stats.waiting, stats.dead, stats.oldest_seconds) == (1, 1, 61.0)
    assert (stats.sent, stats.failed) == (1, 2)


async def test_a_dead_letter_is_kept_for_two_weeks(any_house: House) -> None:
    outbox, ada = any_house.core.outbox, await any_house.ada()
    await put(any_house.core, ada, "password_changed")
    await outbox.failed(await only(any_house), Refused("RCPT: 550"))
    any_house.clock.move(13 * DAY)
    await any_house.core.sweep()
    assert len(await outbox.listed(dead=True)) == 1
    any_house.clock.move(2 * DAY)
    await any_house.core.sweep()
    assert await outbox.listed() == []
