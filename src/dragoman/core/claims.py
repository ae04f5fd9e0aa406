"""Claimed addresses: what holding one is worth, and what becomes of an account when its address is proved.

Whoever types somebody else's address at a registration holds it until its owner proves it (decision 15, threat 12).
Until then the account holds a password and sessions, and nothing that would outlive them. Whoever proves it is either
the one who registered, or somebody else, and then nothing of what there was lets anybody in any more.
"""

from __future__ import annotations

from dragoman.core import events, refusals
from dragoman.core.limits import lane_of
from dragoman.core.notices import Notice, Notices
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, Millis, Person
from dragoman.storage import accounts, attempts, codes, counters, credentials, enrolments, providers, sessions, tickets
from dragoman.storage import identifiers as stored
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.identifiers import Held


def planting(person: Person) -> Refusal | None:
    """Return what to say to whoever adds a phone, a factor, a provider or a key: None where the account may have it.

    `person` is read in the transaction that adds it.
    """
    if person.claimed_only:
        return refusals.VerificationRequired("the account's address was never proved: nothing is added to it before")
    return None


async def is_registrant(db: Reader, account: Account, client: Client, by: Caller | None, now: Millis) -> bool:
    """Tell whether a proof of the account's address comes from whoever registered it, as far as anybody can know.

    It does when a session of the account came with it, or when it comes from a client that is known to the account: its
    network, or a browser with its mark. While networks cannot be trusted, only sessions and marks tell.

    :param by: who is signed in where the proof was presented.
    """
    if by is not None and by.account.id == account.id:
        return True
    return (await lane_of(db, account.id, account.id, client, now)).known


async def disown(tx: Tx, account: Id, client: Client | None, now: Millis) -> None:
    """Take from an account all that lets in whoever had it before its address was proved: sessions, keys, password,
    attempts, codes, links, providers, marks, networks, and numbers that nobody proved.
    """
    await sessions.end_all(tx, account, "address_proved", now)
    dropped = await credentials.drop(tx, account, "password")
    await accounts.raise_epoch(tx, account, now)
    await attempts.drop_all(tx, account)
    await codes.drop_all(tx, account)
    await enrolments.drop_all(tx, account)
    await tickets.drop_all(tx, account)
    await providers.drop_all(tx, account)
    await counters.drop_marks(tx, account)
    await counters.forget_networks(tx, account)
    await counters.drop_of(tx, account)
    for one in await stored.listed(tx, account):
        if one.kind == "phone" and not one.proved:
            await stored.remove(tx, account, one.kind, one.folded)
    if dropped:
        await events.record(tx, "account_changed", now, client=client, account=account, what="password_unproved")


class Claims:
    """Takes merely claimed addresses from accounts when somebody else proves them."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)

    async def notice(self, folded: str, keeper: Id | None) -> Notice | None:
        """Draft what tells an account that it loses an address which it claims, before the transaction of the proof.

        None where nobody but `keeper` claims it, or the one who does has no proved address to be told at.
        """
        held = await stored.find(self._t.db, "email", folded)
        if held is None or held.proved or held.account == keeper:
            return None
        account = await accounts.by_id(self._t.db, held.account)
        if account is None:
            return None
        person = await self._t.people.of(account)
        return (
            None
            if person.proved_email is None
            else await self._notices.draft("address_yielded", person, old=held.shown)
        )

    async def take(self, tx: Tx, folded: str, keeper: Id, notice: Notice | None, now: Millis) -> bool:
        """Free an address for an account that proves it; False when another one has a right to it."""
        held: Held | None = await stored.find(tx, "email", folded)
        if held is None or held.account == keeper:
            return True
        if held.proved:
            return False
        await stored.remove(tx, held.account, "email", folded)
        await events.record(tx, "account_changed", now, account=held.account, what="claimed_address_yielded")
        if notice is not None and notice.account == held.account:
            await self._notices.put(tx, notice, now)
        return True
