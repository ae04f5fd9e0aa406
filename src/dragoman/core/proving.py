"""Fresh proof within a session: whether there is one, and giving one in the call (decision 25, threats 11 and 21).

A proof counts for `accounts.remember_minutes`, in the hands of the client that gave it. A code is judged here with the
same lanes, budgets and evidence as at a sign-in; a password by `SignIn.confirm`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, judgement, mailed_codes, refusals, second_factor
from dragoman.core.doors import Door
from dragoman.core.first_factor import FirstFactor, Look, count_miss
from dragoman.core.limits import Lane, lane_of
from dragoman.core.mailed_codes import MailedCodes, Way
from dragoman.core.notices import Notice, Notices
from dragoman.core.policy import ALWAYS
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import Code, client_print
from dragoman.core.signin import SignIn
from dragoman.core.tools import Tools
from dragoman.model import Caller, Client, Mailed, Millis, Password, Person
from dragoman.storage import accounts, counters, sessions
from dragoman.storage.engine import Tx

C = TypeVar("C", bound=Caller)


class Challenge(Struct, frozen=True):
    """What a call is to be proved with."""

    person: Person
    offers: tuple[str, ...]
    """Second factors that may be tried, best first; empty: the password, unless a factor is enrolled that the door
    cannot carry."""
    mailed: Mailed | None = None

    @property
    def password(self) -> bool:
        """Whether the password is the proof: only where no second factor is enrolled."""
        return not self.person.has_second_factor


class Ready(Struct, frozen=True):
    """A code within a session, made ready to be judged in a transaction."""

    caller: Caller
    door: Door
    client: Client
    lane: Lane
    now: Millis
    code: Code
    only: Collection[str] | None
    way: Way | None
    closing: Notice | None
    """Tells the owner that the lane takes no more codes."""


class Proving:
    """Tells whether a session's proof is fresh, and takes another."""

    def __init__(self, tools: Tools, signin: SignIn) -> None:
        self._t = tools
        self._signin = signin
        self._first = FirstFactor(tools)
        self._codes = MailedCodes(tools)
        self._notices = Notices(tools)

    # ------------------------------------------------------------ asking

    async def is_fresh(self, caller: Caller, client: Client, each: bool = False) -> bool:
        """Tell whether a proof of the session counts still, for this client. A key's never does, unless it bypasses.

        :param each: what is asked for wants a proof in each call, so that an earlier one never counts.
        """
        remembered = (await self._t.policy()).remembered
        if each and remembered != ALWAYS:
            return False
        return judgement.is_fresh(caller.session, client_print(client), self._t.clock.now(), remembered)

    async def standing(self, tx: Tx, caller: Caller, client: Client, now: Millis, remembered: Millis) -> Refusal | None:
        """Judge within a transaction whether the caller may change what proves an account; return what to raise.

        The session's row is read again, so that a proof given in the same call counts. NotForKeys, NotSignedIn,
        FreshProofRequired.

        :param remembered: for how many milliseconds a proof counts.
        """
        live = await sessions.caller_by_id(tx, caller.session.id, now)
        if live is None or live.account.status != "active":
            return refusals.NotSignedIn()
        if live.session.narrow:
            return refusals.NotForKeys()
        fresh = judgement.is_fresh(live.session, client_print(client), now, remembered)
        return None if fresh else refusals.FreshProofRequired()

    async def challenge(self, caller: Caller, client: Client) -> Challenge:
        """Return what the caller may prove the call with; mail a code where mail is the best, as at a sign-in."""
        t, now, account = self._t, self._t.clock.now(), caller.account
        person, door = await t.people.of(account), t.doors[caller.session.door]
        if not person.has_second_factor:
            return Challenge(person, ())
        way = await self._codes.way(door, account)
        lane = await lane_of(t.db, account.id, account.id, client, now)

        async def fn(tx: Tx) -> Challenge:
            offers = await self._codes.offers(tx, door, person, way, now)
            mailed = await self._codes.at_pause(
                tx, way, offers, account, door=door, client=client, known=lane.known, now=now
            )
            if mailed is not None and mailed.sent:
                await events.record(
                    tx, "second_factor_asked", now, client=client, account=account.id, session=caller.session.id,
                    door=door.name, mailed="yes",
                )  # fmt: skip
            return Challenge(person, offers, mailed)

        return await t.db.transaction(fn)

    # ------------------------------------------------------------ proving

    async def with_password(self, caller: C, password: Password, client: Client) -> C:
        """Prove the call by the password, where no second factor is enrolled; return the caller, fresh.

        Raises FreshProofRequired where one is, and what `SignIn.confirm` raises.
        """
        if (await self._t.people.of(caller.account)).has_second_factor:
            raise refusals.FreshProofRequired
        await self._signin.confirm(caller, password, client)
        return self._freshened(caller, client, self._t.clock.now())

    async def with_code(self, caller: C, code: str, client: Client, *, only: Collection[str] | None = None) -> C:
        """Prove the call by a code of a second factor; return the caller, fresh.

        :param only: which factors it may be of, where the client said so.

        Five misses in a row end the session (threat 21). Raises WrongCode, CodeVoid, TooManyCodes, AccountLocked,
        NetworkBlocked, NotSignedIn, Unavailable.
        """
        ready = await self.ready(caller, code, client, only=only)
        outcome = await self._t.db.transaction(lambda tx: self.spend(tx, ready))
        if isinstance(outcome, Refusal):
            raise self.told(outcome, ready)
        return self._freshened(caller, client, ready.now)

    async def ready(self, caller: Caller, code: str, client: Client, *, only: Collection[str] | None = None) -> Ready:
        """Compare a code, and write the letters that may have to go out, before the transaction that spends it.

        Raises AccountLocked, NetworkBlocked.
        """
        t, account, now = self._t, caller.account, self._t.clock.now()
        # The last step counts once more where a password comes along (decision 8), which it does not here.
        door = replace(t.doors[caller.session.door], repeats_step=False)
        lane = await lane_of(t.db, account.id, account.id, client, now)
        await self._first.refuse_when_locked(door, Look(account.id, account, None, lane), client)
        prepared = await second_factor.prepare(
            t.db, t.sealer, account.id, door=door, code=code, client=client, now=now,
            steps=(await t.policy()).totp_steps,
        )  # fmt: skip
        closing = await self._notices.codes_closing(lane, account, door.name) if prepared.step is None else None
        way = await self._codes.way(door, account)
        return Ready(caller, door, client, lane, now, prepared, only, way, closing)

    async def spend(self, tx: Tx, ready: Ready) -> second_factor.Proof | Refusal:
        """Spend the code within a transaction, or count it as wrong; return the proof or what to raise."""
        t, now, session, account = self._t, ready.now, ready.caller.session.id, ready.caller.account
        live = await sessions.caller_by_id(tx, session, now)
        if live is None or live.account.auth_epoch != account.auth_epoch:
            return refusals.NotSignedIn()
        person = await accounts.person(tx, live.account)
        offers = await self._codes.offers(tx, ready.door, person, ready.way, now)
        waiting = await t.limits.judge_code(tx, ready.lane, ready.client, now)
        if waiting:
            await self._notices.codes_closed(tx, ready.closing, ready.lane, now)
            return refusals.TooManyCodes(waiting, person, offers)
        tried = tuple(each for each in offers if ready.only is None or each in ready.only)
        proof = await second_factor.accept(tx, account, ready.code, ready.door, now, offers=tried, way=ready.way)
        if proof is not None:
            await counters.put(tx, "confirm", session, counters.EMPTY, now, account=account.id)
            await sessions.proved(tx, session, now, client_print(ready.client))
            return proof
        return await self._miss(tx, ready, person, offers)

    async def _miss(self, tx: Tx, ready: Ready, person: Person, offers: tuple[str, ...]) -> Refusal:
        """Count a wrong code in its lane, its network, its session and the code that is out (table D)."""
        limits, now, account = self._t.limits, ready.now, person.account
        session = ready.caller.session.id
        await limits.code_failed(tx, ready.lane, ready.client, account.id, now)
        await self._notices.codes_closed(tx, ready.closing, ready.lane, now)
        await events.record(
            tx, "code_refused", now, client=ready.client, account=account.id, session=session, door=ready.door.name
        )
        mailed, void = None, False
        if ready.way is not None and "email" in offers:
            most = limits.budgets.codes_per_attempt
            mailed, void = await mailed_codes.missed(tx, account, ready.door, ready.way, now, most=most)
        if await count_miss(tx, account.id, session, now):
            return refusals.TooManyCodes(1, person, offers)
        return (refusals.CodeVoid if void else refusals.WrongCode)(person, offers, mailed)

    def told(self, refusal: Refusal, ready: Ready) -> Refusal:
        """Return a refusal that `spend` gave, after the commit; counted where it is one of a budget."""
        if isinstance(refusal, refusals.TooManyCodes):
            lane, door = ready.lane, ready.door.name
            self._t.tally.locked_out(f"{lane.scope}-codes", door, ready.client, ready.caller.account.id)
        return refusal

    def _freshened(self, caller: C, client: Client, now: Millis) -> C:
        session = replace(caller.session, proved_at=now, proved_client=client_print(client))
        return replace(caller, session=session)
