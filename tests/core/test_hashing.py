from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import bcrypt
import pytest

from dragoman.core import hashing
from dragoman.core.credentials import hashes
from dragoman.core.credentials.hashes import NeedsPlainPassword, NoMatch, Parameters, TooCostly, UnreadableHash
from dragoman.core.hashing import HashPool, Lane, Limits
from dragoman.core.ports import SystemClock, SystemRandom
from dragoman.core.refusals import Busy
from dragoman.model import Password

CHEAP = Parameters(memory_kib=64, passes=1)
ADA, OTHER = Password.from_plain("ada's own word"), Password.from_plain("not hers")
STRANGER, KNOWN = Lane(known=False), Lane(known=True)

MakePool = Callable[..., HashPool]


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    made: list[HashPool] = []

    def make(threads: int = 1, parameters: Parameters = CHEAP, **limits: float) -> HashPool:
        made.append(HashPool(threads, SystemClock(), SystemRandom(), parameters, Limits(**limits)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


class Gate:
    """Holds the pool's threads inside a computation until it is opened."""

    def __init__(self, pool: HashPool) -> None:
        self.pool, self.open = pool, threading.Event()
        self.held: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Gate:
        started = [threading.Event() for _ in range(self.pool.threads)]
        for event in started:
            self.held.append(self.pool._admit(lambda e=event: self.hold(e), "bcrypt:cost=4", None, False).future)
        for event in started:
            await asyncio.to_thread(event.wait, 5)
        return self

    def hold(self, started: threading.Event) -> None:
        started.set()
        self.open.wait(10)

    async def __aexit__(self, *_: object) -> None:
        self.open.set()
        await asyncio.gather(*self.held)


async def outcome(pool: HashPool, stored: str | None, password: Password, lane: Lane = STRANGER) -> str:
    try:
        await pool.verify(stored, password, lane)
    except (NoMatch, Busy) as refused:
        return type(refused).__name__
    return "Match"


async def test_what_was_made_verifies(make_pool: MakePool) -> None:
    pool = make_pool()
    stored = await pool.make(ADA, STRANGER)
    found = await pool.verify(stored, ADA, STRANGER)
    assert found == hashes.Match("canonical:type=id,m=64,t=1,p=1", outdated=False)
    with pytest.raises(NoMatch):
        await pool.verify(stored, OTHER, STRANGER)
    assert await pool.make(ADA, STRANGER) != stored


async def test_every_way_to_be_refused_costs_exactly_one_evaluation(make_pool: MakePool) -> None:
    pool = make_pool()
    stored = await pool.make(ADA)
    over_plain = "bcrypt:" + bcrypt.hashpw(b"ada's own word", bcrypt.gensalt(4)).decode()
    digest = Password.from_digest(ADA.hexdigest.reveal())
    tried = [
        (stored, ADA, "Match"),
        (stored, OTHER, "NoMatch"),
        (None, ADA, "NoMatch"),
        (over_plain, ADA, "Match"),
        (over_plain, OTHER, "NoMatch"),
        (over_plain, digest, "NeedsPlainPassword"),
        ("bcrypt:$2b$31$" + "a" * 53, ADA, "TooCostly"),
        ("bcrypt:nonsense", ADA, "UnreadableHash"),
        (stored, Password.from_plain(""), "NoMatch"),
        (stored, Password.from_digest("x" * 64), "NoMatch"),
        (stored, Password.from_digest("é" * 64), "NoMatch"),
        (stored, Password.from_digest(""), "NoMatch"),
        (stored, Password.from_plain("x" * 1025), "NoMatch"),
        (stored, Password.from_plain("x" * 1_000_000), "NoMatch"),
    ]
    assert pool.evaluations == 0
    for count, (held, password, expected) in enumerate(tried, 1):
        assert await outcome(pool, held, password) == expected
        assert pool.evaluations == count


async def test_an_unknown_account_takes_as_long_as_a_known_one(make_pool: MakePool) -> None:
    """Compared by processor time, in turns: other programs on the machine slow both alike or not at all."""
    pool = make_pool(parameters=Parameters(memory_kib=8192, passes=2))
    stored = await pool.make(ADA)

    async def cost(held: str | None) -> int:
        began = time.process_time_ns()
        assert await outcome(pool, held, OTHER) == "NoMatch"
        return time.process_time_ns() - began

    for _ in range(5):
        pairs = [(await cost(stored), await cost(None)) for _ in range(15)]
        known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
        if abs(known - unknown) < 0.1 * known:
            return
    pytest.fail(f"a known account costs {known / 1e6:.2f} ms, an unknown one {unknown / 1e6:.2f} ms")


async def test_the_digest_of_nothing_signs_nobody_in(make_pool: MakePool) -> None:
    pool = make_pool()
    stored = await pool.make(Password.from_plain(""))
    assert await outcome(pool, stored, Password.from_plain("")) == "NoMatch"
    assert await outcome(pool, stored, Password.from_digest(hashing._DIGEST_OF_NOTHING.upper())) == "NoMatch"


async def test_an_import_and_a_weak_hash_ask_to_be_rewritten(make_pool: MakePool) -> None:
    weak, strong = make_pool(), make_pool(parameters=Parameters(memory_kib=128, passes=1))
    stored = await weak.make(ADA)
    assert not (await weak.verify(stored, ADA, STRANGER)).outdated
    assert (await strong.verify(stored, ADA, STRANGER)).outdated


async def test_a_network_has_four_places_and_an_account_two_per_lane(make_pool: MakePool) -> None:
    pool = make_pool(deadline=1000.0)
    stored = await pool.make(ADA)
    async with Gate(pool):
        one = Lane(known=True, network="192.0.2.1")
        waiting = [asyncio.create_task(pool.verify(stored, ADA, one)) for _ in range(4)]
        await asyncio.sleep(0)
        assert await outcome(pool, stored, ADA, one) == "Busy"
        stranger = Lane(known=False, account=b"ada")
        waiting += [asyncio.create_task(pool.verify(stored, ADA, stranger)) for _ in range(2)]
        await asyncio.sleep(0)
        assert await outcome(pool, stored, ADA, stranger) == "Busy"
        owner = Lane(known=True, account=b"ada")
        waiting.append(asyncio.create_task(pool.verify(stored, ADA, owner)))
        await asyncio.sleep(0)
        assert pool.waiting == 7
        before = pool.evaluations
    assert len(await asyncio.gather(*waiting)) == 7
    assert (pool.evaluations - before, pool.refused, dict(pool._waiting)) == (7, 2, {})
    assert await outcome(pool, stored, ADA, one) == "Match"


async def test_untrusted_addresses_share_no_network_places(make_pool: MakePool) -> None:
    pool = make_pool(deadline=1000.0)
    async with Gate(pool):
        waiting = [asyncio.create_task(outcome(pool, None, ADA, Lane(known=False))) for _ in range(20)]
        await asyncio.sleep(0)
        assert pool.waiting == 20
    assert await asyncio.gather(*waiting) == ["NoMatch"] * 20


async def test_strangers_fill_half_the_queue_and_known_clients_the_rest(make_pool: MakePool) -> None:
    pool = make_pool(parameters=Parameters(memory_kib=4096, passes=1), deadline=0.05)
    each = pool._seconds[pool._label][0]
    async with Gate(pool):
        strangers = [asyncio.create_task(outcome(pool, None, ADA, STRANGER)) for _ in range(200)]
        await asyncio.sleep(0)
        half = pool.waiting
        known = [asyncio.create_task(outcome(pool, None, ADA, KNOWN)) for _ in range(200)]
        await asyncio.sleep(0)
        whole = pool.waiting
        assert half == pytest.approx(0.025 / each, abs=2)
        assert whole == pytest.approx(0.05 / each, abs=3)
        assert half < whole < 200
    answers = await asyncio.gather(*strangers, *known)
    assert answers.count("Busy") >= 400 - whole


async def test_a_full_queue_says_when_to_come_back(make_pool: MakePool) -> None:
    pool = make_pool(deadline=0.0)
    pool._seconds[pool._label].extend([2.5] * 64)
    async with Gate(pool):
        waiting = asyncio.create_task(outcome(pool, None, ADA, KNOWN))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as busy:
            await pool.verify(None, ADA, KNOWN)
        assert busy.value.retry_after == 3
        assert pool.evaluations == 0
    await waiting


async def test_what_waited_past_twice_the_deadline_is_refused_uncomputed(make_pool: MakePool) -> None:
    pool = make_pool(deadline=0.02)
    async with Gate(pool):
        late = asyncio.create_task(outcome(pool, None, ADA, KNOWN))
        await asyncio.sleep(0.1)
    assert await late == "Busy"
    assert (pool.evaluations, pool.refused) == (0, 1)


async def test_background_work_waits_for_everybody_else(make_pool: MakePool) -> None:
    pool, order = make_pool(deadline=1000.0, background=2), []

    async def noted(name: str, work: asyncio.Future[object]) -> None:
        await work
        order.append(name)

    async with Gate(pool):
        first = asyncio.create_task(noted("rehash", asyncio.ensure_future(pool.make(ADA))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.create_task(noted("sign-in", asyncio.ensure_future(pool.make(ADA, KNOWN)))) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(pool.make(ADA))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await pool.make(ADA)
    await asyncio.gather(first, second, *rest)
    assert order == ["sign-in"] * 3 + ["rehash"]


async def test_a_caller_that_went_away_is_not_computed_for(make_pool: MakePool) -> None:
    pool = make_pool(deadline=1000.0)
    async with Gate(pool):
        gone = asyncio.create_task(pool.verify(None, ADA, Lane(known=False, network="192.0.2.1")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
    assert await outcome(pool, None, ADA) == "NoMatch"
    assert pool.evaluations == 1
    assert not pool._waiting


async def test_the_event_loop_goes_on_while_every_thread_computes(make_pool: MakePool) -> None:
    pool = make_pool(threads=2, parameters=Parameters(memory_kib=65536, passes=4), deadline=1000.0)
    computing = [asyncio.create_task(outcome(pool, None, ADA)) for _ in range(4)]
    ticks = 0
    while not all(task.done() for task in computing):
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 20


async def test_threads_run_behind_the_event_loop(make_pool: MakePool) -> None:
    pool = make_pool()
    await pool.make(ADA)
    niceness = [os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in pool._started]
    assert niceness == [os.getpriority(os.PRIO_PROCESS, 0) + hashing.NICE] or niceness == [hashing.NICE]


async def test_the_slot_is_the_slowest_form_that_was_met_or_is_stored(make_pool: MakePool) -> None:
    pool = make_pool()
    alone = pool.slowest_seconds()
    assert alone > 0
    stored = "bcrypt:" + bcrypt.hashpw(b"ada's own word", bcrypt.gensalt(8)).decode()
    for _ in range(3):
        await pool.verify(stored, ADA, STRANGER)
    met = pool.slowest_seconds(["bcrypt:cost=8"])
    assert met > alone
    assert pool.slowest_seconds(["bcrypt:cost=8", "bcrypt:cost=12"]) > met


async def test_a_closed_pool_refuses_and_lets_nobody_hang(make_pool: MakePool) -> None:
    pool = make_pool(deadline=1000.0)
    async with Gate(pool) as gate:
        waiting = asyncio.create_task(outcome(pool, None, ADA))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(pool.close))
        assert await waiting == "Busy"
        gate.open.set()
        await closing
    assert await outcome(pool, None, ADA) == "Busy"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a/cpu.max": "300000 100000",
            },
            3,
        ),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
    ],
)
def test_affinity_and_quota_bound_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert hashing.usable_cores(tree(tmp_path, files)) == cores


def test_the_kinds_of_no_match_are_told_apart() -> None:
    assert all(issubclass(kind, NoMatch) for kind in (NeedsPlainPassword, TooCostly, UnreadableHash))
