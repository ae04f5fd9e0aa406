"""Accounts that a directory answers for: made at the first sign-in, refreshed at later ones, linked by its id alone.

Everything is decided within the transaction of the sign-in, upon what the directory said before it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, newcomers, refusals
from dragoman.core.directory import SYSTEM, may_merge
from dragoman.core.passwords import hashed
from dragoman.core.ports import Entry, new_id
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Client, Id, Identifier, Millis, Password
from dragoman.storage import accounts, attempts, codes, counters, credentials, providers, sessions, tickets
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Tx

NAME_LENGTH = 255
CANDIDATES = 4
UNKNOWN = bytes(16)

Way = Literal["linked", "merge", "new"]


class Plan(Struct, frozen=True):
    """What is to become of an entry, drawn before the transaction and judged again in it."""

    entry: Entry
    way: Way
    account: Account
    """Linked already, to be merged, or the account to be added."""
    subject: Id
    """What failures are counted under: the account's id, or a keyed hash of the entry's."""
    usernames: tuple[str, ...]
    """The one wanted, then others like it."""
    emails: tuple[Identifier, ...]
    at: Millis


class Linked:
    """Makes, finds, refreshes and lets go of the accounts that a directory answers for."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def refuse_own_password(self, account: Id) -> None:
        """Raise NotOffered for an account whose password is the directory's to change."""
        if await accounts.alias_of(self._t.db, account, SYSTEM) is not None:
            raise refusals.NotOffered

    def subject(self, id: str) -> bytes:
        """Return what failures against an entry that nobody is linked to are counted under."""
        return self._t.sealer.mac("unknown-name", f"{SYSTEM}:{id}".encode())[:16]

    # ------------------------------------------------------------ signing in

    async def plan(self, entry: Entry) -> Plan:
        """Find whose entry this is, and draw what a new account would need."""
        t, now = self._t, self._t.clock.now()
        wanted = _username(entry)
        way, account = await self._found(entry, wanted)
        usernames = (wanted, *(newcomers.other_username(t.random, wanted) for _ in range(CANDIDATES)))
        if account is None:
            account = Account(
                new_id(t.clock, t.random), UNKNOWN, "person", "active", False, False, None, *_names(entry),
                0, 0, now, now, now, None, 0, True, False,
            )  # fmt: skip
        subject = self.subject(entry.id) if way == "new" else account.id
        return Plan(entry, way, account, subject, usernames, _emails(entry), now)

    async def _found(self, entry: Entry, wanted: str) -> tuple[Way, Account | None]:
        db = self._t.db
        linked = await accounts.by_alias(db, SYSTEM, entry.id)
        if linked is not None:
            return "linked", linked
        holder = await accounts.by_identifier(db, "username", identifiers.fold("username", wanted))
        if holder is not None and await self._t.directory.mergeable(holder):
            return "merge", holder
        return "new", None

    async def take_in(self, tx: Tx, plan: Plan, client: Client, door: str) -> Account | Refusal:
        """Return the account that an entry stands for, made or refreshed within the transaction; or what to raise.

        Busy means that somebody else was quicker: plan anew. WrongPassword stands for what must not be told; its event
        says why.
        """
        found = await accounts.by_alias(tx, SYSTEM, plan.entry.id)
        if found is not None:
            if plan.way != "linked":
                return refusals.Busy(1)
            if found.id != plan.account.id or found.auth_epoch != plan.account.auth_epoch:
                return refusals.WrongPassword()
        elif plan.way == "linked":
            return refusals.WrongPassword()
        elif plan.way == "merge":
            if not await self._merge(tx, plan):
                return refusals.Busy(1)
        else:
            reason = await self._create(tx, plan)
            if reason:
                await events.record(tx, "sign_in_refused", plan.at, client=client, door=door, reason=reason)
                return refusals.WrongPassword()
        account = await accounts.by_id(tx, plan.account.id)
        if account is not None and plan.way != "new" and account.status == "active":
            await self._refresh(tx, account, plan)
            account = await accounts.by_id(tx, plan.account.id)
        return account or refusals.WrongPassword()

    async def _create(self, tx: Tx, plan: Plan) -> str:
        """Add the account of an entry; return why not where it may not be."""
        username = None
        for candidate in plan.usernames:
            holder = await accounts.by_identifier(tx, "username", identifiers.fold("username", candidate))
            if holder is None:
                username = candidate
                break
            if await accounts.alias_of(tx, holder.id, SYSTEM) is None:
                # A local account of this name: whose it is, only an operator can say (contract section 9).
                return "directory_name_taken"
        organization = await accounts.default_organization(tx)
        if username is None or organization is None:
            return "directory_no_name_free"
        if self._t.directory.rules.first_sign_in == "refuse":
            return "directory_first_sign_in"
        account = replace(plan.account, organization=organization)
        await newcomers.insert(tx, account, [Identifier("username", username, "vouched", True)])
        await accounts.insert_alias(tx, account.id, SYSTEM, plan.entry.id)
        await self._hold_emails(tx, account.id, plan)
        await events.record(tx, "account_added", plan.at, account=account.id, by=SYSTEM)
        return ""

    async def _merge(self, tx: Tx, plan: Plan) -> bool:
        """Hand a local account to the directory: whoever held it before holds nothing any more (threats 12 and 13)."""
        before, now = plan.account, plan.at
        account = await accounts.by_id(tx, before.id)
        if account is None or account.auth_epoch != before.auth_epoch:
            return False
        person = await accounts.person(tx, account)
        if not may_merge(person) or identifiers.fold("username", person.username) != _folded(plan.usernames[0]):
            return False
        await accounts.insert_alias(tx, account.id, SYSTEM, plan.entry.id)
        await credentials.drop(tx, account.id, "password")
        await accounts.raise_epoch(tx, account.id, now)
        await attempts.drop_all(tx, account.id)
        await tickets.drop_all(tx, account.id)
        await codes.drop_all(tx, account.id)
        await providers.drop_all(tx, account.id)
        await counters.drop_marks(tx, account.id)
        await sessions.end_all(tx, account.id, "linked", now)
        for held in await stored.listed(tx, account.id):
            if held.state == "claimed" and held.kind != "username":
                await stored.remove(tx, account.id, held.kind, held.folded)
        await events.record(tx, "account_changed", now, account=account.id, what="directory_linked")
        return True

    # ------------------------------------------------------------ refreshing

    async def _refresh(self, tx: Tx, account: Account, plan: Plan) -> None:
        """Write names and addresses as the directory has them now; rank, status and administrator stay."""
        first, last, display = _names(plan.entry)
        changed = await self._hold_emails(tx, account.id, plan)
        if (first, last, display) != (account.first_name, account.last_name, account.display_name):
            named = replace(account, first_name=first, last_name=last, display_name=display)
            await accounts.set_names(tx, named, plan.at)
            changed = True
        if await self._rename(tx, account, plan.usernames[0]):
            changed = True
        if changed:
            await events.record(tx, "account_changed", plan.at, account=account.id, what=SYSTEM)

    async def _rename(self, tx: Tx, account: Account, wanted: str) -> bool:
        """Give the account the directory's name for it, if nobody has it."""
        folded = _folded(wanted)
        if (await accounts.person(tx, account)).username == wanted:
            return False
        holder = await accounts.by_identifier(tx, "username", folded)
        if holder is not None and holder.id != account.id:
            return False
        await accounts.rename(tx, account.id, folded, wanted)
        return True

    async def _hold_emails(self, tx: Tx, account: Id, plan: Plan) -> bool:
        """Let the account have the directory's addresses, vouched for; tell whether anything changed.

        An address that another account only claimed goes over; one proved or vouched for there stays (decision 15).
        Addresses that the directory does not name any more go, unless the owner has proved them. A directory that
        names none says nothing about addresses.
        """
        if not plan.emails:
            return False
        before = [one for one in await stored.listed(tx, account) if one.kind == "email"]
        named: list[str] = []
        for email in plan.emails:
            folded = identifiers.fold("email", email.shown)
            if await self._hold(tx, account, email, folded, plan.at):
                named.append(folded)
        for one in before:
            if one.folded not in named and one.state != "verified":
                await stored.remove(tx, account, "email", one.folded)
        primary = next((one for one in before if one.primary), None)
        if named and (primary is None or (primary.state != "verified" and primary.folded != named[0])):
            await stored.make_primary(tx, account, "email", named[0])
        return before != [one for one in await stored.listed(tx, account) if one.kind == "email"]

    async def _hold(self, tx: Tx, account: Id, email: Identifier, folded: str, now: Millis) -> bool:
        """Give the account one address, unless another one has a right to it; tell whether it has it now."""
        held = await stored.find(tx, "email", folded)
        if held is not None and held.account == account:
            if held.state == "claimed":
                await stored.vouch(tx, account, "email", folded)
            return True
        if held is not None:
            if held.state != "claimed":
                return False
            await stored.remove(tx, held.account, "email", folded)
            await events.record(tx, "account_changed", now, account=held.account, what="claimed_address_yielded")
        await accounts.insert_identifier(tx, account, email, folded, now)
        return True

    # ------------------------------------------------------------ keeping, letting go

    async def keep(self, account: Id, password: Password) -> None:
        """Keep a password that the directory took just now, for the time it cannot be reached (contract section 9)."""
        t = self._t
        if t.directory.rules.fallback == "never":
            return
        before = await credentials.find(t.db, account, "password")
        label, sealed = await hashed(t, account, password)
        now = t.clock.now()

        async def fn(tx: Tx) -> None:
            held = await credentials.find(tx, account, "password")
            linked = await accounts.alias_of(tx, account, SYSTEM)
            if linked is None or (held and held.version) != (before and before.version):
                return
            await credentials.put(tx, account, "password", scheme=label, sealed=sealed, now=now)
            await events.record(tx, "password_set", now, account=account, by=SYSTEM)

        await t.db.transaction(fn)

    async def unlink(self, account: Account) -> bool:
        """Let an account be a local one from now on; tell whether it was linked.

        It keeps its sessions, and a local password if it has one. The directory's entry would make a new account.
        """
        now = self._t.clock.now()

        async def fn(tx: Tx) -> bool:
            if not await accounts.drop_alias(tx, account.id, SYSTEM):
                return False
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await events.record(tx, "account_changed", now, account=account.id, what="directory_unlinked")
            return True

        return await self._t.db.transaction(fn)

    async def count(self) -> int:
        """Return how many accounts are linked."""
        return await accounts.count_aliases(self._t.db, SYSTEM)


def _folded(username: str) -> str:
    return identifiers.fold("username", username)


def _username(entry: Entry) -> str:
    """Return the directory's username where it can be one here, else one made from what there is."""
    try:
        return identifiers.check("username", entry.username)
    except refusals.BadIdentifier:
        local = entry.emails[0] if entry.emails else ""
        return identifiers.username_from(entry.username, local, f"{entry.first_name} {entry.last_name}")


def _names(entry: Entry) -> tuple[str, str, str | None]:
    first, last, display = (_fit(text) for text in (entry.first_name, entry.last_name, entry.display_name or ""))
    return first, last, display or None


def _fit(text: str) -> str:
    return text[:NAME_LENGTH] if identifiers.storable(text) else ""


def _emails(entry: Entry) -> tuple[Identifier, ...]:
    """Return the addresses that can be ones here, each once."""
    found: dict[str, Identifier] = {}
    for email in entry.emails:
        try:
            shown = identifiers.check("email", email)
        except refusals.BadIdentifier:
            continue
        found.setdefault(identifiers.fold("email", shown), Identifier("email", shown, "vouched", False))
    return tuple(found.values())
