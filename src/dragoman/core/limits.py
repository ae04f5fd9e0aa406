"""Budgets of table D: failures in sliding windows, counted by who is attacked and from where.

A counter holds one mark per failure: when (seconds) and by whom (32 bits of a hash: the network for an account's lane,
the account for a network). Judging is pure; `storage/counters.py` keeps the bytes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from collections.abc import Callable, Sequence

from msgspec import Struct

from dragoman.model import Client, Id, Millis
from dragoman.storage import counters
from dragoman.storage.counters import Counter
from dragoman.storage.engine import Reader, Tx

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KNOWN_FOR: Millis = 90 * DAY * 1000
_MARK = struct.Struct(">II")


class Window(Struct, frozen=True, gc=False):
    """At most `limit` failures in `seconds`; `distinct` counts by whom instead of how often."""

    limit: int
    seconds: int
    distinct: bool = False


class Budget(Struct, frozen=True, gc=False):
    """The windows of one counter; `closes_at` failures without a success close it until somebody opens it."""

    windows: tuple[Window, ...]
    closes_at: int | None = None

    @property
    def longest(self) -> int:
        """The longest window, in seconds."""
        return max(w.seconds for w in self.windows)

    @property
    def most(self) -> int:
        """How many marks are worth keeping: the largest limit of any window."""
        return max(w.limit for w in self.windows)


class Budgets(Struct, frozen=True):
    """Table D. Settings replace single values: the file either way, what is stored only by a tighter one."""

    strangers: Budget = Budget((Window(10, 5 * MINUTE), Window(30, HOUR), Window(60, DAY)), closes_at=100)
    known: Budget = Budget((Window(10, 5 * MINUTE), Window(30, HOUR), Window(60, DAY)))
    network: Budget = Budget((Window(50, 5 * MINUTE), Window(100, HOUR, distinct=True)))
    network_codes: Budget = Budget((Window(30, HOUR),))
    wide_network: Budget = Budget((Window(500, 5 * MINUTE), Window(1000, HOUR, distinct=True)))
    codes_strangers: Budget = Budget((Window(20, DAY),), closes_at=100)
    codes_known: Budget = Budget((Window(10, HOUR),))
    telling: Budget = Budget((Window(10, HOUR),))
    sent: Budget = Budget((Window(1, MINUTE), Window(5, HOUR), Window(20, DAY)))
    sent_by_strangers: Budget = Budget((Window(1, MINUTE), Window(3, HOUR), Window(10, DAY)))
    sent_by_network: Budget = Budget((Window(20, HOUR),))
    registrations: Budget = Budget((Window(20, HOUR), Window(60, DAY)))
    codes_per_attempt: int = 5
    mark_failures: int = 10
    exempt: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    """Networks of clients that are never blocked, whatever fails from there. The accounts' own lanes close all the
    same."""

    def blocks(self, client: Client) -> bool:
        """Tell whether the client's network is known, and may be blocked."""
        if not client.network or not self.exempt:
            return bool(client.network)
        inner = ipaddress.ip_network(client.network)
        return not any(inner.version == each.version and inner.overlaps(each) for each in self.exempt)


def tag(data: bytes) -> int:
    """Return 32 bits that tell one culprit of a counter from another."""
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "big")


def _marks(packed: bytes) -> list[tuple[int, int]]:
    return [(at, who) for at, who in _MARK.iter_unpack(packed)]


def _pack(marks: Sequence[tuple[int, int]]) -> bytes:
    return b"".join(_MARK.pack(at, who) for at, who in marks)


def wait(budget: Budget, counter: Counter, now: Millis, by: int = 0) -> int:
    """Return how many seconds until the budget takes another attempt, 0 when it does now.

    A lane closed by a long row of failures answers a whole day. `by` is who attempts: a `distinct` window that is full
    still takes those it has counted already.
    """
    if budget.closes_at is not None and counter.streak >= budget.closes_at:
        return DAY
    second = now // 1000
    longest = 0
    marks = _marks(counter.marks)
    for window in budget.windows:
        inside = [(at, who) for at, who in marks if at > second - window.seconds]
        if window.distinct:
            first: dict[int, int] = {}
            for at, who in inside:
                first[who] = at
            if len(first) >= window.limit and by not in first:
                longest = max(longest, min(first.values()) + window.seconds - second)
        elif len(inside) >= window.limit:
            longest = max(longest, inside[-window.limit][0] + window.seconds - second)
    return longest


