"""Registering: how an account comes to be by nobody's hand but its owner's (decisions 10, 13 to 15 and 29, threat 12).

The address of such an account is claimed until a mail to it was answered. Whether an address is taken is told within
the budget for telling; beyond it, and where accounts are concealed, everybody gets the same answer and a mail.
"""

from __future__ import annotations

import asyncio
import hmac
from hashlib import sha256
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, newcomers, refusals
from dragoman.core.accounts import NAME_LENGTH, Accounts
from dragoman.core.claims import Claims
from dragoman.core.credentials import policy as passwords
from dragoman.core.doors import Door
from dragoman.core.hashing import Lane
from dragoman.core.notices import Notice
from dragoman.core.organizations import OWNER_RANK
from dragoman.core.passwords import hashed
from dragoman.core.policy import Policy
from dragoman.core.ports import new_id
from dragoman.core.proofs import Proof
from dragoman.core.recovery import SLOT_SECONDS
from dragoman.core.refusals import Refusal
from dragoman.core.signin import SignIn
from dragoman.core.tickets import HOUR, LIVES, Draft
from dragoman.core.tools import Tools
from dragoman.model import (
    Account,
    AddressState,
    Client,
    Id,
    Identifier,
    Password,
    Pending,
    Person,
    Secret,
    SignedIn,
    Wish,
    uuid_text,
)
from dragoman.storage import accounts, counters, credentials, tickets
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.outbox import Waiting
from dragoman.storage.tickets import Ticket

CANDIDATES = 4
"""Usernames like the wanted one that are tried where that one is taken and nobody chose it."""
FIRST = "first_registered"
"""The latch of the first one to register, under the test switch."""


class Company(Struct, frozen=True):
    """The organization that a registrant makes."""

    name: str
    business: bool


class Newcomer(Struct, frozen=True):
    """What somebody says of himself who registers."""

    email: str
    password: Password
    username: str | None = None
    """Chosen; None: made from the address."""
    first_name: str = ""
    last_name: str = ""
    display_name: str | None = None
    company: Company | None = None
    """An organization of one's own; None: the default one (decision 10)."""
    secret: Secret = Secret("")
    """What opens registration where that takes a secret."""


class Registered(Struct, frozen=True):
    """What came of a registration."""

    person: Person | None
    """Who registered; None where nothing is told: the address was written to, whosever it is."""
    outcome: SignedIn | Pending | None = None
    """The sign-in that came with it, where one was wished for and may be."""
    verification: str | None = None
    """The id of the ticket that verifies the address, as a UUID: `Recovery.resend` takes it."""


class Invited(Struct, frozen=True):
    """A link to register with, presented: it proves the address, and says where its owner belongs."""

    ticket: Ticket
    organization: Id
    default: bool
    business: bool


class _Plan(Struct, frozen=True):
    """A registration with all that is drawn, hashed and written before its transaction."""

    account: Account
    shown: str
    folded: str
    state: AddressState
    usernames: tuple[str, ...]
    company: Company | None
    sealed: tuple[str, bytes]
    client: Client
    door: str
    ticket: Draft | None
    letter: Waiting | None
    to: bytes
    """What the sending budgets know the address by."""
    first: bool
    """The test switch is on."""
    invited: Invited | None = None
    yielding: Notice | None = None


