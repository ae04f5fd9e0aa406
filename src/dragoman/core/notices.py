"""Notices: letters that tell an owner what happened to the account, to addresses proved before it (decision 6).

Each is drafted before the transaction of its act and put into the outbox within it. Nothing that somebody can do to an
account sends its owner more than `A_DAY` of each kind: docs/how-to/send-mail.md lists the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dragoman.core.limits import DAY, KNOWN_FOR, Budget, Lane, Window, failed, wait, within_reach
from dragoman.core.tickets import LIVES, Draft
from dragoman.core.tools import Tools
from dragoman.model import Account, Client, Id, Millis, Person
from dragoman.storage import counters
from dragoman.storage.engine import Tx
from dragoman.storage.outbox import Waiting

MOST_ADDRESSES = 3
"""A notice goes to no more of an account's addresses than these, the primary and the oldest first."""

A_DAY: Mapping[str, int] = {
    "new_network": 5,
    "chain_stolen": 5,
    "password_changed": 5,
    "password_reset": 5,
    "factor_added": 5,
    "factor_removed": 5,
    "address_yielded": 5,
    "key_added": 5,
    "provider_linked": 5,
    "provider_unlinked": 5,
    "codes_used_up": 1,
    "lane_closed": 1,
}
"""How many notices of a kind an account's owner gets in 24 hours. Kinds that are not here tell of acts that are bounded
themselves: an operator's, and changes of an address (`core/addresses.py`)."""

NEAR, NEAR_CODES = 10, 5
"""How many failures before a lane closes the notice is made ready: more than are under way at once."""


class Notice(Struct, frozen=True):
    """A notice that is ready to be put into the outbox, with the tickets of its links."""

    kind: str
    account: Id
    letters: tuple[Waiting, ...]
    tickets: tuple[Draft, ...] = ()


def recipients(person: Person) -> list[str]:
    """Return where a notice goes: to proved addresses; to a claimed one only when there is no other."""
    proved = [one.shown for one in person.emails if one.state != "claimed"]
    return proved[:MOST_ADDRESSES] or [one.shown for one in person.emails[:1]]


