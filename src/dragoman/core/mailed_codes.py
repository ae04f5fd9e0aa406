"""Codes of the second factor that go by mail: six digits, one live per account and door (decisions 9 and 44).

A code is drawn and its letter sealed before the transaction that decides whether it is sent (decision 30). What is
stored of it is a MAC bound to account and door; it is void as soon as the address or the account's epoch is another.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from dragoman.core import events, identifiers, paused, ports, refusals
from dragoman.core.doors import Door
from dragoman.core.limits import lane_of
from dragoman.core.recovery import SLOT_SECONDS
from dragoman.core.tickets import Draft
from dragoman.core.tools import Tools
from dragoman.model import Account, Client, Id, Mailed, Millis, Person, Typed
from dragoman.storage import accounts, codes
from dragoman.storage.codes import Code
from dragoman.storage.engine import Tx
from dragoman.storage.outbox import Waiting
from dragoman.storage.sealing import Sealer

PURPOSE = "second_factor"
"""Of these codes among all that are stored."""
DIGITS = 6
MINUTE: Millis = 60_000
MAIL_PROVES_ONCE: Millis = 24 * 60 * MINUTE
"""For so long after a mailed link the mailbox is no second factor for the powerful (decision 5)."""
POWERFUL_RANK = 254
_PURPOSE_OF_MAC = "mailed code"
_BETWEEN = re.compile(r"[^0-9A-Za-z]+")
_CODE = re.compile(r"[0-9]{6}")


class Way(Struct, frozen=True):
    """Where the codes of an account go, and the one that goes there next if one is to be sent."""

    to: str
    """The address as its owner typed it."""
    folded: str
    destination: bytes
    """Under which the sending budget counts it."""
    mac: bytes
    life: Millis
    letter: Waiting
    ticket: Draft | None = None
    """Of the link that goes with the code, where the door's wire has one."""


