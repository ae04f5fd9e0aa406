"""Mailed links: asking for one, and what each does when it is used (decisions 5, 6, 15, 43 and 44).

A link proves a mailbox and nothing else: it never skips a second factor, and whether there is one is told to nobody
before the link proved good. Asking is answered alike for addresses that nobody has.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from dragoman.core import claims, events, identifiers, refusals
from dragoman.core.credentials import policy
from dragoman.core.directory import SYSTEM
from dragoman.core.doors import Door
from dragoman.core.limits import lane_of
from dragoman.core.notices import Notice, Notices
from dragoman.core.passwords import hashed
from dragoman.core.refusals import Refusal
from dragoman.core.tickets import DAY, HOUR, LIVES, Draft, Purpose
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, IdentifierKind, Millis, Password, Person, Secret, uuid_text
from dragoman.storage import accounts, attempts, codes, counters, credentials, sessions, tickets
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Tx
from dragoman.storage.identifiers import Held
from dragoman.storage.outbox import Waiting
from dragoman.storage.tickets import Ticket

RESEND_AFTER: Millis = 60_000
OLD_STAYS_FOR: Millis = 7 * DAY
SLOT_SECONDS = 0.05
"""No answer to a request for a link leaves earlier, so that its time does not tell whether one was sent."""


class Changed(Struct, frozen=True):
    """What a ticket to undo a change of an address is about, as JSON in `Ticket.about`; both addresses folded."""

    kind: IdentifierKind
    old: str
    """What is to be primary again; empty where there was none."""
    new: str
    since: Millis = 0
    """What came then or later goes; 0 for when the ticket was made."""


class Linked(Struct, frozen=True):
    """What a good link tells whoever holds it."""

    person: Person
    address: str
    """The address it was sent to, folded; of `undo` the address or number that comes back; may be empty."""
    gone: str = ""
    """Of `undo`: the address or number that is taken away."""


class Exchanged(Struct, frozen=True):
    """What a link to reset was exchanged for."""

    token: Secret
    created_at: Millis
    ends_at: Millis


class Deed(Struct, frozen=True):
    """A ticket that is about to be used, with all that had to be made before the transaction."""

    ticket: Ticket
    account: Account
    client: Client
    now: Millis
    password: tuple[str, bytes] | None
    """Scheme and sealed hash of the new password."""
    notice: Notice | None
    by: Caller | None = None
    """Who was signed in where the link was used."""


class _Asked(Struct, frozen=True):
    """Whom a mail would go to, and what it would hold. Made for nobody just as for somebody."""

    account: Account | None
    draft: Draft
    letter: Waiting | None
    known: bool
    destination: bytes
    unknown: bool
    """Nobody has the address. Told by nothing but a dialect whose contract demands it (decision 29)."""


class Recovery:
    """Sends links to owners, and does what a link is for."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)

    # ------------------------------------------------------------ what is offered

    async def sends_mail(self) -> bool:
        """Tell whether a mailer is configured."""
        return (await self._t.policy()).mail.enabled

    # ------------------------------------------------------------ asking for a link

    async def request_reset(self, door: str, address: str, client: Client, *, form: Door | None = None) -> None:
        """Mail a link to set a new password, if an active account can be reached at this address.

        Nothing tells whether it was: one transaction with one event either way, answered at the slot. A claimed
        address is written to only while the account has no other, and proving it ends what its registrant holds
        (decision 15).

        :param form: the door whose form the token has, None for the usual one. Raises NotOffered where passwords are
            not reset by mail.
        """
        await self.offer_reset()
        await self._request("reset", door, address, client, form=form)

    async def exchange_reset(self, door: Door, presented: str, client: Client) -> Exchanged:
        """Exchange the token of a mailed link to reset for one that sets the password (`use("update", ...)`), once.

        Raises BadTicket, TicketExpired; NotOffered as `request_reset` does.
        """
        await self.offer_reset()
        t = self._t
        before, account = await self._found("reset", presented, door)
        draft = t.tickets.exchanged(before, door)
        after = draft.ticket

        async def fn(tx: Tx) -> bool:
            if not await t.tickets.renew(tx, before, draft):
                return False
            await events.record(
                tx, "link_used", after.created_at, client=client, account=account.id, purpose="exchange"
            )  # fmt: skip
            return True

        if not await t.db.transaction(fn):
            raise refusals.BadTicket
        return Exchanged(Secret(draft.token), after.created_at, after.ends_at)

    async def offer_reset(self) -> None:
        """Raise NotOffered where passwords are not reset by mail: switched off, or no mail is sent."""
        policy = await self._t.policy()
        if not (policy.password_reset and policy.mail.enabled):
            raise refusals.NotOffered

    async def request_verification(self, door: Door, address: str, client: Client, *, tells: bool = False) -> None:
        """Mail a link that proves an address which is not verified yet, alike for addresses that nobody has.

        :param tells: the contract demands that such addresses are told. Each answer then spends one of the network's
            telling answers, whether or not anybody has the address; when they are used up, and where accounts are
            concealed, nothing is told (decision 29).

        Raises NotOffered where no mail is sent; NotFound where it tells.
        """
        await self._request("verify", door.name, address, client, form=door, tells=tells)

    async def remind(self, door: Door, person: Person, client: Client) -> None:
        """Mail another link to somebody who proved the password and is let in only with a verified address.

        Within the sending budgets; nothing where no mail is sent or there is no address.
        """
        if person.email is not None and await self.sends_mail():
            await self.request_verification(door, person.email, client)

    async def send_verification(self, account: Account, door: Door | None = None) -> str | None:
        """Mail a link to prove the account's primary address, or the first other that is not verified: an operator's
        act. Returns the address, None when all are verified.

        :param door: whose client the link is for; None for our page. Raises NotActive, NotOffered, BadIdentifier when
            there is no address.
        """
        t, now = self._t, self._t.clock.now()
        if account.status != "active":
            raise refusals.NotActive(account.status)
        if not await self.sends_mail():
            raise refusals.NotOffered
        person = await t.people.of(account)
        if person.email is None:
            raise refusals.BadIdentifier("email", "there is none to verify")
        address = next((one.shown for one in person.emails if one.state != "verified"), None)
        if address is None:
            return None
        draft = t.tickets.draft("verify", account.id, about=identifiers.fold("email", address), door=door)
        letter = await self._letter(door.name if door is not None else "", person, draft, address)

        async def fn(tx: Tx) -> None:
            await t.tickets.put(tx, draft)
            await t.letters.put(tx, now, letter)
            await events.record(tx, "link_sent", now, account=account.id, purpose="verify")

        await t.db.transaction(fn)
        return address

    async def verification_of(self, person: Person) -> str | None:
        """Return the id of the newest live ticket that would verify somebody's address, as a UUID: `resend` takes it.

        None when the primary address is verified, or no mail was sent in the last 24 h.
        """
        if not person.emails or person.emails[0].state == "verified":
            return None
        id = await tickets.newest_live(self._t.db, person.account.id, "verify", self._t.clock.now())
        return None if id is None else uuid_text(id)

    async def resend(self, door: Door, id: bytes, client: Client) -> None:
        """Mail another link in the place of one to verify an address or to take up an invitation; that one is void.

        :param id: `Ticket.id`. Raises BadTicket for one that is unknown, used or of no use any more, TooSoon within a
            minute, NotOffered.
        """
        t, now = self._t, self._t.clock.now()
        if not await self.sends_mail():
            raise refusals.NotOffered
        before = await tickets.by_id(t.db, id)
        if before is None or before.used_at is not None or before.purpose not in ("verify", "invite"):
            raise refusals.BadTicket
        waits = before.created_at + RESEND_AFTER - now
        if waits > 0:
            raise refusals.TooSoon(-(-waits // 1000))
        person, held = await self._person(before.account), await stored.find(t.db, "email", before.about)
        if not _fits(before.purpose, person.account) or held is None or held.account != before.account:
            raise refusals.BadTicket
        draft = t.tickets.redraft(before, door=door)
        letter = await self._letter(door.name, person, draft, held.shown)
        to = t.letters.destination(before.about)

        async def fn(tx: Tx) -> int | None:
            waiting = await t.limits.may_send(tx, to, client, now, known=True)
            if waiting:
                return waiting
            if not await t.tickets.renew(tx, before, draft):
                return None
            await t.letters.put(tx, now, letter)
            await events.record(tx, "link_sent", now, client=client, account=before.account, purpose=before.purpose)
            return 0

        waiting = await t.db.transaction(fn)
        if waiting is None:
            raise refusals.BadTicket
        if waiting:
            raise refusals.TooSoon(waiting)

    async def _request(
        self, purpose: Purpose, door: str, address: str, client: Client, *, form: Door | None = None,
        tells: bool = False,
    ) -> None:  # fmt: skip
        """Send a link of this purpose to an address, or do the same work for nobody."""
        policy = await self._t.policy()
        if not policy.mail.enabled:
            raise refusals.NotOffered
        tells = tells and not policy.conceal_accounts
        t, now, began = self._t, self._t.clock.now(), self._t.clock.monotonic()
        asked = await self._ask(purpose, door, address, client, form)

        async def fn(tx: Tx) -> bool:
            told = tells and await t.limits.may_tell(tx, client, now)
            waiting = await t.limits.may_send(tx, asked.destination, client, now, known=asked.known)
            send = asked.account is not None and not waiting
            if send:
                await t.tickets.put(tx, asked.draft)
                await t.letters.put(tx, now, asked.letter)
            account = asked.account.id if asked.account else None
            await events.record(
                tx, "link_asked_for", now, client=client, account=account, door=door, purpose=purpose,
                sent="yes" if send else "no",
            )  # fmt: skip
            return told

        told = await t.db.transaction(fn)
        await asyncio.sleep(max(0.0, began + SLOT_SECONDS - t.clock.monotonic()))
        if told and asked.unknown:
            raise refusals.NotFound

    async def _ask(self, purpose: Purpose, door: str, address: str, client: Client, form: Door | None) -> _Asked:
        t = self._t
        folded = identifiers.fold("email", address)
        usable = folded if len(folded) <= identifiers.EMAIL_LENGTH and identifiers.storable(folded) else ""
        held = await stored.find(t.db, "email", usable)
        account = await accounts.by_id(t.db, held.account if held else bytes(16))
        reached = held is not None and account is not None and await self._may_reach(purpose, held, account)
        person = await t.people.of(account) if reached and account is not None else None
        draft = t.tickets.draft(purpose, account.id if account else bytes(16), about=usable, door=form)
        letter = None
        if person is not None and held is not None:
            letter = await self._letter(door, person, draft, held.shown)
        lane = await lane_of(t.db, draft.ticket.account, account.id if account else None, client, t.clock.now())
        return _Asked(
            account if reached else None, draft, letter, lane.known, self._t.letters.destination(folded), held is None
        )

    async def _may_reach(self, purpose: Purpose, held: Held, account: Account) -> bool:
        if account.status != "active":
            return False
        if purpose == "reset" and await accounts.alias_of(self._t.db, account.id, SYSTEM) is not None:
            return False  # the password is the directory's, and whoever left it must not come back by mail
        if purpose == "verify":
            return held.state != "verified"
        proved = [one for one in await stored.listed(self._t.db, account.id) if one.kind == "email" and one.proved]
        return held.proved or not proved

    async def _letter(self, door: str, person: Person, draft: Draft, to: str, by: str = "") -> Waiting | None:
        purpose: Purpose = draft.ticket.purpose  # type: ignore[assignment]
        life = LIVES[purpose]
        link = (await self._t.policy()).mail.link(door, purpose, draft.token)
        more = {"days": str(life // DAY), "by": by} if purpose == "invite" else {"hours": str(life // HOUR)}
        return await self._t.letters.draft(purpose, person, to, life=life, link=link, **more)

    async def _person(self, id: Id) -> Person:
        account = await accounts.by_id(self._t.db, id)
        if account is None:
            raise refusals.BadTicket
        return await self._t.people.of(account)

    # ------------------------------------------------------------ inviting

    async def invite(self, account: Account, door: str = "", *, by: str = "", client: Client | None = None) -> str:
        """Mail an invitation to an account of status `invited`, and return the id of its ticket as a UUID.

        :param by: the name of whoever invites.
        :param client: whose budgets it counts against; the links before are void then. None: an operator.

        Raises NotFound when nobody is invited under this account, BadIdentifier when it has no address, NotOffered
        where no mail is sent, TooSoon where the budgets are used up.
        """
        t, now = self._t, self._t.clock.now()
        if account.status != "invited":
            raise refusals.NotFound
        if not (await t.policy()).mail.enabled:
            raise refusals.NotOffered
        person = await t.people.of(account)
        if person.email is None:
            raise refusals.BadIdentifier("email", "an invitation needs one")
        draft = t.tickets.draft("invite", account.id, about=identifiers.fold("email", person.email))
        letter = await self._letter(door, person, draft, person.email, by)
        to = t.letters.destination(draft.ticket.about)

        async def fn(tx: Tx) -> int:
            if client is not None:
                waiting = await t.limits.may_send(tx, to, client, now, known=False)
                if waiting:
                    return waiting
                await tickets.drop(tx, account.id, "invite")
            await t.tickets.put(tx, draft)
            await t.letters.put(tx, now, letter)
            await events.record(tx, "link_sent", now, client=client, account=account.id, purpose="invite")
            return 0

        waiting = await t.db.transaction(fn)
        if waiting:
            raise refusals.TooSoon(waiting)
        return str(uuid.UUID(bytes=draft.ticket.id))

    # ------------------------------------------------------------ using a link

    async def check(self, purpose: Purpose, presented: str, *, door: Door | None = None) -> Person:
        """Return whose link this is, if it is good; it stays good. Raises BadTicket, TicketExpired."""
        return (await self.look(purpose, presented, door=door)).person

    async def look(self, purpose: Purpose, presented: str, *, door: Door | None = None) -> Linked:
        """Return whose link this is and what it is about; else as `check`."""
        ticket, account = await self._found(purpose, presented, door)
        person = await self._t.people.of(account)
        if purpose != "undo":
            return Linked(person, ticket.about)
        about = msgspec.json.decode(ticket.about, type=Changed)
        return Linked(person, about.old, about.new)

    async def purpose_of(
        self, purposes: Iterable[Purpose], presented: str, *, door: Door | None = None
    ) -> tuple[Purpose, Person]:
        """Return which of these purposes a link is for, and whose it is, if it is good; it stays good.

        For wires that have one field for several kinds of links. Raises BadTicket, TicketExpired.
        """
        for purpose in purposes:
            try:
                return purpose, await self.check(purpose, presented, door=door)
            except refusals.TicketExpired:
                raise
            except refusals.BadTicket:
                continue
        raise refusals.BadTicket

    async def use(
        self, purpose: Purpose, presented: str, client: Client, *, password: Password | None = None,
        door: Door | None = None, by: Caller | None = None,
    ) -> Person:  # fmt: skip
        """Do what the link is for, once, without signing anybody in; return the person as it is then.

        `reset`, and `update` that it was exchanged for, set the password and end every session and key; `verify` proves
        the address; `invite` activates the account and sets its password; `undo` brings an address back; `open` lets
        the owner in again from this network. Where an account had nothing but claimed addresses and somebody else than
        its registrant proves one, all that let him in ends, his password too; `password` then takes its place
        (decision 15).

        :param by: who is signed in where the link is used. Raises BadTicket, TicketExpired, PasswordNeeded,
            WeakPassword.
        """
        deed = await self.prepare(purpose, presented, client, password=password, door=door, by=by)
        refused = await self._t.db.transaction(lambda tx: self.perform(tx, deed))
        if refused is not None:
            raise refused
        return await self._person(deed.account.id)

    async def prepare(
        self, purpose: Purpose, presented: str, client: Client, *, password: Password | None = None,
        door: Door | None = None, by: Caller | None = None,
    ) -> Deed:  # fmt: skip
        """Judge a link and make ready what its use writes: the hash, the notices. Raises as `use` does."""
        t = self._t
        ticket, account = await self._found(purpose, presented, door)
        person = await t.people.of(account)
        purpose = "reset" if purpose == "update" else purpose
        sealed = None
        needs = purpose == "reset" or (purpose == "invite" and not person.has_password)
        if needs and password is None:
            raise refusals.PasswordNeeded
        if password is not None and (purpose == "reset" or await self.asks_password(purpose, person, client, by)):
            names = (account.first_name, account.last_name, *(i.shown for i in person.identifiers))
            if not (await t.policy()).test:
                policy.check(password, names, mixed=door is not None and door.mixed_password)
            sealed = await hashed(t, account.id, password)
        notice = None
        if purpose == "reset":
            notice = await self._notices.draft("password_reset", person, address=client.address)
        return Deed(ticket, account, client, t.clock.now(), sealed, notice, by)

    async def asks_password(self, purpose: Purpose, person: Person, client: Client, by: Caller | None) -> bool:
        """Tell whether whoever holds a link to verify an address or take up an invitation is to choose a password: what
        the account has was not set by him, as far as anybody can know, and goes when the link is used.
        """
        if purpose == "invite":
            return True
        stranger = not await claims.is_registrant(self._t.db, person.account, client, by, self._t.clock.now())
        return purpose == "verify" and person.claimed_only and stranger

    async def _found(self, purpose: Purpose, presented: str, door: Door | None) -> tuple[Ticket, Account]:
        ticket = await self._t.tickets.find(purpose, presented, door)
        account = await accounts.by_id(self._t.db, ticket.account)
        if account is None or not _fits(purpose, account):
            raise refusals.BadTicket
        return ticket, account

    async def perform(self, tx: Tx, deed: Deed) -> Refusal | None:
        """Use a ticket up and do what it is for, within a transaction; return what to raise after the commit."""
        ticket, now = deed.ticket, deed.now
        account = await accounts.by_id(tx, ticket.account)
        purpose: Purpose = ticket.purpose  # type: ignore[assignment]
        if account is None or not _fits(purpose, account) or not await tickets.use(tx, ticket, now):
            return refusals.BadTicket()
        acts = {
            "reset": self._reset, "verify": self._verify, "invite": self._invite, "undo": self._undo,
            "open": self._open,
        }  # fmt: skip
        if not await acts[purpose](tx, deed):
            return refusals.BadTicket()
        await accounts.mail_proved(tx, account.id, now)
        await events.record(tx, "link_used", now, client=deed.client, account=account.id, purpose=purpose)
        await self._notices.put(tx, deed.notice, now)
        return None

    async def _reset(self, tx: Tx, deed: Deed) -> bool:
        account, now = deed.account.id, deed.now
        if deed.password is None or await accounts.alias_of(tx, account, SYSTEM) is not None:
            return False
        if not await self._prove(tx, deed):
            return False
        await self._take_back(tx, deed)
        await self._put_password(tx, deed)
        await accounts.raise_epoch(tx, account, now)
        await attempts.drop_all(tx, account)
        await codes.drop_all(tx, account)
        await sessions.end_all(tx, account, "password_reset", now)
        await counters.drop_marks(tx, account)
        await counters.drop_of(tx, account)
        await tickets.drop(tx, account, "reset")
        return True

    async def _verify(self, tx: Tx, deed: Deed) -> bool:
        account, client, now = deed.account, deed.client, deed.now
        claimed_only = (await accounts.person(tx, account)).claimed_only
        if not await self._prove(tx, deed):
            return False
        if claimed_only and not await claims.is_registrant(tx, account, client, deed.by, now):
            await claims.disown(tx, account.id, client, now)
            await self._put_password(tx, deed)
        return True

    async def _invite(self, tx: Tx, deed: Deed) -> bool:
        if not await self._prove(tx, deed):
            return False
        # Whoever invited may have set a password; it was never the invited one's.
        await claims.disown(tx, deed.account.id, deed.client, deed.now)
        await self._put_password(tx, deed)
        await accounts.set_status(tx, deed.account.id, "active", deed.now)
        return True

    async def _undo(self, tx: Tx, deed: Deed) -> bool:
        account, now = deed.account.id, deed.now
        about = msgspec.json.decode(deed.ticket.about, type=Changed)
        held = {one.folded: one for one in await stored.listed(tx, account) if one.kind == about.kind}
        if about.old and about.old not in held:
            return False
        if about.kind == "email":
            await stored.verify(tx, account, "email", about.old, now)
            await accounts.raise_epoch(tx, account, now)
            await attempts.drop_all(tx, account)
            await codes.drop_all(tx, account)
            # Not the links that undo: whoever came in between holds one, too, and must not void the owner's.
            for purpose in ("reset", "verify", "magic", "invite"):
                await tickets.drop(tx, account, purpose)
            await sessions.end_clients(tx, account, "change_undone", now)
        if about.old:
            await stored.make_primary(tx, account, about.kind, about.old)
        # Whatever came with the change or after it came by the same hand.
        since = about.since or deed.ticket.created_at
        for one in held.values():
            if one.folded != about.old and one.created_at >= since:
                await stored.remove(tx, account, one.kind, one.folded)
        return True

    async def _open(self, tx: Tx, deed: Deed) -> bool:
        """Let the owner in: his network is known from now on; where networks are not known, every lane is opened."""
        account, client = deed.account.id, deed.client
        if client.network:
            await self._t.limits.opened(tx, client, account, deed.now)
        else:
            await counters.drop_of(tx, account)
        return True

    async def _prove(self, tx: Tx, deed: Deed) -> bool:
        """Record that the address the link was sent to was proved; a change of address is complete with it."""
        account, about, now = deed.account.id, deed.ticket.about, deed.now
        held = await stored.find(tx, "email", about)
        if held is None or held.account != account:
            return False
        await stored.verify(tx, account, "email", about, now)
        if held.primary:
            await stored.let_superseded_lapse(tx, account, "email", now + OLD_STAYS_FOR)
        return True

    async def _take_back(self, tx: Tx, deed: Deed) -> None:
        """Undo a change of address that nobody proved yet: who resets by the address before does not use the new."""
        account = deed.account.id
        held = [one for one in await stored.listed(tx, account) if one.kind == "email"]
        claimed = next((one for one in held if one.primary and not one.proved), None)
        if claimed is not None and claimed.folded != deed.ticket.about:
            await stored.make_primary(tx, account, "email", deed.ticket.about)
            await stored.remove(tx, account, "email", claimed.folded)

    async def _put_password(self, tx: Tx, deed: Deed) -> None:
        if deed.password is None:
            return
        scheme, sealed = deed.password
        await credentials.put(tx, deed.account.id, "password", scheme=scheme, sealed=sealed, now=deed.now)
        await events.record(
            tx, "password_set", deed.now, client=deed.client, account=deed.account.id, by=deed.ticket.purpose
        )


def _fits(purpose: str, account: Account) -> bool:
    """Tell whether a link of this purpose may do anything for an account of this status."""
    return account.status == ("invited" if purpose == "invite" else "active")
