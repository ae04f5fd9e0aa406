"""Parents and their children: accounts that somebody added for himself, and answers for (decisions 10 to 12).

A child belongs to its parent's organization. Whoever stands above it, at any distance, may act on it, and so may
administrators; nobody else learns that it exists. A parent is named once, when the child is added, so that there are no
circles; when it is erased its children get its own parent.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, refusals
from dragoman.core.accounts import NAME_LENGTH, Accounts, NewAccount
from dragoman.core.doors import Door
from dragoman.core.life import Judge, Life, suspended_by
from dragoman.core.organizations import DEEPEST, ancestors, may_parent
from dragoman.core.proving import Proving
from dragoman.core.recovery import Recovery
from dragoman.core.refusals import Refusal
from dragoman.core.sessions import Sessions
from dragoman.core.signin import SignIn
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, Password, Person, Session
from dragoman.storage import accounts, families, sessions
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.families import Listed, Listing, Order, Standings

__all__ = ["Change", "Family", "Listed", "Listing", "NewChild", "Order", "Standings"]


class NewChild(Struct, frozen=True):
    """Whom somebody adds below himself."""

    email: str
    first_name: str = ""
    last_name: str = ""
    labels: tuple[str, ...] = ()
    """Words that the caller's dialect shows of the child."""


class Change(Struct, frozen=True):
    """What is to be different of an account; None stays as it is."""

    first_name: str | None = None
    last_name: str | None = None
    labels: tuple[str, ...] | None = None
    barred: bool | None = None
    """Suspended, or let in again."""

    @property
    def weighs(self) -> bool:
        """Whether it wants a fresh proof: what it allows or ends is more than a name (decision 25)."""
        return self.labels is not None or self.barred is not None


