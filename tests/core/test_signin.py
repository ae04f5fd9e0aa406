"""The gate: what it computes, in which order it judges, what it keeps, and what cannot be raced."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.core import hashing, refusals
from dragoman.core.doors import DAY, Door
from dragoman.core.ports import new_id
from dragoman.core.tokens import Opaque
from dragoman.model import Client, Password, Pending, SignedIn, Typed
from dragoman.storage import accounts
from dragoman.storage.engine import Statement
from kit.house import PASSWORD, House, Totp, client

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PAUSING = Door(name="pausing", token=Opaque("pausing", LETTERS, 43), attempt="handle", absolute=DAY, digest="always")
REPEATING = Door(name="repeating", token=Opaque("repeating", LETTERS, 43), absolute=DAY, repeats_step=True)
HOME, AWAY = client("192.0.2.1"), client("198.51.100.7")
ADA = "ada@example.com"

_ROWS = Statement("select (select count(*) from event), (select count(*) from counter)")
# The usual password under bcrypt, quick to compute.
QUICK = "bcrypt:$2b$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS"
# Nobody's password: keeps a thread of the pool busy for about half a second.
SLOW = "bcrypt:$2b$13$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS"


async def enter(
    house: House, email: str = ADA, password: str = PASSWORD, *, at: Client = HOME, door: Door = PAUSING, **more: Any
) -> SignedIn | Pending:
    """Try a password at the gate."""
    return await house.core.signin.with_password(door, Typed("email", email), Password.from_plain(password), at, **more)


async def refused(house: House, *args: Any, **more: Any) -> refusals.Refusal:
    """Try a password and return the refusal."""
    with pytest.raises(refusals.Refusal) as caught:
        await enter(house, *args, **more)
    return caught.value


async def paused(house: House, at: Client = HOME) -> str:
    """Go as far as the second factor; return the attempt."""
    outcome = await enter(house, at=at)
    assert isinstance(outcome, Pending)
    assert outcome.attempt is not None
    return outcome.attempt


async def code(house: House, attempt: str, typed: str, at: Client = HOME, door: Door = PAUSING) -> str:
    """Try a code; return the name of the refusal, or `SignedIn`."""
    try:
        return type(await house.core.signin.with_code(door, attempt, typed, at)).__name__
    except refusals.Refusal as why:
        return type(why).__name__


async def fail(house: House, times: int, at: Client, email: str = ADA) -> None:
    """Fail with the password so often; each must still have been judged."""
    for _ in range(times):
        assert type(await refused(house, email, "wrong horse", at=at)) is refusals.WrongPassword


async def until(true: Callable[[], object]) -> None:
    """Wait for something that tells nobody."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def with_totp(house: House) -> Totp:
    """Add Ada with TOTP."""
    return await house.enrol_totp(await house.ada())


# ---------------------------------------------------------------- exactly one evaluation (decision 7)


async def _other_organization(house: House) -> bytes:
    id = new_id(house.clock, house.core.random)
    now = house.clock.now()
    await house.db.transaction(
        lambda tx: accounts.insert_organization(tx, id, "Other", now, business=False, default=False)
    )
    return id


