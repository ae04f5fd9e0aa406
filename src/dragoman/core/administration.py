"""What one account does to another through a dialect, judged by `may_see` and `may_manage` in the act's transaction.

A dialect's own permissions come before that and carry no authority here (decisions 11 and 12).
"""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import events, judgement, refusals
from dragoman.core.accounts import Accounts, NewAccount
from dragoman.core.addresses import MANAGES_ADDRESSES, Addresses
from dragoman.core.life import Judge, Life
from dragoman.core.organizations import may_manage, may_see
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import client_print
from dragoman.core.tools import Tools
from dragoman.model import Account, AddressState, Caller, Client, Password, Person
from dragoman.storage import accounts, attempts, sessions
from dragoman.storage.engine import Reader, Tx


class Change(Struct, frozen=True):
    """What is to be different about an account; None leaves a thing as it is."""

    name: str | None = None
    username: str | None = None
    email: str | None = None
    verified: bool = False
    """Of the new address: it counts as verified on the administrator's word."""
    password: Password | None = None
    initial: bool = False
    """The password has to be replaced by its owner within 7 days (threat 16)."""
    labels: tuple[str, ...] | None = None
    """Words that the caller's dialect shows beside the roles."""


class Administration:
    """Acts on accounts for somebody who is signed in.

    Raised by all of it where they apply: NotFound for an account that is deleted or that the caller may not see,
    NotAllowed for one that he does not manage, NotSignedIn when his session ended meanwhile.
    """

    def __init__(self, tools: Tools, accounts: Accounts, life: Life, addresses: Addresses) -> None:
        self._t = tools
        self._accounts = accounts
        self._life = life
        self._addresses = addresses

    async def seen(self, caller: Caller, account: Account) -> Person:
        """Return the person of an account that the caller may see."""
        if account.status == "deleted" or not may_see(caller.account, account):
            raise refusals.NotFound
        return await self._t.people.of(account)

    async def add(
        self, caller: Caller, new: NewAccount, password: Password | None, *, initial: bool = False,
        client: Client | None = None,
    ) -> Person:  # fmt: skip
        """Add an account, which administrators do: their word vouches for its address (decision 15).

        Raises what `Accounts.add` raises.
        """

        async def judge(tx: Tx) -> Refusal | None:
            by = await sessions.caller_by_id(tx, caller.session.id, self._t.clock.now())
            if by is None:
                return refusals.NotSignedIn()
            return None if by.account.administrator else refusals.NotAllowed()

        if not caller.account.administrator:
            raise refusals.NotAllowed
        return await self._accounts.add(new, password, initial=initial, judge=judge, by=caller, client=client)

    async def set_active(self, caller: Caller, target: Account, active: bool, client: Client) -> None:
        """Bar an account, or let a barred or resting one sign in again. Whoever names himself rests (decision 6).

        Raises LastAdministrator.
        """
        await self.refuse(caller, target)
        by, judge = caller.account.id.hex(), self._judge(caller)
        if active:
            await self._life.activate(target, by=by, client=client, judge=judge)
        elif target.id == caller.account.id:
            await self._life.deactivate(target, by="owner", client=client, judge=judge)
        else:
            await self._life.suspend(target, by=by, client=client, judge=judge)

    async def delete(self, caller: Caller, target: Account, client: Client) -> None:
        """Delete an account for 30 days. Raises LastAdministrator."""
        await self.refuse(caller, target)
        by = "owner" if target.id == caller.account.id else caller.account.id.hex()
        await self._life.delete(target, by=by, client=client, judge=self._judge(caller))

    async def change(self, caller: Caller, target: Account, change: Change, client: Client) -> None:
        """Change what an account is called, its address, its password and its labels, in this order.

        Address and password of others are changed from rank 254 (threat 30), and with a fresh proof. Raises
        BadIdentifier, IdentifierTaken, WeakPassword, NotOffered, FreshProofRequired, TooSoon.
        """
        await self.refuse(caller, target)
        if change.email is not None or change.password is not None:
            await self.refuse(caller, target, rank=MANAGES_ADDRESSES)
        judge = self._judge(caller)
        if change.username is not None:
            await self._accounts.rename(target, change.username, by=caller, client=client, judge=judge)
        if change.name is not None:
            await self._accounts.set_name(target, change.name, by=caller, client=client, judge=judge)
        if change.email is not None:
            # Only an administrator's word says anything about an address (decision 15).
            vouched: AddressState = "verified" if change.verified else "vouched"
            state = vouched if caller.account.administrator and target.id != caller.account.id else "claimed"
            await self._addresses.change_email(target, change.email, by=caller, client=client, state=state)
        if change.labels is not None:
            await self._accounts.set_labels(
                target, caller.session.door, change.labels, by=caller, client=client, judge=judge
            )
        if change.password is not None:
            await self._accounts.set_password(
                target, change.password, initial=change.initial, by=caller, client=client,
                judge=self._judge(caller, rank=MANAGES_ADDRESSES),
            )  # fmt: skip

    async def end_everything(self, caller: Caller, target: Account, client: Client) -> int:
        """End every session and key of an account, one's own as well; return how many (table C, RC `users.logout`).

        Of another's account with a fresh proof. Raises FreshProofRequired.
        """
        t, now = self._t, self._t.clock.now()
        if target.id != caller.account.id:
            await self.refuse(caller, target)
            remembered = (await t.policy()).remembered
            if not judgement.is_fresh(caller.session, client_print(client), now, remembered):
                raise refusals.FreshProofRequired

        async def fn(tx: Tx) -> int | Refusal:
            found = await accounts.by_id(tx, target.id)
            refused = await self._refusal(tx, caller, found, 0) if found is not None else refusals.NotFound()
            if refused is not None:
                return refused
            number = await sessions.end_all(tx, target.id, "all", now)
            await attempts.drop_all(tx, target.id)
            await accounts.raise_epoch(tx, target.id, now)
            await events.record(
                tx, "sessions_ended", now, client=client, account=target.id, door=caller.session.door, why="all",
                number=str(number), by=caller.account.id.hex(),
            )  # fmt: skip
            return number

        outcome = await t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def refuse(self, caller: Caller, target: Account, rank: int = 0) -> None:
        """Raise what stands against the caller's acting on an account.

        :param rank: which he needs at the least where he is no administrator.
        """
        refused = await self._standing(self._t.db, caller.account, target, rank)
        if refused is not None:
            raise refused

    # ------------------------------------------------------------ judging

    def _judge(self, caller: Caller, rank: int = 0) -> Judge:
        """Return what judges the caller once more, as he and the account are in the transaction of the act."""

        async def judge(tx: Tx, target: Account) -> Refusal | None:
            return await self._refusal(tx, caller, target, rank)

        return judge

    async def _refusal(self, tx: Tx, caller: Caller, target: Account, rank: int) -> Refusal | None:
        by = await sessions.caller_by_id(tx, caller.session.id, self._t.clock.now())
        return refusals.NotSignedIn() if by is None else await self._standing(tx, by.account, target, rank)

    async def _standing(self, db: Reader, by: Account, target: Account, rank: int) -> Refusal | None:
        if by.status != "active":
            return refusals.NotSignedIn()
        if target.status == "deleted" or not may_see(by, target):
            return refusals.NotFound()
        if by.id == target.id or by.administrator:
            return None
        return None if by.rank >= rank and await may_manage(db, by, target) else refusals.NotAllowed()