class Family:
    """Acts of parents on their children, and of administrators on everybody.

    Raised by all of it: NotFound for whoever is deleted or out of the caller's reach, alike (decision 12); NotSignedIn
    where the caller was taken out of use meanwhile. One's own account is within reach.
    """

    def __init__(
        self, tools: Tools, *, accounts: Accounts, life: Life, recovery: Recovery, proving: Proving, signin: SignIn,
        sessions: Sessions,
    ) -> None:  # fmt: skip
        self._t = tools
        self._accounts = accounts
        self._life = life
        self._recovery = recovery
        self._proving = proving
        self._signin = signin
        self._sessions = sessions

    # ------------------------------------------------------------ looking

    async def find(self, caller: Caller, system: str, name: str) -> Account:
        """Return the account that another system calls so, if the caller reaches it."""
        found = await accounts.by_alias(self._t.db, system, name)
        refused = await _standing(self._t.db, caller.account, found)
        if found is None or refused is not None:
            raise refused or refusals.NotFound
        return found

    async def above(self, account: Account) -> list[Person]:
        """Return an account's parent, the parent's parent and so on."""
        return [await self._t.people.of(each) for each in await ancestors(self._t.db, account)]

    async def page(self, caller: Caller, listing: Listing) -> tuple[list[Listed], int]:
        """Return a part of the list of those below the caller, of everybody for administrators; and how many it has."""
        top = None if caller.account.administrator else caller.account
        return await families.page(self._t.db, top, listing)

    # ------------------------------------------------------------ adding

    async def add(self, caller: Caller, parent: Account, new: NewChild, client: Client, door: Door) -> Person:
        """Add a child below the caller or somebody within reach, and mail it an invitation, with which it begins.

        Its address is claimed only, unless an administrator says it. An invitation that cannot go out now adds nobody.
        That an address is taken is told ten times an hour and network (decision 29).

        Raises BadIdentifier, IdentifierTaken; NotOffered where no mail is sent; TooSoon, NetworkBlocked; NotAllowed
        where the parent stands too low for children.
        """
        t = self._t
        refused = await _standing(t.db, caller.account, parent) or await _below(t.db, parent)
        if refused is not None:
            raise refused
        if not await self._recovery.sends_mail():
            raise refusals.NotOffered
        waits = await t.limits.until_telling(t.db, client, t.clock.now())
        if waits:
            raise refusals.NetworkBlocked(waits)
        administrator = caller.account.administrator
        shown = identifiers.check("email", new.email) if administrator else identifiers.check_strictly(new.email)
        account = NewAccount(
            email=shown, first_name=new.first_name, last_name=new.last_name, status="invited", parent=parent.id,
            organization=parent.organization, claimed=not administrator, labels={door.name: new.labels},
        )  # fmt: skip
        judge = _Adding(t, caller, parent, t.letters.destination(identifiers.fold("email", shown)), client)
        try:
            person = await self._accounts.add(account, None, judge=judge, by=caller, client=client)
        except refusals.IdentifierTaken:
            await self._tell_taken(caller.account, shown, client)
            raise
        by = (await t.people.of(caller.account)).name
        await self._recovery.invite(person.account, door.name, by=by)
        return person

    async def _tell_taken(self, caller: Account, email: str, client: Client) -> None:
        """Spend a telling answer, unless the address is of somebody within the caller's reach."""
        t, now = self._t, self._t.clock.now()
        holder = await accounts.by_identifier(t.db, "email", identifiers.fold("email", email))
        if holder is not None and await _standing(t.db, caller, holder) is None:
            return
        if not await t.db.transaction(lambda tx: t.limits.may_tell(tx, client, now)):
            raise refusals.NetworkBlocked

    # ------------------------------------------------------------ changing

    async def change(self, caller: Caller, target: Account, change: Change, client: Client) -> Person:
        """Change names and labels, and bar a child or let it in again; return the person after it.

        Nobody bars himself. Who was barred by an operator or an administrator is let in again by those alone. Raises
        BadIdentifier; for more than names NotForKeys, FreshProofRequired, NotToOneself, NotAllowed, LastOwner,
        LastAdministrator.
        """
        for name in (change.first_name, change.last_name):
            if name is not None and (len(name) > NAME_LENGTH or not identifiers.storable(name)):
                raise refusals.BadIdentifier("name", "at most 255 characters, no control characters")
        if change.weighs:
            await self._need_proof(caller, client)
        if change.barred is not None and target.id == caller.account.id:
            raise refusals.NotToOneself
        if change.barred is not None:
            await self._bar(caller, target, client, barred=change.barred)
        await self._write(caller, target, change, client)
        return await self._t.people.of(await self._accounts.by_id(target.id))

    async def _need_proof(self, caller: Caller, client: Client) -> None:
        if caller.session.narrow:
            raise refusals.NotForKeys
        if not await self._proving.is_fresh(caller, client):
            raise refusals.FreshProofRequired

    async def _bar(self, caller: Caller, target: Account, client: Client, *, barred: bool) -> None:
        """Suspend an account everywhere, or take back what its parents did."""
        by = caller.account.id.hex()
        if barred:
            await self._life.suspend(target, by=by, client=client, judge=self._judge(caller))
        else:
            await self._life.activate(target, by=by, client=client, judge=self._judge(caller, freeing=True))

    async def _write(self, caller: Caller, target: Account, change: Change, client: Client) -> None:
        now, judge, door = self._t.clock.now(), self._judge(caller), caller.session.door

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, target.id)
            refused = refusals.NotFound() if found is None else await judge(tx, found)
            if found is None or refused is not None:
                return refused
            after = replace(
                found,
                first_name=found.first_name if change.first_name is None else change.first_name,
                last_name=found.last_name if change.last_name is None else change.last_name,
            )
            changed: list[str] = []
            if (after.first_name, after.last_name) != (found.first_name, found.last_name):
                await accounts.set_names(tx, after, now)
                changed.append("names")
            if change.labels is not None:
                await accounts.put_labels(tx, found.id, door, change.labels, now)
                changed.append("labels")
            for what in changed:
                await events.record(
                    tx, "account_changed", now, client=client, account=found.id, session=caller.session.id, what=what,
                    by="owner" if found.id == caller.account.id else caller.account.id.hex(),
                )  # fmt: skip
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused

    async def set_password(
        self, caller: Caller, target: Account, new: Password, client: Client, *, old: Password
    ) -> None:  # fmt: skip
        """Set a child's password, whose present one is proved in the call: as hard as signing in as the child.

        All its sessions and keys end, in all dialects (table C, "password set by somebody else"), and it is told.
        Raises what `SignIn.confirm` and `Accounts.set_password` raise; SamePassword.
        """
        await self._signin.confirm(caller, old, client, of=target)
        if new.hexdigest.reveal() == old.hexdigest.reveal():
            raise refusals.SamePassword
        await self._accounts.set_password(target, new, by=caller, client=client, judge=self._judge(caller))

    # ------------------------------------------------------------ sessions

    async def sessions_of(self, targets: Sequence[Account]) -> list[tuple[Account, Session]]:
        """Return the live clients of some accounts in all dialects, newest first, each with whose it is."""
        found = [(each, one) for each in targets for one in await self._sessions.list_clients(each.id)]
        return sorted(found, key=lambda pair: pair[1].id, reverse=True)

    async def session(self, caller: Caller, id: Id) -> Caller:
        """Return a live client with its account, if the caller reaches that; keys are none."""
        found = await sessions.caller_by_id(self._t.db, id, self._t.clock.now())
        if found is None or found.session.kind == "key":
            raise refusals.NotFound
        refused = await _standing(self._t.db, caller.account, found.account)
        if refused is not None:
            raise refused
        return found

    # ------------------------------------------------------------ judging

    def _judge(self, caller: Caller, *, freeing: bool = False) -> Judge:
        """Return what judges the caller once more, as he and the account are in the transaction of the act."""

        async def judge(tx: Tx, target: Account) -> Refusal | None:
            by = await sessions.caller_by_id(tx, caller.session.id, self._t.clock.now())
            refused = refusals.NotSignedIn() if by is None else await _standing(tx, by.account, target)
            if refused is not None or by is None or not freeing:
                return refused
            return None if await _may_free(tx, by.account, target) else refusals.NotAllowed()

        return judge


