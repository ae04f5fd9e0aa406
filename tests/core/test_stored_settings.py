"""Settings changed at run time: in force at once everywhere, never looser than the file, schema-checked, audited."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dragoman.app import configured, policy, stored_values
from dragoman.core import refusals
from dragoman.core.limits import DAY, HOUR, Window
from dragoman.core.stored_settings import Storable, Value
from dragoman.model import Caller, Password, SignedIn, Typed
from dragoman.settings import catalogue, with_values
from dragoman.storage.engine import Statement, Tx
from kit.command import environment
from kit.house import PASSWORD, House, client, house_over, open_house

pytestmark = pytest.mark.slow

ACCOUNT, MINUTES = "limits.account_5_minutes", "limits.account_minutes"
STORABLES = [known for known in catalogue() if known.tighter is not None]
_STATE = Statement(
    """select (select count(*) from setting), (select count(*) from event where kind = 'setting_changed'),
       (select coalesce(max(next), 0) from sequence where name = 'settings')"""
)
_SPOIL = Statement("update setting set value = :value where name = :name")
_ADD = Statement("insert into setting(name, value, updated_at) values (:name, :value, 1)")
_RAISE = Statement("update sequence set next = next + 1 where name = 'settings'")


async def state(house: House) -> tuple[int, int, int]:
    """Return how many settings are stored, how many events tell of it, and the version."""
    stored, events, version = (await house.db.scan(_STATE))[0]
    return int(stored), int(events), int(version)


async def caller(house: House, username: str = "root", password: str = "root's own password") -> Caller:
    """Sign somebody in and return who asks."""
    door = house.core.doors["rocketchat"]
    given = Password.from_plain(password)
    outcome = await house.core.signin.with_password(door, Typed("username", username), given, client())
    assert isinstance(outcome, SignedIn)
    return Caller(outcome.session, outcome.person.account)


async def value_of(house: House, name: str) -> Value:
    return next(each for each in await house.core.settings.values() if each.name == name)


async def attempt(house: House, password: str = "wrong", address: str = "192.0.2.1") -> str:
    """Try a password at a door; return the name of the refusal, or `SignedIn`."""
    given, door = Password.from_plain(password), house.core.doors["rocketchat"]
    try:
        found = await house.core.signin.with_password(door, Typed("username", "ada"), given, client(address))
    except refusals.Refusal as why:
        return type(why).__name__
    return type(found).__name__


async def attempts(house: House, number: int) -> list[str]:
    return [await attempt(house) for _ in range(number)]


# ---------------------------------------------------------------- in force at once


async def test_a_change_is_in_force_for_the_very_next_sign_in_in_every_process(
    any_house: House, tmp_path: Path
) -> None:
    """Two Cores over one database, each in its own state of mind."""
    async with house_over(any_house.db, any_house.settings, tmp_path, any_house.clock) as other:
        assert other.core.settings is not any_house.core.settings
        await any_house.ada()
        assert (await other.core.settings.current()).budgets.strangers.windows[0] == Window(10, 300)
        await any_house.core.settings.set(ACCOUNT, 2, None)
        assert (await other.core.settings.current()).budgets.strangers.windows[0] == Window(2, 300)
        assert (await other.core.settings.in_force())[ACCOUNT] == 2
        assert await attempts(other, 3) == ["WrongPassword", "WrongPassword", "AccountLocked"]
        assert await attempt(any_house, PASSWORD) == "AccountLocked"
        await other.core.settings.unset(ACCOUNT, None)
        assert await attempt(any_house, PASSWORD) == "SignedIn"
        assert (await any_house.core.settings.current()) == policy(any_house.settings)


async def test_a_longer_window_holds_what_a_shorter_one_let_go(any_house: House) -> None:
    await any_house.ada()
    await any_house.core.settings.set(ACCOUNT, 2, None)
    assert await attempts(any_house, 2) == ["WrongPassword"] * 2
    any_house.clock.move(301)
    assert await attempt(any_house) == "WrongPassword"
    await any_house.core.settings.set(MINUTES, 30, None)
    any_house.clock.move(400)
    assert await attempt(any_house, PASSWORD) == "AccountLocked"
    any_house.clock.move(1500)
    assert await attempt(any_house, PASSWORD) == "SignedIn"


async def test_parallel_failures_against_a_tightened_budget(any_house: House) -> None:
    await any_house.ada()
    await any_house.core.settings.set(ACCOUNT, 3, None)

    async def stranger(number: int) -> list[str]:
        return [await attempt(any_house, address=f"198.51.100.{number}") for _ in range(6)]

    found = Counter(itertools.chain(*await asyncio.gather(*(stranger(n) for n in range(8)))))
    assert found["WrongPassword"] == 3
    assert found.keys() <= {"WrongPassword", "AccountLocked", "Busy"}
    assert await attempt(any_house, PASSWORD) == "AccountLocked"


async def test_a_closed_lane_and_a_network_follow_too(any_house: House) -> None:
    await any_house.ada()
    settings = any_house.core.settings
    assert await attempts(any_house, 4) == ["WrongPassword"] * 4
    await settings.set("limits.account_closes", 4, None)
    assert await attempt(any_house) == "AccountLocked"
    any_house.clock.move(2 * DAY)
    assert await attempt(any_house, PASSWORD) == "AccountLocked", "closed for good, not for a window"
    await any_house.core.sweep()
    assert await attempt(any_house, PASSWORD) == "AccountLocked", "what holds a lane closed is not swept away"
    await settings.unset("limits.account_closes", None)
    assert await attempt(any_house, PASSWORD) == "SignedIn"
    await settings.set("limits.network_5_minutes", 1, None)
    assert await attempts(any_house, 2) == ["WrongPassword", "NetworkBlocked"]


async def test_wrong_codes_per_attempt_follow(any_house: House) -> None:
    ada = await any_house.ada()
    totp = await any_house.enrol_totp(ada)
    await any_house.core.settings.set("limits.codes_per_attempt", 1, None)
    door = any_house.core.doors["pocketm8"]
    given = Password.from_plain(PASSWORD)
    pending = await any_house.core.signin.with_password(door, Typed("username", "ada"), given, client())
    assert not isinstance(pending, SignedIn)
    with pytest.raises(refusals.WrongCode):
        await any_house.core.signin.with_code(door, pending.attempt or "", totp.wrong(), client())
    with pytest.raises(refusals.NoSuchAttempt):
        await any_house.core.signin.with_code(door, pending.attempt or "", totp.code(), client())


async def test_nothing_is_read_anew_while_nothing_changed(house: House) -> None:
    first = await house.core.settings.current()
    assert await house.core.settings.current() is first
    await house.core.settings.set(ACCOUNT, 10, None)
    second = await house.core.settings.current()
    assert (second, second is first) == (first, False)
    assert await house.core.settings.current() is second


# ---------------------------------------------------------------- never looser than the file


DOWN_TO_NOTHING = ("accounts.enrol_days", "accounts.totp_steps")
"""Settings that may be 0."""


def steps(storable: Storable) -> tuple[Any, Any]:
    """Return a value that is tighter than the floor, or the floor where there is none, and one that is looser."""
    floor = storable.floor
    if storable.words:
        return storable.words[0], storable.words[-1]
    if storable.tighter in ("true", "false"):
        return storable.tighter == "true", storable.tighter == "false"
    up, down = floor + 1, floor if floor == 1 and storable.name not in DOWN_TO_NOTHING else floor - 1
    return (up, down) if storable.tighter == "larger" else (down, up)


@pytest.mark.parametrize("name", [known.name for known in STORABLES])
async def test_every_setting_goes_one_way_only(house: House, name: str) -> None:
    settings = house.core.settings
    storable = next(each for each in configured(house.settings).storables if each.name == name)
    tight, loose = steps(storable)
    await settings.set(name, tight, None)
    assert (await settings.in_force())[name] == tight
    if storable.is_looser(loose, storable.floor):
        for given, text in ((loose, False), (json.dumps(loose).strip('"'), True)):
            with pytest.raises(refusals.SettingRefused) as caught:
                await settings.set(name, given, None, text=text)
            assert caught.value.name == name
            assert re.search("configuration file|not a value of this setting: Expected `int` <= 1", caught.value.why)
    assert (await settings.in_force())[name] == tight
    await settings.set(name, storable.floor, None)
    assert (await settings.in_force())[name] == storable.floor
    assert await settings.unset(name, None) is True
    assert await settings.unset(name, None) is False
    assert (await value_of(house, name)).source == "file"


async def test_a_file_that_became_stricter_wins_over_what_was_stored(house: House, tmp_path: Path) -> None:
    await house.core.settings.set(ACCOUNT, 8, None)
    stricter = with_values(house.settings, {ACCOUNT: 4})
    async with house_over(house.db, stricter, tmp_path, house.clock) as other:
        assert (await other.core.settings.in_force())[ACCOUNT] == 4
        shown = await value_of(other, ACCOUNT)
        assert (shown.value, shown.floor, shown.source) == (4, 4, "file")
    assert (await value_of(house, ACCOUNT)).value == 8


BAD: tuple[Any, ...] = (
    None, True, False, "", "ten", "5", 0, -1, 2.5, float("nan"), float("inf"), [], [5], {}, {"value": 5}, 10**30,
    "x" * 5000, "\0", "\ud800", b"5",
)  # fmt: skip


@pytest.mark.parametrize("name", [known.name for known in STORABLES])
async def test_what_does_not_fit_is_refused_and_leaves_nothing(house: House, name: str) -> None:
    storable = next(each for each in configured(house.settings).storables if each.name == name)
    before = await state(house)
    for value in BAD:
        if isinstance(value, bool) and isinstance(storable.floor, bool):
            continue
        if value == 0 and not isinstance(value, bool) and name in DOWN_TO_NOTHING:
            continue
        if value == 2.5 and isinstance(storable.floor, float) and storable.tighter == "smaller":
            continue
        with pytest.raises(refusals.SettingRefused) as caught:
            await house.core.settings.set(name, value, None)
        assert len(str(caught.value)) < 200
    assert await state(house) == before


@pytest.mark.parametrize("name", ["", "server.port", "storage.postgres", "limits", "limits.nothing", "x" * 300, "\0"])
async def test_a_setting_that_is_not_storable_is_refused(house: House, name: str) -> None:
    settings = house.core.settings
    for act in (settings.set(name, 1, None), settings.unset(name, None)):
        with pytest.raises(refusals.SettingRefused):
            await act
    assert await state(house) == (0, 0, 0)


async def test_only_administrators_change_settings(house: House) -> None:
    await house.ada(rank=255)
    ada = await caller(house, "ada", PASSWORD)
    settings = house.core.settings
    for act in (settings.set(ACCOUNT, 3, ada), settings.unset(ACCOUNT, ada), settings.shown_to(ada)):
        with pytest.raises(refusals.NotAllowed):
            await act
    assert await state(house) == (0, 0, 0)
    await settings.set(ACCOUNT, 3, await caller(house))
    assert (await value_of(house, ACCOUNT)).by == "root"


async def test_what_cannot_be_read_any_more_is_as_if_it_were_not_there(any_house: House) -> None:
    """After an upgrade a stored value may have no meaning: the file's is in force, and nothing breaks."""
    house = any_house
    await house.core.settings.set(ACCOUNT, 3, None)
    for spoilt in ("{", "null", '"three"', "-1", "99", "[3]", ""):

        async def fn(tx: Tx, value: str = spoilt) -> None:
            await tx.run(_SPOIL, name=ACCOUNT, value=value)
            await tx.run(_RAISE)

        await house.db.transaction(fn)
        assert (await house.core.settings.in_force())[ACCOUNT] == 10
        assert (await value_of(house, ACCOUNT)).source == "file"

    async def foreign(tx: Tx) -> None:
        await tx.run(_ADD, name="limits.of_another_version", value="1")
        await tx.run(_RAISE)

    await house.db.transaction(foreign)
    assert await house.core.settings.current() == policy(house.settings)
    assert "limits.of_another_version" not in {each.name for each in await house.core.settings.values()}