async def test_every_refused_password_costs_one_evaluation(house: House) -> None:
    ada = await house.ada()
    await house.add(email="bob@example.com", status="suspended")
    await house.add(email="carol@example.com", password=None)
    dan = await house.add(email="dan@example.com")
    await house.core.accounts.import_hash(dan.account, QUICK)
    eve = await house.add(email="eve@example.com")
    await house.core.accounts.set_password(eve.account, Password.from_plain(PASSWORD), initial=True, allow_weak=True)
    await house.add(email="fay@example.com", organization=await _other_organization(house))
    house.clock.move(8 * DAY)
    plain, digest = Password.from_plain, Password.from_digest
    right = plain(PASSWORD).hexdigest.reveal()
    cases = [
        (PAUSING, ADA, plain("wrong horse"), "WrongPassword"),
        (PAUSING, ADA, plain(""), "WrongPassword"),
        (PAUSING, ADA, plain("x" * 1_000_000), "WrongPassword"),
        (PAUSING, ADA, plain("\ud800"), "WrongPassword"),
        (PAUSING, ADA, digest("0" * 64), "WrongPassword"),
        (PAUSING, ADA, digest(plain("").hexdigest.reveal()), "WrongPassword"),
        (PAUSING, ADA, digest("nothing of the kind"), "WrongPassword"),
        (REPEATING, ADA, digest(right), "WrongPassword"),
        (PAUSING, "nobody@example.com", plain(PASSWORD), "WrongPassword"),
        (PAUSING, "x" * 100_000, plain(PASSWORD), "WrongPassword"),
        (PAUSING, "nul\x00@\ud800", plain(PASSWORD), "WrongPassword"),
        (PAUSING, "bob@example.com", plain(PASSWORD), "NotActive"),
        (PAUSING, "bob@example.com", plain("wrong horse"), "WrongPassword"),
        (PAUSING, "carol@example.com", plain(PASSWORD), "WrongPassword"),
        (PAUSING, "carol@example.com", plain(""), "WrongPassword"),
        (PAUSING, "dan@example.com", digest(right), "WrongPassword"),
        (PAUSING, "eve@example.com", plain(PASSWORD), "WrongPassword"),
        (Door(name="inner", token=PAUSING.token, admits_all=False), "fay@example.com", plain(PASSWORD), "NotAdmitted"),
    ]
    for number, (door, email, password, why) in enumerate(cases):
        before = house.hash_evaluations()
        with pytest.raises(refusals.Refusal) as caught:
            await house.core.signin.with_password(door, Typed("email", email), password, client(f"203.0.113.{number}"))
        assert (type(caught.value).__name__, house.hash_evaluations() - before) == (why, 1), number
        await house.core.accounts.unlock(ada.account)
    assert await house.sessions() == []


async def test_the_right_password_and_its_digest_cost_one_evaluation(house: House) -> None:
    await house.ada()
    for password in (
        Password.from_plain(PASSWORD),
        Password.from_digest(Password.from_plain(PASSWORD).hexdigest.reveal()),
    ):
        before = house.hash_evaluations()
        assert isinstance(await house.core.signin.with_password(PAUSING, Typed("any", "ADA"), password, HOME), SignedIn)
        assert house.hash_evaluations() == before + 1


async def test_an_unknown_name_writes_the_rows_of_a_known_one(house: House) -> None:
    await house.ada()
    written = []
    for email, at in ((ADA, client("203.0.113.1")), ("nobody@example.com", client("203.0.114.1"))):
        before = (await house.db.scan(_ROWS))[0]
        await fail(house, 1, at, email)
        after = (await house.db.scan(_ROWS))[0]
        written.append((after[0] - before[0], after[1] - before[1]))
    assert written == [(1, 3), (1, 3)]


# ---------------------------------------------------------------- the order of judgement (design 3)


async def test_network_then_lock_then_credential_then_status_then_factor(house: House) -> None:
    ada = await house.ada()
    await house.enrol_totp(ada)
    for number in range(10):
        await fail(house, 5, AWAY, f"nobody{number}@example.com")
    for number in range(10):
        await fail(house, 1, client(f"203.0.113.{number}"))
    await house.core.life.set_status(ada.account, "suspended")
    before = house.hash_evaluations()
    assert type(await refused(house, at=AWAY)) is refusals.NetworkBlocked
    assert type(await refused(house, at=HOME)) is refusals.AccountLocked
    assert house.hash_evaluations() == before
    await house.core.accounts.unlock(ada.account)
    assert type(await refused(house, password="wrong horse")) is refusals.WrongPassword
    why = await refused(house)
    assert isinstance(why, refusals.NotActive)
    assert why.status == "suspended"
    await house.core.life.set_status(ada.account, "active")
    assert isinstance(await enter(house), Pending)


@pytest.mark.parametrize("status", ["invited", "deactivated", "suspended", "deleted"])
async def test_a_status_is_told_only_after_the_right_password(house: House, status: Any) -> None:
    ada = await house.ada()
    await house.core.life.set_status(ada.account, status)
    assert type(await refused(house, password="wrong horse")) is refusals.WrongPassword
    why = await refused(house)
    assert isinstance(why, refusals.NotActive)
    assert why.status == status


async def test_what_a_door_demands_is_judged_before_the_factor(house: House) -> None:
    await house.enrol_totp(await house.ada(verified=False))
    strict = Door(name="strict", token=PAUSING.token, requires_verified=True)
    assert type(await refused(house, door=strict)) is refusals.NotVerified
    assert type(await refused(house, password="wrong horse", door=strict)) is refusals.WrongPassword
    bare = Door(name="bare", token=PAUSING.token, factors=())
    assert type(await refused(house, door=bare)) is refusals.NoUsableFactor
    assert await house.sessions() == []