class Registration:
    """Lets people register."""

    def __init__(self, tools: Tools, accounts: Accounts, signin: SignIn) -> None:
        self._t = tools
        self._accounts = accounts
        self._signin = signin
        self._claims = Claims(tools)

    async def register(
        self, door: Door, new: Newcomer, client: Client, *, sign_in: bool = False, wish: Wish | None = None
    ) -> Registered:
        """Add an account for whoever asks, with a mail to prove its address; sign it in at this door where wished.

        Where the operator approves newcomers first, the account waits as suspended and is not signed in. Where accounts
        are concealed (decision 29, `Door.conceals`), the answer tells nothing, whether or not the address is taken, and
        its owner gets a mail either way.

        Raises RegistrationClosed, RegistrationSecret; BadIdentifier (email, username, name, organization),
        WeakPassword; IdentifierTaken (username before email); TooSoon after too many registrations from the network,
        Busy, and what `SignIn.with_proof` raises.
        """
        policy = await self._t.policy()
        conceals = _admitted(policy, door, new)
        shown, folded, wanted = _checked(policy, door, new)
        tells = await self._ask(policy, client, folded, wanted if new.username else None, conceals=conceals)
        plan = await self._plan(policy, door, new, client, shown=shown, wanted=wanted, chosen=tells)
        if not tells:
            await self._quietly(plan)
            return Registered(None)
        return await self._add(door, plan, client, wish=wish, sign_in=sign_in)

    async def with_link(
        self, door: Door, invited: Invited, new: Newcomer, client: Client, *, wish: Wish | None = None
    ) -> Registered:
        """Register with a link that was mailed to the address, which is verified with it, and sign in.

        Whoever merely claims the address loses it. Raises BadTicket where the address is another than the link's, and
        as `register` does, but for what closes that.
        """
        policy = await self._t.policy()
        shown, folded, wanted = _checked(policy, door, new)
        if folded != invited.ticket.about:
            raise refusals.BadTicket
        plan = await self._plan(
            policy, door, new, client, shown=shown, wanted=wanted, chosen=bool(new.username), invited=invited
        )
        return await self._add(door, plan, client, wish=wish, sign_in=True)

    # ------------------------------------------------------------ before the transaction

    async def _ask(self, policy: Policy, client: Client, folded: str, username: str | None, *, conceals: bool) -> bool:
        """Spend a registration of the network's; tell whether this one is answered by what is so, not by mail alone."""
        t, now, limits = self._t, self._t.clock.now(), self._t.limits

        async def fn(tx: Tx) -> bool | Refusal:
            waiting = 0 if policy.test else await limits.may_register(tx, client, now)
            if waiting:
                return refusals.TooSoon(waiting)
            if conceals:
                return False
            taken = await _taken(tx, folded, username)
            wait = await limits.until_telling(tx, client, now)
            told = await limits.may_tell(tx, client, now) if taken else not wait
            if not told:
                return False if policy.mail.enabled else refusals.TooSoon(wait)
            if taken is None:
                return True
            await events.record(tx, "registration_refused", now, client=client, reason=f"{taken}_taken")
            return refusals.IdentifierTaken(taken)

        outcome = await t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def _plan(
        self, policy: Policy, door: Door, new: Newcomer, client: Client, *, shown: str, wanted: str, chosen: bool,
        invited: Invited | None = None,
    ) -> _Plan:  # fmt: skip
        """Make everything that the transaction needs. `chosen`: the username is told where it is taken."""
        t, now, id = self._t, self._t.clock.now(), new_id(self._t.clock, self._t.random)
        sealed = await hashed(t, id, new.password, Lane(known=False, network=client.network))
        company = new.company if invited is None else None
        if invited is not None:
            organization, default, business = invited.organization, invited.default, invited.business
        elif company is not None:
            organization, default, business = new_id(t.clock, t.random), False, company.business
        else:
            organization, default, business = await self._accounts.default_organization(), True, False
        waits = policy.approval and invited is None
        account = Account(
            id, organization, "person", "suspended" if waits else "active", False, False, None, new.first_name,
            new.last_name, new.display_name, 0, 0, None if invited is None else now, now, now, None,
            0 if company is None else OWNER_RANK, default, business,
        )  # fmt: skip
        others = () if new.username and chosen else range(CANDIDATES)
        usernames = (wanted, *(newcomers.other_username(t.random, wanted) for _ in others))
        folded = identifiers.fold("email", shown)
        ticket = letter = None
        if policy.mail.enabled and invited is None and not waits:
            ticket = t.tickets.draft("verify", id, about=folded, door=door)
            names = (Identifier("email", shown, "claimed", True), Identifier("username", wanted, "vouched", True))
            link, hours = policy.mail.link(door.name, "verify", ticket.token), str(LIVES["verify"] // HOUR)
            letter = await t.letters.draft(
                "verify", Person(account, names, {}, frozenset(), True), shown, life=LIVES["verify"], link=link,
                hours=hours,
            )  # fmt: skip
        return _Plan(
            account=account, shown=shown, folded=folded, state="claimed" if invited is None else "verified",
            usernames=usernames, company=company, sealed=sealed, client=client, door=door.name, ticket=ticket,
            letter=letter, to=t.letters.destination(folded), first=policy.test, invited=invited,
            yielding=None if invited is None else await self._claims.notice(folded, id),
        )  # fmt: skip

    # ------------------------------------------------------------ the transactions

    async def _add(self, door: Door, plan: _Plan, client: Client, *, wish: Wish | None, sign_in: bool) -> Registered:
        """Add the account, with a session where one is wished for and may be."""
        t, outcome = self._t, None
        if sign_in and plan.account.status == "active":
            methods = "registration" if plan.invited is None else "mail"
            proof = Proof(plan.account, methods, plan.account.created_at, lambda tx: self._insert(tx, plan))
            outcome = await self._signin.with_proof(door, proof, client, wish=wish)
            person = outcome.person
        else:
            refused = await t.db.transaction(lambda tx: self._insert(tx, plan))
            if refused is not None:
                raise refused
            person = await t.people.of(await self._accounts.by_id(plan.account.id))
        return Registered(person, outcome, None if plan.ticket is None else uuid_text(plan.ticket.ticket.id))

    async def _insert(self, tx: Tx, plan: _Plan) -> Refusal | None:
        """Add the account with all that belongs to it, and the mail; return what to raise after the commit."""
        account, now = plan.account, plan.account.created_at
        if plan.invited is not None and not await tickets.use(tx, plan.invited.ticket, now):
            return refusals.BadTicket()
        if plan.invited is not None and not await self._claims.take(tx, plan.folded, account.id, plan.yielding, now):
            return refusals.IdentifierTaken("email")
        if await stored.find(tx, "email", plan.folded) is not None:
            return refusals.IdentifierTaken("email")
        username = await _free(tx, plan.usernames)
        if username is None:
            return refusals.IdentifierTaken("username")
        if plan.company is not None:
            await accounts.insert_organization(
                tx, account.organization, plan.company.name, now, business=plan.company.business, default=False
            )
        first = plan.first and account.default_organization and not await accounts.administered(tx)
        if first and await accounts.set_meta_once(tx, FIRST, str(now)):
            account = replace(account, administrator=True, rank=OWNER_RANK, status="active")
        address = Identifier("email", plan.shown, plan.state, True)
        await newcomers.insert(tx, account, [address, Identifier("username", username, "vouched", True)])
        scheme, sealed = plan.sealed
        await credentials.put(tx, account.id, "password", scheme=scheme, sealed=sealed, now=now)
        if plan.client.network:
            await counters.know_network(tx, account.id, plan.client.network, now)
        if plan.invited is not None:
            await accounts.mail_proved(tx, account.id, now)
        by = "registration" if plan.invited is None else "activation"
        await events.record(tx, "account_added", now, client=plan.client, account=account.id, door=plan.door, by=by)
        if plan.ticket is not None:
            await self._t.tickets.put(tx, plan.ticket)
            if not await self._t.limits.may_send(tx, plan.to, plan.client, now, known=False):
                await self._t.letters.put(tx, now, plan.letter)
        return None

    async def _quietly(self, plan: _Plan) -> None:
        """Add the account or write to whoever has the address; nothing tells which (decision 29).

        Answered at the slot, as other requests for a mail are (docs/decisions, page 23).
        """
        t, began, now = self._t, self._t.clock.monotonic(), plan.account.created_at
        there = await self._told_already(plan)

        async def fn(tx: Tx) -> None:
            if await stored.find(tx, "email", plan.folded) is None:
                await self._insert(tx, plan)
                return
            send = not await t.limits.may_send(tx, plan.to, plan.client, now, known=False)
            if send:
                await t.letters.put(tx, now, there)
            await events.record(
                tx, "registration_refused", now, client=plan.client, door=plan.door, reason="email_taken",
                sent="yes" if send and there is not None else "no",
            )  # fmt: skip

        await t.db.transaction(fn)
        await asyncio.sleep(max(0.0, began + SLOT_SECONDS - t.clock.monotonic()))

    async def _told_already(self, plan: _Plan) -> Waiting | None:
        """Draft what the owner of a taken address is told; nothing to one who cannot sign in."""
        held = await stored.find(self._t.db, "email", plan.folded)
        account = await accounts.by_id(self._t.db, held.account if held is not None else bytes(16))
        if held is None or account is None or account.status != "active":
            return None
        person = await self._t.people.of(account)
        return await self._t.letters.draft("registered_already", person, held.shown, life=LIVES["verify"])


def _admitted(policy: Policy, door: Door, new: Newcomer) -> bool:
    """Tell whether this registration conceals who has an account. Raises RegistrationClosed, RegistrationSecret."""
    mode = policy.registration if new.company is None else policy.sign_up
    conceals = policy.conceal_accounts or mode == "private" or door.conceals
    if mode == "disabled" or (conceals and not policy.mail.enabled):
        raise refusals.RegistrationClosed
    if mode == "secret":
        given = sha256(new.secret.reveal().encode("utf-8", "surrogatepass")).digest()
        if not hmac.compare_digest(policy.registration_secret, given):
            raise refusals.RegistrationSecret
    return conceals


def _checked(policy: Policy, door: Door, new: Newcomer) -> tuple[str, str, str]:
    """Return the address as it is shown and folded, and the username wanted. Raises BadIdentifier, WeakPassword."""
    names = (new.first_name, new.last_name, new.display_name or "")
    company = "" if new.company is None else new.company.name
    for kind, text in (*(("name", name) for name in names), ("organization", company)):
        if len(text) > NAME_LENGTH or not identifiers.storable(text):
            raise refusals.BadIdentifier(kind, f"at most {NAME_LENGTH} characters, no control characters")
    wanted = new.username or identifiers.username_from(new.email, f"{new.first_name} {new.last_name}")
    wanted = identifiers.check("username", wanted)
    shown = identifiers.check_strictly(new.email)
    if not policy.test:
        passwords.check(new.password, (*names, company, shown, wanted), mixed=door.mixed_password)
    return shown, identifiers.fold("email", shown), wanted


async def _taken(db: Reader, folded: str, username: str | None) -> Literal["username", "email"] | None:
    """Return which of the two is another's."""
    if username is not None and await stored.find(db, "username", identifiers.fold("username", username)) is not None:
        return "username"
    return "email" if await stored.find(db, "email", folded) is not None else None


async def _free(tx: Tx, candidates: tuple[str, ...]) -> str | None:
    for candidate in candidates:
        if await stored.find(tx, "username", identifiers.fold("username", candidate)) is None:
            return candidate
    return None
