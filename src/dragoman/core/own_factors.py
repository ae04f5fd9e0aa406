"""Second factors by their owner: setting one up, with recovery codes beside it, replacing those, letting it go.

Setting up an authenticator app takes two steps, so that nobody is left with a factor that gives no right codes: what
the owner is shown at the first is in force only when a code of it has come (decision 25). Keys never do any of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from dragoman.core import claims, events, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.factors import Factors, drop, replaced
from dragoman.core.notices import Notices
from dragoman.core.proving import Proving, Ready
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import client_print
from dragoman.core.tickets import MINUTE
from dragoman.core.tools import Tools
from dragoman.model import SECOND_FACTORS, Account, Caller, Client, Millis, Person, Secret
from dragoman.storage import accounts, attempts, codes, credentials, documents, enrolments, sessions
from dragoman.storage.engine import Tx

SETUP_LIFE: Millis = 15 * MINUTE
PRIMARY = "factors.primary"
"""The document of an account that names the factor its owner wants to be asked for first."""
WRONG_CODES = 5
"""So many codes that are not of it, and what was begun is void."""


class Begun(Struct, frozen=True):
    """An authenticator app that is being set up: what its owner must be shown, of which nothing is in force yet."""

    seed: Secret
    """Base32, for typing by hand."""
    url: Secret
    """otpauth:// URL, for a QR code."""
    recovery_codes: tuple[Secret, ...]
    """They come into force with the app; `confirm_totp` returns them once more."""
    ends_at: Millis