async def test_a_counter_at_its_limit_refuses_the_right_password_too(house: House) -> None:
    await house.ada()
    await fail(house, 10, AWAY)
    before = house.hash_evaluations()
    assert type(await refused(house, at=AWAY)) is refusals.AccountLocked
    assert type(await refused(house, "ADA@EXAMPLE.com", at=HOME)) is refusals.AccountLocked
    assert house.hash_evaluations() == before


# ---------------------------------------------------------------- changed while the hash runs (threat 3)


async def change_nothing(house: House, ada: Any) -> None:
    """Leave everything as it is."""


async def change_password(house: House, ada: Any) -> None:
    await house.core.accounts.import_hash(ada.account, QUICK)


async def change_status(house: House, ada: Any) -> None:
    await house.core.life.set_status(ada.account, "suspended")


async def suspend_and_return(house: House, ada: Any) -> None:
    await house.core.life.set_status(ada.account, "suspended")
    await house.core.life.set_status(ada.account, "active")


async def enrol(house: House, ada: Any) -> None:
    await house.enrol_totp(ada)


@pytest.mark.parametrize("change", [change_nothing, change_password, change_status, suspend_and_return, enrol])
async def test_what_changes_during_verification_wins(either_house: House, change: Any) -> None:
    house = either_house
    ada = await house.ada()
    await house.core.accounts.import_hash(ada.account, QUICK)
    pool, password = house.core.pool, Password.from_plain(PASSWORD)
    lanes = [hashing.Lane(known=True, account=bytes([n])) for n in range(pool.threads)]
    busy = [asyncio.create_task(pool.verify(SLOW, password, lane)) for lane in lanes]
    await asyncio.sleep(0)
    await until(lambda: not pool.waiting)  # every thread has taken its work
    trying = asyncio.create_task(enter(house))
    await until(lambda: pool.waiting or trying.done())  # Ada's password waits for a thread: all has been read
    await change(house, ada)
    assert pool.waiting == 1, "the change came too late to prove anything"
    await asyncio.gather(*busy, return_exceptions=True)
    if change is change_nothing:
        assert isinstance(await trying, SignedIn)
        return
    with pytest.raises((refusals.WrongPassword, refusals.NotActive)):
        await trying
    assert await house.sessions() == []


@pytest.mark.parametrize("change", [change_password, change_status, suspend_and_return])
async def test_what_changes_between_the_steps_ends_the_attempt(either_house: House, change: Any) -> None:
    house = either_house
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    attempt = await paused(house)
    await change(house, ada)
    assert await code(house, attempt, totp.code()) == "NoSuchAttempt"
    assert await house.sessions() == []


# ---------------------------------------------------------------- lanes (table D, threats 32 and 33)


async def test_a_known_network_is_not_locked_while_strangers_are(house: House) -> None:
    await house.ada()
    assert isinstance(await enter(house, at=HOME), SignedIn)
    for number in range(10):
        await fail(house, 1, client(f"203.0.113.{number}"))
    assert type(await refused(house, at=AWAY)) is refusals.AccountLocked
    assert isinstance(await enter(house, at=HOME), SignedIn)


async def test_known_networks_are_counted_apart(house: House) -> None:
    await house.ada()
    for at in (HOME, AWAY):
        assert isinstance(await enter(house, at=at), SignedIn)
    await fail(house, 10, HOME)
    assert type(await refused(house, at=HOME)) is refusals.AccountLocked
    assert isinstance(await enter(house, at=AWAY), SignedIn)
    assert type(await refused(house, at=HOME)) is refusals.AccountLocked
    assert isinstance(await enter(house, at=client("203.0.113.9")), SignedIn)


async def test_a_success_clears_its_own_networks_count_only(house: House) -> None:
    await house.ada()
    await fail(house, 6, AWAY)
    await fail(house, 3, HOME)
    assert isinstance(await enter(house, at=HOME), SignedIn)
    await fail(house, 4, AWAY)
    assert type(await refused(house, at=AWAY)) is refusals.AccountLocked
    await fail(house, 10, HOME)


