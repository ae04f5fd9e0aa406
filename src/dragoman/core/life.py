"""The life of an account: deactivated, suspended, active again, deleted, brought back, erased (decision 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from dragoman.core import events, export, refusals
from dragoman.core.erasure import RETURN_DAYS, erase
from dragoman.core.letters import ASKED_FOR
from dragoman.core.notices import Notice, Notices
from dragoman.core.organizations import OWNER_RANK, ancestors
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Client, Id, Millis, Status
from dragoman.storage import (
    accounts,
    attempts,
    codes,
    counters,
    documents,
    families,
    members,
    outbox,
    sessions,
    tickets,
)
from dragoman.storage.engine import Reader, Tx

By = str
"""Who acts: `owner`, `operator`, or the id of the account that acts on another, in hex."""
Judge = Callable[[Tx, Account], Awaitable[Refusal | None]]
"""Tells in the transaction of an act whether it may still be done to the account as it is then."""
_SUSPENDED = "suspended"
"""The name of an account's document that says who suspended it."""
Ending = Literal["deactivated", "suspended", "deleted"]
_NOTICES: Mapping[str, str] = {"deactivated": "account_deactivated", "deleted": "account_deleted"}


class Life:
    """Begins, pauses and ends accounts.

    Whatever is not active has no session, key, attempt, code, nor a ticket or waiting letter that would let somebody in
    (table C). Raised by all of it where they apply: NotFound; LastAdministrator where nobody could administer the
    installation afterwards; LastOwner where whoever goes, or is sent away by another but an operator, leaves members
    without an owner (contract of Flashback, section 4.16). That is decided in the transaction of the act; and what a
    `judge` refuses.
    """

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)

    # ------------------------------------------------------------ status

    async def deactivate(
        self, account: Account, *, by: By = "operator", client: Client | None = None, judge: Judge | None = None
    ) -> None:
        """Let an account rest until an operator activates it; its owner is told.

        Its owner's act as well: the caller has seen a fresh proof then (decision 25), and `client` is who asked.
        Raises NotActive for a deleted account.
        """
        await self._end(account, "deactivated", by, client, judge)

    async def suspend(
        self, account: Account, *, by: By = "operator", client: Client | None = None, judge: Judge | None = None
    ) -> None:
        """Bar an account: the act of an operator, or of whoever manages it. Raises NotActive for a deleted account."""
        await self._end(account, "suspended", by, client, judge)

    async def activate(
        self, account: Account, *, by: By = "operator", client: Client | None = None, judge: Judge | None = None
    ) -> None:
        """Let a deactivated, suspended or invited account sign in again, with the password and factors it has.

        Raises NotActive for a deleted account, which `restore` brings back.
        """
        await self._set_status(account, "active", by, client, judge)

    async def delete(
        self, account: Account, *, by: By = "operator", client: Client | None = None, judge: Judge | None = None
    ) -> None:
        """Delete an account for 30 days, in which its identifiers stay reserved; then it is erased. Its owner is told.

        Deleting a deleted one changes nothing: its 30 days run on. Raises what `judge` refuses.
        """
        await self._end(account, "deleted", by, client, judge)

    async def set_status(self, account: Account, status: Status) -> None:
        """Give an account a status: what an operator does. Raises NotActive for a deleted account."""
        if status in ("deactivated", "suspended", "deleted"):
            await self._end(account, status, "operator", None)
            return
        await self._set_status(account, status, "operator", None)

    async def _set_status(
        self, account: Account, status: Status, by: By, client: Client | None, judge: Judge | None = None
    ) -> None:
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            refused = await judge(tx, found) if judge is not None else None
            if refused is not None:
                return refused
            if found.status == "deleted":
                return refusals.NotActive("deleted")
            if status != "active" and await self._is_last(tx, found):
                return refusals.LastAdministrator()
            await accounts.set_status(tx, found.id, status, now)
            await _remember(tx, found.id, status, by, now)
            if status != "active":
                await _end_everything(tx, found.id, status, now)
            await _note(tx, found.id, status, now, was=found.status, by=by, client=client)
            return None

        _raise(await self._t.db.transaction(fn))

    async def restore(
        self, account: Account, *, by: By = "operator", client: Client | None = None, judge: Judge | None = None
    ) -> Status:
        """Bring a deleted account back as it was, without sessions and keys; return the status it has now.

        One that is not deleted stays as it is. Raises NotFound where it is being erased, and what `judge` refuses.
        """
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Status | Refusal:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            refused = await judge(tx, found) if judge is not None else None
            if refused is not None:
                return refused
            deletion = await accounts.deletion(tx, found.id)
            if found.status != "deleted" or deletion is None:
                return found.status
            deleted_at, was = deletion
            if not deleted_at:
                return refusals.NotFound()
            await accounts.set_status(tx, found.id, was, now)
            await _note(tx, found.id, was, now, was="deleted", by=by, client=client)
            return was

        outcome = await self._t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def _end(
        self, account: Account, status: Ending, by: By, client: Client | None, judge: Judge | None = None
    ) -> None:
        """Take an account out of use and tell its owner."""
        notice = await self._notice(account, status)
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            refused = await judge(tx, found) if judge is not None else None
            if refused is not None:
                return refused
            if found.status == "deleted":
                return None if status == "deleted" else refusals.NotActive("deleted")
            if await self._is_last(tx, found):
                return refusals.LastAdministrator()
            if by != "operator" and await is_last_owner(tx, found) and await members.has_others(tx, found):
                return refusals.LastOwner()
            if by == "owner" and await _leaves_children(tx, found):
                return refusals.LastOwner()
            if status == "deleted":
                await accounts.set_deleted(tx, found.id, found.status, now, now)
            else:
                await accounts.set_status(tx, found.id, status, now)
                await _remember(tx, found.id, status, by, now)
            await _end_everything(tx, found.id, status, now)
            await _note(tx, found.id, status, now, was=found.status, by=by, client=client)
            await self._notices.put(tx, notice, now)
            return None

        _raise(await self._t.db.transaction(fn))

    async def _notice(self, account: Account, status: Ending) -> Notice | None:
        kind = _NOTICES.get(status)
        if kind is None:
            return None
        person = await self._t.people.of(await self._fresh(account))
        values = {"days": str(RETURN_DAYS)} if kind == "account_deleted" else {}
        return await self._notices.draft(kind, person, life=None, **values)

    async def _fresh(self, account: Account) -> Account:
        found = await accounts.by_id(self._t.db, account.id)
        if found is None:
            raise refusals.NotFound
        return found

    async def _is_last(self, tx: Tx, account: Account) -> bool:
        """Tell whether nobody else is an active administrator; on PostgreSQL too, since it runs SERIALIZABLE."""
        if not account.administrator or account.status != "active":
            return False
        return not await accounts.other_administrator(tx, account.id)

    # ------------------------------------------------------------ administrators

    async def set_administrator(self, account: Account, administrator: bool) -> None:
        """Make somebody an administrator, or no longer: an operator's act.

        In the default organization the rank follows (255 or 0), so that nobody keeps managing others by rank.
        """
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            if found.administrator == administrator:
                return None
            if await self._is_last(tx, found):
                return refusals.LastAdministrator()
            rank = (OWNER_RANK if administrator else 0) if found.default_organization else found.rank
            await accounts.set_administrator(tx, found.id, administrator, rank, now)
            role = "administrator" if administrator else "user"
            await events.record(tx, "account_changed", now, account=found.id, what="role", role=role)
            return None

        _raise(await self._t.db.transaction(fn))

    # ------------------------------------------------------------ erasing

    async def erase(self, account: Account) -> None:
        """Erase an account now, with all that hangs on it; its identifiers are free again. Nothing brings it back.

        The audit trail keeps its lines under the id, without addresses and names. No letter tells of it: nothing
        is left to tell it to.
        """
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            if await self._is_last(tx, found):
                return refusals.LastAdministrator()
            await accounts.set_deleted(tx, found.id, found.status, 0, now)
            await _end_everything(tx, found.id, "deleted", now)
            return None

        _raise(await self._t.db.transaction(fn))
        await erase(self._t.db, account.id, now)

    # ------------------------------------------------------------ export

    async def export(self, account: Account, *, by: By = "operator", client: Client | None = None) -> Mapping[str, Any]:
        """Return everything held about an account, ready to be written as JSON; the trail says that it was asked for.

        Never a secret: of credentials, sessions, tickets and letters only what they are and when. Raises NotFound.
        """
        now = self._t.clock.now()
        await self._fresh(account)

        async def fn(tx: Tx) -> None:
            await events.record(tx, "account_exported", now, client=client, account=account.id, by=by)

        await self._t.db.transaction(fn)
        return await export.held(self._t.db, account.id, now)