class OwnFactors:
    """What the owner of an account does with its second factors."""

    def __init__(self, tools: Tools, proving: Proving, factors: Factors, issuer: str) -> None:
        self._t = tools
        self._proving = proving
        self._factors = factors
        self._notices = Notices(tools)
        self._issuer = issuer

    # ------------------------------------------------------------ setting up

    async def begin_totp(self, caller: Caller, client: Client) -> Begun:
        """Draw a seed and twelve recovery codes for the caller's app, in the place of what was begun before.

        Good for 15 minutes. Raises NotForKeys, NotSignedIn, FreshProofRequired, VerificationRequired (only claimed
        addresses, decision 15), AlreadyEnrolled.
        """
        t, account, now = self._t, caller.account, self._t.clock.now()
        person = await t.people.of(account)
        seed, drawn = totp.new_seed(t.random), recovery_codes.draw(t.random)
        sealed = enrolments.seal(t.sealer, account.id, "totp", seed + "".join(drawn).encode())
        remembered, ends_at = (await t.policy()).remembered, now + SETUP_LIFE

        async def fn(tx: Tx) -> Refusal | None:
            refused = await self._proving.standing(tx, caller, client, now, remembered)
            refused = refused or _unfit(await accounts.person(tx, account))
            if refused is None:
                await enrolments.put(tx, account.id, "totp", sealed=sealed, now=now, ends_at=ends_at)
            return refused

        await self._do(fn)
        url = totp.otpauth_url(seed, person.email or person.username, self._issuer)
        return Begun(Secret(totp.secret_text(seed)), Secret(url), tuple(map(Secret, drawn)), ends_at)

    async def confirm_totp(self, caller: Caller, code: str, client: Client) -> tuple[Secret, ...]:
        """Bring the app that was begun into force with a code of it; return its recovery codes, to be shown once.

        This client stays; every other client, attempt and code that is out ends, in all dialects; keys stay (table C,
        threat 10). The five recovery codes before are void. Raises NotForKeys, NotSignedIn, NotEnrolled (nothing was
        begun, or it is over), WrongCode, VerificationRequired, AlreadyEnrolled.
        """
        t, account, now = self._t, caller.account, self._t.clock.now()
        if caller.session.narrow:
            raise refusals.NotForKeys
        begun = await enrolments.find(t.db, account.id, "totp")
        if begun is None or begun.ends_at <= now or begun.wrong >= WRONG_CODES:
            raise refusals.NotEnrolled
        secret = enrolments.unseal(t.sealer, account.id, "totp", begun.sealed)
        seed, drawn = secret[: totp.SEED_SIZE], split_codes(secret[totp.SEED_SIZE :].decode())
        person = await t.people.of(account)
        step = totp.matching_step(seed, code, now, (await t.policy()).totp_steps)
        if step is None:
            await t.db.transaction(lambda tx: enrolments.count_wrong(tx, account.id, "totp", begun.sealed))
            raise refusals.WrongCode(person, ("totp",))
        sealed = credentials.seal(t.sealer, account.id, "totp", seed)
        macs = recovery_codes.macs(t.sealer, account.id, drawn)
        notice = await self._notices.draft("factor_added", person, factor="totp")

        async def fn(tx: Tx) -> Refusal | None:
            live = await sessions.caller_by_id(tx, caller.session.id, now)
            if live is None or live.account.status != "active":
                return refusals.NotSignedIn()
            refused = _unfit(await accounts.person(tx, account))
            if refused is not None:
                return refused
            if not await enrolments.take(tx, account.id, "totp", begun.sealed):
                return refusals.NotEnrolled()
            await credentials.put(tx, account.id, "totp", scheme="totp", sealed=sealed, now=now)
            await credentials.use_step(tx, account.id, step, client_print(client), now)
            await credentials.put_recovery_codes(tx, account.id, macs)
            await replaced(tx, account.id, "factor_enrolled", now, keep=caller.session.id)
            await sessions.proved(tx, caller.session.id, now, client_print(client))
            await _note(tx, "factor_enrolled", caller, now, client=client, factor="totp")
            await self._notices.put(tx, notice, now)
            return None

        await self._do(fn)
        return tuple(map(Secret, drawn))

    async def enable_email(self, caller: Caller, client: Client, *, recovery: bool = False) -> tuple[Secret, ...]:
        """Enrol codes by mail for the caller; what else ends, and what comes back, as for `Factors.enable_email`.

        This client stays. Raises NotForKeys, NotSignedIn, FreshProofRequired; then NotOffered, VerificationRequired,
        AlreadyEnrolled.
        """
        remembered, now = (await self._t.policy()).remembered, self._t.clock.now()
        return await self._factors.enrol_email(
            caller.account, recovery=recovery, keep=caller.session.id,
            judged=lambda tx: self._proving.standing(tx, caller, client, now, remembered),
            noted=lambda tx: _note(tx, "factor_enrolled", caller, now, client=client, factor="email"),
        )  # fmt: skip

    async def offered(self) -> tuple[bool, bool]:
        """Tell whether this installation offers codes by mail, and passkeys."""
        policy = await self._t.policy()
        return policy.mail.enabled and policy.email_codes, policy.passkeys is not None

    async def primary(self, account: Account) -> str | None:
        """Return the factor that the owner wants to be asked for first, if one was chosen."""
        held = await documents.find(self._t.db, account.id, PRIMARY)
        return None if held is None else str(msgspec.json.decode(held.body))

    async def choose_primary(self, caller: Caller, factor: str, client: Client) -> None:
        """Remember which enrolled factor clients ask for first. Raises NotForKeys, NotSignedIn, FreshProofRequired,
        NotEnrolled.
        """
        now, remembered = self._t.clock.now(), (await self._t.policy()).remembered
        body = msgspec.json.encode(factor).decode()

        async def fn(tx: Tx) -> Refusal | None:
            refused = await self._proving.standing(tx, caller, client, now, remembered)
            if refused is None and factor not in (await accounts.person(tx, caller.account)).factors:
                refused = refusals.NotEnrolled()
            if refused is None:
                await documents.put(tx, caller.account.id, PRIMARY, body, now)
            return refused

        await self._do(fn)

    # ------------------------------------------------------------ recovery codes

    async def codes_left(self, account: Account) -> int:
        """Return how many recovery codes are left. Raises NotEnrolled where no second factor asks for a code."""
        if not (await self._t.people.of(account)).has_second_factor:
            raise refusals.NotEnrolled
        return await credentials.recovery_codes_left(self._t.db, account.id)

    async def regenerate(self, caller: Caller, code: str, client: Client) -> tuple[Secret, ...]:
        """Replace the recovery codes, on a code of any second factor; return twelve new ones, to be shown once.

        Raises NotForKeys, NotEnrolled, and what `Proving.with_code` raises.
        """
        t, account = self._t, caller.account
        drawn = recovery_codes.draw(t.random)
        macs = recovery_codes.macs(t.sealer, account.id, drawn)

        async def fn(tx: Tx, ready: Ready) -> Refusal | None:
            await credentials.put_recovery_codes(tx, account.id, macs)
            await _note(tx, "factor_enrolled", caller, ready.now, client=client, factor="recovery")
            return None

        await self._on_code(caller, code, client, fn)
        return tuple(map(Secret, drawn))

    # ------------------------------------------------------------ letting go

    async def disable(self, caller: Caller, factor: str, client: Client, *, code: str | None = None) -> None:
        """Let go of `totp`, `email` or `passkey`; the recovery codes go with the last factor.

        Attempts and codes that are out end, clients stay.

        :param code: of any second factor; None where the wire has taken one in this call: then the proof must be fresh.

        Raises NotForKeys, NotSignedIn, NotEnrolled, NotAllowed for the last one where the organization wants one;
        FreshProofRequired, or what `Proving.with_code` raises.
        """
        t, account = self._t, caller.account
        notice = await self._notices.draft("factor_removed", await t.people.of(account), factor=factor)

        async def let_go(tx: Tx, now: Millis) -> Refusal | None:
            held = (await accounts.person(tx, account)).factors & SECOND_FACTORS
            if account.factor_from is not None and held <= {factor}:
                return refusals.NotAllowed()  # the organization wants one
            if not await drop(tx, account.id, factor):
                return refusals.NotEnrolled()
            if SECOND_FACTORS.isdisjoint((await accounts.person(tx, account)).factors):
                await credentials.put_recovery_codes(tx, account.id, ())
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await codes.drop_all(tx, account.id)
            await _note(tx, "factor_removed", caller, now, client=client, factor=factor)
            await self._notices.put(tx, notice, now)
            return None

        if code is not None:
            await self._on_code(caller, code, client, lambda tx, ready: let_go(tx, ready.now))
            return
        remembered, now = (await t.policy()).remembered, t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            refused = await self._proving.standing(tx, caller, client, now, remembered)
            return refused or await let_go(tx, now)

        await self._do(fn)

    # ------------------------------------------------------------ shared

    async def _on_code(
        self, caller: Caller, code: str, client: Client, act: Callable[[Tx, Ready], Awaitable[Refusal | None]]
    ) -> None:
        """Do something in the transaction that spends a code, or raise why not."""
        if caller.session.narrow:
            raise refusals.NotForKeys
        if not (await self._t.people.of(caller.account)).has_second_factor:
            raise refusals.NotEnrolled
        ready = await self._proving.ready(caller, code, client)

        async def fn(tx: Tx) -> Refusal | None:
            proof = await self._proving.spend(tx, ready)
            return proof if isinstance(proof, Refusal) else await act(tx, ready)

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise self._proving.told(refused, ready)

    async def _do(self, fn: Callable[[Tx], Awaitable[Refusal | None]]) -> None:
        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused


async def _note(tx: Tx, kind: events.Kind, by: Caller, now: Millis, *, client: Client, factor: str) -> None:
    session = by.session
    await events.record(
        tx, kind, now, client=client, account=session.account, session=session.id, door=session.door, factor=factor,
        by="owner",
    )  # fmt: skip


def _unfit(person: Person) -> Refusal | None:
    """Judge whether a person may have an app set up: not twice, and nothing while every address is merely claimed."""
    if "totp" in person.factors:
        return refusals.AlreadyEnrolled()
    return claims.planting(person)


def split_codes(joined: str) -> tuple[str, ...]:
    """Return the recovery codes that are stored as one text."""
    return tuple(
        joined[start : start + recovery_codes.LENGTH] for start in range(0, len(joined), recovery_codes.LENGTH)
    )
