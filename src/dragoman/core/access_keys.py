"""Keys of an account: personal access tokens, API tokens. What makes them is the gate (`SignIn.mint`).

A key is a session without an end that its owner named. It says who its owner is and does what an operation declares for
keys; it never makes another key, changes what its owner is known or proved by, or ends other sessions (decision 17).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dragoman.core import events, identifiers, refusals
from dragoman.core.notices import Notices
from dragoman.core.refusals import Refusal
from dragoman.core.signin import SignIn
from dragoman.core.tokens import ApiToken, Opaque
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Key, Millis, Minted, NewKey
from dragoman.storage import access_keys, sessions
from dragoman.storage.engine import Tx

MOST = 50
"""Live keys of one use that an account may have."""
NAME_LENGTH = 255

Form = Opaque | ApiToken
"""The form of a key's token. Its use says for what it is presented: a name is one key within an account and use."""


class AccessKeys:
    """Makes, lists and removes keys for their owners."""

    def __init__(self, tools: Tools, signin: SignIn) -> None:
        self._t = tools
        self._signin = signin
        self._notices = Notices(tools)

    async def of(self, account: Account, form: Form) -> list[Key]:
        """Return the account's live keys of this form, oldest first. Their tokens are kept nowhere."""
        return await access_keys.of(self._t.db, account.id, form.use)

    async def add(self, caller: Caller, form: Form, name: str, client: Client, *, bypass: bool = False) -> Minted:
        """Make a key of the caller's account and tell its owner by mail.

        :param name: 1 to 255 characters, its own among the account's keys of this form.
        :param bypass: whether it stands for the second factor, too, where an operation asks for one.

        Returns the key with its token, which is shown this once. Raises BadIdentifier, KeyTaken, TooManyKeys,
        NotForKeys, FreshProofRequired, NotSignedIn, Unavailable.
        """
        _check(name)

        async def unless_taken(tx: Tx) -> Refusal | None:
            if await access_keys.named(tx, caller.account.id, form.use, name) is not None:
                return refusals.KeyTaken()
            full = await access_keys.number(tx, caller.account.id, form.use) >= MOST
            return refusals.TooManyKeys() if full else None

        return await self._mint(caller, form, NewKey(name, bypass), client, unless_taken)

    async def replace(self, caller: Caller, form: Form, name: str, client: Client) -> Minted:
        """Make another key in the place of one of the same name: that one ends. It keeps what it stands for.

        Raises NoSuchKey, NotForKeys, FreshProofRequired, NotSignedIn, Unavailable.
        """
        old = await access_keys.named(self._t.db, caller.account.id, form.use, name)
        if old is None:
            raise refusals.NoSuchKey
        now = self._t.clock.now()

        async def end_the_old(tx: Tx) -> Refusal | None:
            if not await sessions.end(tx, old.id, "replaced", now):
                return refusals.NoSuchKey()
            await _record_end(tx, caller, old, client, why="replaced", now=now)
            return None

        return await self._mint(caller, form, NewKey(name, old.bypass), client, end_the_old)

    async def remove(self, caller: Caller, form: Form, name: str, client: Client) -> None:
        """End a key of the caller's account. Raises NoSuchKey; NotForKeys for a key that asks (decision 17)."""
        if caller.session.kind == "key":
            raise refusals.NotForKeys
        t, now = self._t, self._t.clock.now()

        async def fn(tx: Tx) -> bool:
            key = await access_keys.named(tx, caller.account.id, form.use, name)
            if key is None:
                return False
            await sessions.end(tx, key.id, "key_removed", now)
            await _record_end(tx, caller, key, client, why="key_removed", now=now)
            return True

        if not await t.db.transaction(fn):
            raise refusals.NoSuchKey

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


async def _record_end(tx: Tx, caller: Caller, key: Key, client: Client, *, why: str, now: Millis) -> None:
    await events.record(
        tx, "sessions_ended", now, client=client, account=caller.account.id, session=key.id, door=caller.session.door,
        why=why, number="1",
    )  # fmt: skip


def _check(name: str) -> None:
    """Raise BadIdentifier for a name that no key can have."""
    if not 0 < len(name) <= NAME_LENGTH or not identifiers.storable(name):
        raise refusals.BadIdentifier("name", "1 to 255 characters, no control characters")
