"""Second factors of an account: enrolling and removing TOTP, codes by mail, and the recovery codes beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from dragoman.core import claims, events, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.doors import Door
from dragoman.core.mailed_codes import MailedCodes
from dragoman.core.notices import Notices
from dragoman.core.organizations import may_manage, may_see
from dragoman.core.proving import Proving
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import SECOND_FACTORS, Account, Caller, Client, Id, Millis, Secret, Typed
from dragoman.storage import accounts, attempts, codes, credentials, sessions
from dragoman.storage.engine import Reader, Tx

MANAGES_FACTORS = 254
"""The rank from which others' factors are removed (threat 30)."""


class Enrolled(Struct, frozen=True):
    """What the owner must be shown once."""

    seed: Secret
    """Base32, for typing by hand."""
    url: Secret
    """otpauth:// URL, for a QR code."""
    recovery_codes: tuple[Secret, ...]


class Factors:
    """Enrols and removes second factors."""

    def __init__(self, tools: Tools, proving: Proving, issuer: str) -> None:
        self._t = tools
        self._proving = proving
        self._notices = Notices(tools)
        self._issuer = issuer
        self._codes = MailedCodes(tools)

    async def mail_code(self, door: Door, typed: Typed, client: Client) -> None:
        """Mail a new code for a sign-in at this door to whoever enrolled that; alike for everybody else.

        Nothing is returned or raised that tells whether it was sent (threat 36).
        """
        await self._codes.request(door, typed, client)

    async def mail_code_again(self, door: Door, presented: str, client: Client) -> None:
        """Mail another code for a paused sign-in, in the place of the one before, as often as the budget allows.

        :param presented: what `Pending.attempt` gave.

        Raises NoSuchAttempt, NotOffered where no code by mail is asked for.
        """
        await self._codes.again(door, presented, client)

    async def enable_totp(self, account: Account) -> Enrolled:
        """Enrol TOTP for an account: a new seed and twelve recovery codes, in force at once.

        Ends every client session and attempt of the account, in all dialects (table C, threat 10). Raises
        AlreadyEnrolled; VerificationRequired while the account only claims its addresses (decision 15).
        """
        t, now = self._t, self._t.clock.now()
        person = await t.people.of(account)
        seed = totp.new_seed(t.random)
        drawn = recovery_codes.draw(t.random)
        sealed = credentials.seal(t.sealer, account.id, "totp", seed)
        macs = recovery_codes.macs(t.sealer, account.id, drawn)
        notice = await self._notices.draft("factor_added", person, factor="totp")

        async def fn(tx: Tx) -> bool | Refusal:
            refused = claims.planting(await accounts.person(tx, account))
            if refused is not None:
                return refused
            if await credentials.find(tx, account.id, "totp") is not None:
                return False
            await credentials.put(tx, account.id, "totp", scheme="totp", sealed=sealed, now=now)
            await credentials.put_recovery_codes(tx, account.id, macs)
            await replaced(tx, account.id, "factor_enrolled", now)
            await events.record(tx, "factor_enrolled", now, account=account.id, factor="totp")
            await self._notices.put(tx, notice, now)
            return True

        enrolled = await t.db.transaction(fn)
        if isinstance(enrolled, Refusal):
            raise enrolled
        if not enrolled:
            raise refusals.AlreadyEnrolled
        url = totp.otpauth_url(seed, person.email or person.username, self._issuer)
        return Enrolled(Secret(totp.secret_text(seed)), Secret(url), tuple(Secret(c) for c in drawn))

    async def enable_email(self, account: Account, *, recovery: bool = False) -> tuple[Secret, ...]:
        """Enrol codes by mail for an account, in force at once (decision 9): an operator's act.

        They go to its first address that is vouched or verified. Ends what enrolling TOTP ends.

        :param recovery: whether recovery codes are wanted too; they are drawn if the account has none.

        Returns the recovery codes drawn, for the owner to be shown once. Raises NotOffered (switched off, no mailer),
        VerificationRequired (no such address), AlreadyEnrolled.
        """
        now = self._t.clock.now()

        async def noted(tx: Tx) -> None:
            await events.record(tx, "factor_enrolled", now, account=account.id, factor="email")

        return await self.enrol_email(account, recovery=recovery, noted=noted)

    async def enrol_email(
        self, account: Account, *, recovery: bool, noted: Callable[[Tx], Awaitable[None]],
        judged: Callable[[Tx], Awaitable[Refusal | None]] | None = None, keep: Id | None = None,
    ) -> tuple[Secret, ...]:  # fmt: skip
        """Do what `enable_email` says, for whoever asks.

        :param noted: writes the event.
        :param judged: judges within the transaction whether who asks may.
        :param keep: the session that stays.
        """
        t, now = self._t, self._t.clock.now()
        policy = await t.policy()
        if not policy.mail.enabled or not policy.email_codes:
            raise refusals.NotOffered("codes by mail need a mailer (mail.transport) and accounts.email_codes")
        drawn = recovery_codes.draw(t.random)
        sealed = credentials.seal(t.sealer, account.id, "email", b"")
        macs = recovery_codes.macs(t.sealer, account.id, drawn)
        notice = await self._notices.draft("factor_added", await t.people.of(account), factor="email")

        async def fn(tx: Tx) -> bool | Refusal:
            refused = await judged(tx) if judged is not None else None
            if refused is not None:
                return refused
            person = await accounts.person(tx, account)
            if person.proved_email is None:
                return refusals.VerificationRequired("the account has no e-mail address that is vouched or verified")
            if "email" in person.factors:
                return refusals.AlreadyEnrolled()
            await credentials.put(tx, account.id, "email", scheme="email", sealed=sealed, now=now)
            fresh = recovery and "recovery" not in person.factors
            if fresh:
                await credentials.put_recovery_codes(tx, account.id, macs)
            await replaced(tx, account.id, "factor_enrolled", now, keep=keep)
            await noted(tx)
            await self._notices.put(tx, notice, now)
            return fresh

        outcome = await t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return tuple(Secret(c) for c in drawn) if outcome else ()

    async def disable_totp(self, account: Account) -> None:
        """Remove TOTP on behalf of the owner: an operator's act. The recovery codes go with the last factor.

        Ends every client session of the account (table C, "removed by somebody else"). Raises NotEnrolled.
        """
        await self._disable(account, "totp")

    async def disable_email(self, account: Account) -> None:
        """Remove codes by mail on behalf of the owner, as `disable_totp` does. Raises NotEnrolled."""
        await self._disable(account, "email")

    async def remove(self, caller: Caller, target: Account, factor: str, client: Client) -> None:
        """Remove `totp` or `email` from somebody else's account, or from the caller's own where that lost the device.

        Every client session of the account ends, the caller's own too (table C, "removed by somebody else"); its owner
        is told. Others' are removed from rank 254 (threat 30). Raises NotForKeys, NotSignedIn, NotFound, NotAllowed,
        FreshProofRequired, NotEnrolled.
        """
        t, now = self._t, self._t.clock.now()
        remembered = (await t.policy()).remembered
        by = (await t.people.of(caller.account)).name

        async def judged(tx: Tx) -> Refusal | None:
            if not may_see(caller.account, target):
                return refusals.NotFound()
            if target.id != caller.account.id and not await _may_remove(tx, caller.account, target):
                return refusals.NotAllowed()
            return await self._proving.standing(tx, caller, client, now, remembered)

        await self._disable(target, factor, caller=caller, client=client, judged=judged, by=by)

    async def _disable(
        self, account: Account, factor: str, *, caller: Caller | None = None, client: Client | None = None,
        judged: Callable[[Tx], Awaitable[Refusal | None]] | None = None, by: str = "",
    ) -> None:  # fmt: skip
        now = self._t.clock.now()
        notice = await self._notices.draft("factor_removed", await self._t.people.of(account), factor=factor, by=by)

        async def fn(tx: Tx) -> Refusal | None:
            refused = await judged(tx) if judged is not None else None
            if refused is not None:
                return refused
            if not await credentials.drop(tx, account.id, factor):
                return refusals.NotEnrolled()
            if SECOND_FACTORS.isdisjoint((await accounts.person(tx, account)).factors):
                await credentials.put_recovery_codes(tx, account.id, ())
            await replaced(tx, account.id, "factor_removed", now)
            await events.record(
                tx, "factor_removed", now, client=client, account=account.id, factor=factor,
                by=caller.account.id.hex() if caller is not None else "operator",
            )  # fmt: skip
            await self._notices.put(tx, notice, now)
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused


async def replaced(tx: Tx, account: Id, why: str, now: Millis, *, keep: Id | None = None) -> None:
    """End what was begun under the factors before: paused sign-ins, codes that are out, client sessions (table C).

    :param keep: the session that stays, with its children.
    """
    await accounts.raise_epoch(tx, account, now)
    await attempts.drop_all(tx, account)
    await codes.drop_all(tx, account)
    await sessions.end_clients(tx, account, why, now, keep=keep)


async def _may_remove(db: Reader, caller: Account, target: Account) -> bool:
    """Tell whether somebody else's factor may be removed: by administrators, and from the rank that manages them."""
    if caller.administrator:
        return True
    return caller.rank >= MANAGES_FACTORS and await may_manage(db, caller, target)
