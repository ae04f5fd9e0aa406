"""The members of an organization: looking at them, adding them, their names and ranks (decisions 10 to 12).

Whoever asks about somebody of another organization is told NotFound, never that he may not (decision 12). What an act
rests on is read again in its transaction: two owners who demote each other do not leave the organization without one.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, refusals
from dragoman.core.accounts import NAME_LENGTH, Accounts, NewAccount
from dragoman.core.doors import Door
from dragoman.core.life import Judge, Life, is_last_owner
from dragoman.core.organizations import MANAGER_RANK, OWNER_RANK, may_govern, may_rank, may_see
from dragoman.core.proving import Proving
from dragoman.core.recovery import Recovery
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, Millis, Password
from dragoman.storage import accounts, members
from dragoman.storage.engine import Tx
from dragoman.storage.members import Member

__all__ = ["MOST", "Added", "Change", "Changed", "Member", "Members", "NewMember"]

MOST = 1000
"""How many members one page holds at most."""


class Change(Struct, frozen=True):
    """What is to be different of a member; None stays as it is."""

    first_name: str | None = None
    last_name: str | None = None
    rank: int | None = None
    """0 to 255."""


class Changed(Struct, frozen=True):
    """A member after a change, and the rank before it."""

    member: Member
    rank_before: int


class NewMember(Struct, frozen=True):
    """Whom a manager adds to the organization."""

    email: str
    first_name: str
    last_name: str
    rank: int = 0
    password: Password | None = None
    """None: the person chooses one with the invitation."""
    invite: bool = True
    """Whether an invitation is mailed at once."""


class Added(Struct, frozen=True):
    """A member who was added."""

    member: Member
    invited: bool
    """Whether an invitation is on its way: not where none was wanted, no mail is sent, or too many were."""


class Members:
    """Shows and changes the members of the caller's organization; an administrator's reach is every organization.

    Managers are of rank 2 or more. Raised by every act: NotFound for strangers, NotAllowed, NotSignedIn where the
    caller was taken out of use meanwhile.
    """

    def __init__(self, tools: Tools, accounts: Accounts, life: Life, recovery: Recovery, proving: Proving) -> None:
        self._t = tools
        self._proving = proving
        self._accounts = accounts
        self._life = life
        self._recovery = recovery

    # ------------------------------------------------------------ looking

    async def see(self, caller: Caller, id: Id) -> Account:
        """Return a member of the caller's organization, for whoever belongs to it. Deleted ones are found no more."""
        found = await accounts.by_id(self._t.db, id)
        if found is None or found.status == "deleted" or not may_see(caller.account, found):
            raise refusals.NotFound
        return found

    async def page(self, caller: Caller, *, limit: int = MOST, after: int = 0) -> tuple[list[Member], int]:
        """Return members of the caller's organization in the order in which they came, and how many there are.

        :param limit: how many at most, up to 1,000; :param after: how many are left out at the beginning.
        """
        _need_manager(caller.account)
        organization = caller.account.organization
        found = await members.page(self._t.db, organization, limit=min(limit, MOST), after=after)
        return found, await members.count(self._t.db, organization)

    async def find(self, caller: Caller, id: Id) -> Member:
        """Return one member, deleted ones too, for managers."""
        found = await members.find(self._t.db, id)
        if found is None or not may_see(caller.account, found.account):
            raise refusals.NotFound
        _need_manager(caller.account)
        return found

    # ------------------------------------------------------------ changing

    async def change(self, caller: Caller, id: Id, change: Change, client: Client) -> Changed:
        """Change names and rank: everybody his own names, managers those of others; ranks by `may_rank`.

        A rank that differs needs a fresh proof (decision 25). Raises BadIdentifier for a name that cannot be kept,
        FreshProofRequired, LastOwner.
        """
        for name in (change.first_name, change.last_name):
            if name is not None and (len(name) > NAME_LENGTH or not identifiers.storable(name)):
                raise refusals.BadIdentifier("name", "at most 255 characters, no control characters")
        fresh, now = await self._proving.is_fresh(caller, client), self._t.clock.now()

        async def fn(tx: Tx) -> Changed | Refusal:
            actor, target = await _both(tx, caller, id)
            refused = _may_change(actor, target, change)
            if refused is not None or actor is None or target is None:
                return refused or refusals.NotFound()
            by = "owner" if actor.id == target.id else actor.id.hex()
            if change.rank is not None and change.rank != target.rank:
                if not fresh:
                    return refusals.FreshProofRequired()
                if change.rank != OWNER_RANK and await is_last_owner(tx, target):
                    return refusals.LastOwner()
                await members.set_rank(tx, target.id, change.rank, now)
                await events.record(
                    tx, "account_changed", now, client=client, account=target.id, what="rank", role=str(change.rank),
                    was=str(target.rank), by=by,
                )  # fmt: skip
            await self._rename(tx, target, change, now, client=client, by=by)
            after = await members.find(tx, target.id)
            return Changed(after, target.rank) if after is not None else refusals.NotFound()

        return _unless_refused(await self._t.db.transaction(fn))

    async def change_managed(self, caller: Caller, id: Id, change: Change, client: Client) -> Changed:
        """The same for managers alone, who may mean themselves."""
        await self.find(caller, id)
        return await self.change(caller, id, change, client)

    async def change_with_password(
        self, caller: Caller, id: Id, change: Change, client: Client, *, password: Password, old: Password | None
    ) -> Changed:
        """Change names, and before them one's own password: nobody sets another's (contract of Flashback, 4.7).

        Raises what `Accounts.set_own_password` raises besides; nothing is changed then.
        """
        if id != caller.account.id:
            await self.see(caller, id)
            raise refusals.NotAllowed
        await self._accounts.set_own_password(caller, password, client, old=old)
        return await self.change(caller, id, change, client)

    async def _rename(
        self, tx: Tx, target: Account, change: Change, now: Millis, *, client: Client, by: str
    ) -> None:  # fmt: skip
        after = replace(
            target,
            first_name=target.first_name if change.first_name is None else change.first_name,
            last_name=target.last_name if change.last_name is None else change.last_name,
        )
        if (after.first_name, after.last_name) != (target.first_name, target.last_name):
            await accounts.set_names(tx, after, now)
            await events.record(
                tx, "account_changed", now, client=client, account=target.id, what="names", by=by
            )  # fmt: skip

    # ------------------------------------------------------------ coming and going

    async def add(self, caller: Caller, new: NewMember, client: Client, door: Door) -> Added:
        """Add somebody to the caller's organization, who can sign in once the address was proved.

        The address is claimed only: whoever owns an organization answers for nobody. That one is taken is told ten
        times an hour and network; then nobody is added from there (decision 29). A rank above 0 needs a fresh proof.

        Raises BadIdentifier, IdentifierTaken, WeakPassword, FreshProofRequired, NetworkBlocked.
        """
        t = self._t
        refused = _may_add(caller.account, new.rank)
        if refused is not None:
            raise refused
        if new.rank and not await self._proving.is_fresh(caller, client):
            raise refusals.FreshProofRequired
        waits = await t.limits.until_telling(t.db, client, t.clock.now())
        if waits:
            raise refusals.NetworkBlocked(waits)

        async def judge(tx: Tx) -> Refusal | None:
            actor = await accounts.by_id(tx, caller.account.id)
            return _may_add(actor, new.rank)

        account = NewAccount(
            email=new.email, first_name=new.first_name, last_name=new.last_name, rank=new.rank, status="invited",
            organization=caller.account.organization, claimed=not caller.account.administrator,
        )  # fmt: skip
        try:
            person = await self._accounts.add(account, new.password, mixed=door.mixed_password, judge=judge)
        except refusals.IdentifierTaken:
            await self._tell_taken(caller.account, new.email, client)
            raise
        invited = new.invite and await self._invite(caller, person.account, client, door)
        return Added(await self._found(person.account.id), invited)

    async def invite_again(self, caller: Caller, id: Id, client: Client, door: Door) -> None:
        """Mail another invitation to somebody who has not taken up the first; the link before is void.

        Raises WrongStatus for whoever is not invited, TooSoon, NotOffered.
        """
        target = (await self.find(caller, id)).account
        if not await may_govern(self._t.db, caller.account, target):
            raise refusals.NotAllowed
        if target.status != "invited":
            raise refusals.WrongStatus
        await self._recovery.invite(target, door.name, by=await self._name(caller), client=client)

    async def delete(self, caller: Caller, id: Id, client: Client) -> None:
        """Delete a member, who can be brought back for 30 days. Needs a fresh proof: it ends sessions of another.

        Raises NotToOneself, FreshProofRequired, LastOwner, LastAdministrator.
        """
        target = (await self.find(caller, id)).account
        if target.id == caller.account.id:
            raise refusals.NotToOneself
        if not await self._proving.is_fresh(caller, client):
            raise refusals.FreshProofRequired
        await self._life.delete(target, by=caller.account.id.hex(), client=client, judge=self._govern(caller))

    async def restore(self, caller: Caller, id: Id, client: Client) -> None:
        """Bring a deleted member back. Raises WrongStatus for one that is not deleted."""
        target = (await self.find(caller, id)).account
        judge = self._govern(caller, status="deleted")
        await self._life.restore(target, by=caller.account.id.hex(), client=client, judge=judge)

    async def leave(self, caller: Caller, client: Client) -> None:
        """Deactivate oneself, everywhere and at once. Raises FreshProofRequired, LastOwner, LastAdministrator."""
        if not await self._proving.is_fresh(caller, client):
            raise refusals.FreshProofRequired
        await self._life.deactivate(caller.account, by="owner", client=client)

    # ------------------------------------------------------------ inner

    def _govern(self, caller: Caller, *, status: str | None = None) -> Judge:
        async def judge(tx: Tx, target: Account) -> Refusal | None:
            actor = await accounts.by_id(tx, caller.account.id)
            if actor is None or actor.status != "active":
                return refusals.NotSignedIn()
            if not may_see(actor, target):
                return refusals.NotFound()
            if not await may_govern(tx, actor, target):
                return refusals.NotAllowed()
            return refusals.WrongStatus() if status is not None and target.status != status else None

        return judge

    async def _found(self, id: Id) -> Member:
        found = await members.find(self._t.db, id)
        if found is None:
            raise refusals.NotFound
        return found

    async def _name(self, caller: Caller) -> str:
        return (await self._t.people.of(caller.account)).name

    async def _invite(self, caller: Caller, account: Account, client: Client, door: Door) -> bool:
        try:
            await self._recovery.invite(account, door.name, by=await self._name(caller), client=client)
        except (refusals.NotOffered, refusals.TooSoon):
            return False
        return True

    async def _tell_taken(self, caller: Account, email: str, client: Client) -> None:
        """Spend a telling answer, unless the address is of somebody whom the caller may see anyway."""
        t = self._t
        holder = await accounts.by_identifier(t.db, "email", identifiers.fold("email", email))
        if holder is not None and may_see(caller, holder):
            return
        now = t.clock.now()
        if not await t.db.transaction(lambda tx: t.limits.may_tell(tx, client, now)):
            raise refusals.NetworkBlocked


