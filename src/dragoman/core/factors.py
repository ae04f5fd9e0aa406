"""Second factors of an account: enrolling and removing TOTP, codes by mail, and the recovery codes beside them."""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import claims, events, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.doors import Door
from dragoman.core.mailed_codes import MailedCodes
from dragoman.core.notices import Notices
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import SECOND_FACTORS, Account, Client, Id, Millis, Secret, Typed
from dragoman.storage import accounts, attempts, codes, credentials, sessions
from dragoman.storage.engine import Tx


class Enrolled(Struct, frozen=True):
    """What the owner must be shown once."""

    seed: Secret
    """Base32, for typing by hand."""
    url: Secret
    """otpauth:// URL, for a QR code."""
    recovery_codes: tuple[Secret, ...]


class Factors:
    """Enrols and removes second factors."""

    def __init__(self, tools: Tools, issuer: str) -> None:
        self._t = tools
        self._notices = Notices(tools)
        self._issuer = issuer
        self._codes = MailedCodes(tools)

    async def mail_code(self, door: Door, typed: Typed, client: Client) -> None:
        """Mail a new code for a sign-in at this door to whoever enrolled that; alike for everybody else.

        Nothing is returned or raised that tells whether it was sent (threat 36).
        """
        await self._codes.request(door, typed, client)

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
            await _replaced(tx, account.id, "factor_enrolled", now)
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
        """Enrol codes by mail for an account, in force at once (decision 9).

        They go to its first address that is vouched or verified. Ends what enrolling TOTP ends.

        :param recovery: whether recovery codes are wanted too; they are drawn if the account has none.

        Returns the recovery codes drawn, for the owner to be shown once. Raises NotOffered (switched off, no mailer),
        VerificationRequired (no such address), AlreadyEnrolled.
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
            person = await accounts.person(tx, account)
            if person.proved_email is None:
                return refusals.VerificationRequired("the account has no e-mail address that is vouched or verified")
            if "email" in person.factors:
                return refusals.AlreadyEnrolled()
            await credentials.put(tx, account.id, "email", scheme="email", sealed=sealed, now=now)
            fresh = recovery and "recovery" not in person.factors
            if fresh:
                await credentials.put_recovery_codes(tx, account.id, macs)
            await _replaced(tx, account.id, "factor_enrolled", now)
            await events.record(tx, "factor_enrolled", now, account=account.id, factor="email")
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

    async def _disable(self, account: Account, factor: str) -> None:
        now = self._t.clock.now()
        notice = await self._notices.draft("factor_removed", await self._t.people.of(account), factor=factor)

        async def fn(tx: Tx) -> bool:
            if not await credentials.drop(tx, account.id, factor):
                return False
            if SECOND_FACTORS.isdisjoint((await accounts.person(tx, account)).factors):
                await credentials.put_recovery_codes(tx, account.id, ())
            await _replaced(tx, account.id, "factor_removed", now)
            await events.record(tx, "factor_removed", now, account=account.id, factor=factor, by="operator")
            await self._notices.put(tx, notice, now)
            return True

        if not await self._t.db.transaction(fn):
            raise refusals.NotEnrolled


async def _replaced(tx: Tx, account: Id, why: str, now: Millis) -> None:
    """End what was begun under the factors before: paused sign-ins, codes that are out, client sessions (table C)."""
    await accounts.raise_epoch(tx, account, now)
    await attempts.drop_all(tx, account)
    await codes.drop_all(tx, account)
    await sessions.end_clients(tx, account, why, now)
