"""Signing somebody in on an administrator's word: a proof in the place of the password alone (decision 5)."""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import events, refusals
from dragoman.core.doors import Door
from dragoman.core.organizations import may_manage
from dragoman.core.proofs import Proof
from dragoman.core.refusals import Refusal
from dragoman.core.signin import SignIn
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Pending, SignedIn, uuid_text
from dragoman.storage import sessions
from dragoman.storage.engine import Tx


class OnBehalf:
    """Opens sessions of others for administrators."""

    def __init__(self, tools: Tools, signin: SignIn) -> None:
        self._t = tools
        self._signin = signin

    async def sign_in(self, caller: Caller, account: Account, door: Door, client: Client) -> SignedIn:
        """Open a session of an account for an administrator, which the audit trail says of both.

        The second factor is not his to stand for: an account that has one is not opened. The administrator's network
        does not become one from which the account is known.

        Raises NotForKeys; NotAllowed for anybody but an administrator; NoUsableFactor where the account has a second
        factor; what `SignIn.with_proof` raises.
        """
        t, by = self._t, caller.account
        if caller.session.narrow:
            raise refusals.NotForKeys
        if not by.administrator or not await may_manage(t.db, by, account):
            raise refusals.NotAllowed
        if (await t.people.of(account)).has_second_factor:
            raise refusals.NoUsableFactor
        now = t.clock.now()

        async def perform(tx: Tx) -> Refusal | None:
            live = await sessions.caller_by_id(tx, caller.session.id, now)
            if live is None or live.account.status != "active":
                return refusals.NotSignedIn()
            if not live.account.administrator:
                return refusals.NotAllowed()
            await events.record(
                tx, "signed_in_by", now, client=client, account=account.id, door=door.name, by=uuid_text(by.id)
            )
            return None

        proof = Proof(account, "administrator", now, perform)
        outcome = await self._signin.with_proof(door, proof, replace(client, network="", mark=None))
        if isinstance(outcome, Pending):  # a factor was enrolled meanwhile
            raise refusals.NoUsableFactor
        return outcome
