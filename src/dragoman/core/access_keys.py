"""Keys of an account: personal access tokens, API tokens. What makes them is the gate (`SignIn.mint`).

A key is a session that its owner named, without an end unless the owner gave it one. It says who its owner is and does
what an operation declares for keys, within the permissions it is held to; it never makes another key, changes what its
owner is known or proved by, or ends other sessions (decision 17).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

from msgspec import UNSET
from msgspec.structs import replace

from dragoman.core import events, identifiers, refusals
from dragoman.core.notices import Notices
from dragoman.core.proving import Proving
from dragoman.core.refusals import Refusal
from dragoman.core.signin import SignIn
from dragoman.core.tokens import ApiToken, BadToken, Opaque
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id, Key, KeyChange, Millis, Minted, NewKey
from dragoman.storage import access_keys, sessions
from dragoman.storage.engine import Tx

MOST = 50
"""Live keys of one use that an account may have."""
NAME_LENGTH = 255

Form = Opaque | ApiToken
"""The form of a key's token. Its use says for what it is presented: a name is one key within an account and use."""


class AccessKeys:
    """Makes, lists, changes and removes keys for their owners."""

    def __init__(self, tools: Tools, signin: SignIn, proving: Proving) -> None:
        self._t = tools
        self._signin = signin
        self._proving = proving
        self._notices = Notices(tools)

    # ------------------------------------------------------------ looking

    async def of(self, account: Account, form: Form, *, expired: bool = False) -> list[Key]:
        """Return the account's live keys of this form, oldest first.

        :param expired: those that have run out as well; the newest 200 of all.
        """
        if expired:
            return await access_keys.all_of(self._t.db, account.id, form.use)
        return await access_keys.of(self._t.db, account.id, form.use, self._t.clock.now())

    async def by_id(self, account: Account, form: Form, id: Id) -> Key:
        """Return a key of the account, live or run out. Raises NoSuchKey, for somebody else's as well."""
        return _there(await access_keys.by_id(self._t.db, account.id, form.use, id))

    async def by_token(self, account: Account, form: Form, token: str) -> Key:
        """Return the same by the key's token. Raises NoSuchKey."""
        try:
            shown = self._t.tokens.read(form, "", token)
        except BadToken:
            raise refusals.NoSuchKey from None
        return _there(await access_keys.by_token(self._t.db, account.id, form.use, shown.token_hash or b""))

    async def tokens(self, account: Account, form: Form, keys: Collection[Id]) -> Mapping[Id, str]:
        """Return the tokens of some of the account's keys, of those that are kept to be shown again (decision 22).

        Whoever holds them may what the account may: ask for them for a full session whose proof is fresh alone.
        """
        return await access_keys.tokens(self._t.db, self._t.sealer, account.id, form.use, keys)

    # ------------------------------------------------------------ making

    async def add(self, caller: Caller, form: Form, key: NewKey, client: Client) -> Minted:
        """Make a key of the caller's account and tell its owner by mail.

        :param key: its name has 1 to 255 characters, its own among the account's live keys of this form.

        Returns the key with its token. Raises BadIdentifier, KeyTaken, TooManyKeys, NotForKeys, FreshProofRequired,
        NotSignedIn, VerificationRequired, Unavailable.
        """
        _check(key.name, form)
        now = self._t.clock.now()

        async def unless_taken(tx: Tx) -> Refusal | None:
            if await access_keys.named(tx, caller.account.id, form.use, key.name, now) is not None:
                return refusals.KeyTaken()
            full = await access_keys.number(tx, caller.account.id, form.use, now) >= MOST
            return refusals.TooManyKeys() if full else None

        return await self._mint(caller, form, key, client, unless_taken)

    async def replace(self, caller: Caller, form: Form, name: str, client: Client) -> Minted:
        """Make another key in the place of one of the same name: that one ends. It keeps what it stands for.

        Raises NoSuchKey, NotForKeys, FreshProofRequired, NotSignedIn, Unavailable.
        """
        now = self._t.clock.now()
        old = await access_keys.named(self._t.db, caller.account.id, form.use, name, now)
        if old is None:
            raise refusals.NoSuchKey

        async def end_the_old(tx: Tx) -> Refusal | None:
            if not await sessions.end(tx, old.id, "replaced", now):
                return refusals.NoSuchKey()
            await _record_end(tx, caller, old, client, why="replaced", now=now)
            return None

        return await self._mint(caller, form, NewKey(name, old.bypass), client, end_the_old)

    async def _mint(
        self, caller: Caller, form: Form, key: NewKey, client: Client,
        judge: Callable[[Tx], Awaitable[Refusal | None]],
    ) -> Minted:  # fmt: skip
        """Have the gate make a key once `judge` does not refuse, and tell its owner."""
        person = await self._t.people.of(caller.account)
        notice = await self._notices.draft("key_added", person, key=key.name, address=client.address)
        now = self._t.clock.now()

        async def perform(tx: Tx) -> Refusal | None:
            refused = await judge(tx)
            if refused is None:
                await self._notices.put(tx, notice, now)
            return refused

        return await self._signin.mint(caller, form, key, client, perform)

    # ------------------------------------------------------------ changing, removing

    async def renew(self, caller: Caller, form: Form, id: Id, change: KeyChange, client: Client) -> Key:
        """Begin the life of a key anew, one that has run out as well, and change what it is held to; return it.

        Its token stays. Raises NoSuchKey; KeyTaken for one that has run out and whose name another has by now;
        TooManyKeys, NotForKeys, FreshProofRequired, NotSignedIn, Unavailable.
        """
        t, account, now = self._t, caller.account.id, self._t.clock.now()
        remembered = (await t.policy()).remembered

        async def fn(tx: Tx) -> Key | Refusal:
            refused = await self._proving.standing(tx, caller, client, now, remembered)
            if refused is not None:
                return refused
            key = await access_keys.by_id(tx, account, form.use, id)
            if key is None:
                return refusals.NoSuchKey()
            if key.expired(now):
                if await access_keys.named(tx, account, form.use, key.name, now) is not None:
                    return refusals.KeyTaken()
                if await access_keys.number(tx, account, form.use, now) >= MOST:
                    return refusals.TooManyKeys()
            after = _changed(key, change, now)
            await access_keys.change(tx, after, now)
            await events.record(
                tx, "key_changed", now, client=client, account=account, session=id, door=caller.session.door,
                permissions="all" if after.permissions is None else after.permissions,
            )  # fmt: skip
            return after

        outcome = await t.db.transaction(fn)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def remove(self, caller: Caller, form: Form, name: str, client: Client) -> None:
        """End a key of the caller's account by its name. Raises NoSuchKey; NotForKeys for a key that asks."""
        now = self._t.clock.now()
        await self._remove(caller, lambda tx: access_keys.named(tx, caller.account.id, form.use, name, now), client)

    async def remove_one(self, caller: Caller, form: Form, id: Id, client: Client) -> None:
        """End a key of the caller's account, live or run out. Raises NoSuchKey; NotForKeys for a key that asks."""
        await self._remove(caller, lambda tx: access_keys.by_id(tx, caller.account.id, form.use, id), client)

    async def _remove(self, caller: Caller, find: Callable[[Tx], Awaitable[Key | None]], client: Client) -> None:
        if caller.session.narrow:
            raise refusals.NotForKeys
        t, now = self._t, self._t.clock.now()

        async def fn(tx: Tx) -> bool:
            key = await find(tx)
            if key is None:
                return False
            await sessions.end(tx, key.id, "key_removed", now)
            await _record_end(tx, caller, key, client, why="key_removed", now=now)
            return True

        if not await t.db.transaction(fn):
            raise refusals.NoSuchKey