class Notices:
    """Drafts notices and puts them into the outbox, each kind within its daily bound."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def draft(self, kind: str, person: Person, *, life: Millis | None = None, **values: str) -> Notice | None:
        """Write a notice, before the transaction of its act. `person` is the account as it is before the act.

        :param kind: a name of letters.NOTICES, whose values `values` brings.
        :param life: after these milliseconds it is of no use any more.

        Returns None where there is nothing to send: no mailer, no address, a kind that is switched off.
        """
        drafted = [await self._t.letters.draft(kind, person, to, life=life, **values) for to in recipients(person)]
        letters = tuple(letter for letter in drafted if letter is not None)
        return Notice(kind, person.account.id, letters) if letters else None

    async def put(self, tx: Tx, notice: Notice | None, now: Millis) -> None:
        """Put a notice with its tickets into the outbox, unless the owner had enough of its kind today."""
        if notice is None:
            return
        if notice.kind in A_DAY:
            scope, budget = _counted(notice.kind)
            counter = await counters.find(tx, scope, notice.account)
            if wait(budget, counter, now):
                return
            counter = failed(budget, counter, now, 0)
            await counters.put(tx, scope, notice.account, counter, now, account=notice.account)
        for ticket in notice.tickets:
            await self._t.tickets.put(tx, ticket)
        await self._t.letters.put(tx, now, *notice.letters)

    # ------------------------------------------------------------ signing in

    async def arrival(self, account: Account, lane: Lane, client: Client) -> Notice | None:
        """Draft the notice of a sign-in from an unknown network, for an account that is known from another.

        Costs nothing for known clients. None while addresses are not trusted: then no network is known.
        """
        now = self._t.clock.now()
        if lane.known or not client.network or not await self._sends("new_network"):
            return None
        if not await counters.knows_any(self._t.db, account.id, now - KNOWN_FOR):
            return None
        person = await self._t.people.of(account)
        return await self.draft("new_network", person, address=client.address, client=client.user_agent)

    async def arrived(self, tx: Tx, notice: Notice | None, client: Client, now: Millis) -> None:
        """Put the notice of `arrival`, unless the network became known meanwhile. Comes before it does."""
        if notice is not None and not await counters.knows_network(tx, notice.account, client.network, now - KNOWN_FOR):
            await self.put(tx, notice, now)

    async def closing(self, lane: Lane, account: Account | None, door: str) -> Notice | None:
        """Draft the notice that the strangers' lane closes, while it may close soon; alike for names nobody has."""
        budget = lane.budget(self._t.limits.budgets)
        if budget.closes_at is None:
            return None
        counter = await counters.find(self._t.db, lane.scope, lane.subject)
        if counter.streak + NEAR < budget.closes_at:
            return None
        return await self._opening("lane_closed", lane.subject, account, door)

    async def closed(self, tx: Tx, notice: Notice | None, lane: Lane, now: Millis) -> None:
        """Put the notice of `closing` if the lane is closed by now."""
        budget = lane.budget(self._t.limits.budgets)
        if notice is not None and budget.closes_at is not None:
            counter = await counters.find(tx, lane.scope, lane.subject)
            if counter.streak >= budget.closes_at:
                await self.put(tx, notice, now)

    async def still_closed(self, lane: Lane, account: Account | None, door: str) -> None:
        """Tell an owner whose strangers' lane is closed once more, once a day while somebody tries it: the link of the
        last notice is over by then. The only write that a locked lane allows.
        """
        t, budget = self._t, lane.budget(self._t.limits.budgets)
        if budget.closes_at is None:
            return
        counter = await counters.find(t.db, lane.scope, lane.subject)
        if counter.streak < budget.closes_at:
            return
        notice, now = await self._opening("lane_closed", lane.subject, account, door), t.clock.now()
        if notice is not None:
            await t.db.transaction(lambda tx: self.put(tx, notice, now))

    async def codes_closing(self, lane: Lane, account: Account, door: str) -> Notice | None:
        """Draft the notice that a lane takes no more codes, while its budget may be used up soon (decision 8)."""
        counter = await counters.find(self._t.db, f"{lane.scope}-codes", lane.subject)
        if not within_reach(lane.code_budget(self._t.limits.budgets), counter, self._t.clock.now(), NEAR_CODES):
            return None
        return await self._opening("codes_used_up", account.id, account, door)

    async def codes_closed(self, tx: Tx, notice: Notice | None, lane: Lane, now: Millis) -> None:
        """Put the notice of `codes_closing` if the lane takes no more codes by now."""
        if notice is not None:
            counter = await counters.find(tx, f"{lane.scope}-codes", lane.subject)
            if wait(lane.code_budget(self._t.limits.budgets), counter, now):
                await self.put(tx, notice, now)

    async def _opening(self, kind: str, subject: bytes, account: Account | None, door: str) -> Notice | None:
        """Draft a notice with a link that lets the owner in from where he opens it; None when he had it today.

        `subject` is the account's id or stands for a name that nobody has, for which the same is read.
        """
        t, (scope, budget) = self._t, _counted(kind)
        if not await self._sends(kind):
            return None
        told = wait(budget, await counters.find(t.db, scope, subject), t.clock.now())
        if account is None or told:
            return None
        ticket = t.tickets.draft("open", account.id)
        link = (await t.policy()).mail.link(door, "open", ticket.token)
        notice = await self.draft(kind, await t.people.of(account), life=LIVES["open"], link=link)
        return None if notice is None else Notice(kind, notice.account, notice.letters, (ticket,))

    async def _sends(self, kind: str) -> bool:
        mail = (await self._t.policy()).mail
        return mail.enabled and kind not in mail.notices_off


def _counted(kind: str) -> tuple[str, Budget]:
    """Return the counter's scope and the budget of a kind."""
    return f"notice-{kind}", Budget((Window(A_DAY[kind], DAY),))