async def test_a_hundred_failures_in_a_row_close_the_strangers_lane(house: House) -> None:
    ada = await house.ada()
    assert isinstance(await enter(house, at=HOME), SignedIn)
    judged = 0
    for number in range(1000):
        why = await refused(house, password="wrong horse", at=client(f"203.0.{number % 250}.1"))
        if isinstance(why, refusals.AccountLocked):
            if why.retry_after >= DAY:
                break
            house.clock.move(why.retry_after)
        else:
            judged += 1
    assert judged == 100
    house.clock.move(30 * DAY)
    assert type(await refused(house, at=AWAY)) is refusals.AccountLocked
    assert isinstance(await enter(house, at=HOME), SignedIn)
    await house.core.accounts.unlock(ada.account)
    assert isinstance(await enter(house, at=AWAY), SignedIn)


async def test_while_addresses_cannot_be_trusted_nobody_is_known_and_no_network_blocked(house: House) -> None:
    await house.ada()
    nowhere = client("")
    assert isinstance(await enter(house, at=nowhere), SignedIn)
    for number in range(6):
        await fail(house, 9, nowhere, f"nobody{number}@example.com")
    await fail(house, 10, nowhere)
    assert type(await refused(house, at=nowhere)) is refusals.AccountLocked


# ---------------------------------------------------------------- codes (decision 8, threats 7 and 8)


async def test_a_hundred_days_of_guessing_codes(house: House) -> None:
    ada = await house.ada()
    assert isinstance(await enter(house, at=HOME), SignedIn)
    totp = await house.enrol_totp(ada)
    judged = []
    for day in range(100):
        seen: Counter[str] = Counter()
        while not seen["TooManyCodes"]:
            at = client(f"203.0.{day}.{sum(seen.values()) // 5}")
            attempt = await paused(house, at)
            for _ in range(6):
                seen[await code(house, attempt, totp.wrong(), at)] += 1
                if seen["TooManyCodes"]:
                    break
        judged.append(seen["WrongCode"])
        house.clock.move(DAY)
        if day % 30 == 0:
            assert await code(house, await paused(house), totp.code()) == "SignedIn"
    assert (max(judged), sum(judged)) == (20, 100)
    attempt = await paused(house, AWAY)
    assert await code(house, attempt, totp.code(), AWAY) == "TooManyCodes"
    attempt = await paused(house, HOME)
    assert await code(house, attempt, totp.code(), HOME) == "SignedIn"


async def test_a_known_network_has_ten_codes_an_hour_of_its_own(house: House) -> None:
    ada = await house.ada()
    for at in (HOME, AWAY):
        assert isinstance(await enter(house, at=at), SignedIn)
    totp = await house.enrol_totp(ada)
    for _ in range(2):
        attempt = await paused(house)
        assert [await code(house, attempt, totp.wrong()) for _ in range(6)] == ["WrongCode"] * 5 + ["NoSuchAttempt"]
    attempt = await paused(house)
    assert await code(house, attempt, totp.code()) == "TooManyCodes"
    assert await code(house, await paused(house, AWAY), totp.code(), AWAY) == "SignedIn"
    house.clock.move(3601)
    assert await code(house, await paused(house), totp.code()) == "SignedIn"


async def test_a_step_is_taken_once_and_none_before_it(house: House) -> None:
    totp = await with_totp(house)
    first = totp.code()
    second = totp.code()
    attempts = [await paused(house) for _ in range(4)]
    assert await code(house, attempts[0], second) == "SignedIn"
    assert await code(house, attempts[1], second) == "WrongCode"
    assert await code(house, attempts[2], first) == "WrongCode"
    assert await code(house, attempts[3], totp.code()) == "SignedIn"


async def test_only_a_door_that_says_so_takes_a_step_once_more_from_the_same_client(house: House) -> None:
    totp = await with_totp(house)
    typed = totp.code()
    assert isinstance(await enter(house, door=REPEATING, code=typed), SignedIn)
    other = Client(HOME.address, HOME.network, "another program")
    assert type(await refused(house, door=REPEATING, code=typed, at=other)) is refusals.WrongCode
    assert type(await refused(house, door=REPEATING, code=typed, at=AWAY)) is refusals.WrongCode
    assert isinstance(await enter(house, door=REPEATING, code=typed), SignedIn)
    assert type(await refused(house, door=REPEATING, code=typed)) is refusals.WrongCode
    assert await code(house, await paused(house), typed) == "WrongCode"