def _is_manager(account: Account) -> bool:
    return account.administrator or account.rank >= MANAGER_RANK


def _need_manager(account: Account) -> None:
    if not _is_manager(account):
        raise refusals.NotAllowed


async def _both(tx: Tx, caller: Caller, id: Id) -> tuple[Account | None, Account | None]:
    """Return the caller and the target as they are now."""
    actor = await accounts.by_id(tx, caller.account.id)
    return actor, actor if id == caller.account.id else await accounts.by_id(tx, id)


def _may_change(actor: Account | None, target: Account | None, change: Change) -> Refusal | None:
    """Judge a change: names of others by whoever manages people, as the contract of Flashback has it (section 4.7)."""
    if actor is None or actor.status != "active":
        return refusals.NotSignedIn()
    if target is None or not may_see(actor, target):
        return refusals.NotFound()
    if change.rank is not None and not may_rank(actor, target, change.rank):
        return refusals.NotAllowed()
    renames = change.first_name is not None or change.last_name is not None
    if renames and actor.id != target.id and not (_is_manager(actor) and actor.administrator >= target.administrator):
        return refusals.NotAllowed()
    return None


def _may_add(actor: Account | None, rank: int) -> Refusal | None:
    """Judge an addition: below the manager's own rank, but an owner may add owners."""
    if actor is None or actor.status != "active":
        return refusals.NotSignedIn()
    highest = OWNER_RANK if actor.administrator or actor.rank == OWNER_RANK else actor.rank - 1
    return None if _is_manager(actor) and rank <= highest else refusals.NotAllowed()


def _unless_refused(outcome: Changed | Refusal) -> Changed:
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
