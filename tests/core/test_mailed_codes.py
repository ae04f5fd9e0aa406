"""Codes by mail as a second factor: sent once, good once, counted like every other code (decisions 5, 8, 9)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragoman.core import refusals
from dragoman.core.doors import DAY, HOUR, Door
from dragoman.core.recovery import SLOT_SECONDS
from dragoman.core.tokens import Opaque
from dragoman.model import Client, Password, Pending, Person, SignedIn, Typed
from dragoman.storage import accounts, credentials
from dragoman.storage.engine import Statement, Tx
from kit.house import PASSWORD, House, client, open_house

pytestmark = pytest.mark.slow

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
FACTORS = ("totp", "email", "recovery")
PAUSING = Door(name="pausing", token=Opaque("pausing", LETTERS, 43), factors=FACTORS, attempt="handle", absolute=DAY)
REPEATING = Door(name="repeating", token=Opaque("repeating", LETTERS, 43), factors=FACTORS, absolute=DAY)
WITHOUT = Door(name="without", token=Opaque("without", LETTERS, 43), absolute=DAY)
HOME, AWAY = client("192.0.2.1"), client("198.51.100.7")
ADA = "ada@example.com"
MINUTE = 60

_EVENTS = Statement("select kind, account, detail from event order by id")
_ROWS = Statement("select (select count(*) from event), (select count(*) from counter), (select count(*) from session)")
_CODES = Statement("select purpose, door, mac, about from code")
_RENAME = Statement(
    "update identifier set folded = :folded, shown = :shown where account = :account and kind = 'email'"
)
_CLAIM = Statement("update identifier set state = 'claimed', verified_at = null where account = :account")
_RANK = Statement("update account set rank = :rank, administrator = :administrator where id = :account")


@pytest.fixture
async def house(any_house: House) -> House:
    """A house on SQLite, then one on PostgreSQL."""
    return any_house


async def enter(
    house: House, email: str = ADA, *, at: Client = HOME, door: Door = PAUSING, **more: Any
) -> SignedIn | Pending:  # fmt: skip
    """Try the right password."""
    password = Password.from_plain(PASSWORD)
    return await house.core.signin.with_password(door, Typed("email", email), password, at, **more)


async def paused(house: House, email: str = ADA, *, at: Client = HOME, door: Door = PAUSING) -> Pending:
    """Go as far as the second factor."""
    outcome = await enter(house, email, at=at, door=door)
    assert isinstance(outcome, Pending)
    assert outcome.mailed is not None
    return outcome


async def go_on(house: House, attempt: Pending, typed: str, at: Client = HOME, door: Door = PAUSING) -> str:
    """Try a code; return the name of the refusal, or `SignedIn`."""
    try:
        return type(await house.core.signin.with_code(door, attempt.attempt or "", typed, at)).__name__
    except refusals.Refusal as why:
        return type(why).__name__


async def refused(house: House, *args: Any, **more: Any) -> refusals.Refusal:
    """Try the right password and return the refusal."""
    with pytest.raises(refusals.Refusal) as caught:
        await enter(house, *args, **more)
    return caught.value


def other(code: str, by: int = 1) -> str:
    """Return another code."""
    return f"{(int(code) + by) % 1_000_000:06d}"


async def with_email(house: House, **fields: Any) -> Person:
    """Add Ada, who gets codes by mail."""
    ada = await house.ada(**fields)
    await house.enrol_email(ada)
    return ada


async def write(house: House, statement: Statement, **args: Any) -> None:
    async def fn(tx: Tx) -> None:
        await tx.run(statement, **args)
        await accounts.changed(tx, args["account"])

    await house.db.transaction(fn)


async def events(house: House, kind: str) -> list[dict[str, str]]:
    """Return the details of the events of a kind."""
    return [msgspec.json.decode(detail) for name, _, detail in await house.db.scan(_EVENTS) if name == kind]


# ---------------------------------------------------------------- sent, and good once


async def test_a_code_is_mailed_and_finishes_the_sign_in_once(house: House) -> None:
    await with_email(house)
    pending = await paused(house)
    assert pending.offers == ("email",)
    assert pending.mailed is not None
    assert (pending.mailed.to, pending.mailed.sent) == (ADA, True)
    assert pending.mailed.ends_at == house.clock.now() + 10 * MINUTE * 1000
    (letter,) = await house.letters("code")
    assert (letter.to, letter.values["minutes"], letter.values["name"]) == (ADA, "10", "Ada Example")
    code = letter.values["code"]
    assert len(code) == 6
    assert code.isdigit()
    assert await house.sessions() == []
    outcome = await house.core.signin.with_code(PAUSING, pending.attempt or "", code, HOME)
    assert outcome.session.methods == "password,email"
    assert await go_on(house, pending, code) == "NoSuchAttempt"
    again = await paused(house)
    assert await go_on(house, again, code) == "WrongCode"
    assert [d["proof"] for d in await events(house, "signed_in")] == ["password,email"]
    assert [d["mailed"] for d in await events(house, "second_factor_asked")] == ["yes", "no"]


@pytest.mark.parametrize("spelling", ["{}-{}", " {} {} ", "{}.{}\n"])
async def test_what_stands_between_the_digits_does_not_count(house: House, spelling: str) -> None:
    await with_email(house)
    pending = await paused(house)
    code = await house.mailed_code()
    assert await go_on(house, pending, spelling.format(code[:3], code[3:])) == "SignedIn"


@pytest.mark.parametrize("spelling", ["", "x{}", "{}0", "٣{}", "\ud800{}", "{}" * 40])
async def test_another_shape_is_no_code(house: House, spelling: str) -> None:
    await with_email(house)
    pending = await paused(house)
    code = await house.mailed_code()
    typed = spelling.format(*[code] * 40) if spelling else ""
    expected = "SignedIn" if spelling[:1] in ("٣", "\ud800") else "WrongCode"
    assert await go_on(house, pending, typed) == expected


async def test_while_one_is_out_none_is_sent_and_it_serves_every_attempt_once(house: House) -> None:
    await with_email(house)
    first = await paused(house)
    house.clock.move(5 * MINUTE)
    second = await paused(house)
    assert first.mailed is not None
    assert second.mailed is not None
    assert (second.mailed.sent, second.mailed.ends_at) == (False, first.mailed.ends_at)
    assert len(await house.letters("code")) == 1
    code = await house.mailed_code()
    assert await go_on(house, second, code) == "SignedIn"
    assert await go_on(house, first, code) == "WrongCode"


async def test_of_two_requests_with_one_code_one_gets_through(house: House) -> None:
    await with_email(house)
    pending = [await paused(house) for _ in range(4)]
    code = await house.mailed_code()
    outcomes = await asyncio.gather(*(go_on(house, each, code) for each in pending))
    assert sorted(outcomes) == ["SignedIn", *["WrongCode"] * 3]
    assert len(await house.sessions()) == 1


async def test_a_code_is_good_at_its_own_door_and_for_its_own_account_only(house: House) -> None:
    await with_email(house)
    bob = await house.add(email="bob@example.com", username="bob", verified=True)
    await house.enrol_email(bob)
    pending = await paused(house)
    code = await house.mailed_code()
    assert type(await refused(house, door=REPEATING, code=code)) is refusals.WrongCode
    house.clock.move(MINUTE)
    of_bob = await paused(house, "bob@example.com")
    assert await go_on(house, of_bob, code) == "WrongCode"
    assert isinstance(await enter(house, door=REPEATING), Pending)
    elsewhere = [letter for letter in await house.letters("code") if letter.to == ADA][-1]
    assert elsewhere.values["code"] != code
    assert await go_on(house, pending, elsewhere.values["code"]) == "WrongCode"
    assert await go_on(house, pending, code) == "SignedIn"
    assert isinstance(await enter(house, door=REPEATING, code=elsewhere.values["code"]), SignedIn)


async def test_after_ten_minutes_another_is_mailed(house: House) -> None:
    await with_email(house)
    pending = await paused(house)
    code = await house.mailed_code()
    house.clock.move(10 * MINUTE)
    assert await go_on(house, pending, code) == "WrongCode"
    again = await paused(house)
    assert again.mailed is not None
    assert again.mailed.sent
    assert len(await house.letters("code")) == 2
    assert await go_on(house, again, await house.mailed_code()) == "SignedIn"


async def test_nothing_of_a_code_lies_in_clear(house: House) -> None:
    await with_email(house)
    await paused(house)
    code = (await house.mailed_code()).encode()
    stored = []
    for table in ("code", "outbox", "attempt", "event", "counter"):
        for row in await house.db.scan(Statement(f"select * from {table}")):
            stored += [v if isinstance(v, bytes) else v.encode() for v in row if isinstance(v, (bytes, str))]
    assert len(stored) > 10
    assert [value for value in stored if code in value] == []
    ((_, door, mac, _),) = await house.db.scan(_CODES)
    assert (door, len(mac)) == ("pausing", 32)


# ---------------------------------------------------------------- wrong ones


async def test_the_fifth_wrong_code_over_all_attempts_voids_it_once(house: House) -> None:
    await with_email(house)
    first, second = await paused(house), await paused(house)
    code = await house.mailed_code()
    said = [await go_on(house, first, other(code, n)) for n in (1, 2, 3)]
    said += [await go_on(house, second, other(code, n)) for n in (4, 5)]
    assert said == ["WrongCode"] * 4 + ["CodeVoid"]
    assert await go_on(house, second, code) == "WrongCode"
    assert await go_on(house, first, code) == "WrongCode"
    house.clock.move(MINUTE)
    again = await paused(house)
    assert again.mailed is not None
    assert again.mailed.sent
    assert await go_on(house, again, await house.mailed_code()) == "SignedIn"
    assert len(await events(house, "code_refused")) == 7


async def test_wrong_codes_close_the_lane_over_new_codes_and_attempts_and_only_that_lane(house: House) -> None:
    """Threat 7: asking for new codes buys no more guesses."""
    await with_email(house)
    assert await go_on(house, await paused(house), await house.mailed_code()) == "SignedIn"
    said = []
    for number in range(30):
        house.clock.move(11 * MINUTE)
        pending = await paused(house, at=AWAY)
        said.append(await go_on(house, pending, other(await house.mailed_code(), number + 1), at=AWAY))
    assert said == ["WrongCode"] * 20 + ["TooManyCodes"] * 10
    assert (await paused(house, at=AWAY)).mailed is not None
    house.clock.move(HOUR)
    pending = await paused(house, at=AWAY)
    assert await go_on(house, pending, await house.mailed_code(), at=AWAY) == "TooManyCodes"
    house.clock.move(11 * MINUTE)
    assert await go_on(house, await paused(house), await house.mailed_code()) == "SignedIn"


@pytest.mark.slow
async def test_a_hundred_days_of_guessing_end_at_a_hundred(house_of_sqlite: House) -> None:
    house = house_of_sqlite
    await with_email(house)
    judged = 0
    for _ in range(12):
        for _ in range(20):
            house.clock.move(HOUR)
            pending = await paused(house, at=AWAY)
            judged += await go_on(house, pending, "not it", at=AWAY) in ("WrongCode", "CodeVoid")
        house.clock.move(DAY)
    assert judged == 100


@pytest.fixture
async def house_of_sqlite(tmp_path: Path) -> Any:
    """A house on SQLite alone, for what judges no storage and takes long."""
    async with open_house(tmp_path) as opened:
        yield opened


# ---------------------------------------------------------------- the sending budget


async def test_a_spent_budget_sends_nothing_and_answers_alike(house: House) -> None:
    await with_email(house)
    sent = []
    for _ in range(7):
        pending = await paused(house, at=AWAY)
        assert pending.mailed is not None
        sent.append(pending.mailed.sent)
        if pending.mailed.sent:
            assert await go_on(house, pending, await house.mailed_code(), at=AWAY) == "SignedIn"
        house.clock.move(31)
    assert sent == [True, False, True, False, True, False, True], "one a minute"
    assert len(await house.letters("code")) == 4
    house.clock.move(MINUTE)
    assert (await paused(house, at=AWAY)).mailed is not None
    house.clock.move(11 * MINUTE)
    last = await paused(house, at=AWAY)
    assert last.mailed is not None
    assert (last.mailed.sent, last.mailed.ends_at) == (False, None), "five an hour"


async def test_links_and_codes_share_the_budget_of_an_address(house: House) -> None:
    await with_email(house)
    await house.core.recovery.request_reset("pausing", ADA, AWAY)
    pending = await paused(house)
    assert pending.mailed is not None
    assert not pending.mailed.sent
    assert await house.letters("code") == []


# ---------------------------------------------------------------- what else is enrolled


async def test_with_totp_the_code_is_mailed_on_request_only(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    await house.enrol_email(ada)
    pending = await paused(house)
    assert pending.offers == FACTORS
    assert pending.mailed is not None
    assert (pending.mailed.sent, pending.mailed.ends_at) == (False, None)
    assert await house.letters("code") == []
    await house.core.factors.mail_code(PAUSING, Typed("any", "ADA"), HOME)
    code = await house.mailed_code()
    pending = await paused(house)
    assert pending.mailed is not None
    assert pending.mailed.ends_at == house.clock.now() + 10 * MINUTE * 1000
    assert await go_on(house, pending, code) == "SignedIn"
    outcome = await house.core.signin.with_code(PAUSING, (await paused(house)).attempt or "", totp.code(), HOME)
    assert outcome.session.methods == "password,totp"


async def test_recovery_codes_stand_in_for_mail(house: House) -> None:
    ada = await house.ada()
    drawn = await house.enrol_email(ada, recovery=True)
    assert len(drawn) == 12
    pending = await paused(house)
    assert pending.offers == ("email", "recovery")
    outcome = await house.core.signin.with_code(PAUSING, pending.attempt or "", drawn[0], HOME)
    assert outcome.session.methods == "password,recovery"
    assert await go_on(house, await paused(house), drawn[0]) == "WrongCode"
    assert isinstance(await enter(house, door=WITHOUT), Pending), "a door without mail still takes recovery codes"
    assert isinstance(await enter(house, door=WITHOUT, code=drawn[1]), SignedIn)


async def test_recovery_codes_go_with_the_last_factor(house: House) -> None:
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    assert await house.enrol_email(ada, recovery=True) == (), "the account has some already"
    await house.core.factors.disable_totp(ada.account)
    outcome = await enter(house, code=totp.recovery[0])
    assert isinstance(outcome, SignedIn)
    await house.core.factors.disable_email(ada.account)
    plain = await enter(house)
    assert isinstance(plain, SignedIn)
    assert plain.person.factors == frozenset()


async def test_a_door_that_cannot_carry_it_refuses(house: House) -> None:
    await with_email(house)
    assert type(await refused(house, door=WITHOUT)) is refusals.NoUsableFactor
    assert type(await refused(house, door=WITHOUT, code="123456")) is refusals.NoUsableFactor
    assert await house.letters("code") == []


@pytest.mark.parametrize("off", [{"accounts__email_codes": False}, {"mail__transport": "off"}])
async def test_switched_off_it_is_never_weaker(tmp_path: Path, off: dict[str, Any]) -> None:
    async with open_house(tmp_path, **off) as house:
        ada = await house.ada()
        with pytest.raises(refusals.NotOffered):
            await house.core.factors.enable_email(ada.account)
        assert isinstance(await enter(house), SignedIn)

        async def enrolled_before(tx: Tx) -> None:
            await credentials.put(tx, ada.account.id, "email", scheme="email", sealed=b"", now=house.clock.now())

        await house.db.transaction(enrolled_before)
        assert type(await refused(house)) is refusals.NoUsableFactor
        assert [d["reason"] for d in await events(house, "sign_in_refused")] == ["NoUsableFactor"]
        await house.core.factors.mail_code(PAUSING, Typed("any", "ada"), HOME)
        assert await house.letters() == []
        totp = await house.enrol_totp(ada)
        pending = await enter(house)
        assert isinstance(pending, Pending)
        assert pending.offers == ("totp", "recovery")
        assert await go_on(house, pending, totp.code()) == "SignedIn"


# ---------------------------------------------------------------- what voids it


async def test_mail_alone_does_not_open_the_powerful_twice(house: House) -> None:
    """Decision 5: for a day after a mailed link the mailbox is no second factor for them."""
    ada = await with_email(house)

    async def proved(tx: Tx) -> None:
        await accounts.mail_proved(tx, ada.account.id, house.clock.now())

    await house.db.transaction(proved)
    for rank, administrator, opens in ((253, 0, True), (254, 0, False), (0, 1, False)):
        await write(house, _RANK, account=ada.account.id, rank=rank, administrator=administrator)
        if opens:
            assert isinstance(await enter(house), Pending)
        else:
            assert type(await refused(house)) is refusals.NoUsableFactor
            assert type(await refused(house, code=await house.mailed_code())) is refusals.NoUsableFactor
    house.clock.move(DAY - 1)
    assert type(await refused(house)) is refusals.NoUsableFactor
    house.clock.move(1)
    pending = await paused(house)
    assert await go_on(house, pending, await house.mailed_code()) == "SignedIn"


async def test_a_reset_link_does_not_skip_it(house: House) -> None:
    ada = await with_email(house)
    await house.core.recovery.request_reset("pausing", ADA, HOME)
    token = await house.token("reset")
    house.clock.move(MINUTE)
    new = Password.from_plain("another long secret")
    pending = await house.core.signin.with_ticket(PAUSING, "reset", token, HOME, password=new)
    assert isinstance(pending, Pending)
    assert await go_on(house, pending, await house.mailed_code()) == "SignedIn"
    await write(house, _RANK, account=ada.account.id, rank=0, administrator=1)
    house.clock.move(MINUTE)
    await house.core.recovery.request_reset("pausing", ADA, HOME)
    with pytest.raises(refusals.NoUsableFactor):
        await house.core.signin.with_ticket(
            PAUSING, "reset", await house.token("reset"), HOME, password=Password.from_plain("a third long secret")
        )


async def test_a_new_password_voids_the_code_that_is_out(house: House) -> None:
    ada = await with_email(house)
    await paused(house)
    before = await house.mailed_code()
    await house.core.accounts.set_password(ada.account, Password.from_plain(PASSWORD), allow_weak=True)
    house.clock.move(MINUTE)
    pending = await paused(house)
    assert pending.mailed is not None
    assert pending.mailed.sent
    after = await house.mailed_code()
    assert after != before
    assert await go_on(house, pending, before) == "WrongCode"
    assert await go_on(house, pending, after) == "SignedIn"


async def test_a_new_address_voids_the_code_that_went_to_the_old(house: House) -> None:
    ada = await with_email(house)
    pending = await paused(house)
    before = await house.mailed_code()
    await write(house, _RENAME, account=ada.account.id, folded="ada@example.org", shown="Ada@example.org")
    assert await go_on(house, pending, before) == "WrongCode"
    house.clock.move(MINUTE)
    again = await paused(house, "ada@example.org")
    assert again.mailed is not None
    assert (again.mailed.to, again.mailed.sent) == ("Ada@example.org", True)
    assert await go_on(house, again, before) == "WrongCode"
    assert await go_on(house, again, await house.mailed_code()) == "SignedIn"


async def test_a_claimed_address_gets_no_code(house: House) -> None:
    ada = await with_email(house)
    await write(house, _CLAIM, account=ada.account.id)
    assert type(await refused(house)) is refusals.NoUsableFactor
    assert await house.letters("code") == []


# ---------------------------------------------------------------- enrolling and removing


async def test_enrolling_ends_other_clients_and_attempts_and_is_told(house: House) -> None:
    ada = await house.ada()
    assert isinstance(await enter(house), SignedIn)
    await house.enrol_email(ada)
    assert await house.sessions() == []
    with pytest.raises(refusals.AlreadyEnrolled):
        await house.core.factors.enable_email(ada.account)
    pending = await paused(house)
    code = await house.mailed_code()
    await house.core.factors.disable_email(ada.account)
    assert await house.db.scan(_CODES) == []
    assert await go_on(house, pending, code) == "NoSuchAttempt"
    with pytest.raises(refusals.NotEnrolled):
        await house.core.factors.disable_email(ada.account)
    assert await events(house, "factor_enrolled") == [{"factor": "email"}]
    assert await events(house, "factor_removed") == [{"factor": "email", "by": "operator"}]
    assert isinstance(await enter(house), SignedIn)


async def test_it_takes_an_address_that_somebody_answers_for(house: House) -> None:
    nameless = await house.add(username="carol")
    claimed = await house.ada()
    await write(house, _CLAIM, account=claimed.account.id)
    for person in (nameless, claimed):
        with pytest.raises(refusals.VerificationRequired):
            await house.core.factors.enable_email(person.account)
    vouched = await house.add(email="dan@example.com", username="dan")
    await house.enrol_email(vouched)
    assert (await paused(house, "dan@example.com")).offers == ("email",)


# ---------------------------------------------------------------- on request


async def test_a_request_replaces_the_code_that_is_out(house: House) -> None:
    await with_email(house)
    pending = await paused(house)
    before = await house.mailed_code()
    house.clock.move(MINUTE)
    await house.core.factors.mail_code(PAUSING, Typed("any", ADA), HOME)
    after = await house.mailed_code()
    assert await go_on(house, pending, before) == ("SignedIn" if before == after else "WrongCode")
    assert await go_on(house, pending, after) == "SignedIn"


async def test_a_request_writes_alike_for_everybody_and_sends_to_the_enrolled_only(house: House) -> None:
    await with_email(house)
    await house.add(email="bob@example.com", username="bob", verified=True)
    carol = await house.add(email="carol@example.com", username="carol", verified=True)
    await house.enrol_email(carol)
    await house.core.life.suspend(carol.account)
    written = []
    for number, name in enumerate(
        ["ada", "bob", "carol", "nobody", "nobody@example.com", "x" * 5000, "nul\x00@\ud800"]
    ):
        before, began = (await house.db.scan(_ROWS))[0], house.clock.monotonic()
        await house.core.factors.mail_code(PAUSING, Typed("any", name), client(f"203.0.113.{number}"))
        assert house.clock.monotonic() - began >= SLOT_SECONDS
        after = (await house.db.scan(_ROWS))[0]
        written.append(tuple(a - b for a, b in zip(after, before, strict=True)))
    assert written == [(1, 2, 0)] * 7
    assert [letter.to for letter in await house.letters("code")] == [ADA]
    told = await events(house, "code_asked_for")
    assert [each["sent"] for each in told] == ["yes"] + ["no"] * 6
    assert "nobody" not in str(told)
    before = (await house.db.scan(_ROWS))[0]
    for name in ("ada", "nobody"):
        await house.core.factors.mail_code(PAUSING, Typed("any", name), client("203.0.113.99"))
    assert (await house.db.scan(_ROWS))[0] == before, "within the minute nothing is written for either"
