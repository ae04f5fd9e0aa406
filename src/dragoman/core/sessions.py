"""Signed-in clients: who a token belongs to, refreshing, listing, ending.

Possession of a live token is never refused by locks or budgets, and ending a session anywhere ends it everywhere at
once: each call reads the session's row (design 5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import chain, events, refusals
from dragoman.core.doors import Door
from dragoman.core.judgement import must_enrol
from dragoman.core.keys import NoKey
from dragoman.core.notices import Notices
from dragoman.core.organizations import may_manage
from dragoman.core.second_factor import client_print
from dragoman.core.tokens import ApiToken, BadToken, Opaque, Sealed, Signed
from dragoman.core.tools import Tools, client_token
from dragoman.model import Account, Caller, Client, Id, Millis, Session, SignedIn
from dragoman.storage import accounts, attempts, sessions
from dragoman.storage.engine import Tx
from dragoman.storage.sessions import Chain

_Write = Callable[[Tx, Id, Millis], Awaitable[None]]
SEEN_EVERY: Millis = 5 * 60_000
RACES = 5


class _Child(Struct, frozen=True):
    """What a refresh hands out: the session as it stands now, and the key its refresh token derives from."""

    session: Session
    key_id: int


class Sessions:
    """Everything about sessions but their beginning, which is `SignIn`'s."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._notices = Notices(tools)
        self._seen: dict[Id, Millis] = {}
        self._resumed: dict[Id, Millis] = {}

    # ------------------------------------------------------------ who is it

    async def authenticate(
        self, door: Door, token: str, form: Opaque | Signed | Sealed | ApiToken | None = None
    ) -> Caller:
        """Return the live session and account of a token, presented at this door in this form.

        `form` is the door's session token unless another is named (Probe's API token). Raises NotSignedIn for
        whatever is wrong: malformed, forged, out of time, ended, another door's or use's, account no longer active.
        """
        form = form or door.token
        now = self._t.clock.now()
        try:
            shown = self._t.tokens.read(form, door.name, token)
        except BadToken:
            raise refusals.NotSignedIn from None
        if shown.token_hash is not None:
            caller = await sessions.caller_by_token(self._t.db, form.use, shown.token_hash, now)
        else:
            caller = await sessions.caller_by_id(self._t.db, shown.session_id or b"", now)
        if caller is None or not _answers(door, form.use, caller):
            raise refusals.NotSignedIn
        session = caller.session
        if now - session.seen_at > SEEN_EVERY:
            self._seen[session.id] = now
        if shown.generation is not None and shown.generation > session.confirmed_generation:
            self._t.background.start(self._confirm(session.id, shown.generation))
        return caller

    async def again(self, session: Session) -> Caller:
        """Return a session that was live before as it is now, for what outlives a call. Raises NotSignedIn."""
        door = self._t.doors[session.door]
        caller = await sessions.caller_by_id(self._t.db, session.id, self._t.clock.now())
        if caller is None or not _answers(door, session.token_use, caller):
            raise refusals.NotSignedIn
        return caller

    async def resume(self, door: Door, token: str) -> SignedIn:
        """Return the signed-in client of a token it kept: the same token, nothing new, no second factor.

        It counts as the account's last sign-in, written down as coarsely as the last use of a session is. Raises
        NotSignedIn.
        """
        caller = await self.authenticate(door, token)
        now = self._t.clock.now()
        if now - (caller.account.signed_in_at or 0) > SEEN_EVERY:
            self._resumed[caller.account.id] = now
        person = await self._t.people.of(caller.account)
        return SignedIn(caller.session, person, token, caller.session.ends_at)

    async def _confirm(self, id: Id, generation: int) -> None:
        await sessions.confirm(self._t.db, id, generation)

    async def flush_seen(self) -> None:
        """Write down when sessions were last used, and resumed: coarse, some at a time, never awaited by a request."""
        seen, self._seen = list(self._seen.items()), {}
        resumed, self._resumed = list(self._resumed.items()), {}
        for write, batch in ((sessions.seen, seen), (accounts.signed_in, resumed)):
            for start in range(0, len(batch), 50):
                part = batch[start : start + 50]

                async def fn(tx: Tx, part: list[tuple[Id, Millis]] = part, write: _Write = write) -> None:
                    for id, at in part:
                        await write(tx, id, at)

                await self._t.db.transaction(fn)

    # ------------------------------------------------------------ refreshing

    async def refresh(self, door: Door, token: str, client: Client) -> SignedIn:
        """Rotate the chain of a refresh token and return its session with new tokens (decision 19).

        Raises BadRefreshToken, RefreshTokenExpired, ChainStolen, NotActive, NoUsableFactor while a second factor is
        wanted that is not enrolled (decision 4), Unavailable.
        """
        shown = chain.parse(token)
        if shown is None:
            raise refusals.BadRefreshToken
        for _ in range(RACES):
            now = self._t.clock.now()
            state = await sessions.chain(self._t.db, shown.session_id)
            if state is None or state.session.door != door.name or state.seed is None:
                raise refusals.BadRefreshToken
            self._check_mac(door, shown, state.seed)
            # Status first: it ends the session too, and whoever held a good token is told the reason that helps.
            if state.account.status != "active":
                raise refusals.NotActive(state.account.status)
            _refuse_dead(state, now)
            if state.account.factor_from is not None and must_enrol(await self._t.people.of(state.account), now):
                raise refusals.NoUsableFactor
            child = await self._move(door, shown, state, client, now)
            if child is not None:
                person = await self._t.people.of(state.account)
                token, ends_at = client_token(self._t, door, child.session, person, "")
                key = self._t.keys().by_id(door.chain_use, child.key_id)
                refresh = chain.derive(key, child.session.id, child.session.generation, state.seed)
                return SignedIn(child.session, person, token, ends_at, refresh)
        raise refusals.Busy(1)

    def _check_mac(self, door: Door, shown: chain.RefreshToken, seed: bytes) -> None:
        """Raise BadRefreshToken unless the token was derived by us. Nothing ends by a forged one (threat 24)."""
        try:
            key = self._t.keys().by_id(door.chain_use, shown.key_id)
        except NoKey:
            raise refusals.BadRefreshToken from None
        if not chain.mac_holds(key, shown, seed):
            raise refusals.BadRefreshToken

    async def _move(
        self, door: Door, shown: chain.RefreshToken, state: Chain, client: Client, now: Millis
    ) -> _Child | None:
        """Do what the judgement says; return what to hand out, or None when another call was faster."""
        session, here = state.session, client_print(client)
        verdict = chain.judge(_judged(state), shown.generation, now, here.hex(), "")
        if isinstance(verdict, chain.Rotate):
            key_id = self._t.keys().current(door.chain_use).id
            idle_until = None if state.idle is None else now + state.idle
            moved = await sessions.rotate(
                self._t.db, session.id, session.generation, now, client=here, odd_retries=verdict.after.odd_bits,
                key_id=key_id, idle_until=idle_until,
            )  # fmt: skip
            after = replace(
                session, generation=session.generation + 1, confirmed_generation=session.generation,
                idle_until=idle_until, seen_at=now,
            )  # fmt: skip
            return _Child(after, key_id) if moved else None
        if isinstance(verdict, chain.SameChild) and state.key_id is not None:
            still = not verdict.odd or await sessions.mark_odd(
                self._t.db, session.id, session.generation, verdict.odd_bits
            )
            return _Child(session, state.key_id) if still else None
        if isinstance(verdict, chain.Theft):
            await self._end_stolen(door, state, client, verdict.reason)
            raise refusals.ChainStolen
        raise refusals.BadRefreshToken

    async def _end_stolen(self, door: Door, state: Chain, client: Client, reason: str) -> None:
        """End a stolen session and tell its owner where its spent token came from (decision 19)."""
        session, now = state.session, self._t.clock.now()
        person = await self._t.people.of(state.account)
        notice = await self._notices.draft(
            "chain_stolen", person, address=client.address, client=client.user_agent
        )  # fmt: skip

        async def fn(tx: Tx) -> None:
            if await sessions.end(tx, session.id, "theft", now):
                await events.record(
                    tx, "chain_stolen", now, client=client, account=session.account, session=session.id,
                    door=door.name, reason=reason,
                )  # fmt: skip
                await self._notices.put(tx, notice, now)

        await self._t.db.transaction(fn)

    # ------------------------------------------------------------ listing and ending

    async def list_own(self, account: Id) -> list[Session]:
        """Return the account's live sessions and keys in all dialects, newest first."""
        return await sessions.list_live(self._t.db, account, self._t.clock.now())

    async def list_clients(self, account: Id) -> list[Session]:
        """Return the account's live clients in all dialects, newest first: no keys, children folded (decision 20)."""
        return await sessions.list_clients(self._t.db, account, self._t.clock.now())

    async def sign_out(self, caller: Caller, client: Client) -> None:
        """End the presented session with its children; a presented key ends itself (table C)."""
        now = self._t.clock.now()
        session = caller.session

        async def fn(tx: Tx) -> None:
            if await sessions.end(tx, session.id, "signed_out", now):
                await events.record(
                    tx, "signed_out", now, client=client, account=session.account, session=session.id,
                    door=session.door,
                )  # fmt: skip

        await self._t.db.transaction(fn)

    async def sign_out_chain(self, door: Door, token: str, client: Client) -> bool:
        """End the session of a refresh token of any generation; tell whether one ended. Forged ones end nothing."""
        shown = chain.parse(token)
        now = self._t.clock.now()
        state = await sessions.chain(self._t.db, shown.session_id) if shown else None
        if shown is None or state is None or state.session.door != door.name or state.seed is None:
            return False
        try:
            self._check_mac(door, shown, state.seed)
        except refusals.BadRefreshToken:
            return False

        async def fn(tx: Tx) -> bool:
            ended = await sessions.end(tx, shown.session_id, "signed_out", now)
            if ended:
                await events.record(
                    tx, "signed_out", now, client=client, account=state.session.account, session=shown.session_id,
                    door=door.name,
                )  # fmt: skip
            return ended

        return await self._t.db.transaction(fn)

    async def end_one(self, caller: Caller, id: Id, client: Client) -> Session:
        """End one client session of the caller, or of an account the caller manages, and return it.

        Raises NotFound when it is unknown, already ended, a key, or out of the caller's reach: all alike (decision 12).
        """
        found = await sessions.caller_by_id(self._t.db, id, self._t.clock.now())
        if (
            found is None
            or found.session.kind == "key"
            or not (
                found.account.id == caller.account.id or await may_manage(self._t.db, caller.account, found.account)
            )
        ):
            raise refusals.NotFound
        await self._revoke(caller, found, client)
        return found.session

    async def end_own(self, caller: Caller, id: Id, client: Client, *, door: Door | None = None) -> None:
        """End one client session of the caller, of whatever dialect or of this door alone.

        Raises NotFound when it is unknown, already ended, a key, somebody else's or another door's: all alike.
        """
        found = await sessions.caller_by_id(self._t.db, id, self._t.clock.now())
        if (
            found is None
            or found.session.kind == "key"
            or found.account.id != caller.account.id
            or (door is not None and found.session.door != door.name)
        ):
            raise refusals.NotFound
        await self._revoke(caller, found, client)

    async def _revoke(self, caller: Caller, found: Caller, client: Client) -> None:
        now, session = self._t.clock.now(), found.session

        async def fn(tx: Tx) -> bool:
            ended = await sessions.end(tx, session.id, "revoked", now)
            if ended:
                await events.record(
                    tx, "sessions_ended", now, client=client, account=found.account.id, session=session.id,
                    door=session.door, why="revoked", by=caller.account.id.hex(),
                )  # fmt: skip
            return ended

        if not await self._t.db.transaction(fn):
            raise refusals.NotFound

    async def stay(self, caller: Caller, id: Id) -> Millis | None:
        """Move the idle end of one of the caller's live clients, as a refresh would, and return when it runs out now.

        Never beyond the absolute end, which alone bounds a session that may lie idle; None for one without any end.
        Written every 5 minutes at most, so that a heartbeat costs a read (decision 21). Raises NotFound.
        """
        now = self._t.clock.now()
        state = await sessions.chain(self._t.db, id)
        if state is None or state.session.account != caller.account.id or state.session.kind == "key":
            raise refusals.NotFound
        session = state.session
        if state.ended_at is not None or (session.runs_out or now + 1) <= now:
            raise refusals.NotFound
        if state.idle is None or session.idle_until is None:
            return session.ends_at
        until = now + state.idle if session.ends_at is None else min(now + state.idle, session.ends_at)
        if until - session.idle_until < SEEN_EVERY:
            return session.runs_out
        if not await sessions.stay(self._t.db, id, until, now):
            raise refusals.NotFound
        return until

    async def end_clients(self, caller: Caller, client: Client) -> int:
        """End all the caller's client sessions in all dialects, this one too; keys stay (table C, "all")."""
        return await self._end_clients(caller.account, "all", client, keep=None)

    async def end_others(self, caller: Caller, client: Client) -> int:
        """End the caller's other client sessions in all dialects; this one and keys stay (table C, "others")."""
        return await self._end_clients(caller.account, "others", client, keep=caller.session.id)

    async def _end_clients(self, account: Account, why: str, client: Client, keep: Id | None) -> int:
        now = self._t.clock.now()

        async def fn(tx: Tx) -> int:
            number = await sessions.end_clients(tx, account.id, why, now, keep=keep)
            await attempts.drop_all(tx, account.id)
            await events.record(
                tx, "sessions_ended", now, client=client, account=account.id, why=why, number=str(number)
            )
            return number

        return await self._t.db.transaction(fn)

    async def end_everything(self, account: Account, why: str) -> int:
        """End every session, key and attempt of an account: what an operator does from the command line."""
        now = self._t.clock.now()

        async def fn(tx: Tx) -> int:
            number = await sessions.end_all(tx, account.id, why, now)
            await attempts.drop_all(tx, account.id)
            await accounts.raise_epoch(tx, account.id, now)
            await events.record(tx, "sessions_ended", now, account=account.id, why=why, number=str(number))
            return number

        return await self._t.db.transaction(fn)

    async def end_by_operator(self, id: Id, *, of: Account | None = None) -> bool:
        """End one session by its id, of one account or whoever owns it: what an operator does; tell whether it was
        live.
        """
        now = self._t.clock.now()
        found = await sessions.caller_by_id(self._t.db, id, now)
        if found is None or (of is not None and found.account.id != of.id):
            return False

        async def fn(tx: Tx) -> bool:
            ended = await sessions.end(tx, id, "operator", now)
            if ended:
                await events.record(
                    tx, "sessions_ended", now, account=found.account.id, session=id, door=found.session.door,
                    why="operator", number="1",
                )  # fmt: skip
            return ended

        return await self._t.db.transaction(fn)


def _answers(door: Door, use: str, caller: Caller) -> bool:
    """Judge whether a session answers this door and use, and whether its account may still come in (threat 25)."""
    session, account = caller.session, caller.account
    return (
        session.door == door.name
        and session.token_use == use
        and account.status == "active"
        and (door.admits_all or account.default_organization)
    )


def _refuse_dead(state: Chain, now: Millis) -> None:
    session = state.session
    if state.ended_at is not None:
        raise refusals.BadRefreshToken
    if (session.runs_out or now + 1) <= now:
        raise refusals.RefreshTokenExpired


def _judged(state: Chain) -> chain.ChainState:
    session = state.session
    return chain.ChainState(
        session.generation,
        session.confirmed_generation,
        state.rotated_at,
        state.odd_retries,
        (state.rotated_client or b"").hex(),
        "",
    )
