"""Asking a directory on behalf of the gate: when it is asked, what its word counts for, and how long that may take."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog
from msgspec import Struct

from dragoman.core import hashing, identifiers, refusals
from dragoman.core.people import People
from dragoman.core.ports import (
    Clock,
    Directory,
    DirectoryBusy,
    DirectoryUnreachable,
    Entry,
    NoSuchEntry,
    PasswordRefused,
)
from dragoman.core.refusals import Refusal
from dragoman.model import Account, Password, Person

log = structlog.get_logger("dragoman.directory")

SYSTEM = "directory"
"""The system of aliases whose values are the directory's own ids."""
NAME_LENGTH = 256
REST_SECONDS = 5
"""For how long a directory that gave no answer is not asked again."""
_REMEMBERED = 64
_FIRST_GUESS = 0.05
_PER_ACCOUNT = 2
_STRANGERS_PER_NETWORK = 4


class Rules(Struct, frozen=True):
    """What an operator may set of how a directory's word counts."""

    merge: Literal["never", "same-name"] = "never"
    """Whether a local account of the same username becomes the directory's; never one of an administrator, of a bot, or
    with a second factor (threat 13)."""
    fallback: Literal["never", "unreachable"] = "never"
    """Whether a linked account's local password counts while the directory cannot be reached (threat 44)."""
    first_sign_in: Literal["create", "refuse"] = "create"
    """What becomes of somebody whom the directory knows and we do not."""
    places: int = 16
    """How many may wait for the directory's word at a time; strangers get half of them."""


class Question(Struct, frozen=True):
    """What is known when the local password has been judged."""

    account: Account | None
    linked: str | None
    """The id under which the directory knows the account."""
    typed: str | None
    """None: whoever is signed in proves the password once more."""
    password: Password
    failure: str
    """Why the local password does not count; empty when it is right."""
    turn: hashing.Lane


class Verdict(Struct, frozen=True):
    """Who proved the password: the directory's `entry`, else the local account unless `failure` says why not."""

    failure: str = ""
    entry: Entry | None = None
    refused: str = ""
    """Whose entry the password was refused for: failures count against that one, too."""
    seconds: float = 0.0
    """How long the directory took."""
    stale: bool = False
    """The local password kept for the directory's absence must not be kept any longer."""
    unavailable: bool = False
    """Nobody can say: the directory alone could, and is out of reach."""


