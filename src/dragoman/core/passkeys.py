"""Passkeys of an account: asking a browser for one, keeping it, asking for its signature at the second step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dragoman.core import events, paused, refusals
from dragoman.core.credentials import passkeys, recovery_codes
from dragoman.core.credentials.passkeys import Naming, NotProved
from dragoman.core.doors import Door
from dragoman.core.factors import replaced
from dragoman.core.notices import Notices
from dragoman.core.policy import PasskeyPlace
from dragoman.core.proving import Proving
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Caller, Client, Secret
from dragoman.storage import accounts, credentials
from dragoman.storage import passkeys as stored
from dragoman.storage.engine import ConstraintViolated, Tx

MOST = 20
"""Passkeys of one account."""


class Passkeys:
    """Makes passkeys and asks for their signatures."""

    def __init__(self, tools: Tools, proving: Proving) -> None:
        self._t = tools
        self._proving = proving
        self._notices = Notices(tools)

    async def place(self) -> PasskeyPlace:
        """Return where passkeys are made and used. Raises NotOffered where no name is configured for them."""
        place = (await self._t.policy()).passkeys
        if place is None:
            raise refusals.NotOffered("passkeys need a public address with a name: server.public_url")
        return place

    async def ask_for_new(self, caller: Caller) -> dict[str, Any]:
        """Return what the caller's browser is given to make a passkey, good for ten minutes in this session.

        Raises NotOffered.
        """
        t, place = self._t, await self.place()
        person = await t.people.of(caller.account)
        held = await stored.of_account(t.db, caller.account.id)
        wanted = passkeys.challenge(t.sealer, caller.session.id, t.clock.now())
        named = Naming((await t.policy()).issuer, caller.account.id, person.email or person.username, person.name)
        return await asyncio.to_thread(passkeys.to_register, place, named, held, wanted)

    async def keep(
        self, caller: Caller, credential: Mapping[str, Any], name: str, client: Client
    ) -> tuple[Secret, ...]:  # fmt: skip
        """Keep the passkey that the caller's browser made: a second factor of all dialects that carry it.

        This session stays, other clients end (table C). Returns fresh recovery codes where the account had none.
        Raises NotOffered, WrongCode when it is not what was asked for, NotForKeys, NotSignedIn, FreshProofRequired,
        AlreadyEnrolled, VerificationRequired.
        """
        t, place, account, now = self._t, await self.place(), caller.account, self._t.clock.now()
        try:
            key = await asyncio.to_thread(
                passkeys.register, t.sealer, place, credential, bound=caller.session.id, now=now, name=name
            )
        except NotProved:
            raise refusals.WrongCode from None
        drawn = recovery_codes.draw(t.random)
        macs = recovery_codes.macs(t.sealer, account.id, drawn)
        notice = await self._notices.draft("factor_added", await t.people.of(account), factor="passkey")

        remembered = (await t.policy()).remembered

        async def fn(tx: Tx) -> bool | Refusal:
            refused = await self._proving.standing(tx, caller, client, now, remembered)
            if refused is not None:
                return refused
            person = await accounts.person(tx, account)
            if person.emails and person.proved_email is None:
                return refusals.VerificationRequired()
            if len(await stored.of_account(tx, account.id)) >= MOST:
                return refusals.AlreadyEnrolled()
            await stored.insert(tx, account.id, key)
            fresh = "recovery" not in person.factors
            if fresh:
                await credentials.put_recovery_codes(tx, account.id, macs)
            await replaced(tx, account.id, "factor_enrolled", now, keep=caller.session.id)
            await events.record(
                tx, "factor_enrolled", now, client=client, account=account.id, session=caller.session.id,
                door=caller.session.door, factor="passkey", by="owner",
            )  # fmt: skip
            await self._notices.put(tx, notice, now)
            return fresh

        try:
            outcome = await t.db.transaction(fn)
        except ConstraintViolated:
            raise refusals.AlreadyEnrolled from None
        if isinstance(outcome, Refusal):
            raise outcome
        return tuple(Secret(code) for code in drawn) if outcome else ()

    async def ask(self, door: Door, presented: str) -> dict[str, Any]:
        """Return what a browser is given to sign for a paused sign-in.

        Raises NoSuchAttempt, NotEnrolled, NotOffered.
        """
        t, place = self._t, await self.place()
        waiting = await paused.find(t, door, presented)
        held = await stored.of_account(t.db, waiting.account.id)
        if not any(key.rp == place.rp for key in held):
            raise refusals.NotEnrolled
        wanted = passkeys.challenge(t.sealer, waiting.handle, t.clock.now())
        return await asyncio.to_thread(passkeys.to_sign, place, held, wanted)
