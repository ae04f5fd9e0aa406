"""The hash pool: the only place where passwords are computed.

A thread per core computes at slightly lower priority; libsodium, bcrypt and OpenSSL let go of the interpreter while
they do, so the event loop goes on. What cannot be done in time is refused at the door with `Busy`, and nobody fills the
queue alone: strangers get half of it, a network 4 places, an account 2 per lane (table D).
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct

from dragoman.core.credentials import hashes
from dragoman.core.credentials.hashes import Match, NoMatch, Parameters
from dragoman.core.ports import Clock, Random
from dragoman.core.refusals import Busy
from dragoman.model import Password, Secret

T = TypeVar("T")

NICE = 5
MOST_CODE_POINTS = 1024
_HEX = frozenset("0123456789abcdef")
_DIGEST_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_REMEMBERED = 64
_FORMS = 256


class Lane(Struct, frozen=True, gc=False):
    """On whose behalf the pool computes."""

    known: bool
    """Whether the client stands in a known lane of the account; else it is a stranger."""
    network: str = ""
    """The client's network; empty while addresses cannot be trusted, then networks are not told apart."""
    account: bytes = b""
    """What failures are counted under: the account's id, else a keyed hash of the typed name; empty for neither."""


class Limits(Struct, frozen=True):
    """Bounds of the queue (table D, "hash pool")."""

    deadline: float = 0.6
    """Seconds that a password may wait. Whoever would wait longer is refused at once."""
    strangers_share: float = 0.5
    per_network: int = 4
    per_account_and_lane: int = 2
    background: int = 1000
    """Hashes that may wait to be rewritten; those beyond are left for the next sign-in."""


class _Job(Generic[T]):
    """One computation on its way through the pool."""

    __slots__ = ("compute", "counts", "expected", "future", "label", "lane", "loop", "since")

    def __init__(self, compute: Callable[[], T], label: str, lane: Lane | None, expected: float, since: float) -> None:
        self.compute = compute
        self.label = label
        self.lane = lane
        self.expected = expected
        self.since = since
        self.counts = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()


