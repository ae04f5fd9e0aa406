"""The gate: the one way in.

`with_password` and `with_code` are the two steps of every sign-in, whatever the dialect. Each reads what it needs,
verifies secrets outside any transaction, then decides in one transaction that keeps its evidence either way, and
raises after the commit. Only this file makes a `Grant`, without which no session is inserted (threat 1).
"""

from __future__ import annotations

from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import chain, events, judgement, mailed_codes, refusals, second_factor
from dragoman.core.directory import REST_SECONDS, SYSTEM, Verdict
from dragoman.core.doors import Door
from dragoman.core.first_factor import FirstFactor, Look
from dragoman.core.limits import Lane, lane_of
from dragoman.core.linked import Linked, Plan
from dragoman.core.mailed_codes import MailedCodes, Way
from dragoman.core.notices import Notice, Notices
from dragoman.core.passwords import rehash
from dragoman.core.ports import new_id
from dragoman.core.recovery import Recovery
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import Code
from dragoman.core.tickets import Purpose
from dragoman.core.tokens import Opaque, Signed
from dragoman.core.tools import Tools, attempt_hash, attempt_token, client_token
from dragoman.model import (
    Account,
    Caller,
    Client,
    Grant,
    Id,
    Mailed,
    Millis,
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
HANDLE_BYTES = 10
MARK_BYTES = 32
SEED_BYTES = 16
BY_DIRECTORY = -1
"""Stands for the version of a password that the directory proved: what may change meanwhile is the link, and with it
the account's epoch."""


class _Draft(Struct, frozen=True):
    """Everything random that the transaction may need, drawn before it (decision 30)."""

    session: Id
    child: Id
    key: Id
    token: str
    token_hash: bytes | None
    child_token: str
    child_hash: bytes | None
    key_hash: bytes
    key_sealed: bytes
    handle: bytes
    """What the attempt is found by: 16 bytes in a limited token, else 20 hex characters."""
    mark: str
    seed: bytes
    key_id: int | None
    way: Way | None = None
    """How a code gets to the owner by mail, with the next one; None where no code can."""


_NOTHING_DRAWN = _Draft(b"", b"", b"", "", None, "", None, b"", b"", b"", "", b"", None)


class _Try(Struct, frozen=True):
    """One sign-in whose first factor was proved: what was verified, and by whom."""

    door: Door
    client: Client
    wish: Wish
    lane: Lane
    account: Account
    version: int
    """Of the password that was verified (threat 3); 0 where the account has none and something else was proved,
    BY_DIRECTORY where a directory proved it."""
    methods: str
    attempt: bytes | None = None
    """SHA-256 of the attempt's handle, where one was paused."""
    first_digest: bool = False
    """The account sends its password as a digest for the first time."""
    now: Millis = 0
    code: Code | None = None
    draft: _Draft = _NOTHING_DRAWN
    plan: Plan | None = None
    """Whose entry the directory proved, to be taken in within the transaction."""
    arrival: Notice | None = None
    """Tells the owner of a sign-in from an unknown network."""
    closing: Notice | None = None
    """Tells the owner that the lane takes no more codes."""


class _Done(Struct, frozen=True):
    """What was committed for a finished sign-in."""

    person: Person
    session: Session
    child: Session | None
    key: tuple[Id, bytes] | None
    marked: bool


class _Waiting(Struct, frozen=True):
    """What was committed for a sign-in that needs a code."""

    person: Person
    offers: tuple[str, ...]
    ends_at: Millis
    mailed: Mailed | None


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
            began = _Try(
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

    async def with_code(self, door: Door, presented: str, code: str, client: Client) -> SignedIn:
        """Finish a paused sign-in with a code of its second factor.

        `presented` is what `Pending.attempt` gave. Raises NoSuchAttempt (unknown, used up, out of time, another
        door's), AccountLocked, NetworkBlocked, WrongCode, CodeVoid, TooManyCodes, NotActive, NotAdmitted,
        NoUsableFactor, Unavailable.
        """
        handle = attempt_hash(self._t, door, presented)
        attempt = await attempts.find(self._t.db, handle)
        now = self._t.clock.now()
        if attempt is None or attempt.door != door.name or attempt.ends_at <= now:
            raise refusals.NoSuchAttempt
        account = await accounts.by_id(self._t.db, attempt.account)
        if account is None or account.auth_epoch != attempt.auth_epoch:
            raise refusals.NoSuchAttempt
        lane = await lane_of(self._t.db, account.id, account.id, client, now)
        await self._first.refuse_when_locked(door, Look(account.id, account, None, lane), client)
        wish = msgspec.json.decode(attempt.wish, type=Wish)
        began = _Try(
            door=door, client=client, wish=wish, lane=lane, account=account, version=attempt.version,
            methods=attempt.methods, attempt=handle,
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
        wish: Wish | None = None,
    ) -> SignedIn | Pending:  # fmt: skip
        """Use a mailed link and sign its owner in: it stands for the password, never for the second factor.

        What the link is for is done all the same when a second factor is asked for, or the door does not admit the
        account. Raises BadTicket, TicketExpired, PasswordNeeded, WeakPassword; then NotOffered where a directory
        answers for the account, NotActive, NotAdmitted, NotVerified, NoUsableFactor, Unavailable.
        """
        deed = await self._recovery.prepare(purpose, presented, client, password=password, door=door)
        account = deed.account
        lane = await lane_of(self._t.db, account.id, account.id, client, deed.now)
        began = _Try(
            door=door, client=client, wish=wish or Wish(), lane=lane, account=account, version=0, methods="mail",
            now=deed.now, draft=await self._draft(door, account, deed.now),
            arrival=await self._notices.arrival(account, lane, client),
        )  # fmt: skip

        async def fn(tx: Tx) -> tuple[_Try, _Done | _Waiting | Refusal]:
            refused = await self._recovery.perform(tx, deed)
            after = await accounts.by_id(tx, account.id)
            if refused is not None or after is None:
                return began, refused or refusals.BadTicket()
            if await accounts.alias_of(tx, account.id, SYSTEM) is not None:
                return began, refusals.NotOffered()  # whoever has left the directory must not come back by mail
            held = await credentials.find(tx, account.id, "password")
            going = replace(began, account=after, version=held.version if held else 0)
            return going, await self._admit(tx, going)

        return self._outcome(*await self._t.db.transaction(fn))

    async def confirm(self, caller: Caller, password: Password, client: Client) -> None:
        """Prove the password once more within a session, whose proof is fresh from then on (decision 25).

        The same lanes, budgets and pool as for signing in; five misses in a row end the session (threat 21). Raises
        WrongPassword, AccountLocked, NetworkBlocked, Busy, Unavailable.
        """
        t, account, session = self._t, caller.account, caller.session.id
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
            await counters.put(tx, "confirm", session, counters.EMPTY, now, account=account.id)
            await sessions.proved(tx, session, now)
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
            name=None, device=None,
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

    # ------------------------------------------------------------ before the transaction

    async def _draft(self, door: Door, owner: Account, now: Millis) -> _Draft:
        t, account = self._t, owner.id
        session, child, key = (new_id(t.clock, t.random) for _ in range(3))
        token, token_hash = t.tokens.draw(door.token) if isinstance(door.token, Opaque) else ("", None)
        child_token, child_hash = "", None
        child_door = t.doors.get(door.child or "")
        if child_door is not None and isinstance(child_door.token, Opaque):
            child_token, child_hash = t.tokens.draw(child_door.token)
        key_hash, key_sealed = b"", b""
        if door.key is not None and await sessions.live_key(t.db, account, door.key.use, now) is None:
            key_token, key_hash = t.tokens.draw(door.key)
            key_sealed = sessions.seal_token(t.sealer, key, account, key_token)
        return _Draft(
            session=session, child=child, key=key, token=token, token_hash=token_hash, child_token=child_token,
            child_hash=child_hash, key_hash=key_hash, key_sealed=key_sealed,
            handle=session if isinstance(door.attempt, Signed) else t.random.bytes(HANDLE_BYTES).hex().encode(),
            mark=t.random.bytes(MARK_BYTES).hex(),
            seed=t.random.bytes(SEED_BYTES),
            key_id=t.keys().current(door.chain_use).id if door.refreshes else None,
            way=await self._codes.way(door, owner),
        )  # fmt: skip

    # ------------------------------------------------------------ the decision, in one transaction

    async def _go_on(self, began: _Try, code: str | None) -> SignedIn | Pending | Refusal:
        """Draw what is random and compare the code, decide inside one transaction, then shape the outcome."""
        t, account, door, now = self._t, began.account.id, began.door, self._t.clock.now()
        prepared = None
        if code is not None:
            prepared = await second_factor.prepare(
                t.db, t.sealer, account, door=door, code=code, client=began.client, now=now
            )
        arrival = await self._notices.arrival(began.account, began.lane, began.client)
        closing = None
        if prepared is not None and prepared.step is None:
            closing = await self._notices.codes_closing(began.lane, began.account, door.name)
        began = replace(
            began, now=now, code=prepared, draft=await self._draft(door, began.account, now), arrival=arrival,
            closing=closing,
        )  # fmt: skip
        done = await self._t.db.transaction(lambda tx: self._decide(tx, began))
        if isinstance(done, refusals.TooManyCodes):
            t.tally.locked_out(f"{began.lane.scope}-codes", door.name, began.client, account)
        return done if isinstance(done, Refusal) else self._outcome(began, done)

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
            began = _Try(
                door=door, client=client, wish=wish, account=plan.account, version=BY_DIRECTORY, methods=SYSTEM,
                lane=await lane_of(t.db, plan.subject, known, client, t.clock.now()), plan=plan,
            )  # fmt: skip
            outcome = await self._go_on(began, code)
        return outcome or refusals.WrongPassword()

    async def _decide(self, tx: Tx, began: _Try) -> _Done | _Waiting | Refusal:
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

    async def _admit(self, tx: Tx, began: _Try) -> _Done | _Waiting | Refusal:
        """Judge status, admission and second factor of somebody whose first factor holds, then grant."""
        person = await accounts.person(tx, began.account)
        offers = await self._codes.offers(tx, began.door, person, began.draft.way, began.now)
        refused = judgement.unfit(began.door, person, offers)
        if refused is not None:
            await self._note(tx, began, "sign_in_refused", reason=type(refused).__name__)
            return refused
        methods = began.methods
        if person.has_second_factor:
            if began.code is None:
                return await self._pause(tx, began, person, offers)
            proof = await self._spend(tx, began, person, offers)
            if isinstance(proof, Refusal):
                return proof
            methods = f"{methods},{proof.method}"
        return await self._grant(tx, began, person, methods)

    async def _pause(self, tx: Tx, began: _Try, person: Person, offers: tuple[str, ...]) -> _Waiting:
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
        return _Waiting(person, offers, ends_at, mailed)

    async def _spend(
        self, tx: Tx, began: _Try, person: Person, offers: tuple[str, ...]
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

    async def _grant(self, tx: Tx, began: _Try, person: Person, methods: str) -> _Done:
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
        return _Done(person, session, child, key, marked)

    async def _derive(self, tx: Tx, began: _Try, parent: Grant, print_of_client: bytes) -> Session | None:
        """Open the child session that the door asks for: it ends with its parent and proves no more (decision 20)."""
        door = self._t.doors.get(began.door.child or "")
        if door is None or began.draft.child_hash is None:
            return None
        grant = replace(
            parent, id=began.draft.child, door=door.name, parent=parent.id, token_use=door.token.use,
            token_hash=began.draft.child_hash, idle=None, seed=None, key_id=None, device=None,
        )  # fmt: skip
        child = await sessions.insert(tx, grant, print_of_client)
        await self._note(tx, began, "signed_in", child.id, proof=parent.methods, policy="child")
        return child

    async def _mint(self, tx: Tx, began: _Try, by: Grant, print_of_client: bytes) -> tuple[Id, bytes] | None:
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
        )  # fmt: skip
        await sessions.insert(tx, grant, print_of_client)
        await self._note(tx, began, "signed_in", grant.id, proof=by.methods, policy="key")
        return grant.id, draft.key_sealed

    async def _note(self, tx: Tx, began: _Try, kind: events.Kind, session: Id | None = None, **detail: str) -> None:
        await events.record(
            tx, kind, began.now, client=began.client, account=began.account.id, session=session,
            door=began.door.name, **detail,
        )  # fmt: skip

    # ------------------------------------------------------------ after the commit

    def _outcome(self, began: _Try, done: _Done | _Waiting | Refusal) -> SignedIn | Pending:
        """Shape what was committed; raise what was refused."""
        if isinstance(done, Refusal):
            raise done
        if isinstance(done, _Waiting):
            token = attempt_token(self._t, began.door, began.draft.handle, done.person, done.ends_at)
            return Pending(done.person, done.offers, token, done.ends_at, done.mailed)
        return self._signed_in(began, done)

    def _signed_in(self, began: _Try, done: _Done) -> SignedIn:
        t, door, draft, session = self._t, began.door, began.draft, done.session
        token, token_ends_at = client_token(t, door, session, done.person, draft.token)
        child_door = t.doors.get(door.child or "")
        child = None
        if done.child is not None and child_door is not None:
            child = SignedIn(done.child, done.person, draft.child_token, done.child.ends_at)
        key = None
        if done.key is not None:
            key = sessions.unseal_token(t.sealer, done.key[0], session.account, done.key[1])
        refresh = None
        if draft.key_id is not None:
            refresh = chain.derive(t.keys().by_id(door.chain_use, draft.key_id), session.id, 0, draft.seed)
        return SignedIn(
            session, done.person, token, token_ends_at, refresh, child, key, draft.mark if done.marked else None
        )
