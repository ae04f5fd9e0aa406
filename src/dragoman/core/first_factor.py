"""The first factor: finding whom a name means, verifying the password once, keeping what was refused.

Nothing here signs anybody in: `core/signin.py` does, with what it learns from here.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from dragoman.core import events, hashing, identifiers, judgement, refusals
from dragoman.core.credentials import hashes
from dragoman.core.credentials.hashes import Match
from dragoman.core.directory import SYSTEM, Question, Verdict
from dragoman.core.doors import Door
from dragoman.core.limits import Lane, lane_of
from dragoman.core.linked import Linked
from dragoman.core.notices import Notices
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Client, Id, Millis, Password, Typed
from dragoman.storage import accounts, counters, credentials, sessions
from dragoman.storage.credentials import Credential
from dragoman.storage.engine import Tx

MISSES = 5


class Look(Struct, frozen=True):
    """What was read before a password was verified."""

    subject: Id
    """The account's id, or the keyed hash of a name nobody has."""
    account: Account | None
    credential: Credential | None
    lane: Lane
    linked: str | None = None
    """The id under which a directory answers for the account."""


class Judged(Struct, frozen=True):
    """What came of a password."""

    match: Match | None
    """That proves the local password, when it is right; whether it counts is for `said`."""
    computed: str
    """Which form of hash was computed."""
    said: Verdict


