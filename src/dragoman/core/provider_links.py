"""Whose account a provider's word opens: linked already, linked now by a proved address, or made now (decision 24).

Issuer and subject find an account, nothing else. An address links once, only when the provider is trusted with it, only
to an address that was proved here, never to an administrator, over a second factor, or past a directory (threat 13).
What is planned before the transaction of the gate is judged again in it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, judgement, newcomers, refusals
from dragoman.core.claims import Claims, planting
from dragoman.core.directory import SYSTEM
from dragoman.core.doors import Door
from dragoman.core.notices import Notice, Notices
from dragoman.core.ports import Whose, new_id
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import client_print
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, Identifier, Millis, Person, Secret, Status
from dragoman.storage import accounts, providers, sessions
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Tx
from dragoman.storage.identifiers import Held
from dragoman.storage.providers import Link

NAME_LENGTH = 255
CANDIDATES = 4
OWNER_RANK = 255

Trust = Literal["never", "owned", "verified", "all"]
Way = Literal["linked", "address", "new"]


class Provider(Struct, frozen=True):
    """One provider as an operator configured it: how its word counts."""

    name: str
    """What dialects and the command line call it: `google`, `github`, `microsoft`, or the operator's own."""
    clients: tuple[str, ...]
    """Our client ids there: the server's own, then those of our other apps."""
    signs: bool = True
    """Whether it gives ID tokens."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    trusts: Trust = "never"
    """Whose addresses count as proved: none; those at domains that the provider itself runs; those that it calls
    verified; all that it names."""
    domains: tuple[str, ...] = ()
    """Domains that it runs itself, for `owned`."""
    first_sign_in: Literal["policy", "create", "refuse"] = "policy"
    """What becomes of people who have no account: `policy` goes by whether anybody may register."""
    personal_domains: tuple[str, ...] = ("gmail.com", "googlemail.com")
    """At other domains people are taken for a business (contract of Flashback, section 7)."""
    redirect_uris: tuple[str, ...] = ()


class Vouched(Struct, frozen=True):
    """What a provider said, judged."""

    provider: Provider
    issuer: str
    whose: Whose
    token: Secret
    """The provider's own, for dialects that echo it."""
    spent: tuple[bytes, Millis] | None = None
    """What its ID token is remembered by, and until when: it is good once."""


class Plan(Struct, frozen=True):
    """What is to become of a provider's word, drawn before the transaction and judged again in it."""

    vouched: Vouched
    way: Way
    account: Account
    door: Door
    client: Client
    at: Millis
    email: tuple[Identifier, str] | None = None
    """The address that counts as proved, with its fold."""
    usernames: tuple[str, ...] = ()
    refused: Refusal | None = None
    """What the owner is told once the token is spent."""
    notice: Notice | None = None
    yielding: Notice | None = None
    """Tells an account that it loses the address, which it merely claimed."""


