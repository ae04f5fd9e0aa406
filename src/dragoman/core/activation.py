"""Links to register with: a member makes one for an address, and whoever gets the mail joins the organization.

The only way into an organization that others made, beside an invitation: nobody joins one by the domain of an address
(Flashback's contract, open point 14). Who may make them is who may manage: administrators, and members from rank 254.
"""

from __future__ import annotations

import hmac
import uuid

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, refusals
from dragoman.core.doors import Door
from dragoman.core.registration import Invited, Newcomer, Registered, Registration
from dragoman.core.tickets import DAY, LIVES
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Identifier, Millis, Person, Wish, uuid_text
from dragoman.storage import accounts, tickets
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Tx
from dragoman.storage.tickets import Ticket

MAY_INVITE = 254
"""The rank in an organization from which its members let others in (Flashback's contract, section 3)."""


class Link(Struct, frozen=True):
    """A link to register with."""

    id: str
    """Names it, as a UUID. Not the mailed token."""
    email: str
    activated_at: Millis | None


class Activation:
    """Makes links to register with, and lets them be used."""

    def __init__(self, tools: Tools, registration: Registration) -> None:
        self._t = tools
        self._registration = registration

    async def make(self, caller: Caller, email: str, door: Door, client: Client) -> Link:
        """Mail a link to an address nobody has a right to yet. It is good for 7 days, as long as its maker may.

        The answer is the same for an address that is taken: only its mail is another. Raises NotAllowed,
        VerificationRequired, BadIdentifier, TooSoon; NotOffered where no mail is sent or no page is configured that a
        link could lead to.
        """
        t, now, policy = self._t, self._t.clock.now(), await self._t.policy()
        if not _may_invite(caller.account):
            raise refusals.NotAllowed
        if caller.account.first_verified_at is None and not caller.account.administrator:
            raise refusals.VerificationRequired
        if not policy.mail.enabled or f"{door.name}.activate" not in policy.mail.links:
            raise refusals.NotOffered
        shown = identifiers.check_strictly(email)
        folded = identifiers.fold("email", shown)
        draft = t.tickets.draft("activate", caller.account.id, about=folded)
        id = uuid_text(draft.ticket.id)
        link = policy.mail.link(door.name, "activate", draft.token).replace("{id}", id)
        unnamed = replace(caller.account, first_name="", last_name="", display_name=None)
        names = (Identifier("email", shown, "claimed", True), Identifier("username", "", "claimed", True))
        nobody = Person(unnamed, names, {}, frozenset(), False)
        by = (await t.people.of(caller.account)).name
        life = LIVES["activate"]
        values = {"link": link, "days": str(life // DAY), "by": by}
        letter = await t.letters.draft("activate", nobody, shown, life=life, **values)
        to = t.letters.destination(folded)

        async def fn(tx: Tx) -> int:
            waiting = await t.limits.may_send(tx, to, client, now, known=True)
            if not waiting:
                held = await stored.find(tx, "email", folded)
                await t.tickets.put(tx, draft)
                if held is None or not held.proved:
                    await t.letters.put(tx, now, letter)
                await events.record(
                    tx, "link_sent", now, client=client, account=caller.account.id, session=caller.session.id,
                    purpose="activate",
                )  # fmt: skip
            return waiting

        waiting = await t.db.transaction(fn)
        if waiting:
            raise refusals.TooSoon(waiting)
        return Link(id, shown, None)

    async def look(self, id: str, token: str) -> Link:
        """Return what a link is about, to whoever holds it, used or not. Raises BadTicket, TicketExpired."""
        ticket = await self._ticket(id, token)
        return Link(id, ticket.about, ticket.used_at)

    async def use(
        self, door: Door, id: str, token: str, new: Newcomer, client: Client, *, wish: Wish | None = None
    ) -> Registered:  # fmt: skip
        """Register with a link: join its maker's organization with rank 0, the address verified, and sign in.

        Raises BadTicket for a link or address that does not fit, and once its maker may not let others in any more;
        TicketExpired; else as `Registration.with_link`.
        """
        ticket = await self._ticket(id, token)
        maker = await accounts.by_id(self._t.db, ticket.account)
        if ticket.used_at is not None or maker is None or maker.status != "active" or not _may_invite(maker):
            raise refusals.BadTicket
        invited = Invited(ticket, maker.organization, maker.default_organization, maker.business)
        return await self._registration.with_link(door, invited, new, client, wish=wish)

    async def _ticket(self, id: str, token: str) -> Ticket:
        try:
            named = uuid.UUID(id).bytes
        except ValueError:
            raise refusals.BadTicket from None
        ticket = await tickets.by_id(self._t.db, named)
        wanted = self._t.tickets.hash_of("activate", token)
        if ticket is None or ticket.purpose != "activate" or not hmac.compare_digest(ticket.hash, wanted):
            raise refusals.BadTicket
        if ticket.used_at is None and ticket.ends_at <= self._t.clock.now():
            raise refusals.TicketExpired
        return ticket


def _may_invite(account: Account) -> bool:
    return account.administrator or account.rank >= MAY_INVITE
