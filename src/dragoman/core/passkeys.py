"""Passkeys of an account: asking a browser for one, keeping it, asking for its signature at the second step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dragoman.core import events, paused, refusals
from dragoman.core.credentials import passkeys, recovery_codes
from dragoman.core.credentials.passkeys import Naming, NotProved, Signed
from dragoman.core.doors import Door
from dragoman.core.notices import Notices
from dragoman.core.policy import Place
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Id, Secret
from dragoman.storage import accounts, attempts, codes, credentials, sessions
from dragoman.storage import passkeys as stored
from dragoman.storage.engine import ConstraintViolated, Tx

MOST = 20
"""Passkeys of one account."""


class Assertion(Struct, frozen=True):
    """What a browser answered with `navigator.credentials.get`, as JSON of the shape that WebAuthn names."""

    credential: Mapping[str, Any]


class Passkeys:
    """Makes passkeys and asks for their signatures."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)

    async def place(self) -> Place:
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

    async def keep(self, caller: Caller, credential: Mapping[str, Any], name: str) -> tuple[Secret, ...]:
        """Keep the passkey that the caller's browser made: a second factor of all dialects that carry it.

        This session stays, other clients end (table C). Returns fresh recovery codes where the account had none.
        Raises NotOffered, WrongCode when it is not what was asked for, AlreadyEnrolled, VerificationRequired.
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

        async def fn(tx: Tx) -> bool | Refusal:
            person = await accounts.person(tx, account)
            if person.emails and person.proved_email is None:
                return refusals.VerificationRequired()
            if len(await stored.of_account(tx, account.id)) >= MOST:
                return refusals.AlreadyEnrolled()
            await stored.insert(tx, account.id, key)
            fresh = "recovery" not in person.factors
            if fresh:
                await credentials.put_recovery_codes(tx, account.id, macs)
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await codes.drop_all(tx, account.id)
            await sessions.end_clients(tx, account.id, "factor_enrolled", now, keep=caller.session.id)
            await events.record(tx, "factor_enrolled", now, account=account.id, factor="passkey")
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

    async def signed(self, account: Account, bound: Id, assertion: Assertion) -> Signed | None:
        """Return which of the account's passkeys signed for `bound`, or None."""
        t = self._t
        place = (await t.policy()).passkeys
        held = await stored.of_account(t.db, account.id)
        if place is None or not held:
            return None
        try:
            return await asyncio.to_thread(
                passkeys.signed, t.sealer, place, assertion.credential, held, bound=bound, now=t.clock.now()
            )
        except NotProved:
            return None
