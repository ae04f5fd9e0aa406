"""Deactivating, suspending, deleting, bringing back, erasing: what each ends, tells and leaves, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dragoman.core import refusals
from dragoman.core.erasure import erase
from dragoman.core.tickets import LIVES
from dragoman.model import Account, Id, Person, uuid_text
from dragoman.storage import accounts, codes, erasure
from dragoman.storage.codes import Code
from dragoman.storage.engine import Statement, Tx
from dragoman.storage.schema import metadata
from kit.house import PASSWORD, House, client, open_house

pytestmark = pytest.mark.slow

Act = Callable[[House, Account], Awaitable[Any]]
ENDINGS: dict[str, Act] = {
    "deactivate": lambda house, account: house.core.life.deactivate(account),
    "deactivate by its owner": lambda house, account: house.core.life.deactivate(account, by="owner", client=client()),
    "suspend": lambda house, account: house.core.life.suspend(account),
    "delete": lambda house, account: house.core.life.delete(account),
    "delete by its owner": lambda house, account: house.core.life.delete(account, by="owner", client=client()),
    "invite": lambda house, account: house.core.life.set_status(account, "invited"),
}
LOSING: dict[str, Act] = {
    **ENDINGS,
    "erase": lambda house, account: house.core.life.erase(account),
    "demote": lambda house, account: house.core.life.set_administrator(account, False),
}
DAY = 24 * 60 * 60
TROUBLE = "192.0.2.77"

_LIVE = Statement("select kind from session where account = :account and ended_at is null")
_EPOCH = Statement("select auth_epoch from account where id = :account")
_LINES = Statement("select kind, address, detail from event where account = :account order by id")
_STOLEN_STORY = Statement(
    """insert into event(at, kind, account, address, detail)
       values (:at, 'account_changed', :account, '192.0.2.77', '{"what":"email","old":"adelheid@example.com"}')"""
)
_SESSION = Statement(
    """insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address, user_agent,
         methods, proved_at, ended_at)
       values (:id, :account, :account, 'probe', 'client', 'x', :at, :at, '', '', '', :at, :at)"""
)
_EVENT = Statement("insert into event(at, kind, account, session, address, detail)"
                   " values (:at, 'signed_in', :account, :id, '', '{}')")  # fmt: skip


async def rows(house: House, table: str, account: Id) -> int:
    found = await house.db.scan(Statement(f"select count(*) from {table} where account = :account"), account=account)
    return int(found[0][0])


async def root(house: House) -> Account:
    return await house.core.accounts.named("root")


async def furnished(house: House) -> Person:
    """Add Ada with something in every table that knows accounts."""
    core, now = house.core, house.clock.now()
    ada = await house.ada(phone="+14155550100", language="de")
    flat = {"email": "ada@example.com", "password": PASSWORD}
    for path in ("/frontend/api/v1/auth/sign-in", "/user/login", "/api/auth/user/sign-in"):
        assert (await house.post(path, json={**flat, "deviceInfo": {"os": "Linux"}})).status_code == 200
    totp = await house.enrol_totp(ada)
    assert (await house.post("/user/login", json=flat)).json()["accessToken"]
    await house.post("/user/login", json={**flat, "password": "wrong"}, address=TROUBLE)
    assert (
        await house.post("/frontend/api/v1/auth/sign-in", json={**flat, "code": totp.recovery[0]})
    ).status_code == 200
    letters = [await core.letters.draft(kind, ada, None) for kind in ("reset", "code", "password_changed")]
    drafts = [core._tools.tickets.draft(purpose, ada.account.id, about="ada@example.com") for purpose in LIVES]

    async def fn(tx: Tx) -> None:
        await core.letters.put(tx, now, *letters)
        for draft in drafts:
            await core._tools.tickets.put(tx, draft)
        code = Code(b"m" * 32, "ada@example.com", 0, now, now + 1000)
        await codes.put(tx, ada.account.id, "email", "", code)
        await tx.run(_STOLEN_STORY, account=ada.account.id, at=now)

    await house.db.transaction(fn)
    return await core.accounts.person(await core.accounts.by_id(ada.account.id))


# ---------------------------------------------------------------- what an end ends (table C)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_whatever_is_not_active_holds_nothing_that_lets_in(any_house: House, ending: str) -> None:
    house = any_house
    ada = (await furnished(house)).account
    for table in ("attempt", "ticket", "code", "mark", "outbox"):
        assert await rows(house, table, ada.id), table
    assert {kind for (kind,) in await house.db.scan(_LIVE, account=ada.id)} == {"client", "key"}
    before = (await house.db.scan(_EPOCH, account=ada.id))[0][0]
    await ENDINGS[ending](house, ada)
    assert await house.db.scan(_LIVE, account=ada.id) == []
    assert [await rows(house, table, ada.id) for table in ("attempt", "code", "mark")] == [0, 0, 0]
    left = await house.db.scan(Statement("select purpose from ticket where account = :account"), account=ada.id)
    assert left == [("undo",)], "a thief who closes the account must not take the way back with it"
    assert {letter.kind for letter in await house.letters()} - {"account_deactivated", "account_deleted"} == {
        "factor_added",
        "password_changed",
    }, "what waits to tell of him goes out"
    assert (await house.db.scan(_EPOCH, account=ada.id))[0][0] > before


async def test_the_owner_is_told_at_proved_addresses(any_house: House) -> None:
    house = any_house
    ada = (await house.ada(language="de")).account
    await _give_address(house, ada.id, "thief@example.com", "claimed", primary=True)
    await _give_address(house, ada.id, "other@example.com", "claimed", primary=False)
    await house.core.life.deactivate(ada, by="owner", client=client())
    told = await house.letters("account_deactivated")
    assert {letter.to for letter in told} == {"ada@example.com"}
    assert {letter.language for letter in told} == {"de"}
    await house.core.life.activate(ada)
    await house.core.life.suspend(ada)
    await house.core.life.delete(ada)
    assert {letter.values["days"] for letter in await house.letters("account_deleted")} == {"30"}
    assert {letter.kind for letter in await house.letters()} == {"account_deactivated", "account_deleted"}


_ADDRESS = Statement(
    """insert into identifier(kind, folded, shown, state, is_primary, created_at, account)
       values ('email', :folded, :folded, :state, :is_primary, 5, :account)"""
)
_DEMOTE = Statement("update identifier set is_primary = 0 where account = :account and kind = 'email'")


async def _give_address(house: House, account: Id, address: str, state: str, *, primary: bool) -> None:
    async def fn(tx: Tx) -> None:
        if primary:
            await tx.run(_DEMOTE, account=account)
        await tx.run(_ADDRESS, account=account, folded=address, state=state, is_primary=int(primary))
        await accounts.changed(tx, account)

    await house.db.transaction(fn)


async def test_a_notice_that_is_switched_off_is_not_written(tmp_path: Any) -> None:
    async with open_house(tmp_path, mail__notices_off=["account_deleted"]) as house:
        ada = await house.ada()
        await house.core.life.deactivate(ada.account)
        await house.core.life.activate(ada.account)
        await house.core.life.delete(ada.account)
        assert [letter.kind for letter in await house.letters()] == ["account_deactivated"]


async def test_the_trail_says_who_did_what(house: House) -> None:
    ada = (await house.ada()).account
    await house.core.life.deactivate(ada, by="owner", client=client("198.51.100.9"))
    await house.core.life.activate(ada)
    newest = await house.core.newest_events(2, ada.id)
    assert [(event.address, event.detail) for event in reversed(newest)] == [
        ("198.51.100.9", {"what": "status", "status": "deactivated", "was": "active", "by": "owner"}),
        ("", {"what": "status", "status": "active", "was": "deactivated", "by": "operator"}),
    ]


# ---------------------------------------------------------------- the last administrator


@pytest.mark.parametrize("act", LOSING)
async def test_the_last_active_administrator_stays(any_house: House, act: str) -> None:
    house = any_house
    only = await root(house)
    ada = (await house.ada(administrator=True)).account
    await house.core.life.suspend(ada)
    with pytest.raises(refusals.LastAdministrator):
        await LOSING[act](house, only)
    assert (await root(house)).status == "active"
    assert (await root(house)).administrator
    await house.core.life.activate(ada)
    await LOSING[act](house, only)
    with pytest.raises(refusals.LastAdministrator):
        await LOSING[act](house, ada)


@pytest.mark.parametrize("act", LOSING)
async def test_of_two_administrators_who_end_each_other_one_survives(any_house: House, act: str) -> None:
    house = any_house
    for number in range(5):
        one = await root(house)
        other = (await house.add(username=f"admin{number}", administrator=True)).account
        said = await asyncio.gather(
            LOSING[act](house, one), LOSING[act](house, other), return_exceptions=True
        )  # fmt: skip
        assert sorted(type(why) for why in said if why is not None) == [refusals.LastAdministrator], said
        left = await house.db.scan(_ADMINISTRATORS)
        assert len(left) == 1
        if left[0][0] != one.id:
            return  # root is gone, and that the other one stays is told above


_ADMINISTRATORS = Statement("select id from account where administrator = 1 and status = 'active'")


async def test_whoever_is_no_administrator_any_more_manages_nobody(any_house: House) -> None:
    house = any_house
    ada = (await house.ada(administrator=True)).account
    assert ada.rank == 255
    await house.core.life.set_administrator(ada, False)
    found = await house.core.accounts.by_id(ada.id)
    assert (found.administrator, found.rank) == (False, 0)
    await house.core.life.set_administrator(ada, True)
    found = await house.core.accounts.by_id(ada.id)
    assert (found.administrator, found.rank) == (True, 255)
    elsewhere = await house.core.accounts.organization("Acme")
    bob = (await house.add(username="bob", organization=elsewhere, rank=7)).account
    await house.core.life.set_administrator(bob, True)
    assert (await house.core.accounts.by_id(bob.id)).rank == 7


# ---------------------------------------------------------------- deleted, and back


async def test_a_deleted_account_keeps_its_names_and_comes_back_as_it_was(any_house: House) -> None:
    house = any_house
    ada = await furnished(house)
    await house.core.life.suspend(ada.account)
    await house.core.life.delete(ada.account)
    for taken in ({"email": "Ada@example.com"}, {"username": "ADA"}, {"username": "x", "phone": "+14155550100"}):
        with pytest.raises(refusals.IdentifierTaken):
            await house.add(**taken)
    for act in ("activate", "suspend", "deactivate"):
        with pytest.raises(refusals.NotActive):
            await getattr(house.core.life, act)(ada.account)
    house.clock.move(29 * DAY)
    await house.core.life.delete(ada.account)
    await house.core.sweep()
    assert await house.core.life.restore(ada.account) == "suspended"
    back = await house.core.accounts.person(await house.core.accounts.by_id(ada.account.id))
    assert (back.identifiers, back.aliases, back.factors) == (ada.identifiers, ada.aliases, ada.factors)
    assert await house.db.scan(_LIVE, account=ada.account.id) == []
    assert await house.core.life.restore(ada.account) == "suspended", "what is not deleted stays as it is"
    house.clock.move(2 * DAY)
    await house.core.sweep()
    assert (await house.core.accounts.by_id(ada.account.id)).status == "suspended"


async def test_deleting_again_does_not_begin_the_thirty_days_anew(any_house: House) -> None:
    house = any_house
    ada = (await house.ada()).account
    await house.core.life.delete(ada)
    house.clock.move(29 * DAY)
    await house.core.life.delete(ada)
    house.clock.move(1 * DAY + 1)
    await house.core.sweep()
    with pytest.raises(refusals.NotFound):
        await house.core.accounts.by_id(ada.id)


# ---------------------------------------------------------------- erased


async def _at_once(house: House, account: Account) -> None:
    await house.core.life.erase(account)


async def _by_itself(house: House, account: Account) -> None:
    await house.core.life.delete(account, by="owner", client=client(TROUBLE))
    house.clock.move(31 * DAY)
    await house.core.sweep()


async def _interrupted(house: House, account: Account) -> None:
    """A process that erases dies in the middle: the next sweep ends it, and nobody brings it back meanwhile."""

    async def fn(tx: Tx) -> None:
        await accounts.set_deleted(tx, account.id, "active", 0, house.clock.now())
        await erasure.sessions(tx, account.id)

    await house.db.transaction(fn)
    with pytest.raises(refusals.NotFound):
        await house.core.life.restore(account)
    await house.core.sweep()


WHO_DID_IT = ("event.account", "setting.changed_by")


async def traces(house: House, ada: Person) -> list[str]:
    """Return every place in which something of Ada is left but her bare id, which says who did what."""
    aliases = [value for value in ada.aliases.values() if not value.isdecimal()]
    names = {
        ada.username,
        "ada@example.com",
        "adelheid@example.com",
        "+14155550100",
        "example",
        *map(str.lower, aliases),
    }
    found = []
    for table in metadata.tables.values():
        columns = [column.name for column in table.columns]
        for row in await house.db.scan(Statement(f"select {', '.join(columns)} from {table.name}")):
            for column, value in zip(columns, row, strict=True):
                place = f"{table.name}.{column}"
                if (
                    isinstance(value, bytes)
                    and ada.account.id in value
                    and place not in ("event.account", "setting.changed_by")
                ):
                    found.append(place)
                if isinstance(value, str) and not names.isdisjoint(value.lower().split('"')):
                    found.append(place)
    return found


@pytest.mark.parametrize("way", [_at_once, _by_itself, _interrupted])
async def test_nothing_of_an_erased_account_is_left_in_any_table(any_house: House, way: Act) -> None:
    house = any_house
    ada = await furnished(house)
    held = set(await traces(house, ada))
    assert {"account.id", "identifier.shown", "alias.value", "event.detail", "session.account"} <= held
    before = await house.db.scan(_LINES, account=ada.account.id)
    assert TROUBLE in {address for _, address, _ in before}
    await way(house, ada.account)
    assert await traces(house, ada) == []
    after = await house.db.scan(_LINES, account=ada.account.id)
    assert [kind for kind, *_ in after][: len(before)] == [kind for kind, *_ in before], "the lines stay"
    assert after[-1][0] == "account_erased"
    assert {address for _, address, _ in after} == {""}
    assert any('"reason":"wrong_password"' in detail for *_, detail in after)
    again = await house.ada(phone="+14155550100")
    assert again.account.id != ada.account.id


async def test_what_an_erased_administrator_did_to_the_house_stays_told(any_house: House) -> None:
    house = any_house
    await house.ada(administrator=True)
    signed_in = await house.post("/api/v1/login", json={"user": "ada", "password": PASSWORD}, address=TROUBLE)
    door = house.core.doors["rocketchat"]
    caller = await house.core.sessions.authenticate(door, signed_in.json()["data"]["authToken"])
    await house.core.settings.set("limits.account_hour", 20, caller, client=client(TROUBLE))
    await house.core.life.erase(caller.account)
    told = [event for event in await house.core.newest_events(200) if event.kind == "setting_changed"]
    assert [(event.account, event.address) for event in told] == [(caller.account.id, "")]
    assert (told[0].detail["name"], told[0].detail["to"]) == ("limits.account_hour", "20")
    kept = [value for value in await house.core.settings.values() if value.source == "stored"]
    assert [(value.name, value.by) for value in kept] == [("limits.account_hour", uuid_text(caller.account.id))]


async def test_lines_written_after_an_erasure_hold_no_address(any_house: House) -> None:
    """Whoever was being refused while the account went is counted a minute later."""
    house = any_house
    ada = (await house.ada()).account
    house.core._tools.tally.locked_out("strangers", "probe", client(TROUBLE), ada.id)
    house.core._tools.tally.locked_out("strangers", "probe", client(TROUBLE), None)
    await house.core.life.erase(ada)
    await house.core.stop()
    assert {address for _, address, _ in await house.db.scan(_LINES, account=ada.id)} == {""}
    nobody = await house.db.scan(Statement("select address from event where account is null and kind = 'locked_out'"))
    assert nobody == [(TROUBLE,)]


async def test_an_erasure_goes_in_pieces(any_house: House) -> None:
    house, now = any_house, any_house.clock.now()
    ada = (await house.ada()).account

    async def fn(tx: Tx) -> None:
        for n in range(450):
            await tx.run(_SESSION, id=n.to_bytes(16, "big"), account=ada.id, at=now)
            await tx.run(_EVENT, id=n.to_bytes(16, "big"), account=ada.id, at=now)
            await tx.run(_STOLEN_STORY, account=ada.id, at=now)

    await house.db.transaction(fn)
    await house.core.life.erase(ada)
    assert await rows(house, "session", ada.id) == 0
    lines = await house.db.scan(_LINES, account=ada.id)
    assert len(lines) > 900
    assert {(address, "adelheid" in detail) for _, address, detail in lines} == {("", False)}


async def test_only_what_is_to_be_erased_is_erased(any_house: House) -> None:
    house = any_house
    ada = (await house.ada()).account
    assert not await erase(house.db, ada.id, house.clock.now())
    await house.core.life.delete(ada)
    assert not await erase(house.db, ada.id, house.clock.now())
    assert await house.core.life.restore(ada) == "active"
    await house.core.life.erase(ada)
    with pytest.raises(refusals.NotFound):
        await house.core.life.erase(ada)
    for act in ENDINGS.values():
        with pytest.raises(refusals.NotFound):
            await act(house, ada)