async def test_a_recovery_code_is_taken_once(house: House) -> None:
    totp = await with_totp(house)
    assert await code(house, await paused(house), totp.recovery[0]) == "SignedIn"
    assert await code(house, await paused(house), totp.recovery[0]) == "WrongCode"
    assert type(await refused(house, door=REPEATING, code=totp.recovery[0])) is refusals.WrongCode
    assert isinstance(await enter(house, door=REPEATING, code=totp.recovery[1]), SignedIn)


async def test_an_attempt_answers_its_own_door_and_ends_in_time(house: House) -> None:
    totp = await with_totp(house)
    attempt = await paused(house)
    other = Door(name="other", token=PAUSING.token, attempt="handle")
    assert await code(house, attempt, totp.code(), door=other) == "NoSuchAttempt"
    house.clock.move(15 * 60)
    assert await code(house, attempt, totp.code()) == "NoSuchAttempt"


async def test_five_attempts_live_and_the_oldest_goes(house: House) -> None:
    totp = await with_totp(house)
    attempts = []
    for _ in range(6):
        attempts.append(await paused(house))
        house.clock.move(1)
    assert await code(house, attempts[0], totp.code()) == "NoSuchAttempt"
    assert await code(house, attempts[1], totp.code()) == "SignedIn"


# ---------------------------------------------------------------- races


@pytest.mark.parametrize("kind", ["totp", "recovery"])
@pytest.mark.parametrize("attempts", [1, 5])
async def test_of_twenty_with_one_code_one_gets_in(either_house: House, kind: str, attempts: int) -> None:
    house = either_house
    totp = await with_totp(house)
    live = [await paused(house) for _ in range(attempts)]
    typed = totp.code() if kind == "totp" else totp.recovery[0]
    outcomes = Counter(await asyncio.gather(*(code(house, live[n % attempts], typed) for n in range(20))))
    assert outcomes["SignedIn"] == 1
    assert set(outcomes) <= {"SignedIn", "WrongCode", "NoSuchAttempt", "TooManyCodes"}
    assert len(await house.sessions()) == 1


async def test_wrong_codes_sent_at_once_are_all_counted(either_house: House) -> None:
    house = either_house
    totp = await with_totp(house)
    live = [await paused(house) for _ in range(5)]
    wrong = totp.wrong()
    outcomes = Counter(await asyncio.gather(*(code(house, live[n % 5], wrong) for n in range(50))))
    assert outcomes["WrongCode"] == 20
    house.clock.move(1)  # of attempts begun in one millisecond any may be the oldest
    assert await code(house, await paused(house), totp.code()) == "TooManyCodes"


# ---------------------------------------------------------------- evidence


async def test_refusals_keep_their_evidence(either_house: House) -> None:
    house = either_house
    ada = await house.ada()
    totp = await house.enrol_totp(ada)
    await fail(house, 2, AWAY)
    await fail(house, 1, AWAY, "nobody@example.com")
    await code(house, await paused(house), totp.wrong())
    await house.core.life.set_status(ada.account, "suspended")
    await refused(house)
    trail = await house.core.newest_events(10)
    kinds = [(event.kind, event.detail.get("reason"), event.address) for event in reversed(trail)]
    assert [kind for kind in kinds if kind[0] not in {"account_added", "account_changed", "factor_enrolled"}] == [
        ("password_refused", "wrong_password", AWAY.address),
        ("password_refused", "wrong_password", AWAY.address),
        ("password_refused", "unknown_account", AWAY.address),
        ("second_factor_asked", None, HOME.address),
        ("code_refused", None, HOME.address),
        ("sign_in_refused", "NotActive", HOME.address),
    ]
    assert {event.account for event in trail if event.kind == "code_refused"} == {ada.account.id}
    assert not [event for event in trail if "nobody" in str(event.detail)]


async def test_being_locked_out_is_one_event_with_a_count_and_no_other_write(house: House) -> None:
    await house.ada()
    await fail(house, 10, AWAY)
    before = (await house.db.scan(_ROWS))[0]
    for _ in range(25):
        assert type(await refused(house, at=AWAY)) is refusals.AccountLocked
    assert (await house.db.scan(_ROWS))[0] == before
    house.clock.move(61)
    await house.core.tick()
    locked = [event for event in await house.core.newest_events(5) if event.kind == "locked_out"]
    assert [(event.count, event.detail) for event in locked] == [(25, {"budget": "strangers"})]