class HashPool:
    """Computes and verifies password hashes. One per process; threads start with the first call.

    `threads` is the cores of the process divided by its workers (decision 32), see `usable_cores`.
    """

    def __init__(
        self,
        threads: int,
        clock: Clock,
        random: Random,
        parameters: Parameters = Parameters(),  # noqa: B008  frozen
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self.threads = max(1, threads)
        self.parameters = parameters
        self.limits = limits
        self.evaluations = 0
        """Hashes computed to verify a password, whatever came of it (decision 7)."""
        self.refused = 0
        """Calls refused with Busy."""
        self._clock = clock
        self._random = random
        self._wake = threading.Condition()
        self._queue: deque[_Job[Any]] = deque()
        self._background: deque[_Job[Any]] = deque()
        self._waiting: Counter[object] = Counter()
        self._work = 0.0
        self._strangers_work = 0.0
        self._running = 0
        self._closed = False
        self._started: list[threading.Thread] = []
        self._seconds: dict[str, deque[float]] = {}
        began = clock.monotonic()
        self._dummy = hashes.make(Secret(random.bytes(32).hex()), random.bytes(hashes.SALT_SIZE), parameters)
        self._label = hashes.examine(self._dummy).label
        self._measured(self._label, clock.monotonic() - began)

    async def verify(self, stored: str | None, password: Password, lane: Lane) -> Match:
        """Compute exactly one hash and return a Match when the password belongs to `stored`.

        `None` (unknown or passwordless account) and whatever cannot be computed cost a canonical hash all the same.
        Raises hashes.NoMatch or one of its kinds after that evaluation; refusals.Busy before any.
        """
        verdict: NoMatch | None = None
        label, compute = self._label, self._spend
        try:
            if stored is None or _hopeless(password):
                verdict = NoMatch()
            else:
                found = hashes.examine(stored)
                secret = hashes.secret_bytes(found, password)
                label, compute = found.label, _checker(found, secret)
        except NoMatch as reason:
            verdict = reason
        job = self._admit(compute, label, lane)
        try:
            await job.future
            if verdict is not None or stored is None:
                raise verdict or NoMatch()
        except NoMatch as refused:
            refused.computed = label
            raise
        return Match(label, hashes.needs_rehash(stored, self.parameters))

    async def make(self, password: Password, lane: Lane | None = None) -> str:
        """Return a new canonical hash of a password.

        Without a lane it is background work (a rehash after answering, decision 28): done when nobody else waits.
        Raises refusals.Busy.
        """
        salt = self._random.bytes(hashes.SALT_SIZE)
        job = self._admit(lambda: hashes.make(password.hexdigest, salt, self.parameters), self._label, lane, False)
        return await job.future

    def seconds(self, label: str) -> float:
        """Return how long this hash form takes to compute here; `slowest_seconds` says how that is found."""
        own = self._decile(self._label)
        with self._wake:
            met = label in self._seconds
        if met:
            return self._decile(label)
        return own * hashes.estimated_seconds(label) / hashes.estimated_seconds(self._label)

    def slowest_seconds(self, labels: Iterable[str] = ()) -> float:
        """Return how long the slowest of these hash forms (and the canonical one) takes to compute here.

        That is the slot before which no refusal leaves (design 3): the ninth decile of the last 64 computations of the
        form; for a form not yet met its estimate, corrected by how this machine does on the canonical form.
        """
        return max(self.seconds(label) for label in (self._label, *labels))

    @property
    def waiting(self) -> int:
        """How many callers wait for a thread now."""
        return len(self._queue)

    def close(self) -> None:
        """Let the threads end after what they compute now; whoever still waits is refused."""
        with self._wake:
            self._closed = True
            left = [*self._queue, *self._background]
            self._queue.clear()
            self._background.clear()
            self._wake.notify_all()
        for job in left:
            _answer(job, None, Busy(1))
        for thread in self._started:
            thread.join()

    # ------------------------------------------------------------ at the door

    def _admit(self, compute: Callable[[], T], label: str, lane: Lane | None, counts: bool = True) -> _Job[T]:
        now = self._clock.monotonic()
        with self._wake:
            self._refuse_if_full(lane)
            seconds = self._seconds.get(label)
            expected = sum(seconds) / len(seconds) if seconds else hashes.estimated_seconds(label)
            job = _Job(compute, label, lane, expected, now)
            job.counts = counts
            self._start_threads()
            (self._background if lane is None else self._queue).append(job)
            self._account_for(job, 1)
            self._wake.notify()
        return job

    def _refuse_if_full(self, lane: Lane | None) -> None:
        limits = self.limits
        if lane is None:
            full = len(self._background) >= limits.background
        else:
            strangers_wait = self._strangers_work / self.threads
            full = (
                self._work / self.threads > limits.deadline
                or (not lane.known and strangers_wait > limits.deadline * limits.strangers_share)
                or any(self._waiting[place] >= most for place, most in self._places(lane))
            )
        if full or self._closed:
            self.refused += 1
            raise Busy(math.ceil(self._work / self.threads))

    def _places(self, lane: Lane) -> list[tuple[object, int]]:
        places: list[tuple[object, int]] = []
        if lane.network:
            places.append((lane.network, self.limits.per_network))
        if lane.account:
            places.append(((lane.account, lane.known), self.limits.per_account_and_lane))
        return places

    def _account_for(self, job: _Job[Any], step: int) -> None:
        if job.lane is None:
            return
        self._work += step * job.expected
        if not job.lane.known:
            self._strangers_work += step * job.expected
        if not self._queue:
            # Sums of floats drift; an empty queue is the moment to say so.
            self._work = self._strangers_work = 0.0
        for place, _ in self._places(job.lane):
            self._waiting[place] += step
            if self._waiting[place] <= 0:
                del self._waiting[place]

    # ------------------------------------------------------------ in the threads

    def _start_threads(self) -> None:
        if not self._started:
            for number in range(self.threads):
                thread = threading.Thread(target=self._run, name=f"hash-{number}", daemon=True)
                self._started.append(thread)
                thread.start()

    def _run(self) -> None:
        lower_priority()
        while (job := self._next()) is not None:
            self._compute(job)

    def _next(self) -> _Job[Any] | None:
        with self._wake:
            while not (self._queue or self._background or self._closed):
                self._wake.wait()
            if self._closed:
                return None
            job = (self._queue or self._background).popleft()
            self._account_for(job, -1)
            return job

    def _compute(self, job: _Job[Any]) -> None:
        if job.future.cancelled():
            return
        began = self._clock.monotonic()
        if job.lane is not None and began - job.since > 2 * self.limits.deadline:
            self.refused += 1
            _answer(job, None, Busy(math.ceil(self.limits.deadline)))
            return
        value, fault = None, None
        try:
            value = job.compute()
        except Exception as reason:  # whatever it is, it belongs to the caller
            fault = reason
        spent = self._clock.monotonic() - began
        with self._wake:
            self.evaluations += job.counts
            self._measured(job.label, spent)
        _answer(job, value, fault)

    def _spend(self) -> None:
        """Compute the dummy, which nothing matches: its password was drawn at start and thrown away."""
        try:
            hashes.examine(self._dummy).check(b"x" * 64)
        except NoMatch:
            return

    def _measured(self, label: str, seconds: float) -> None:
        if label not in self._seconds and len(self._seconds) >= _FORMS:
            self._seconds.pop(next(form for form in self._seconds if form != self._label))
        self._seconds.setdefault(label, deque(maxlen=_REMEMBERED)).append(seconds)

    def _decile(self, label: str) -> float:
        with self._wake:
            ordered = sorted(self._seconds[label])
        return ordered[(len(ordered) * 9) // 10]


def _checker(found: hashes.Examined, secret: bytes) -> Callable[[], None]:
    return lambda: found.check(secret)


def _hopeless(password: Password) -> bool:
    """Tell whether a password can belong to nobody: too long, no digest at all, or the digest of nothing (design 6)."""
    digest = password.hexdigest.reveal()
    too_long = password.plain is not None and len(password.plain.reveal()) > MOST_CODE_POINTS
    return too_long or digest == _DIGEST_OF_NOTHING or len(digest) != 64 or not _HEX.issuperset(digest)


def _answer(job: _Job[Any], value: object, fault: BaseException | None) -> None:
    def deliver() -> None:
        if job.future.done():
            return
        if fault is not None:
            job.future.set_exception(fault)
        else:
            job.future.set_result(value)

    try:
        job.loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        # The caller's loop has closed: nobody waits for this any more.
        return


def lower_priority() -> None:
    """Put the calling thread `NICE` steps behind the event loop, where the system allows it."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except OSError:
        return


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use: its affinity, bounded by the quota of its control group."""
    cores = len(os.sched_getaffinity(0))
    quotas = [quota for quota in (_quota_v2(root), _quota_v1(root)) if quota is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def _quota_v2(root: Path) -> float | None:
    """Return the smallest quota, in cores, from the process's own control group up to the top."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    folder, smallest = (root / "sys/fs/cgroup" / own.lstrip("/")), None
    while True:
        words = _words(folder / "cpu.max")
        if len(words) == 2 and words[0] != "max":
            quota = int(words[0]) / int(words[1])
            smallest = quota if smallest is None else min(smallest, quota)
        if folder in (root / "sys/fs/cgroup", folder.parent):
            return smallest
        folder = folder.parent


def _quota_v1(root: Path) -> float | None:
    quota = _words(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _words(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if not quota or not period or int(quota[0]) <= 0:
        return None
    return int(quota[0]) / int(period[0])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