# ---------------------------------------------------------------- evidence


async def test_every_change_is_a_line_of_the_audit_trail(any_house: House) -> None:
    root = await caller(any_house)
    settings = any_house.core.settings
    await settings.set(ACCOUNT, 4, root, client=client("192.0.2.77"))
    await settings.set(ACCOUNT, 4, root)  # nothing changed: no line
    await settings.set(ACCOUNT, 6, None)
    await settings.unset(ACCOUNT, None)
    lines = [line for line in await any_house.core.events_after(0) if line.kind == "setting_changed"]
    assert [(line.detail["from"], line.detail["to"]) for line in lines] == [("10", "4"), ("4", "6"), ("6", "10")]
    assert {line.detail["name"] for line in lines} == {ACCOUNT}
    assert lines[0].account == root.account.id
    assert lines[0].session == root.session.id
    assert (lines[0].door, lines[0].address) == ("rocketchat", "192.0.2.77")
    assert [line.detail["by"] for line in lines][1:] == ["operator", "operator"]
    assert await state(any_house) == (0, 3, 4)


async def test_values_say_who_and_when(any_house: House) -> None:
    await any_house.core.settings.set(MINUTES, 7.5, await caller(any_house))
    await any_house.core.settings.set("accounts.conceal", True, None)
    now = any_house.clock.now()
    assert await value_of(any_house, MINUTES) == Value(MINUTES, 7.5, 5.0, "stored", "root", now)
    assert await value_of(any_house, "accounts.conceal") == Value(
        "accounts.conceal", True, False, "stored", "operator", now
    )
    assert [each.name for each in await any_house.core.settings.values()] == [known.name for known in STORABLES]