class MailedCodes:
    """Draws codes, and sends them while a sign-in waits or on request."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def way(self, door: Door, account: Account) -> Way | None:
        """Return how a code for this door gets to the owner, before a transaction.

        None where it cannot: not enrolled, not carried by the door, switched off, no mailer, no address that is vouched
        or verified.
        """
        t = self._t
        if "email" not in door.factors:
            return None
        person = await t.people.of(account)
        to = person.proved_email
        if "email" not in person.factors or to is None:
            return None
        policy = await t.policy()
        if not policy.email_codes:
            return None
        life = policy.code_life
        ticket = t.tickets.draft("magic", account.id, about=door.name) if door.links else None
        code = ports.text(t.random, "0123456789", DIGITS) if ticket is None else code_of_link(ticket.token)
        values = {"code": code, "minutes": str(life // MINUTE)}
        if ticket is not None:
            values["link"] = policy.mail.link(door.name, "magic", ticket.token)
        letter = await t.letters.draft("magic" if ticket else "code", person, to, life=life, **values)
        if letter is None:
            return None
        folded = identifiers.fold("email", to)
        mac = mac_of(t.sealer, bound_to(account.id, door.name, code))
        return Way(to, folded, t.letters.destination(folded), mac, life, letter, ticket)

    async def offers(self, tx: Tx, door: Door, person: Person, way: Way | None, now: Millis) -> tuple[str, ...]:
        """Return the second factors that may be tried at a door, best first (decision 2)."""
        held = tuple(factor for factor in door.factors if factor in person.factors)
        if "email" not in held:
            return held
        proved = {address.shown for address in person.emails if address.state != "claimed"}
        usable = way is not None and way.to in proved and not await _mail_is_spent(tx, person.account, now)
        return held if usable else tuple(factor for factor in held if factor != "email")

    async def at_pause(
        self, tx: Tx, way: Way | None, offers: Sequence[str], account: Account, *, door: Door, client: Client,
        known: bool, now: Millis,
    ) -> Mailed | None:  # fmt: skip
        """Send a code where mail is the best factor offered and none is out; return what the client may know.

        Where a link goes with it the client asks for it.

        :param known: whether the client is known to the account (table D). When the budget is spent nothing is sent.
        """
        if way is None or "email" not in offers:
            return None
        out = await _out(tx, account, door, way, now)
        if out is not None or offers[0] != "email" or door.links:
            return Mailed(way.to, False, None if out is None else out.ends_at)
        if await self._t.limits.may_send(tx, way.destination, client, now, known=known):
            return Mailed(way.to, False, None)
        await self._put(tx, way, account, door, now)
        return Mailed(way.to, True, now + way.life)

    async def _put(self, tx: Tx, way: Way, account: Account, door: Door, now: Millis) -> None:
        code = Code(way.mac, _about(account, way), 0, now, now + way.life)
        await codes.put(tx, account.id, PURPOSE, door.name, code)
        if way.ticket is not None:
            await self._t.tickets.put(tx, way.ticket)
        await self._t.letters.put(tx, now, way.letter)

    async def request(self, door: Door, typed: Typed, client: Client) -> None:
        """Mail a new code for a sign-in at this door, in the place of one that is out, to somebody not signed in.

        Nothing tells whether it was sent: one transaction with the same counters and one event either way, answered at
        the slot; unknown names, accounts without this factor and spent budgets alike (table D, threat 36).
        """
        began = self._t.clock.monotonic()
        kind, folded = identifiers.meant(typed)
        usable = folded if len(folded) <= identifiers.TYPED_LENGTH and identifiers.storable(folded) else ""
        account = await accounts.by_identifier(self._t.db, kind, usable)
        unknown = self._t.sealer.mac("unknown-name", f"{kind}:{folded}".encode("utf-8", "surrogatepass"))[:16]
        t, now = self._t, self._t.clock.now()
        subject = account.id if account else unknown
        lane = await lane_of(t.db, subject, account.id if account else None, client, now)
        way = await self.way(door, account) if account is not None and _fits(door, account) else None
        destination = way.destination if way is not None else unknown

        async def fn(tx: Tx) -> None:
            if await t.limits.may_send(tx, destination, client, now, known=lane.known):
                return
            send = False
            if account is not None and way is not None:
                person = await accounts.person(tx, account)
                send = "email" in await self.offers(tx, door, person, way, now)
                if send:
                    await self._put(tx, way, account, door, now)
            await events.record(
                tx, "code_asked_for", now, client=client, account=account.id if account else None, door=door.name,
                sent="yes" if send else "no", name=subject.hex()[-8:],
            )  # fmt: skip

        await t.db.transaction(fn)
        await asyncio.sleep(max(0.0, began + SLOT_SECONDS - t.clock.monotonic()))

    async def again(self, door: Door, presented: str, client: Client) -> None:
        """Mail another code for a paused sign-in. Raises NoSuchAttempt, NotOffered."""
        t, now = self._t, self._t.clock.now()
        account = (await paused.find(t, door, presented)).account
        way = await self.way(door, account)
        if way is None:
            raise refusals.NotOffered
        lane = await lane_of(t.db, account.id, account.id, client, now)

        async def fn(tx: Tx) -> None:
            if not await t.limits.may_send(tx, way.destination, client, now, known=lane.known):
                await self._put(tx, way, account, door, now)

        await t.db.transaction(fn)

    async def of_link(self, token: str) -> str:
        """Return the code that a mailed link shows, while it is good; uses nothing up.

        Raises BadTicket, TicketExpired.
        """
        t, now = self._t, self._t.clock.now()
        ticket = await t.tickets.find("magic", token)
        code = code_of_link(token)
        out = await codes.find(t.db, ticket.account, PURPOSE, ticket.about)
        live = out is not None and out.ends_at > now
        if out is None or not live or out.mac not in candidates(t.sealer, ticket.account, ticket.about, code):
            raise refusals.BadTicket
        return code


def code_of_link(token: str) -> str:
    """Return the six digits that a link stands for: nobody gets from them to the link, nor without it to them."""
    drawn = sha256(b"code of a link\0" + token.encode("utf-8", "surrogatepass")).digest()
    return str(int.from_bytes(drawn[:8], "big") % 10**DIGITS).zfill(DIGITS)


def bound_to(account: Id, door: str, code: str) -> bytes:
    """Return a code together with the account and the door that it is good for."""
    return account + door.encode() + b"\x00" + code.encode()


def mac_of(sealer: Sealer, bound: bytes) -> bytes:
    """Return what a code that `bound_to` binds is stored as."""
    return sealer.mac(_PURPOSE_OF_MAC, bound)


def candidates(sealer: Sealer, account: Id, door: str, typed: str) -> tuple[bytes, ...]:
    """Return what a typed code would be stored as at this door, under each master key, newest first.

    Nothing for another shape than six digits; what stands between them (`123-456`) does not count.
    """
    code = _BETWEEN.sub("", typed)
    if _CODE.fullmatch(code) is None:
        return ()
    return sealer.macs(_PURPOSE_OF_MAC, bound_to(account, door, code))


async def take(tx: Tx, account: Account, door: Door, way: Way, now: Millis, *, macs: Sequence[bytes]) -> bool:
    """Use the code up that is out, if it is one of these and still good; tell whether it was."""
    if await _out(tx, account, door, way, now) is None:
        return False
    for mac in macs:
        if await codes.take(tx, account.id, PURPOSE, door.name, mac=mac, now=now):
            return True
    return False


async def missed(tx: Tx, account: Account, door: Door, way: Way, now: Millis, *, most: int) -> tuple[Mailed, bool]:
    """Count a wrong code against the one that is out; the `most`th voids it (table D).

    Returns what the client may know of it, and whether it was voided.
    """
    out = await _out(tx, account, door, way, now)
    if out is None:
        return Mailed(way.to, False, None), False
    if await codes.count_wrong(tx, account.id, PURPOSE, door.name) < most:
        return Mailed(way.to, False, out.ends_at), False
    await codes.drop(tx, account.id, PURPOSE, door.name)
    return Mailed(way.to, False, None), True


async def _out(tx: Tx, account: Account, door: Door, way: Way, now: Millis) -> Code | None:
    """Return the code that is out and good for something."""
    found = await codes.find(tx, account.id, PURPOSE, door.name)
    return found if found is not None and found.ends_at > now and found.about == _about(account, way) else None


async def _mail_is_spent(tx: Tx, account: Account, now: Millis) -> bool:
    """Tell whether mail has opened this account already today, and is too weak to do so twice (decision 5)."""
    if not account.administrator and account.rank < POWERFUL_RANK and account.factor_from is None:
        return False
    proved_at = await accounts.mail_proved_at(tx, account.id)
    return proved_at is not None and now - proved_at < MAIL_PROVES_ONCE


def _about(account: Account, way: Way) -> str:
    """Return what a code is void without: the epoch, raised by all that undoes a sign-in under way, and the address."""
    return f"{account.auth_epoch} {way.folded}"


def _fits(door: Door, account: Account) -> bool:
    """Tell whether a sign-in at this door could ever ask the account for a code."""
    admitted = door.admits_all or account.default_organization
    verified = not door.requires_verified or account.first_verified_at is not None
    return account.status == "active" and admitted and verified