class ProviderLinks:
    """Finds, makes and unmakes links between accounts and providers' subjects."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)
        self._claims = Claims(tools)

    async def of(self, account: Account) -> list[Link]:
        """Return an account's links, oldest first."""
        return await providers.of(self._t.db, account.id)

    async def counts(self) -> dict[str, int]:
        """Return how many accounts each provider opens."""
        return await providers.counts(self._t.db)

    # ------------------------------------------------------------ before the transaction

    async def plan(self, door: Door, vouched: Vouched, client: Client, *, address: str | None) -> Plan:
        """Find whose account a provider's word opens, and draw what a new one would need.

        :param address: what the request says; raises ProviderRefused where it is neither the provider's nor the
            account's. Raises NotLinked where nobody is linked and no account is made.
        """
        t, now = self._t, self._t.clock.now()
        email = proved_email(vouched)
        link = await providers.find(t.db, vouched.issuer, vouched.whose.subject)
        account = await accounts.by_id(t.db, link.account) if link is not None else None
        plan = Plan(vouched, "linked", account, door, client, now) if account is not None else None
        if plan is None and email is not None:
            plan = await self._by_address(door, vouched, client, email)
        if plan is None:
            plan = await self._new(door, vouched, client, email)
        await self._narrow(plan, address)
        return plan

    async def _by_address(
        self, door: Door, vouched: Vouched, client: Client, email: tuple[Identifier, str]
    ) -> Plan | None:
        """Plan to link the account that has the address, if it was proved there; a claimed one has no say."""
        t, now = self._t, self._t.clock.now()
        held = await stored.find(t.db, "email", email[1])
        account = await accounts.by_id(t.db, held.account) if held is not None and held.proved else None
        if held is None or account is None:
            return None
        person = await t.people.of(account)
        open_to_it = may_link(person, held) and not _knows(await providers.of(t.db, account.id), vouched)
        refused: Refusal | None = None if open_to_it else refusals.LinkRequired()
        if account.status != "active":
            refused = refusals.NotActive(account.status)
        notice = await self._notices.draft("provider_linked", person, provider=vouched.provider.name)
        return Plan(vouched, "address", account, door, client, now, email, refused=refused, notice=notice)

    async def _new(
        self, door: Door, vouched: Vouched, client: Client, email: tuple[Identifier, str] | None
    ) -> Plan:  # fmt: skip
        t, now, provider = self._t, self._t.clock.now(), vouched.provider
        policy, own = await t.policy(), door.admits_all
        may_register = (policy.sign_up if own else policy.registration) in ("public", "private")
        if provider.first_sign_in == "refuse" or (provider.first_sign_in == "policy" and not may_register):
            raise refusals.NotLinked
        first, last, display = names(vouched.whose)
        wanted = identifiers.username_from(email[0].shown if email else "", display or "", f"{first} {last}")
        others = (newcomers.other_username(t.random, wanted) for _ in range(CANDIDATES))
        domain = email[1].rpartition("@")[2] if email else ""
        status: Status = "suspended" if policy.approval else "active"
        account = Account(
            new_id(t.clock, t.random), new_id(t.clock, t.random), "person", status, False, False, None, first, last,
            display, 0, 0, now if email else None, now, now, None, OWNER_RANK if own else 0, not own,
            own and bool(domain) and domain not in provider.personal_domains,
        )  # fmt: skip
        yielding = await self._claims.notice(email[1], account.id) if email else None
        return Plan(vouched, "new", account, door, client, now, email, (wanted, *others), yielding=yielding)

    async def _narrow(self, plan: Plan, address: str | None) -> None:
        if not address:
            return
        wanted = identifiers.fold("email", address)
        known = {identifiers.fold("email", plan.vouched.whose.email)} - {""}
        if plan.way != "new":
            person = await self._t.people.of(plan.account)
            known |= {identifiers.fold("email", one.shown) for one in person.emails}
        if wanted not in known:
            raise refusals.ProviderRefused

    # ------------------------------------------------------------ the transaction

    async def perform(self, tx: Tx, plan: Plan) -> Refusal | None:
        """Spend the token, then link or make the account; return what to raise after the commit.

        Busy means that somebody else was quicker, and nothing was written: plan anew.
        """
        vouched, now = plan.vouched, plan.at
        link = await providers.find(tx, vouched.issuer, vouched.whose.subject)
        held = await stored.find(tx, "email", plan.email[1]) if plan.email is not None else None
        if not await self._as_planned(tx, plan, link, held):
            return refusals.Busy(1)
        if not await self._spend(tx, plan):
            await events.record(
                tx, "provider_refused", now, client=plan.client, account=plan.account.id if link else None,
                door=plan.door.name, provider=vouched.provider.name, reason="used",
            )  # fmt: skip
            return refusals.ProviderRefused()
        if plan.way != "new" and await accounts.alias_of(tx, plan.account.id, SYSTEM) is not None:
            return refusals.LinkRequired()  # the directory answers for its own, also for when they have left
        if plan.refused is not None:
            await events.record(
                tx, "sign_in_refused", now, client=plan.client, account=plan.account.id, door=plan.door.name,
                reason=type(plan.refused).__name__,
            )  # fmt: skip
            return plan.refused
        if plan.way == "linked":
            await providers.used(tx, vouched.issuer, vouched.whose.subject, now)
            return None
        if plan.way == "address" and plan.email is not None:
            await stored.verify(tx, plan.account.id, "email", plan.email[1], now)
            await self._put(tx, plan, by="address")
            return None
        return await self._create(tx, plan)

    async def _as_planned(self, tx: Tx, plan: Plan, link: Link | None, held: Held | None) -> bool:
        """Tell whether everything that decided the plan is as it was."""
        if plan.way == "linked":
            return link is not None and link.account == plan.account.id
        if link is not None:
            return False
        proved = held is not None and held.proved
        if plan.way == "new":
            return not proved
        account = await accounts.by_id(tx, plan.account.id)
        if held is None or not proved or account is None or held.account != account.id:
            return False
        if account.auth_epoch != plan.account.auth_epoch or account.status != plan.account.status:
            return False
        if plan.refused is not None:
            return True
        known = _knows(await providers.of(tx, account.id), plan.vouched)
        return may_link(await accounts.person(tx, account), held) and not known

    async def _spend(self, tx: Tx, plan: Plan) -> bool:
        """Use an ID token up; tell whether it was good.

        Where the whole call is sent again with a code, the token comes twice: the code, good once itself, is then what
        a session hangs on, and the token is not spent by the call that asks for it.
        """
        if plan.vouched.spent is None:
            return True
        if plan.door.attempt == "repeat" and plan.way == "linked":
            person = await accounts.person(tx, plan.account)
            if person.has_second_factor:
                return True
        return await providers.spend(tx, *plan.vouched.spent)

    async def _create(self, tx: Tx, plan: Plan) -> Refusal | None:
        """Add the account of somebody new: in an organization of its own, or in the one that the door admits."""
        account, now = plan.account, plan.at
        username = None
        for candidate in plan.usernames:
            if await accounts.by_identifier(tx, "username", identifiers.fold("username", candidate)) is None:
                username = candidate
                break
        if username is None:
            return refusals.Busy(1)
        if plan.door.admits_all:
            domain = plan.email[1].rpartition("@")[2] if plan.email is not None and account.business else ""
            name = domain or f"{account.first_name} {account.last_name}".strip() or account.display_name or username
            await accounts.insert_organization(
                tx, account.organization, name, now, business=account.business, default=False
            )
        else:
            default = await accounts.default_organization(tx)
            if default is None:
                return refusals.NotLinked()
            account = replace(account, organization=default)
        if plan.email is not None:
            await self._claims.take(tx, plan.email[1], account.id, plan.yielding, now)
        given = [Identifier("username", username, "vouched", True)]
        await newcomers.insert(tx, account, given + ([plan.email[0]] if plan.email is not None else []))
        await events.record(
            tx, "account_added", now, client=plan.client, account=account.id, door=plan.door.name, by="upstream"
        )
        await self._put(tx, plan, by="sign_up")
        return None

    async def _put(self, tx: Tx, plan: Plan, *, by: str) -> None:
        vouched, now = plan.vouched, plan.at
        await providers.insert(tx, _link(vouched, plan.account.id, now))
        await events.record(
            tx, "provider_linked", now, client=plan.client, account=plan.account.id, door=plan.door.name,
            provider=vouched.provider.name, by=by,
        )  # fmt: skip
        await self._notices.put(tx, plan.notice, now)

    # ------------------------------------------------------------ by the owner, by an operator

    async def link(self, caller: Caller, vouched: Vouched, client: Client) -> None:
        """Link a subject to the account of a caller whose proof is fresh; see `Upstream.link`."""
        t, now, account = self._t, self._t.clock.now(), caller.account.id
        notice = await self._notices.draft(
            "provider_linked", await t.people.of(caller.account), provider=vouched.provider.name
        )
        fresh = (await t.policy()).remembered

        async def fn(tx: Tx) -> Refusal | None:
            refused = await self._unfit(tx, caller, client, now, fresh)
            if refused is not None:
                return refused
            if await accounts.alias_of(tx, account, SYSTEM) is not None:
                return refusals.NotOffered()
            refused = planting(await accounts.person(tx, caller.account))
            if refused is not None:
                return refused
            mine = {one.provider for one in await providers.of(tx, account)}
            taken = await providers.find(tx, vouched.issuer, vouched.whose.subject)
            if taken is not None or vouched.provider.name in mine:
                return refusals.AlreadyEnrolled()
            if vouched.spent is not None and not await providers.spend(tx, *vouched.spent):
                return refusals.ProviderRefused()
            await providers.insert(tx, _link(vouched, account, now))
            await self._told(tx, "provider_linked", caller, client, notice, provider=vouched.provider.name, at=now)
            return None

        refused = await t.db.transaction(fn)
        if refused is not None:
            raise refused

    async def unlink(self, caller: Caller, name: str, client: Client) -> None:
        """Unlink a provider from the account of a caller whose proof is fresh; see `Upstream.unlink`."""
        t, now, account = self._t, self._t.clock.now(), caller.account.id
        notice = await self._notices.draft("provider_unlinked", await t.people.of(caller.account), provider=name)
        fresh = (await t.policy()).remembered

        async def fn(tx: Tx) -> Refusal | None:
            refused = await self._unfit(tx, caller, client, now, fresh)
            if refused is not None:
                return refused
            links = await providers.of(tx, account)
            if not any(one.provider == name for one in links):
                return refusals.NotEnrolled()
            person = await accounts.person(tx, caller.account)
            others = any(one.provider != name for one in links)
            if not (others or person.has_password or person.proved_email is not None):
                return refusals.NotAllowed()
            await providers.drop(tx, account, name)
            await self._told(tx, "provider_unlinked", caller, client, notice, provider=name, at=now)
            return None

        refused = await t.db.transaction(fn)
        if refused is not None:
            raise refused

    async def unlink_for(self, account: Account, name: str) -> None:
        """Unlink a provider on an operator's word; see `Upstream.unlink_for`."""
        t, now = self._t, self._t.clock.now()
        notice = await self._notices.draft("provider_unlinked", await t.people.of(account), provider=name)

        async def fn(tx: Tx) -> bool:
            if not await providers.drop(tx, account.id, name):
                return False
            await accounts.raise_epoch(tx, account.id, now)
            await events.record(
                tx, "provider_unlinked", now, account=account.id, provider=name, by="operator"
            )  # fmt: skip
            await self._notices.put(tx, notice, now)
            return True

        if not await t.db.transaction(fn):
            raise refusals.NotEnrolled

    async def _unfit(
        self, tx: Tx, caller: Caller, client: Client, now: Millis, fresh: Millis
    ) -> Refusal | None:  # fmt: skip
        """Judge the session as it is now: a password confirmed in the same call has made it fresh (decision 25)."""
        live = await sessions.caller_by_id(tx, caller.session.id, now)
        if live is None or live.account.status != "active":
            return refusals.NotSignedIn()
        if live.session.narrow:
            return refusals.NotForKeys()
        proved = judgement.is_fresh(live.session, client_print(client), now, fresh)
        return None if proved else refusals.FreshProofRequired()

    async def _told(
        self, tx: Tx, kind: Literal["provider_linked", "provider_unlinked"], caller: Caller, client: Client,
        notice: Notice | None, *, provider: str, at: Millis,
    ) -> None:  # fmt: skip
        session = caller.session
        await events.record(
            tx, kind, at, client=client, account=caller.account.id, session=session.id, door=session.door,
            provider=provider, by="owner",
        )  # fmt: skip
        await self._notices.put(tx, notice, at)