async def test_stored_values_without_a_core(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.core.settings.set(ACCOUNT, 2, None)
        shown = {each.name: each for each in await stored_values(house.settings)}
    assert (shown[ACCOUNT].value, shown[ACCOUNT].by) == (2, "operator")
    assert await stored_values(with_values(house.settings, {"storage.data": str(tmp_path / "nothing")})) == []
    assert not (tmp_path / "nothing").exists()


# ---------------------------------------------------------------- one policy


RATES = frozenset(f"dialects.rocketchat.rate_limit{part}" for part in ("", "_calls", "_seconds", "_register"))
"""The kit follows these by itself, for they are no part of what the core is asked: test_rocketchat_rates.py."""


def test_each_storable_setting_moves_the_policy(tmp_path: Path) -> None:
    """One function makes the policy of the file and of what is stored: a setting that nobody reads would show here."""
    from kit.house import fast_settings

    settings = fast_settings(tmp_path)
    made = configured(settings)
    plain = {each.name: each.floor for each in made.storables}
    assert made.policy(plain) == policy(settings)
    for each in made.storables:
        tight, loose = steps(each)
        other = tight if tight != each.floor else loose
        if each.name not in RATES:
            assert made.policy({**plain, each.name: other}) != policy(settings), each.name
        assert made.policy({**plain, each.name: other}) == policy(with_values(settings, {each.name: other}))


def test_minutes_become_seconds(tmp_path: Path) -> None:
    from kit.house import fast_settings

    settings = fast_settings(tmp_path)
    for minutes, seconds in ((5.0, 300), (7.5, 450), (100 / 60, 100), (0.05, 3), (0.001, 1), (1440, DAY)):
        budgets = policy(with_values(settings, {MINUTES: minutes, "limits.network_minutes": minutes})).budgets
        assert budgets.strangers.windows == (Window(10, seconds), Window(30, HOUR), Window(60, DAY))
        assert budgets.known.windows[0] == Window(10, seconds)
        assert budgets.network.windows[0] == Window(50, seconds)
        assert budgets.wide_network.windows[0] == Window(500, seconds)


# ---------------------------------------------------------------- killed in the middle

_CHANGING = """
import asyncio, sys
from pathlib import Path
from dragoman.app import opened
from dragoman.settings import load

async def main():
    settings = load(None, {}, {"storage.data": sys.argv[1], "storage.key_ring": sys.argv[2]})
    async with opened(settings) as core:
        await core.settings.unset("limits.account_hour", None)
        print("ready", flush=True)
        while True:
            for limit in (3, 4, 5):
                await core.settings.set("limits.account_hour", limit, None)
                await core.settings.unset("limits.account_hour", None)

asyncio.run(main())
"""


def changing(data: str, keys: str) -> subprocess.Popen[str]:
    """Start a process that changes settings until it is killed."""
    command = [sys.executable, "-c", _CHANGING, data, keys]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
async def test_a_process_killed_while_it_changes_settings_leaves_whole_changes(tmp_path: Path) -> None:
    """Value, version and event are one transaction: after each kill they agree."""
    async with open_house(tmp_path) as house:
        for round_ in range(4):
            child = changing(house.settings.storage.data, str(tmp_path / "master.keys"))
            try:
                assert child.stdout is not None
                assert await asyncio.to_thread(child.stdout.readline) == "ready\n"
                await asyncio.sleep(0.1 + 0.05 * round_)
            finally:
                child.send_signal(signal.SIGKILL)
                child.wait(20)
                child.stdout.close() if child.stdout else None
            stored, events, version = await state(house)
            assert events == version - 1 > 0
            assert stored == events % 2
            last = next(line for line in await house.core.newest_events(50) if line.kind == "setting_changed")
            assert json.loads(last.detail["to"]) == (await house.core.settings.in_force())["limits.account_hour"]