class _Adding:
    """What is asked in the transaction that adds a child."""

    def __init__(self, tools: Tools, caller: Caller, parent: Account, to: bytes, client: Client) -> None:
        self._t = tools
        self._caller = caller
        self._parent = parent
        self._to = to
        self._client = client

    async def __call__(self, tx: Tx) -> Refusal | None:
        t, now = self._t, self._t.clock.now()
        by, parent = (
            await sessions.caller_by_id(tx, self._caller.session.id, now),
            await accounts.by_id(tx, self._parent.id),
        )
        if by is None:
            return refusals.NotSignedIn()
        refused = await _standing(tx, by.account, parent)
        if refused is not None or parent is None:
            return refused or refusals.NotFound()
        refused = await _below(tx, parent)
        if refused is not None:
            return refused
        waiting = await t.limits.may_send(tx, self._to, self._client, now, known=False)
        return refusals.TooSoon(waiting) if waiting else None


async def _standing(db: Reader, by: Account, target: Account | None) -> Refusal | None:
    """Judge whether somebody reaches an account."""
    if by.status != "active":
        return refusals.NotSignedIn()
    if target is None or target.status == "deleted":
        return refusals.NotFound()
    if by.id == target.id or await may_parent(db, by, target):
        return None
    return refusals.NotFound()


async def _below(db: Reader, parent: Account) -> Refusal | None:
    """Judge whether there is room below an account: whoever stands too low would be out of his ancestors' reach."""
    return refusals.NotAllowed() if len(await ancestors(db, parent)) >= DEEPEST else None


async def _may_free(tx: Tx, by: Account, target: Account) -> bool:
    """Tell whether somebody may let a suspended account in again: what was done by himself or by somebody below him."""
    if by.administrator:
        return True
    who = await suspended_by(tx, target.id)
    if target.status != "suspended" or who is None:
        return False
    if who == by.id:
        return True
    below = await accounts.by_id(tx, who)
    return below is not None and await may_parent(tx, by, below)