async def is_last_owner(tx: Tx, account: Account) -> bool:
    """Tell whether nobody else owns the account's organization and could act."""
    if account.rank != OWNER_RANK or account.status != "active":
        return False
    return not await members.other_owner(tx, account)


async def suspended_by(db: Reader, account: Id) -> Id | None:
    """Return the account that suspended another; None for an operator, and where it is not suspended."""
    held = await documents.find(db, account, _SUSPENDED)
    by = msgspec.json.decode(held.body, type=str) if held is not None else "operator"
    return None if by in ("operator", "owner") else bytes.fromhex(by)


async def _remember(tx: Tx, account: Id, status: Status, by: By, now: Millis) -> None:
    """Keep who suspended an account as long as it is: a parent lets nobody in again whom an operator barred."""
    if status == "suspended":
        await documents.put(tx, account, _SUSPENDED, msgspec.json.encode(by).decode(), now)
    elif status == "active":
        await documents.drop(tx, account, _SUSPENDED)


async def _leaves_children(tx: Tx, account: Account) -> bool:
    """Tell whether nobody but administrators could act on an account's children then."""
    if account.administrator or not await families.has_children(tx, account.id):
        return False
    return all(above.status != "active" for above in await ancestors(tx, account))


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise refusal


async def _end_everything(tx: Tx, account: Id, why: str, now: Millis) -> None:
    """End sessions, keys, attempts and marks, and all that was mailed to let somebody in.

    Notices that wait still go out, and a link that takes a changed address back stays good: a thief who closes an
    account must not silence what tells of him.
    """
    await sessions.end_all(tx, account, why, now)
    await attempts.drop_all(tx, account)
    await tickets.drop_but(tx, account, "undo")
    await codes.drop_all(tx, account)
    await counters.drop_marks(tx, account)
    for kind in ASKED_FOR:
        await outbox.drop_of(tx, account, kind)


async def _note(
    tx: Tx, account: Id, status: Status, now: Millis, *, was: Status, by: By = "operator", client: Client | None = None
) -> None:  # fmt: skip
    await events.record(
        tx, "account_changed", now, client=client, account=account, what="status", status=status, was=was, by=by
    )