def proved_email(vouched: Vouched) -> tuple[Identifier, str] | None:
    """Return the address that a provider's word proves, with its fold; None where it proves none (threat 13)."""
    provider, whose = vouched.provider, vouched.whose
    try:
        shown = identifiers.check("email", whose.email)
    except refusals.BadIdentifier:
        return None
    folded = identifiers.fold("email", shown)
    domain = folded.rpartition("@")[2]
    runs = domain in provider.domains or (whose.domain != "" and domain == identifiers.fold("username", whose.domain))
    proves = {
        "never": False, "owned": whose.email_verified and runs, "verified": whose.email_verified, "all": True,
    }  # fmt: skip
    return (Identifier("email", shown, "verified", True), folded) if proves[provider.trusts] else None


def may_link(person: Person, held: Held) -> bool:
    """Tell whether an account may be linked by an address alone (threat 13). One that another is about to take the
    place of opens nothing any more.
    """
    account = person.account
    plain = not account.administrator and account.kind == "person" and not person.has_second_factor
    return plain and held.lapses_at is None and SYSTEM not in person.aliases


def _knows(links: list[Link], vouched: Vouched) -> bool:
    """Tell whether the provider knows the account as somebody else already: addresses are given to others again."""
    return any(one.issuer == vouched.issuer for one in links)


def names(whose: Whose) -> tuple[str, str, str | None]:
    """Return first, last and display name, as far as they can be stored."""
    first, last, display = (_fit(text) for text in (whose.first_name, whose.last_name, whose.name))
    if not first and not last:
        first, _, last = display.partition(" ")
    return first, last, display or None


def _fit(text: str) -> str:
    return text.strip()[:NAME_LENGTH] if identifiers.storable(text) else ""


def _link(vouched: Vouched, account: Id, now: Millis) -> Link:
    address = vouched.whose.email
    kept = address if address and len(address) <= identifiers.EMAIL_LENGTH and identifiers.storable(address) else None
    return Link(vouched.issuer, vouched.whose.subject, account, vouched.provider.name, kept, now, now)
