"""Enrolling a second factor that the organization wants, while the sign-in waits for it (decision 4).

Whoever signs in has shown the password and nothing else. So a code goes to the proved address at that moment, and only
both together, the app's code and the mailed one, bring the app into force. Then one signs in anew, with it.
"""

from __future__ import annotations

from dragoman.core import events, identifiers, judgement, paused, ports, refusals
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.doors import Door
from dragoman.core.factors import replaced
from dragoman.core.limits import lane_of
from dragoman.core.mailed_codes import DIGITS, MINUTE, bound_to, candidates, mac_of
from dragoman.core.notices import Notices
from dragoman.core.own_factors import SETUP_LIFE, WRONG_CODES, Begun, split_codes
from dragoman.core.paused import PausedSignIn
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Client, Person, Secret
from dragoman.storage import accounts, attempts, codes, credentials, enrolments
from dragoman.storage.codes import Code
from dragoman.storage.engine import Tx

PURPOSE = "enrolment"
"""Of these codes among all that are stored."""


class Enrolment:
    """Sets up an authenticator app for somebody whose sign-in waits."""

    def __init__(self, tools: Tools, issuer: str) -> None:
        self._t = tools
        self._issuer = issuer
        self._notices = Notices(tools)

    async def begin(self, door: Door, presented: str, client: Client) -> Begun:
        """Draw a seed and recovery codes in the place of what was begun before, and mail the code that goes with them.

        Raises NoSuchAttempt, LimitedToken where nothing is to be enrolled, VerificationRequired without a proved
        address, NotOffered without a mailer, TooSoon.
        """
        t, now = self._t, self._t.clock.now()
        waiting, person = await self._waiting(door, presented)
        account, policy = waiting.account, await t.policy()
        to = person.proved_email
        if to is None:
            raise refusals.VerificationRequired("the account has no e-mail address that is vouched or verified")
        seed, drawn = totp.new_seed(t.random), recovery_codes.draw(t.random)
        sealed = enrolments.seal(t.sealer, account.id, "totp", seed + "".join(drawn).encode())
        mailed = ports.text(t.random, "0123456789", DIGITS)
        mac = mac_of(t.sealer, bound_to(account.id, f"{PURPOSE} {door.name}", mailed))
        letter = await t.letters.draft(
            "code", person, to, life=policy.code_life, code=mailed, minutes=str(policy.code_life // MINUTE)
        )
        if letter is None:
            raise refusals.NotOffered("enrolling needs a mailer (mail.transport)")
        destination = t.letters.destination(identifiers.fold("email", to))
        lane = await lane_of(t.db, account.id, account.id, client, now)
        ends_at = now + SETUP_LIFE

        async def fn(tx: Tx) -> int:
            wait = await t.limits.may_send(tx, destination, client, now, known=lane.known)
            if wait:
                return wait
            await enrolments.put(tx, account.id, "totp", sealed=sealed, now=now, ends_at=ends_at)
            code = Code(mac, str(account.auth_epoch), 0, now, now + policy.code_life)
            await codes.put(tx, account.id, PURPOSE, door.name, code)
            await t.letters.put(tx, now, letter)
            await events.record(
                tx, "second_factor_asked", now, client=client, account=account.id, door=door.name, mailed="yes"
            )
            return 0

        wait = await t.db.transaction(fn)
        if wait:
            raise refusals.TooSoon(wait)
        url = totp.otpauth_url(seed, person.email or person.username, self._issuer)
        return Begun(Secret(totp.secret_text(seed)), Secret(url), tuple(map(Secret, drawn)), ends_at)

    async def confirm(
        self, door: Door, presented: str, code: str, mailed: str, client: Client
    ) -> tuple[Secret, ...]:  # fmt: skip
        """Bring the app into force with a code of it and the mailed one; return its recovery codes.

        Every client, attempt and code of the account ends: the next sign-in asks for the app. Raises NoSuchAttempt,
        LimitedToken, NotEnrolled (nothing was begun, or it is over), WrongCode.
        """
        t, now = self._t, self._t.clock.now()
        waiting, person = await self._waiting(door, presented)
        account = waiting.account
        begun = await enrolments.find(t.db, account.id, "totp")
        if begun is None or begun.ends_at <= now or begun.wrong >= WRONG_CODES:
            raise refusals.NotEnrolled
        secret = enrolments.unseal(t.sealer, account.id, "totp", begun.sealed)
        seed, drawn = secret[: totp.SEED_SIZE], split_codes(secret[totp.SEED_SIZE :].decode())
        step = totp.matching_step(seed, code, now)
        wanted = candidates(t.sealer, account.id, f"{PURPOSE} {door.name}", mailed)
        sealed = credentials.seal(t.sealer, account.id, "totp", seed)
        macs = recovery_codes.macs(t.sealer, account.id, drawn)
        notice = await self._notices.draft("factor_added", person, factor="totp")

        async def fn(tx: Tx) -> Refusal | None:
            out = await codes.find(tx, account.id, PURPOSE, door.name)
            right = out is not None and out.about == str(account.auth_epoch) and out.ends_at > now and out.mac in wanted
            if step is None or not right:
                await enrolments.count_wrong(tx, account.id, "totp", begun.sealed)
                return refusals.WrongCode(person, ("totp",))
            if await attempts.find(tx, waiting.handle) is None:
                return refusals.NoSuchAttempt()
            if not await enrolments.take(tx, account.id, "totp", begun.sealed):
                return refusals.NotEnrolled()
            await credentials.put(tx, account.id, "totp", scheme="totp", sealed=sealed, now=now)
            await credentials.put_recovery_codes(tx, account.id, macs)
            await replaced(tx, account.id, "factor_enrolled", now)
            await events.record(
                tx, "factor_enrolled", now, client=client, account=account.id, door=door.name, factor="totp", by="owner"
            )
            await self._notices.put(tx, notice, now)
            return None

        refused = await t.db.transaction(fn)
        if refused is not None:
            raise refused
        return tuple(map(Secret, drawn))

    async def _waiting(self, door: Door, presented: str) -> tuple[PausedSignIn, Person]:
        waiting = await paused.find(self._t, door, presented)
        person = await accounts.person(self._t.db, waiting.account)
        if not judgement.must_enrol(person, self._t.clock.now()):
            raise refusals.LimitedToken
        return waiting, person
