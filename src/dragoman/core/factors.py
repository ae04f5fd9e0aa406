"""Second factors of an account: enrolling and removing TOTP with its recovery codes."""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import events, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.notices import Notices
from dragoman.core.tools import Tools
from dragoman.model import Account, Secret
from dragoman.storage import accounts, attempts, credentials, sessions
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

    async def enable_totp(self, account: Account) -> Enrolled:
        """Enrol TOTP for an account: a new seed and twelve recovery codes, in force at once.

        Ends every client session and attempt of the account, in all dialects (table C, threat 10). Raises
        AlreadyEnrolled.
        """
        t, now = self._t, self._t.clock.now()
        person = await t.people.of(account)
        seed = totp.new_seed(t.random)
        codes = recovery_codes.draw(t.random)
        sealed = credentials.seal(t.sealer, account.id, "totp", seed)
        macs = recovery_codes.macs(t.sealer, account.id, codes)
        notice = await self._notices.draft("factor_added", person, factor="totp")

        async def fn(tx: Tx) -> bool:
            if await credentials.find(tx, account.id, "totp") is not None:
                return False
            await credentials.put(tx, account.id, "totp", scheme="totp", sealed=sealed, now=now)
            await credentials.put_recovery_codes(tx, account.id, macs)
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await sessions.end_clients(tx, account.id, "factor_enrolled", now)
            await events.record(tx, "factor_enrolled", now, account=account.id, factor="totp")
            await self._notices.put(tx, notice, now)
            return True

        if not await t.db.transaction(fn):
            raise refusals.AlreadyEnrolled
        url = totp.otpauth_url(seed, person.email or person.username, self._issuer)
        return Enrolled(Secret(totp.secret_text(seed)), Secret(url), tuple(Secret(c) for c in codes))

    async def disable_totp(self, account: Account) -> None:
        """Remove TOTP and the recovery codes on behalf of the owner: an operator's act.

        Ends every client session of the account (table C, "removed by somebody else"). Raises NotEnrolled.
        """
        now = self._t.clock.now()
        notice = await self._notices.draft("factor_removed", await self._t.people.of(account), factor="totp")

        async def fn(tx: Tx) -> bool:
            removed = await credentials.drop(tx, account.id, "totp")
            if removed:
                await credentials.put_recovery_codes(tx, account.id, ())
                await accounts.raise_epoch(tx, account.id, now)
                await attempts.drop_all(tx, account.id)
                await sessions.end_clients(tx, account.id, "factor_removed", now)
                await events.record(tx, "factor_removed", now, account=account.id, factor="totp", by="operator")
                await self._notices.put(tx, notice, now)
            return removed

        if not await self._t.db.transaction(fn):
            raise refusals.NotEnrolled
