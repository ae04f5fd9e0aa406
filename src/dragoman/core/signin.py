"""The gate: the one way in.

`with_password` and `with_code` are the two steps of every sign-in, whatever the dialect. Each reads what it needs,
verifies secrets outside any transaction, then decides in one transaction that keeps its evidence either way, and
raises after the commit. Only this file makes a `Grant`, without which no session is inserted (threat 1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from dragoman.core import (
    assertions,
    claims,
    devices,
    events,
    judgement,
    mailed_codes,
    paused,
    refusals,
    second_factor,
    trying,
)
from dragoman.core.assertions import Assertion
from dragoman.core.directory import REST_SECONDS, SYSTEM, Verdict
from dragoman.core.doors import Door
from dragoman.core.first_factor import FirstFactor, Look
from dragoman.core.limits import lane_of
from dragoman.core.linked import Linked
from dragoman.core.mailed_codes import MailedCodes
from dragoman.core.notices import Notices
from dragoman.core.passwords import rehash
from dragoman.core.ports import new_id
from dragoman.core.proofs import Proof
from dragoman.core.recovery import Recovery
from dragoman.core.refusals import Refusal
from dragoman.core.tickets import Purpose
from dragoman.core.tokens import ApiToken, Opaque
from dragoman.core.tools import Tools, client_token
from dragoman.core.trying import BY_DIRECTORY, Done, Paused, Try
from dragoman.model import (
    Account,
    Caller,
    ChildWish,
    Client,
    Grant,
    Id,
    Millis,
    Minted,
    NewKey,
    Password,
    Pending,
    Person,
    Session,
    SignedIn,
    Typed,
    Wish,
)
from dragoman.storage import accounts, attempts, counters, credentials, sessions
from dragoman.storage.attempts import Attempt
from dragoman.storage.engine import Tx

ATTEMPT_LIFE: Millis = 15 * 60_000
ATTEMPTS_KEPT = 5
CHILDREN_KEPT = 50
"""Live sessions that somebody may have opened below the own one; the oldest beyond are ended."""
UNPROVED = bytes(8)
"""Stands for the client of a proof of which nobody knows any more who gave it: no client is this one."""


class SignIn:
    """Signs people in. Every dialect, page and command goes through this object."""

    def __init__(self, tools: Tools, recovery: Recovery) -> None:
        self._t = tools
        self._recovery = recovery
        self._first = FirstFactor(tools)
        self._linked = Linked(tools)
        self._codes = MailedCodes(tools)
        self._notices = Notices(tools)

    # ------------------------------------------------------------ the two steps

    async def with_password(
        self, door: Door, typed: Typed, password: Password, client: Client, *, code: str | None = None,
        wish: Wish | None = None,
    ) -> SignedIn | Pending:  # fmt: skip
        """Sign in with an identifier and a password, and with a code where the whole login is sent again.

        Raises WrongPassword (UnknownAccount, NoPasswordSet where the door tells), AccountLocked, NetworkBlocked, Busy,
        Unavailable; after the right password NotActive, NotAdmitted, NotVerified, NoUsableFactor, WrongCode, CodeVoid,
        TooManyCodes.
        """
        look = await self._first.look_up(typed, client)
        await self._first.refuse_when_locked(door, look, client)
        name = None if typed.kind == "phone" else typed.text.strip()
        judged = await self._first.judge(door, look, name, password)
        match, said = judged.match, judged.said
        outcome: SignedIn | Pending | Refusal
        if said.entry is not None:
            outcome = await self._by_directory(door, said, client, code, wish or Wish())
            if not isinstance(outcome, Refusal) and match is None:
                self._t.background.start(self._linked.keep(outcome.person.account.id, password))
        elif said.unavailable:
            outcome = refusals.Unavailable(REST_SECONDS)
        elif not said.failure and look.account is not None and look.credential is not None and match is not None:
            seen = password.plain is None and not look.credential.digest_seen
            began = Try(
                door=door, client=client, wish=wish or Wish(), lane=look.lane, account=look.account,
                version=look.credential.version, methods="password", first_digest=seen,
            )  # fmt: skip
            outcome = await self._go_on(began, code)
            if isinstance(outcome, SignedIn) and match.outdated:
                self._t.background.start(rehash(self._t, look.account.id, look.credential, password))
        else:
            outcome = await self._first.refused(door, look, judged, client)
        if isinstance(outcome, Refusal):
            await self._first.even_out(judged)
            raise self._t.directory.veiled(outcome)
        return outcome

    async def with_code(self, door: Door, presented: str, code: str | Assertion, client: Client) -> SignedIn:
        """Finish a paused sign-in with a code of its second factor, or with what a passkey signed.

        `presented` is what `Pending.attempt` gave. Raises NoSuchAttempt (unknown, used up, out of time, another
        door's), AccountLocked, NetworkBlocked, WrongCode, CodeVoid, TooManyCodes, NotActive, NotAdmitted,
        NoUsableFactor, Unavailable.
        """
        waiting = await paused.find(self._t, door, presented)
        attempt, account, now = waiting.attempt, waiting.account, self._t.clock.now()
        lane = await lane_of(self._t.db, account.id, account.id, client, now)
        await self._first.refuse_when_locked(door, Look(account.id, account, None, lane), client)
        wish = msgspec.json.decode(attempt.wish, type=Wish)
        began = Try(
            door=door, client=client, wish=wish, lane=lane, account=account, version=attempt.version,
            methods=attempt.methods, attempt=waiting.handle,
        )  # fmt: skip
        outcome = await self._go_on(began, code)
        if isinstance(outcome, Refusal):
            raise outcome
        if isinstance(outcome, Pending):
            raise refusals.NoSuchAttempt
        return outcome

    # ------------------------------------------------------------ other proofs

    async def with_ticket(
        self, door: Door, purpose: Purpose, presented: str, client: Client, *, password: Password | None = None,
        wish: Wish | None = None, by: Caller | None = None,
    ) -> SignedIn | Pending:  # fmt: skip
        """Use a mailed link and sign its owner in: it stands for the password, never for the second factor.

        What the link is for is done all the same when a second factor is asked for, or the door does not admit the
        account. `by` is who is signed in already. Raises BadTicket, TicketExpired, PasswordNeeded, WeakPassword; then
        NotOffered where a directory answers for the account, NotActive, NotAdmitted, NotVerified, NoUsableFactor,
        Unavailable.
        """
        deed = await self._recovery.prepare(purpose, presented, client, password=password, door=door, by=by)
        proof = Proof(deed.account, "mail", deed.now, lambda tx: self._recovery.perform(tx, deed))
        return await self.with_proof(door, proof, client, wish=wish)

    async def with_proof(
        self, door: Door, proof: Proof, client: Client, *, code: str | None = None, wish: Wish | None = None
    ) -> SignedIn | Pending:
        """Sign in whom something else than a password proves: it stands for the password, never for the second factor.

        Raises what the proof refuses; then NotOffered where a directory answers for the account, NotFound where there
        is none any more, NotActive, NotAdmitted, NotVerified, NoUsableFactor, WrongCode, CodeVoid, TooManyCodes,
        Unavailable.
        """
        t, account = self._t, proof.account
        lane = await lane_of(t.db, account.id, account.id, client, proof.now)
        began = await self._ready(
            Try(
                door=door, client=client, wish=wish or Wish(), lane=lane, account=account, version=0,
                methods=proof.methods, now=proof.now,
            ),
            code,
        )  # fmt: skip

        async def fn(tx: Tx) -> tuple[Try, Done | Paused | Refusal]:
            refused = await proof.perform(tx)
            after = await accounts.by_id(tx, account.id)
            if refused is not None or after is None:
                return began, refused or refusals.NotFound()
            if await accounts.alias_of(tx, account.id, SYSTEM) is not None:
                return began, refusals.NotOffered()  # whoever has left the directory must not come back another way
            held = await credentials.find(tx, account.id, "password")
            going = replace(began, account=after, version=held.version if held else 0)
            return going, await self._admit(tx, going)

        return trying.outcome(t, *await t.db.transaction(fn))

    async def confirm(
        self, caller: Caller, password: Password, client: Client, *, of: Account | None = None
    ) -> None:  # fmt: skip
        """Prove the password once more within a session, whose proof is fresh from then on (decision 25).

        The same lanes, budgets and pool as for signing in; five misses in a row end the session (threat 21). Raises
        WrongPassword, AccountLocked, NetworkBlocked, Busy, Unavailable.

        :param of: another account, whose password it is: that proves nothing about the caller, and no proof is fresher.
        """
        t, account, session = self._t, of or caller.account, caller.session.id
        door = t.doors[caller.session.door]
        look = await self._first.again(account, client)
        await self._first.refuse_when_locked(door, look, client)
        judged = await self._first.judge(door, look, None, password)
        said, now = judged.said, t.clock.now()
        if said.unavailable:
            raise refusals.Unavailable(REST_SECONDS)
        if said.failure:
            refused = await self._first.refused(door, look, judged, client, session=session)
            await self._first.even_out(judged)
            raise refused if isinstance(refused, refusals.Waiting) else refusals.WrongPassword

        async def fn(tx: Tx) -> bool:
            held = await credentials.find(tx, account.id, "password")
            if said.entry is not None:
                if await accounts.alias_of(tx, account.id, SYSTEM) != said.entry.id:
                    return False
            elif held is None or look.credential is None or held.version != look.credential.version:
                return False
            if of is None:
                await counters.put(tx, "confirm", session, counters.EMPTY, now, account=account.id)
                await sessions.proved(tx, session, now, second_factor.client_print(client))
            return True

        if not await t.db.transaction(fn):
            raise refusals.WrongPassword

    async def derive(self, caller: Caller, client: Client) -> SignedIn:
        """Open another session like the caller's: same account, same proofs, same end, nothing more (decision 18).

        One that hangs on a parent takes the place of the caller's, since a parent has one child (decision 20). Raises
        NotForKeys, NotOffered at a door whose tokens are not opaque, NotSignedIn, Unavailable.
        """
        t, old, now = self._t, caller.session, self._t.clock.now()
        door = t.doors[old.door]
        form = judgement.derivable(door, old)
        id, (token, token_hash) = new_id(t.clock, t.random), t.tokens.draw(form)
        grant = Grant(
            id=id, account=old.account, organization=old.organization, door=old.door, kind=old.kind, parent=old.parent,
            token_use=old.token_use, token_hash=token_hash, sealed_token=None, created_at=now, idle=None, seed=None,
            ends_at=old.ends_at, client=client, methods=old.methods, proved_at=old.proved_at, key_id=None,
            name=None, device=None, proved_client=old.proved_client or UNPROVED, permissions=old.permissions,
        )  # fmt: skip

        async def fn(tx: Tx) -> Session | None:
            live = await sessions.caller_by_id(tx, old.id, now)
            if live is None or live.account.status != "active":
                return None
            session = await sessions.insert(tx, grant, second_factor.client_print(client))
            await events.record(
                tx, "signed_in", now, client=client, account=old.account, session=id, door=old.door,
                proof=old.methods, policy="derived",
            )  # fmt: skip
            if old.parent is not None:
                await sessions.end(tx, old.id, "replaced", now)
            await sessions.end_beyond_cap(tx, old.account, old.door, door.cap, now)
            return session

        session = await t.db.transaction(fn)
        if session is None:
            raise refusals.NotSignedIn
        return SignedIn(session, await t.people.of(caller.account), token, session.ends_at)

    async def child(self, caller: Caller, new: ChildWish, client: Client) -> SignedIn:
        """Open a session below the caller's own, for somebody else to hold: same account, same proofs, and nothing of
        it is fresh. It ends with its parent and holds to no more than its parent does (decisions 5 and 20).

        Raises NotForKeys, NotAllowed for a session that hangs on another one itself, NotOffered at a door whose tokens
        are not signed, FreshProofRequired, NotSignedIn, Unavailable.
        """
        t, old, now = self._t, caller.session, self._t.clock.now()
        door = t.doors[old.door]
        judgement.parental(door, old)
        fresh, id = (await t.policy()).remembered, new_id(t.clock, t.random)
        ends_at = now + (judgement.shorter(door.absolute, new.life) or new.life) * 1000
        grant = Grant(
            id=id, account=old.account, organization=old.organization, door=old.door, kind="client", parent=old.id,
            token_use=door.token.use, token_hash=None, sealed_token=None, created_at=now, idle=None, seed=None,
            ends_at=judgement.shorter(ends_at, old.ends_at), client=client, methods=old.methods,
            proved_at=old.proved_at, key_id=None, name=None, device=None, proved_client=UNPROVED,
            permissions=new.permissions,
        )  # fmt: skip

        async def fn(tx: Tx) -> Session | Refusal:
            live = await sessions.caller_by_id(tx, old.id, now)
            if live is None or live.account.status != "active":
                return refusals.NotSignedIn()
            if not judgement.is_fresh(live.session, second_factor.client_print(client), now, fresh):
                return refusals.FreshProofRequired()
            session = await sessions.insert(tx, grant, second_factor.client_print(client))
            await events.record(
                tx, "signed_in", now, client=client, account=old.account, session=id, door=old.door,
                proof=old.methods, policy="child",
            )  # fmt: skip
            await sessions.end_children_beyond(tx, old.id, CHILDREN_KEPT, now)
            return session

        session = await t.db.transaction(fn)
        if isinstance(session, Refusal):
            raise session
        person = await t.people.of(caller.account)
        more = {"claims": new.claims} if new.claims else None
        token, token_ends_at = client_token(t, door, session, person, "", more=more)
        return SignedIn(session, person, token, token_ends_at)

    async def mint(
        self, caller: Caller, form: Opaque | ApiToken, key: NewKey, client: Client,
        perform: Callable[[Tx], Awaitable[Refusal | None]],
    ) -> Minted:  # fmt: skip
        """Make a key of the caller's account: a session of its own that has no end, or the one given (decision 17).

        :param form: the form of its token, which names the door's use it is presented for.
        :param perform: what goes with it, in the transaction and before the key is there: it may refuse.

        Returns the key with its token, which is kept nowhere. Raises NotForKeys, FreshProofRequired, NotSignedIn, what
        `perform` refuses, Unavailable.
        """
        t, old, now = self._t, caller.session, self._t.clock.now()
        if old.narrow:
            raise refusals.NotForKeys
        fresh = (await t.policy()).remembered
        id, (token, token_hash) = new_id(t.clock, t.random), t.tokens.draw(form)
        sealed = sessions.seal_token(t.sealer, id, old.account, token) if isinstance(form, ApiToken) else None
        grant = Grant(
            id=id, account=old.account, organization=old.organization, door=old.door, kind="key", parent=None,
            token_use=form.use, token_hash=token_hash, sealed_token=sealed, created_at=now, idle=None,
            ends_at=None if key.life is None else now + key.life * 1000, client=client, methods=old.methods,
            proved_at=now, seed=None, key_id=None, name=key.name, device=None, hint=token[-trying.HINT_LENGTH:],
            bypass=key.bypass, permissions=key.permissions,
        )  # fmt: skip

        async def fn(tx: Tx) -> Session | Refusal:
            live = await sessions.caller_by_id(tx, old.id, now)
            if live is None or live.account.status != "active":
                return refusals.NotSignedIn()
            if not judgement.is_fresh(live.session, second_factor.client_print(client), now, fresh):
                return refusals.FreshProofRequired()
            refused = claims.planting(await accounts.person(tx, live.account)) or await perform(tx)
            if refused is not None:
                return refused
            session = await sessions.insert(tx, grant, second_factor.client_print(client))
            await events.record(
                tx, "signed_in", now, client=client, account=old.account, session=id, door=old.door,
                proof=old.methods, policy="key",
            )  # fmt: skip
            return session

        session = await t.db.transaction(fn)
        if isinstance(session, Refusal):
            raise session
        return Minted(session, token)

    # ------------------------------------------------------------ the decision, in one transaction

    async def _go_on(self, began: Try, code: str | Assertion | None) -> SignedIn | Pending | Refusal:
        """Make ready, decide inside one transaction, then shape the outcome."""
        began = await self._ready(replace(began, now=self._t.clock.now()), code)
        done = await self._t.db.transaction(lambda tx: self._decide(tx, began))
        if isinstance(done, refusals.TooManyCodes):
            self._t.tally.locked_out(f"{began.lane.scope}-codes", began.door.name, began.client, began.account.id)
        return done if isinstance(done, Refusal) else trying.outcome(self._t, began, done)

    async def _ready(self, began: Try, code: str | Assertion | None) -> Try:
        """Draw what is random, compare the code, and write the letters that may have to go out."""
        t, account, now = self._t, began.account, began.now
        prepared = closing = None
        if isinstance(code, Assertion):
            signed = await assertions.signed(t, account, began.attempt or b"", code)
            prepared = second_factor.Code(None, (), (), second_factor.client_print(began.client), signed)
        elif code is not None:
            prepared = await second_factor.prepare(
                t.db,
                t.sealer,
                account.id,
                door=began.door,
                code=code,
                client=began.client,
                now=now,
                steps=(await t.policy()).totp_steps,
            )
        if prepared is not None and prepared.step is None and prepared.passkey is None:
            closing = await self._notices.codes_closing(began.lane, account, began.door.name)
        return replace(
            began, code=prepared, draft=await trying.draw(t, self._codes, began.door, account, now),
            arrival=await self._notices.arrival(account, began.lane, began.client), closing=closing,
            sighting=devices.sighted(t, account.id, began.wish.device, began.client),
        )  # fmt: skip

    async def _by_directory(
        self, door: Door, said: Verdict, client: Client, code: str | None, wish: Wish
    ) -> SignedIn | Pending | Refusal:
        """Go on with whom the directory proved; once more where somebody else made the account meanwhile."""
        t, outcome = self._t, None
        for _ in range(2):
            if said.entry is None or not (outcome is None or isinstance(outcome, refusals.Busy)):
                break
            plan = await self._linked.plan(said.entry)
            known = None if plan.way == "new" else plan.account.id
            began = Try(
                door=door, client=client, wish=wish, account=plan.account, version=BY_DIRECTORY, methods=SYSTEM,
                lane=await lane_of(t.db, plan.subject, known, client, t.clock.now()), plan=plan,
            )  # fmt: skip
            outcome = await self._go_on(began, code)
        return outcome or refusals.WrongPassword()

    async def _decide(self, tx: Tx, began: Try) -> Done | Paused | Refusal:
        """Judge again what may have changed, then status, admission and second factor, then grant (design 3)."""
        account = await accounts.by_id(tx, began.account.id)
        held = await credentials.find(tx, began.account.id, "password")
        judged = await self._t.limits.judge(tx, began.lane, began.client, began.account.id, began.now)
        if judged.network_wait:
            return refusals.NetworkBlocked(judged.network_wait)
        if judged.lane_wait:
            return refusals.AccountLocked(judged.lane_wait)
        if began.plan is not None:
            taken = await self._linked.take_in(tx, began.plan, began.client, began.door.name)
            return taken if isinstance(taken, Refusal) else await self._admit(tx, replace(began, account=taken))
        version = BY_DIRECTORY if began.version == BY_DIRECTORY else held.version if held else 0
        if account is None or (account.auth_epoch, version) != (began.account.auth_epoch, began.version):
            return refusals.WrongPassword() if began.attempt is None else refusals.NoSuchAttempt()
        return await self._admit(tx, replace(began, account=account))

    async def _admit(self, tx: Tx, began: Try) -> Done | Paused | Refusal:
        """Judge status, admission and second factor of somebody whose first factor holds, then grant."""
        person = await accounts.person(tx, began.account)
        offers = await self._codes.offers(tx, began.door, person, began.draft.way, began.now)
        refused = judgement.unfit(began.door, person, offers, began.now, self._t.latest().wants_verified)
        if refused is not None:
            await self._note(tx, began, "sign_in_refused", reason=type(refused).__name__)
            return refused
        methods = began.methods
        if (person.has_second_factor or judgement.must_enrol(person, began.now)) and began.door.asks_factors:
            if began.code is None:
                return await self._pause(tx, began, person, offers)
            proof = await self._spend(tx, began, person, offers)
            if isinstance(proof, Refusal):
                return proof
            methods = f"{methods},{proof.method}"
        return await self._grant(tx, began, person, methods)

    async def _pause(self, tx: Tx, began: Try, person: Person, offers: tuple[str, ...]) -> Paused:
        ends_at = began.now + ATTEMPT_LIFE
        if began.door.attempt != "repeat":
            wish = msgspec.json.encode(began.wish).decode()
            paused = Attempt(
                began.account.id, began.door.name, began.methods, began.account.auth_epoch, began.version, 0, wish,
                began.now, ends_at,
            )  # fmt: skip
            await attempts.insert(tx, sha256(began.draft.handle).digest(), paused, ATTEMPTS_KEPT)
        mailed = await self._codes.at_pause(
            tx, began.draft.way, offers, person.account, door=began.door, client=began.client, known=began.lane.known,
            now=began.now,
        )  # fmt: skip
        sent = mailed is not None and mailed.sent
        await self._note(tx, began, "second_factor_asked", mailed="yes" if sent else "no")
        return Paused(person, offers, ends_at, mailed)

    async def _spend(
        self, tx: Tx, began: Try, person: Person, offers: tuple[str, ...]
    ) -> second_factor.Proof | Refusal:
        """Spend the code, or count it as wrong in its lane, its network and its attempt (table D)."""
        limits, account, door, way, now = self._t.limits, person.account, began.door, began.draft.way, began.now
        waiting = await limits.judge_code(tx, began.lane, began.client, now)
        if waiting:
            await self._notices.codes_closed(tx, began.closing, began.lane, now)
            return refusals.TooManyCodes(waiting, person, offers)
        if began.attempt is not None and await attempts.find(tx, began.attempt) is None:
            return refusals.NoSuchAttempt()
        proof = None
        if began.code is not None:
            proof = await second_factor.accept(tx, account, began.code, door, now, offers=offers, way=way)
        if proof is not None:
            if began.attempt is not None:
                await attempts.take(tx, began.attempt)
            return proof
        await limits.code_failed(tx, began.lane, began.client, account.id, now)
        await self._notices.codes_closed(tx, began.closing, began.lane, now)
        await self._note(tx, began, "code_refused")
        if began.attempt is not None:
            wrong = await attempts.count_wrong(tx, began.attempt)
            if wrong >= limits.budgets.codes_per_attempt:
                await attempts.take(tx, began.attempt)
        if way is None or "email" not in offers:
            return refusals.WrongCode(person, offers)
        mailed, void = await mailed_codes.missed(tx, account, door, way, now, most=limits.budgets.codes_per_attempt)
        return (refusals.CodeVoid if void else refusals.WrongCode)(person, offers, mailed)

    async def _grant(self, tx: Tx, began: Try, person: Person, methods: str) -> Done:
        """Insert the session with all that goes with it. `_derive`, `_mint` and `derive` copy what was granted here."""
        door, draft, now, account = began.door, began.draft, began.now, person.account
        absolute = judgement.shorter(door.absolute, began.wish.life)
        grant = Grant(
            id=draft.session, account=account.id, organization=account.organization, door=door.name, kind="client",
            parent=None, token_use=door.token.use, token_hash=draft.token_hash, sealed_token=None, created_at=now,
            idle=None if door.idle is None else door.idle * 1000,
            ends_at=None if absolute is None else now + absolute * 1000, client=began.client, methods=methods,
            proved_at=now, seed=draft.seed if door.refreshes else None, key_id=draft.key_id, name=None,
            device=began.wish.device,
            device_id=await devices.note(tx, account.id, began.sighting, began.client, now),
        )  # fmt: skip
        print_of_client = second_factor.client_print(began.client)
        session = await sessions.insert(tx, grant, print_of_client)
        await self._note(tx, began, "signed_in", session.id, proof=methods, policy="client")
        child = await self._derive(tx, began, grant, print_of_client)
        key = await self._mint(tx, began, grant, print_of_client)
        if began.wish.end_others:
            await sessions.end_clients(tx, account.id, "others", now, keep=session.id)
        await sessions.end_beyond_cap(tx, account.id, door.name, door.cap, now)
        await self._notices.arrived(tx, began.arrival, began.client, now)
        await self._t.limits.signed_in(tx, began.lane, began.client, account.id, now)
        await accounts.signed_in(tx, account.id, now)
        if began.first_digest:
            await credentials.saw_digest(tx, account.id)
        marked = door.marks and began.lane.scope != "mark"
        if marked:
            await counters.put_mark(tx, sha256(draft.mark.encode()).digest(), account.id, now)
        elif began.client.mark is not None and began.lane.scope == "mark":
            await counters.touch_mark(tx, began.client.mark, now)
        return Done(person, session, child, key, marked)

    async def _derive(self, tx: Tx, began: Try, parent: Grant, print_of_client: bytes) -> Session | None:
        """Open the child session that the door asks for: it ends with its parent and proves no more (decision 20)."""
        door = self._t.doors.get(began.door.child or "")
        if door is None or began.draft.child_hash is None:
            return None
        grant = replace(
            parent, id=began.draft.child, door=door.name, parent=parent.id, token_use=door.token.use,
            token_hash=began.draft.child_hash, idle=None, seed=None, key_id=None, device=None, device_id=None,
        )  # fmt: skip
        child = await sessions.insert(tx, grant, print_of_client)
        await self._note(tx, began, "signed_in", child.id, proof=parent.methods, policy="child")
        return child

    async def _mint(self, tx: Tx, began: Try, by: Grant, print_of_client: bytes) -> tuple[Id, bytes] | None:
        """Return the account's key for a door that shows one with each sign-in, made at the first (decision 22)."""
        form, draft = began.door.key, began.draft
        if form is None:
            return None
        held = await sessions.live_key(tx, by.account, form.use, began.now)
        if held is not None or not draft.key_hash:
            return held
        grant = replace(
            by, id=draft.key, kind="key", token_use=form.use, token_hash=draft.key_hash,
            sealed_token=draft.key_sealed, idle=None, ends_at=None, seed=None, key_id=None, name=form.use, device=None,
            device_id=None, hint=draft.key_hint,
        )  # fmt: skip
        await sessions.insert(tx, grant, print_of_client)
        await self._note(tx, began, "signed_in", grant.id, proof=by.methods, policy="key")
        return grant.id, draft.key_sealed

    async def _note(self, tx: Tx, began: Try, kind: events.Kind, session: Id | None = None, **detail: str) -> None:
        await events.record(
            tx, kind, began.now, client=began.client, account=began.account.id, session=session,
            door=began.door.name, **detail,
        )  # fmt: skip
