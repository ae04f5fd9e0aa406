"""Second factors of an account: enrolling and removing TOTP, codes by mail, and the recovery codes beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from dragoman.core import claims, events, paused, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.doors import Door
from dragoman.core.mailed_codes import MailedCodes
from dragoman.core.notices import Notices
from dragoman.core.organizations import may_manage, may_see
from dragoman.core.proving import Proving
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import SECOND_FACTORS, Account, Caller, Client, Id, Millis, Person, Secret, Typed
from dragoman.storage import accounts, attempts, codes, credentials, passkeys, sessions
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

    async def remove(self, caller: Caller, target: Account, factors: Sequence[str], client: Client) -> None:
        """Remove these of `totp`, `email`, `passkey` from another's account, or from one's own without the device.

        Every client session of the account ends, the caller's own too (table C, "removed by somebody else"); its owner
        is told. Others' are removed from rank 254 (threat 30). Raises NotForKeys, NotSignedIn, NotFound, NotAllowed,
        FreshProofRequired, NotEnrolled.
        """
        t, now = self._t, self._t.clock.now()
        remembered = (await t.policy()).remembered
        by = (await t.people.of(caller.account)).name

        async def judged(tx: Tx) -> Refusal | None:
            own = target.id == caller.account.id
            if own and caller.account.factor_from is not None:
                return refusals.NotAllowed()  # the organization wants one
            if not may_see(caller.account, target):
                return refusals.NotFound()
            if not own and not await _may_remove(tx, caller.account, target):
                return refusals.NotAllowed()
            return await self._proving.standing(tx, caller, client, now, remembered)

        await self._disable(target, *factors, caller=caller, client=client, judged=judged, by=by)

    async def enforce(self, caller: Caller, wanted: bool, client: Client) -> Millis | None:
        """Say whether the caller's organization wants a second factor of its members (decision 4).

        They have `accounts.enrol_days` to enrol one. Then whoever has none is asked for it at the next sign-in, and
        chains are not refreshed. Returns from when on, None where none is wanted. Raises NotForKeys, NotSignedIn,
        NotAllowed below rank 254, FreshProofRequired.
        """
        t, now, account = self._t, self._t.clock.now(), caller.account
        policy = await t.policy()

        async def fn(tx: Tx) -> Refusal | Millis | None:
            live = await accounts.by_id(tx, account.id)
            if live is None or not (live.administrator or live.rank >= MANAGES_FACTORS):
                return refusals.NotAllowed()
            refused = await self._proving.standing(tx, caller, client, now, policy.remembered)
            if refused is not None:
                return refused
            since = (live.factor_from or now + policy.enrol_within) if wanted else None
            if since == live.factor_from:
                return since
            await accounts.set_factor_from(tx, live.organization, since)
            await events.record(
                tx, "organization_changed", now, client=client, account=account.id, session=caller.session.id,
                door=caller.session.door, what="second_factor", status="wanted" if wanted else "free",
            )  # fmt: skip
            return since

        outcome = await t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def waiting(self, door: Door, presented: str) -> Person:
        """Return whose sign-in waits for a second factor. Raises NoSuchAttempt."""
        return await self._t.people.of((await paused.find(self._t, door, presented)).account)

    async def code_of_link(self, token: str) -> str:
        """Return the code that a mailed link shows, for whoever opens it away from the sign-in; uses nothing up.

        Raises BadTicket, TicketExpired.
        """
        return await self._codes.of_link(token)

    async def _disable(
        self, account: Account, *factors: str, caller: Caller | None = None, client: Client | None = None,
        judged: Callable[[Tx], Awaitable[Refusal | None]] | None = None, by: str = "",
    ) -> None:  # fmt: skip
        now = self._t.clock.now()
        person = await self._t.people.of(account)
        notices = {
            factor: await self._notices.draft("factor_removed", person, factor=factor, by=by) for factor in factors
        }

        async def fn(tx: Tx) -> Refusal | None:
            refused = await judged(tx) if judged is not None else None
            if refused is not None:
                return refused
            gone = [factor for factor in factors if await drop(tx, account.id, factor)]
            if not gone:
                return refusals.NotEnrolled()
            if SECOND_FACTORS.isdisjoint((await accounts.person(tx, account)).factors):
                await credentials.put_recovery_codes(tx, account.id, ())
            await replaced(tx, account.id, "factor_removed", now)
            for factor in gone:
                await events.record(
                    tx, "factor_removed", now, client=client, account=account.id, factor=factor,
                    by=caller.account.id.hex() if caller is not None else "operator",
                )  # fmt: skip
                await self._notices.put(tx, notices[factor], now)
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused


async def drop(tx: Tx, account: Id, factor: str) -> bool:
    """Remove a factor with all that is kept of it; tell whether there was one."""
    if factor == "passkey":
        return await passkeys.drop_all(tx, account) > 0
    return await credentials.drop(tx, account, factor)


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