class Consultation:
    """Asks the directory, where one is configured: never too many questions at a time, and none while it is down."""

    def __init__(self, port: Directory | None, rules: Rules, clock: Clock, people: People) -> None:
        self._port = port
        self.rules = rules
        self._clock = clock
        self._people = people
        self._seconds: deque[float] = deque([_FIRST_GUESS], maxlen=_REMEMBERED)
        self._down = False
        """Whether it gave no answer when it was asked last."""
        self._rests_until = 0.0
        self._asking: Counter[object] = Counter()

    @property
    def on(self) -> bool:
        """Whether a directory is configured."""
        return self._port is not None

    async def reach(self) -> None:
        """Try whether the directory can be reached; nothing where none is configured. Raises DirectoryUnreachable."""
        if self._port is not None:
            await self._port.reach()

    async def find(self, name: str) -> Entry:
        """Look somebody up by a name as typed, for whoever tries the directory out: proves nothing, writes nothing.

        Raises NoSuchEntry, also where no directory is configured; DirectoryUnreachable, DirectoryBusy.
        """
        if self._port is None or not (0 < len(name) <= NAME_LENGTH and identifiers.storable(name)):
            raise NoSuchEntry("no such name can be asked about")
        return await self._port.find(name)

    async def judge(self, asked: Question) -> Verdict:
        """Say who proved the password: the directory for linked accounts and names nobody has, else we ourselves.

        A local account is asked about only where it could be merged, and only when its own password is not the one
        typed. Raises Busy.
        """
        linked = asked.linked is not None
        if not linked and not await self._concerns(asked):
            return Verdict(asked.failure, seconds=await self._look_again() if asked.failure else 0.0)
        if self._port is None:
            return Verdict("no_directory")
        if asked.password.plain is None:
            return Verdict("needs_plain_password" if linked else asked.failure)
        name = asked.typed or ""
        if asked.typed is not None and not (0 < len(name) <= NAME_LENGTH and identifiers.storable(name)):
            return Verdict("wrong_password" if linked else asked.failure)
        with self._place(asked.turn):
            return await self._ask(asked, self._port, name)

    async def mergeable(self, account: Account) -> bool:
        """Tell whether the directory may take a local account of the same name over."""
        return self.rules.merge == "same-name" and may_merge(await self._people.of(account))

    def seconds_left(self, spent: float) -> float:
        """Return how long a refusal waits yet, so that time does not tell who was asked about (design 3)."""
        if self._port is None:
            return 0.0
        ordered = sorted(self._seconds)
        return max(0.0, ordered[(len(ordered) * 9) // 10] - spent)

    def veiled(self, refusal: Refusal) -> Refusal:
        """Return what a wrong password is told while the directory is down: the same for every name."""
        told = isinstance(refusal, (refusals.WrongPassword, refusals.UnknownAccount, refusals.NoPasswordSet))
        silent = self._down and self.rules.fallback == "never"
        return refusals.Unavailable(REST_SECONDS) if told and silent else refusal

    # ------------------------------------------------------------ asking

    async def _concerns(self, asked: Question) -> bool:
        """Tell whether the directory is to be asked about somebody who is not linked."""
        if self._port is None or asked.typed is None:
            return False
        return asked.account is None or (asked.failure != "" and await self.mergeable(asked.account))

    async def _ask(self, asked: Question, port: Directory, name: str) -> Verdict:
        password = asked.password.plain
        if password is None:
            return Verdict(asked.failure)
        linked, began = asked.linked is not None, self._clock.monotonic()
        try:
            await port.load()
            began = self._clock.monotonic()  # else the first sign-in would make every refusal late for long
            if self._down and not self._due():
                raise DirectoryUnreachable("it gave no answer a moment ago")
            entry = await port.prove(name, password, id=asked.linked or "")
        except NoSuchEntry:
            self._down = False
            return Verdict("not_in_directory" if linked else asked.failure, seconds=self._since(began), stale=linked)
        except PasswordRefused as no:
            self._down = False
            self._seconds.append(self._since(began))
            own = linked and no.id == asked.linked
            return Verdict(
                asked.failure if asked.account is not None and not linked else "wrong_password",
                refused=no.id, seconds=self._since(began), stale=own and not asked.failure,
            )  # fmt: skip
        except DirectoryBusy:
            raise refusals.Busy(1) from None
        except DirectoryUnreachable as why:
            return self._unreachable(asked, why, began)
        self._down = False
        self._seconds.append(self._since(began))
        if asked.typed is None and entry.id != asked.linked:
            return Verdict("wrong_password", seconds=self._since(began))
        return Verdict(entry=entry, seconds=self._since(began))

    def _unreachable(self, asked: Question, why: DirectoryUnreachable, began: float) -> Verdict:
        self._rest(why, began)
        if self.rules.fallback == "unreachable":
            missing = asked.linked is not None and asked.failure != ""
            return Verdict("wrong_password" if missing else asked.failure, seconds=self._since(began))
        local = asked.account is not None and asked.linked is None
        return Verdict(asked.failure or "no_directory", seconds=self._since(began), unavailable=not local)

    def _due(self) -> bool:
        """Tell whether a directory that is down is to be tried again, and let the caller be the only one who does."""
        now = self._clock.monotonic()
        if now < self._rests_until:
            return False
        self._rests_until = now + REST_SECONDS
        return True

    def _rest(self, why: DirectoryUnreachable, began: float) -> None:
        if not self._down:
            log.warning("directory out of reach", reason=str(why), rests_seconds=REST_SECONDS)
        if not self._down or began >= self._rests_until - REST_SECONDS:
            self._rests_until = self._clock.monotonic() + REST_SECONDS
        self._down = True

    async def _look_again(self) -> float:
        """Try a directory that is down once it has rested, and return how long that took.

        Whoever is not asked about does it like everybody else: else the time would tell whose account is local.
        """
        if self._port is None or not self._down or not self._due():
            return 0.0
        began = self._clock.monotonic()
        try:
            await self._port.reach()
            self._down = False
        except DirectoryUnreachable as why:
            self._rest(why, began)
        except DirectoryBusy:
            pass
        return self._since(began)

    def _since(self, began: float) -> float:
        return self._clock.monotonic() - began

    @contextmanager
    def _place(self, turn: hashing.Lane) -> Iterator[None]:
        """Take a place among those who ask, or raise Busy: strangers get half, a network of theirs 4, an account 2."""
        taken: list[tuple[object, int]] = [("all", self.rules.places)]
        if not turn.known:
            taken.append(("strangers", max(1, self.rules.places // 2)))
            if turn.network:
                taken.append((turn.network, _STRANGERS_PER_NETWORK))
        if turn.account:
            taken.append(((turn.account, turn.known), _PER_ACCOUNT))
        if any(self._asking[place] >= most for place, most in taken):
            raise refusals.Busy(1)
        for place, _ in taken:
            self._asking[place] += 1
        try:
            yield
        finally:
            for place, _ in taken:
                self._asking[place] -= 1
                if self._asking[place] <= 0:
                    del self._asking[place]


def may_merge(person: Person) -> bool:
    """Tell whether an account may be handed to whoever the directory says has its name (threat 13)."""
    account = person.account
    plain = not account.administrator and account.kind == "person" and not person.factors
    return plain and SYSTEM not in person.aliases
