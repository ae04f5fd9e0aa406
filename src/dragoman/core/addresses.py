"""Changing the addresses by which an account is reached: e-mail and phone, with a way back (decisions 6 and 15).

A changed e-mail address counts at once, as claimed. The one before stays the way to recover the account until the new
one is proved, and for 7 days after; its owner is told and can undo the change for 7 days. What nobody proves in 7 days
lapses.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from dragoman.core import claims, events, identifiers, judgement, refusals
from dragoman.core.limits import DAY as DAY_SECONDS
from dragoman.core.limits import Budget, Window, failed, wait
from dragoman.core.notices import Notice, Notices
from dragoman.core.organizations import may_manage
from dragoman.core.recovery import Changed
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import client_print
from dragoman.core.tickets import DAY, HOUR, LIVES, Draft
from dragoman.core.tools import Tools
from dragoman.model import Account, AddressState, Caller, Client, Identifier, IdentifierKind, Millis, Person
from dragoman.storage import accounts, attempts, counters, sessions
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import ConstraintViolated, Tx
from dragoman.storage.identifiers import SUPERSEDED, Held
from dragoman.storage.outbox import Waiting

LAPSES_AFTER: Millis = 7 * DAY
CHANGES = Budget((Window(5, DAY_SECONDS),))
"""Changes of its addresses that an account takes from other than operators: each sends mail."""
PROVED_KEPT = 3
"""Proved e-mail addresses an account may hold: with more, whoever goes on changing could crowd the first one out."""
MANAGES_ADDRESSES = 254
"""The rank from which others' addresses are changed (threat 30)."""
RACES = 3


class _Wanted(Struct, frozen=True):
    """A change that somebody asks for. An empty `folded` asks that there be no address of the kind."""

    account: Account
    kind: IdentifierKind
    shown: str
    folded: str
    state: AddressState
    by: Caller | None
    client: Client | None


class _Plan(Struct, frozen=True):
    """A change with all that is drawn and written before its transaction."""

    wanted: _Wanted
    held: list[Held]
    """The account's identifiers: the plan holds while they stay as they are."""
    now: Millis
    remembered: Millis
    """For how long a proof counts as fresh (decision 25)."""
    pending: bool
    """The new address waits to be proved, and there is one to go back to."""
    notice: Notice | None
    verification: tuple[Draft, Waiting] | None

    @property
    def before(self) -> list[Held]:
        """Return the account's addresses of the kind that changes."""
        return _of(self.wanted.kind, self.held)


