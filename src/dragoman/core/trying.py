"""The values of a sign-in under way: what was verified, what was drawn for it, what was committed.

The gate decides with them; here they are only filled before the transaction and shaped into an outcome after it.
"""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import chain
from dragoman.core.doors import Door
from dragoman.core.limits import Lane
from dragoman.core.linked import Plan
from dragoman.core.mailed_codes import MailedCodes, Way
from dragoman.core.notices import Notice
from dragoman.core.ports import new_id
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import Code
from dragoman.core.tokens import Opaque, Signed
from dragoman.core.tools import Tools, attempt_token, client_token
from dragoman.model import Account, Client, Id, Mailed, Millis, Pending, Person, Session, SignedIn, Wish
from dragoman.storage import sessions
from dragoman.storage.devices import Sighting

HANDLE_BYTES = 10
MARK_BYTES = 32
SEED_BYTES = 16
HINT_LENGTH = 6
"""Last characters of a key's token, by which its owner tells it from others."""
BY_DIRECTORY = -1
"""Stands for the version of a password that the directory proved: what may change meanwhile is the link, and with it
the account's epoch."""


class Draft(Struct, frozen=True):
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
    key_hint: str = ""
    """The last characters of the key's token."""


NOTHING_DRAWN = Draft(b"", b"", b"", "", None, "", None, b"", b"", b"", "", b"", None)


class Try(Struct, frozen=True):
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
    draft: Draft = NOTHING_DRAWN
    plan: Plan | None = None
    """Whose entry the directory proved, to be taken in within the transaction."""
    arrival: Notice | None = None
    """Tells the owner of a sign-in from an unknown network."""
    sighting: Sighting | None = None
    """What the client says of its device."""
    closing: Notice | None = None
    """Tells the owner that the lane takes no more codes."""


class Done(Struct, frozen=True):
    """What was committed for a finished sign-in."""

    person: Person
    session: Session
    child: Session | None
    key: tuple[Id, bytes] | None
    marked: bool


class Paused(Struct, frozen=True):
    """What was committed for a sign-in that needs a code."""

    person: Person
    offers: tuple[str, ...]
    ends_at: Millis
    mailed: Mailed | None


async def draw(t: Tools, codes: MailedCodes, door: Door, owner: Account, now: Millis) -> Draft:
    """Draw everything that a sign-in of this account at this door may need."""
    account = owner.id
    session, child, key = (new_id(t.clock, t.random) for _ in range(3))
    token, token_hash = t.tokens.draw(door.token) if isinstance(door.token, Opaque) else ("", None)
    child_token, child_hash = "", None
    child_door = t.doors.get(door.child or "")
    if child_door is not None and isinstance(child_door.token, Opaque):
        child_token, child_hash = t.tokens.draw(child_door.token)
    key_hash, key_sealed, key_hint = b"", b"", ""
    if door.key is not None and await sessions.live_key(t.db, account, door.key.use, now) is None:
        key_token, key_hash = t.tokens.draw(door.key)
        key_sealed = sessions.seal_token(t.sealer, key, account, key_token)
        key_hint = key_token[-HINT_LENGTH:]
    return Draft(
        session=session, child=child, key=key, token=token, token_hash=token_hash, child_token=child_token,
        child_hash=child_hash, key_hash=key_hash, key_sealed=key_sealed, key_hint=key_hint,
        handle=session if isinstance(door.attempt, Signed) else t.random.bytes(HANDLE_BYTES).hex().encode(),
        mark=t.random.bytes(MARK_BYTES).hex(),
        seed=t.random.bytes(SEED_BYTES),
        key_id=t.keys().current(door.chain_use).id if door.refreshes else None,
        way=await codes.way(door, owner),
    )  # fmt: skip


def outcome(t: Tools, began: Try, done: Done | Paused | Refusal) -> SignedIn | Pending:
    """Shape what was committed for the client; raise what was refused."""
    if isinstance(done, Refusal):
        raise done
    if isinstance(done, Paused):
        token = attempt_token(t, began.door, began.draft.handle, done.person, done.ends_at)
        return Pending(done.person, done.offers, token, done.ends_at, done.mailed)
    return _signed_in(t, began, done)


def _signed_in(t: Tools, began: Try, done: Done) -> SignedIn:
    door, draft, session = began.door, began.draft, done.session
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