async def _record_end(tx: Tx, caller: Caller, key: Key, client: Client, *, why: str, now: Millis) -> None:
    await events.record(
        tx, "sessions_ended", now, client=client, account=caller.account.id, session=key.id, door=caller.session.door,
        why=why, number="1",
    )  # fmt: skip


def _changed(key: Key, change: KeyChange, now: Millis) -> Key:
    """Return a key as it is after its renewal: it lives as long again as it was given last, unless told otherwise."""
    if change.life is not UNSET:
        ends_at = None if change.life is None else now + change.life * 1000
    else:
        ends_at = None if key.ends_at is None else now + key.ends_at - (key.updated_at or key.created_at)
    return replace(
        key, ends_at=ends_at, updated_at=now,
        permissions=key.permissions if change.permissions is UNSET else change.permissions,
    )  # fmt: skip


def _there(key: Key | None) -> Key:
    if key is None:
        raise refusals.NoSuchKey
    return key


def _check(name: str, form: Form) -> None:
    """Raise BadIdentifier for a name that no key can have: that of the key which sign-ins show is its own."""
    taken = isinstance(form, ApiToken) and name == form.use
    if not 0 < len(name) <= NAME_LENGTH or not identifiers.storable(name) or taken:
        raise refusals.BadIdentifier("name", f"1 to 255 characters, no control characters, not {form.use}")