def within_reach(budget: Budget, counter: Counter, now: Millis, failures: int) -> bool:
    """Tell whether so many failures more could use the budget up."""
    if budget.closes_at is not None and counter.streak + failures >= budget.closes_at:
        return True
    times = [at for at, _ in _marks(counter.marks)]
    return any(
        sum(at > now // 1000 - window.seconds for at in times) + failures >= window.limit for window in budget.windows
    )


def failed(budget: Budget, counter: Counter, now: Millis, by: int) -> Counter:
    """Return the counter after one more failure. Bounded: marks too old or too many to matter are let go."""
    second = now // 1000
    keep = [m for m in _marks(counter.marks) if m[0] > second - budget.longest]
    keep.append((second, by))
    # Where it matters by whom, the same culprit's marks must not push the others out.
    worth = budget.most * (4 if any(w.distinct for w in budget.windows) else 1)
    return Counter(_pack(keep[-worth:]), counter.streak + 1)


def succeeded(counter: Counter, by: int) -> Counter:
    """Return the counter after a finished sign-in: that culprit's marks alone are taken out, the row ends (table D)."""
    return Counter(_pack([m for m in _marks(counter.marks) if m[1] != by]), 0)


class Lane(Struct, frozen=True, gc=False):
    """How well a client is known to an account, and the counters its failures go to (table D)."""

    known: bool
    scope: str
    """`strangers`, `known` or `mark`."""
    subject: bytes
    by: int
    network: str

    def budget(self, budgets: Budgets) -> Budget:
        """Return the lane's budget for passwords."""
        return budgets.known if self.known else budgets.strangers

    def code_budget(self, budgets: Budgets) -> Budget:
        """Return the lane's budget for codes of the second factor."""
        return budgets.codes_known if self.known else budgets.codes_strangers


def _subject(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\x00".join(len(p).to_bytes(2, "big") + p for p in parts)).digest()[:16]


async def lane_of(db: Reader, subject: bytes, account: Id | None, client: Client, now: Millis) -> Lane:
    """Find how well the client is known. `subject` is the account's id, or the keyed hash of an unknown name.

    The same reads are made for unknown names as for accounts.
    """
    by = tag(client.network.encode())
    since = now - KNOWN_FOR
    if client.mark is not None and await counters.marked_account(db, client.mark, since) == account and account:
        return Lane(True, "mark", _subject(subject, client.mark), by, client.network)
    if client.network and await counters.knows_network(db, subject, client.network, since) and account:
        return Lane(True, "known", _subject(subject, client.network.encode()), by, client.network)
    return Lane(False, "strangers", subject, by, client.network)


def wide(network: str) -> str:
    """Return the /24 or /48 around a client's network, empty for none."""
    if not network:
        return ""
    inner = ipaddress.ip_network(network, strict=False)
    return str(inner.supernet(new_prefix=24 if inner.version == 4 else 48))


class Judged(Struct, frozen=True, gc=False):
    """What the counters say of an attempt."""

    network_wait: int
    lane_wait: int


class Limits:
    """Reads and moves the counters of sign-in. Stateless: everything is stored, so that a restart forgets nothing.

    :param budgets: returns the budgets in force, as this process knows them; the gate asks for them anew first.
    """

    def __init__(self, budgets: Callable[[], Budgets]) -> None:
        self._budgets = budgets

    @property
    def budgets(self) -> Budgets:
        """Table D as it is in force."""
        return self._budgets()

    async def judge(self, db: Reader, lane: Lane, client: Client, who: bytes, now: Millis) -> Judged:
        """Ask both counters of a password attempt; `who` is the account's id or the hash of an unknown name."""
        network_wait = 0
        if self.budgets.blocks(client):
            by = tag(who)
            near = await counters.find(db, "network", client.network.encode())
            network_wait = wait(self.budgets.network, near, now, by)
            around = await counters.find(db, "wide", wide(client.network).encode())
            network_wait = max(network_wait, wait(self.budgets.wide_network, around, now, by))
        mine = await counters.find(db, lane.scope, lane.subject)
        return Judged(network_wait, wait(lane.budget(self.budgets), mine, now))

    async def judge_code(self, db: Reader, lane: Lane, client: Client, now: Millis) -> int:
        """Return the seconds until the lane takes another code, 0 when it does now."""
        mine = await counters.find(db, f"{lane.scope}-codes", lane.subject)
        waiting = wait(lane.code_budget(self.budgets), mine, now)
        if self.budgets.blocks(client):
            near = await counters.find(db, "network-codes", client.network.encode())
            waiting = max(waiting, wait(self.budgets.network_codes, near, now))
        return waiting

    async def password_failed(
        self, tx: Tx, lane: Lane | None, client: Client, *, who: bytes, account: Id | None, now: Millis
    ) -> None:
        """Count a failed password against the lane (None: the network alone, decision 27) and the network."""
        if lane is not None:
            await self.lane_failed(tx, lane, client, account=account, now=now)
        if client.network:
            for scope, budget, network in (
                ("network", self.budgets.network, client.network),
                ("wide", self.budgets.wide_network, wide(client.network)),
            ):
                counter = failed(budget, await counters.find(tx, scope, network.encode()), now, tag(who))
                await counters.put(tx, scope, network.encode(), counter, now, account=None)

    async def lane_failed(self, tx: Tx, lane: Lane, client: Client, *, account: Id | None, now: Millis) -> None:
        """Count a failed password against a lane alone."""
        counter = failed(lane.budget(self.budgets), await counters.find(tx, lane.scope, lane.subject), now, lane.by)
        await counters.put(tx, lane.scope, lane.subject, counter, now, account=account)
        if lane.scope == "mark" and client.mark and counter.streak >= self.budgets.mark_failures:
            await counters.drop_mark(tx, client.mark)

    async def code_failed(self, tx: Tx, lane: Lane, client: Client, account: Id, now: Millis) -> None:
        """Count a wrong code against the lane's second step and the network."""
        scope = f"{lane.scope}-codes"
        budget = lane.code_budget(self.budgets)
        counter = failed(budget, await counters.find(tx, scope, lane.subject), now, lane.by)
        await counters.put(tx, scope, lane.subject, counter, now, account=account)
        if client.network:
            key = client.network.encode()
            near = failed(self.budgets.network_codes, await counters.find(tx, "network-codes", key), now, tag(account))
            await counters.put(tx, "network-codes", key, near, now, account=None)

    async def signed_in(self, tx: Tx, lane: Lane, client: Client, account: Id, now: Millis) -> None:
        """Take back the client's own failures after a finished sign-in and remember its network."""
        for scope in (lane.scope, f"{lane.scope}-codes"):
            before = await counters.find(tx, scope, lane.subject)
            if before.marks or before.streak:
                after = succeeded(before, lane.by)
                await counters.put(tx, scope, lane.subject, after, now, account=account)
        if not client.network:
            return
        for scope, network in (
            ("network", client.network),
            ("wide", wide(client.network)),
            ("network-codes", client.network),
        ):
            before = await counters.find(tx, scope, network.encode())
            if before.marks:
                after = succeeded(before, tag(account))
                await counters.put(tx, scope, network.encode(), after, now, account=None)
        await counters.know_network(tx, account, client.network, now)

    async def opened(self, tx: Tx, client: Client, account: Id, now: Millis) -> None:
        """Make the client's network known and forget what failed from there: the owner opened it by mail."""
        await counters.know_network(tx, account, client.network, now)
        subject = _subject(account, client.network.encode())
        for scope in ("known", "known-codes"):
            await counters.put(tx, scope, subject, counters.EMPTY, now, account=account)

    async def may_tell(self, tx: Tx, client: Client, now: Millis) -> bool:
        """Spend one of the network's telling answers; False when they are used up (decision 29)."""
        key = _told(client)
        counter = await counters.find(tx, "telling", key)
        if wait(self.budgets.telling, counter, now):
            return False
        await counters.put(tx, "telling", key, failed(self.budgets.telling, counter, now, 0), now, account=None)
        return True

    async def until_telling(self, db: Reader, client: Client, now: Millis) -> int:
        """Return the seconds until the network gets another telling answer, 0 while one is left. Spends none."""
        return wait(self.budgets.telling, await counters.find(db, "telling", _told(client)), now)

    async def may_register(self, tx: Tx, client: Client, now: Millis) -> int:
        """Spend one of the network's registrations; return 0, or the seconds until it has one again. While addresses
        are not trusted, no network is known and none is refused.
        """
        if not self.budgets.blocks(client):
            return 0
        key, budget = client.network.encode(), self.budgets.registrations
        counter = await counters.find(tx, "registrations", key)
        waiting = wait(budget, counter, now)
        if not waiting:
            await counters.put(tx, "registrations", key, failed(budget, counter, now, 0), now, account=None)
        return waiting

    async def may_send(self, tx: Tx, destination: bytes, client: Client | None, now: Millis, *, known: bool) -> int:
        """Spend one message to a destination; return 0, or the seconds until it may get one (nothing is spent then).

        :param destination: a keyed hash of it, the same whether or not anybody has it.
        :param client: who asks; None for what the installation itself has to say.
        :param known: whether the client is known to the account; strangers have the smaller budget (table D).
        """
        asked = self.budgets.sent if known else self.budgets.sent_by_strangers
        budgets = [("sent", destination, asked)]
        if client is not None and client.network:
            budgets.append(("sent-network", client.network.encode(), self.budgets.sent_by_network))
        counters_found = [await counters.find(tx, scope, subject) for scope, subject, _ in budgets]
        waiting = max(wait(budget, found, now) for (_, _, budget), found in zip(budgets, counters_found, strict=True))
        if not waiting:
            for (scope, subject, budget), found in zip(budgets, counters_found, strict=True):
                await counters.put(tx, scope, subject, failed(budget, found, now, 0), now, account=None)
        return waiting


def _told(client: Client) -> bytes:
    """Return what a network's telling answers are counted under."""
    return client.network.encode() or b"untrusted"