class Addresses:
    """Changes e-mail addresses and phone numbers."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)

    async def held(self, account: Account) -> list[Held]:
        """Return every identifier of the account with its state and when it lapses."""
        return await stored.listed(self._t.db, account.id)

    async def change_email(
        self, account: Account, new: str, *, by: Caller | None = None, client: Client | None = None,
        state: AddressState = "claimed",
    ) -> Person:  # fmt: skip
        """Let an account have another e-mail address; return the person as it is then.

        A claimed one gets a link to prove it; until then the proved one before it stays, and comes back if nobody does.
        Whoever held a proved address is told, with a link to undo. Ends the account's other clients; keys stay
        (table C, "primary e-mail changed"). Another spelling of the same address is only shown differently.

        :param by: who changes it: the owner, whose client stays signed in, or a manager; None for an operator.
        :param state: `vouched` or `verified` on an operator's word, in force at once. Verified ones are also taken from
            an account that merely claims them (decision 15).

        Raises BadIdentifier, IdentifierTaken, FreshProofRequired, NotSignedIn; TooSoon after five changes in a day, a
        mail to that address within the minute, or while three proved addresses are held.
        """
        shown = identifiers.check("email", new)
        return await self._change(
            _Wanted(account, "email", shown, identifiers.fold("email", shown), state, by, client)
        )  # fmt: skip

    async def change_phone(
        self, account: Account, number: str, *, by: Caller | None = None, client: Client | None = None,
        state: AddressState = "claimed",
    ) -> Person:  # fmt: skip
        """Let an account have another phone number; return the person as it is then.

        The proved addresses are told, with a link to undo, for which a proved number before it stays 7 days. Sessions
        stay (table C). A number signs nobody in before it is proved and 24 hours old (`Held.created_at`). Parameters
        and refusals as for `change_email`, and VerificationRequired while the account only claims its e-mail addresses.
        """
        shown = identifiers.check("phone", number)
        return await self._change(
            _Wanted(account, "phone", shown, identifiers.fold("phone", shown), state, by, client)
        )  # fmt: skip

    async def remove_phone(
        self, account: Account, *, by: Caller | None = None, client: Client | None = None
    ) -> Person:  # fmt: skip
        """Let an account have no phone number; notice and undo as for `change_phone`. Raises as it does."""
        return await self._change(_Wanted(account, "phone", "", "", "claimed", by, client))

    # ------------------------------------------------------------ before the transaction

    async def _change(self, wanted: _Wanted) -> Person:
        t, refused = self._t, None
        for _ in range(RACES):
            plan = await self._plan(wanted)
            try:
                refused = await t.db.transaction(partial(self._perform, plan=plan))
            except ConstraintViolated:
                raise refusals.IdentifierTaken(wanted.kind) from None
            if not isinstance(refused, refusals.Busy):
                break
        if refused is not None:
            raise refused
        account = await accounts.by_id(t.db, wanted.account.id)
        if account is None:
            raise refusals.NotFound
        return await t.people.of(account)

    async def _plan(self, wanted: _Wanted) -> _Plan:
        t, kind = self._t, wanted.kind
        account = await accounts.by_id(t.db, wanted.account.id)
        if account is None:
            raise refusals.NotFound
        held = await stored.listed(t.db, account.id)
        before = _of(kind, held)
        now, person, policy = t.clock.now(), await t.people.of(account), await t.policy()
        mailing = policy.mail.enabled
        mine = next((one for one in before if one.folded == wanted.folded), None)
        if (mine is not None and mine.primary) or (not wanted.folded and not before):
            return _Plan(wanted, held, now, policy.remembered, False, None, None)
        proves = kind == "email" and wanted.state == "claimed" and (mine is None or mine.state == "claimed")
        pending = proves and mailing and any(one.state != "claimed" for one in before)
        verification = await self._verification(wanted, person) if proves and mailing else None
        notice = await self._notice(wanted, held, person, now)
        return _Plan(wanted, held, now, policy.remembered, pending, notice, verification)

    async def _verification(self, wanted: _Wanted, person: Person) -> tuple[Draft, Waiting] | None:
        t, door = self._t, self._t.doors.get(_door(wanted))
        draft = t.tickets.draft("verify", person.account.id, about=wanted.folded, door=door)
        link = (await t.policy()).mail.link(_door(wanted), "verify", draft.token)
        life = LIVES["verify"]
        letter = await t.letters.draft(
            "verify", person, wanted.shown, life=life, link=link, hours=str(life // HOUR)
        )  # fmt: skip
        return None if letter is None else (draft, letter)

    async def _notice(self, wanted: _Wanted, held: list[Held], person: Person, now: Millis) -> Notice | None:
        """Draft the notice to every proved e-mail address, each with a link that brings back what its owner had."""
        t, name = self._t, "address_changed" if wanted.kind == "email" else "phone_changed"
        before = _of(wanted.kind, held)
        old = next((one for one in before if one.primary), None)
        proved = [one for one in _of("email", held) if one.proved]
        values = {"old": old.shown if old else "", "new": wanted.shown}
        if not proved:
            # Whoever merely claims an address has no right to undo anything.
            return await self._notices.draft(name, person, life=None, **values) if wanted.kind == "phone" else None
        mail = (await t.policy()).mail
        letters: list[Waiting] = []
        tickets: list[Draft] = []
        for reader in proved[:PROVED_KEPT]:
            about = _undo_of(wanted.kind, before, reader, new=wanted.folded, now=now)
            ticket = t.tickets.draft("undo", person.account.id, about=msgspec.json.encode(about).decode())
            link = mail.link(_door(wanted), "undo", ticket.token)
            letter = await t.letters.draft(
                name, person, reader.shown, life=LIVES["undo"], link=link, days=str(LIVES["undo"] // DAY), **values
            )
            if letter is not None:
                letters.append(letter)
                tickets.append(ticket)
        return Notice(name, person.account.id, tuple(letters), tuple(tickets)) if letters else None

    # ------------------------------------------------------------ the transaction

    async def _perform(self, tx: Tx, plan: _Plan) -> Refusal | None:
        wanted, account = plan.wanted, plan.wanted.account.id
        if await stored.listed(tx, account) != plan.held:
            return refusals.Busy(1)
        refused = await self._refused(tx, plan)
        if refused is not None:
            return refused
        primary = next((one for one in plan.before if one.primary), None)
        if primary is not None and primary.folded == wanted.folded:
            await self._put(tx, plan)
            return None
        if not plan.before and not wanted.folded:
            return None
        if wanted.kind == "email":
            await self._put_email(tx, plan)
            keep = wanted.by.session.id if wanted.by is not None and wanted.by.account.id == account else None
            await accounts.raise_epoch(tx, account, plan.now)
            await attempts.drop_all(tx, account)
            await sessions.end_clients(tx, account, "address_changed", plan.now, keep=keep)
        else:
            await self._put_phone(tx, plan)
        await events.record(
            tx, "account_changed", plan.now, client=wanted.client, account=account,
            session=wanted.by.session.id if wanted.by else None, what=wanted.kind,
            by=wanted.by.account.id.hex() if wanted.by else "operator",
        )  # fmt: skip
        await self._notices.put(tx, plan.notice, plan.now)
        if plan.verification is not None:
            await self._t.tickets.put(tx, plan.verification[0])
            await self._t.letters.put(tx, plan.now, plan.verification[1])
        return None

    async def _refused(self, tx: Tx, plan: _Plan) -> Refusal | None:
        """Judge who asks, whose the address is, and how often was asked."""
        wanted, now = plan.wanted, plan.now
        if wanted.by is not None:
            # The session as it is now: a password confirmed in the same call has made it fresh.
            caller = await sessions.caller_by_id(tx, wanted.by.session.id, now)
            if caller is None:
                return refusals.NotSignedIn()
            if caller.session.narrow:
                return refusals.NotForKeys()
            if not await _may_change(tx, caller.account, wanted.account):
                return refusals.NotAllowed()
            if wanted.client is None or not judgement.is_fresh(
                caller.session, client_print(wanted.client), now, plan.remembered
            ):
                return refusals.FreshProofRequired()
        refused = claims.planting(await accounts.person(tx, wanted.account))
        if refused is not None and wanted.kind == "phone" and wanted.folded and wanted.state == "claimed":
            return refused
        other = await stored.find(tx, wanted.kind, wanted.folded)
        if other is not None and other.account != wanted.account.id:
            if not yields(other, wanted.state):
                return refusals.IdentifierTaken(wanted.kind)
            await self._take_from(tx, other, now)
        return await self._spend(tx, plan)

    async def _spend(self, tx: Tx, plan: _Plan) -> Refusal | None:
        """Count a change against the account's budget, and its mail against the destination's."""
        wanted, account, now = plan.wanted, plan.wanted.account.id, plan.now
        if plan.notice is None and plan.verification is None:
            return None
        proved = [one for one in plan.before if one.proved]
        full = wanted.kind == "email" and len(proved) >= PROVED_KEPT and not _among(wanted.folded, proved)
        if wanted.by is not None and full:
            lapse = min(one.lapses_at or SUPERSEDED for one in proved)
            return refusals.TooSoon(min(-(-(lapse - now) // 1000), DAY_SECONDS))
        changes = await counters.find(tx, "address-changes", account)
        waiting = wait(CHANGES, changes, now) if wanted.by is not None else 0
        if plan.verification is not None and not waiting:
            to = self._t.letters.destination(wanted.folded)
            waiting = await self._t.limits.may_send(tx, to, wanted.client, now, known=True)
        if waiting:
            return refusals.TooSoon(waiting)
        if wanted.by is not None:
            await counters.put(tx, "address-changes", account, failed(CHANGES, changes, now, 0), now, account=account)
        return None

    async def _put_email(self, tx: Tx, plan: _Plan) -> None:
        wanted, account, now = plan.wanted, plan.wanted.account.id, plan.now
        await self._put(tx, plan)
        if plan.pending:
            await stored.let_lapse(tx, account, "email", wanted.folded, now + LAPSES_AFTER)
        for one in plan.before:
            if one.folded == wanted.folded:
                continue
            if not one.proved:
                await stored.remove(tx, account, "email", one.folded)
            elif one.primary or one.lapses_at is not None:
                await stored.let_lapse(tx, account, "email", one.folded, _stays_until(one, plan))

    async def _put_phone(self, tx: Tx, plan: _Plan) -> None:
        account, now = plan.wanted.account.id, plan.now
        if plan.wanted.folded:
            await self._put(tx, plan)
        for one in plan.before:
            if one.folded != plan.wanted.folded and not one.proved:
                await stored.remove(tx, account, "phone", one.folded)
        for one in plan.before:
            if one.folded != plan.wanted.folded and one.proved:
                await stored.withdraw(tx, account, "phone", one.folded, now + LAPSES_AFTER)

    async def _put(self, tx: Tx, plan: _Plan) -> None:
        """Give the account the address, or show again one that it holds, as the primary one of its kind."""
        wanted, account = plan.wanted, plan.wanted.account.id
        if _among(wanted.folded, plan.before):
            await stored.respell(tx, account, wanted.kind, wanted.folded, wanted.shown)
        else:
            new = Identifier(wanted.kind, wanted.shown, wanted.state, False)
            await accounts.insert_identifier(tx, account, new, wanted.folded, plan.now)
        await stored.make_primary(tx, account, wanted.kind, wanted.folded)
        if wanted.state == "verified":
            await stored.verify(tx, account, wanted.kind, wanted.folded, plan.now)
        elif wanted.state == "vouched":
            await stored.vouch(tx, account, wanted.kind, wanted.folded)
        if wanted.state != "claimed":
            await stored.let_superseded_lapse(tx, account, wanted.kind, plan.now + LAPSES_AFTER)

    async def _take_from(self, tx: Tx, other: Held, now: Millis) -> None:
        await stored.remove(tx, other.account, other.kind, other.folded)
        await events.record(tx, "account_changed", now, account=other.account, what=f"{other.kind} yielded")


def yields(other: Held, state: AddressState) -> bool:
    """Tell whether another account's address goes to somebody who brings it in this state (decision 15).

    A merely claimed one yields to a proof and to nothing else; a vouched or verified one never does.
    """
    return not other.proved and state == "verified"


def _of(kind: IdentifierKind, held: list[Held]) -> list[Held]:
    return [one for one in held if one.kind == kind]


def _among(folded: str, held: list[Held]) -> bool:
    return any(one.folded == folded for one in held)


def _door(wanted: _Wanted) -> str:
    return wanted.by.session.door if wanted.by is not None else ""


def _stays_until(one: Held, plan: _Plan) -> Millis:
    """Return how long a proved address stays that another takes the place of.

    While that one waits to be proved: for as long as it does, and an earlier one long enough to outlive both its wait
    and the time to undo. So whoever changes the address again and again never shortens the first one's stay.
    """
    if not plan.pending:
        later = 0 if one.lapses_at in (None, SUPERSEDED) else one.lapses_at or 0
        return max(later, plan.now + LAPSES_AFTER)
    return SUPERSEDED if one.primary or one.lapses_at == SUPERSEDED else plan.now + 2 * LAPSES_AFTER


def _undo_of(kind: IdentifierKind, before: list[Held], reader: Held, *, new: str, now: Millis) -> Changed:
    """Return what the link to one reader brings back: for e-mail the reader's own address, else the oldest number.

    An address that was replaced before comes back as it was then: all that came after it goes.
    """
    proved = sorted((one for one in before if one.proved), key=lambda one: (one.created_at, one.primary))
    back = reader if kind == "email" else (proved[0] if proved else None)
    if back is None:
        return Changed(kind, "", new, now)
    since = now
    if not back.primary and back.lapses_at is not None:
        others = [one for one in before if one.folded != back.folded]
        since = min((one.created_at for one in others if one.created_at >= back.created_at), default=now)
    return Changed(kind, back.folded, new, since)


async def _may_change(tx: Tx, caller: Account, target: Account) -> bool:
    if caller.id == target.id or caller.administrator:
        return True
    return caller.rank >= MANAGES_ADDRESSES and await may_manage(tx, caller, target)