class FirstFactor:
    """Looks up, verifies, and keeps the evidence of failures."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._linked = Linked(tools)
        self._notices = Notices(tools)

    # ------------------------------------------------------------ looking up

    async def look_up(self, typed: Typed, client: Client) -> Look:
        """Find the account, its password and the client's lane; the same reads for names that nobody has."""
        kind, folded = identifiers.meant(typed)
        usable = folded if len(folded) <= identifiers.TYPED_LENGTH and identifiers.storable(folded) else ""
        account = await accounts.by_identifier(self._t.db, kind, usable)
        unknown = self._t.sealer.mac("unknown-name", f"{kind}:{folded}".encode("utf-8", "surrogatepass"))[:16]
        subject = account.id if account else unknown
        credential = await credentials.find(self._t.db, subject, "password")
        linked = await accounts.alias_of(self._t.db, subject, SYSTEM)
        lane = await lane_of(self._t.db, subject, account.id if account else None, client, self._t.clock.now())
        return Look(subject, account, credential, lane, linked)

    async def again(self, account: Account, client: Client) -> Look:
        """Look at the account of somebody who is signed in, who proves the password once more."""
        credential = await credentials.find(self._t.db, account.id, "password")
        linked = await accounts.alias_of(self._t.db, account.id, SYSTEM)
        lane = await lane_of(self._t.db, account.id, account.id, client, self._t.clock.now())
        return Look(account.id, account, credential, lane, linked)

    async def _entry_look(self, id: str, typed: Look, client: Client) -> Look | None:
        """Return whom failures against a directory's entry count against as well; None where that is who was typed."""
        if not id:
            return None
        account = await accounts.by_alias(self._t.db, SYSTEM, id)
        subject = account.id if account else self._linked.subject(id)
        if subject == typed.subject:
            return None
        lane = await lane_of(self._t.db, subject, account.id if account else None, client, self._t.clock.now())
        return Look(subject, account, None, lane, id)

    async def refuse_when_locked(self, door: Door, look: Look, client: Client) -> None:
        """Raise NetworkBlocked or AccountLocked without work or write: nothing is judged (decision 36).

        The budgets are asked for anew, so that one that was changed in any process counts for this very attempt.
        """
        await self._t.policy()
        judged = await self._t.limits.judge(self._t.db, look.lane, client, look.subject, self._t.clock.now())
        if judged.network_wait:
            self._t.tally.locked_out("network", door.name, client, None)
            raise refusals.NetworkBlocked(judged.network_wait)
        if judged.lane_wait:
            account = look.account.id if look.account else None
            self._t.tally.locked_out(look.lane.scope, door.name, client, account)
            await self._notices.still_closed(look.lane, look.account, door.name)
            raise refusals.AccountLocked(judged.lane_wait)

    # ------------------------------------------------------------ verifying

    async def judge(self, door: Door, look: Look, name: str | None, password: Password) -> Judged:
        """Verify a password here and, where it concerns a directory, there.

        :param name: as typed; None where only the account that was looked at counts. Raises Busy.
        """
        failure, match, computed = await self._verify(door, look, password)
        question = Question(look.account, look.linked, name, password, failure, _turn(look))
        return Judged(match, computed, await self._t.directory.judge(question))

    async def _verify(self, door: Door, look: Look, password: Password) -> tuple[str, Match | None, str]:
        """Verify the password with exactly one hash evaluation, whatever is stored (decision 7).

        Returns why it is refused, the Match that proves it when it is right, and which form of hash was computed.
        """
        stored: str | None = None
        failure = "wrong_password"
        credential = look.credential
        if look.account is None:
            failure = "unknown_account"
        elif credential is None or (credential.dies_at is not None and credential.dies_at <= self._t.clock.now()):
            failure = "no_password"
        elif judgement.may_send(door, credential, password):
            sealed = credentials.unseal(self._t.sealer, look.account.id, "password", credential.sealed)
            stored = sealed.decode()
        try:
            match = await self._t.pool.verify(stored, password, _turn(look))
        except hashes.NeedsPlainPassword as refused:
            return "needs_plain_password", None, refused.computed
        except hashes.NoMatch as refused:
            return failure, None, refused.computed
        return "", match, match.label

    # ------------------------------------------------------------ refusing

    async def refused(
        self, door: Door, look: Look, judged: Judged, client: Client, *, session: Id | None = None
    ) -> Refusal:
        """Count a refused password and write its event; return what to raise.

        :param session: the one it was typed in.
        """
        reason, forget = judged.said.failure, judged.said.stale
        also = await self._entry_look(judged.said.refused, look, client)
        limits, account, now = self._t.limits, look.account.id if look.account else None, self._t.clock.now()
        conceals = (await self._t.policy()).conceal_accounts
        lane = None if reason == "needs_plain_password" else look.lane
        closing = await self._notices.closing(look.lane, look.account, door.name)

        async def fn(tx: Tx) -> Refusal:
            counted = await limits.judge(tx, look.lane, client, look.subject, now)
            await limits.password_failed(tx, lane, client, who=look.subject, account=account, now=now)
            await self._notices.closed(tx, closing, look.lane, now)
            await events.record(
                tx, "password_refused", now, client=client, account=account, session=session, door=door.name,
                reason=reason, name=look.subject.hex()[-8:],
            )  # fmt: skip
            if session is not None and account is not None:
                await count_miss(tx, account, session, now)
            if forget and account is not None:
                await credentials.drop(tx, account, "password")
            lane_wait = counted.lane_wait
            if also is not None:
                lane_wait = max(lane_wait, (await limits.judge(tx, also.lane, client, also.subject, now)).lane_wait)
                await limits.lane_failed(
                    tx, also.lane, client, account=also.account.id if also.account else None, now=now
                )
            if counted.network_wait:
                return refusals.NetworkBlocked(counted.network_wait)
            if lane_wait:
                return refusals.AccountLocked(lane_wait)
            telling = judgement.TELLING.get(reason)
            if telling is None or not door.tells or conceals:
                return refusals.WrongPassword()
            return telling() if await limits.may_tell(tx, client, now) else refusals.WrongPassword()

        return await self._t.db.transaction(fn)

    async def even_out(self, judged: Judged) -> None:
        """Wait until the slowest hash in the store would have been computed, so that time tells nothing (design 3).

        An imported hash may be cheaper than ours as well as dearer. Whoever the directory was not asked about waits as
        long as those it was asked about.
        """
        pool = self._t.pool
        hashing = max(0.0, pool.slowest_seconds(self._t.schemes) - pool.seconds(judged.computed))
        await asyncio.sleep(hashing + self._t.directory.seconds_left(judged.said.seconds))


async def count_miss(tx: Tx, account: Id, session: Id, now: Millis) -> bool:
    """Count a wrong password or code typed within a session, and end the session at the fifth in a row (threat 21).

    Tells whether it ended.
    """
    missed = await counters.find(tx, "confirm", session)
    missed = counters.Counter(b"", missed.streak + 1)
    await counters.put(tx, "confirm", session, missed, now, account=account)
    ended = missed.streak >= MISSES and await sessions.end(tx, session, "misses", now)
    if ended:
        await events.record(tx, "sessions_ended", now, account=account, session=session, why="misses", number="1")
    return ended


def _turn(look: Look) -> hashing.Lane:
    """Return on whose behalf work is done that not everybody may ask for at once (table D, "hash pool")."""
    return hashing.Lane(known=look.lane.known, network=look.lane.network, account=look.subject)
