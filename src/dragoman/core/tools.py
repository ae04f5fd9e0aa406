"""What the parts of the core work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from hashlib import sha256

from msgspec import Struct

from dragoman.core import events, refusals
from dragoman.core.background import Background
from dragoman.core.directory import Consultation
from dragoman.core.doors import Door
from dragoman.core.hashing import HashPool
from dragoman.core.keys import KeySet
from dragoman.core.letters import Letters
from dragoman.core.limits import Limits
from dragoman.core.people import People
from dragoman.core.policy import Policy
from dragoman.core.ports import Clock, Random
from dragoman.core.tickets import Tickets
from dragoman.core.tokens import BadToken, Claims, Opaque, Signed, Tokens
from dragoman.model import Millis, Person, Session, uuid_text
from dragoman.storage.engine import Engine
from dragoman.storage.sealing import Sealer


class Tools(Struct):
    """Made once by Core, shared by everything in it."""

    db: Engine
    sealer: Sealer
    clock: Clock
    random: Random
    pool: HashPool
    people: People
    tokens: Tokens
    keys: Callable[[], KeySet]
    limits: Limits
    tally: events.Tally
    background: Background
    letters: Letters
    tickets: Tickets
    policy: Callable[[], Awaitable[Policy]]
    """What the operator chose, as it is in force now."""
    latest: Callable[[], Policy]
    """The same as this process read it last: for judgements within a transaction, which read nothing else."""
    doors: Mapping[str, Door]
    directory: Consultation
    schemes: Collection[str] = ()
    """Forms of hashes in the store, kept up to date by Core.tick."""


def client_token(
    tools: Tools, door: Door, session: Session, person: Person, drawn: str, *, more: Claims | None = None
) -> tuple[str, Millis | None]:
    """Return what a client holds for a session, and when that stops working.

    :param drawn: the opaque token, if the door's tokens are of that form.
    :param more: claims beside those of the form, if they are not.
    """
    if isinstance(door.token, Opaque):
        return drawn, session.ends_at
    ends_at = tools.tokens.end(door.token, session.ends_at)
    return tools.tokens.issue(door.token, door.name, session, person, ends_at, more=more), ends_at


def attempt_token(tools: Tools, door: Door, handle: bytes, person: Person, ends_at: Millis) -> str | None:
    """Return what a client holds for a paused sign-in; None where it sends the whole login again (decision 4)."""
    if isinstance(door.attempt, Signed):
        claims = {"sub": uuid_text(person.account.id), **door.attempt.claims(person, None)}
        return tools.tokens.issue_for(door.attempt, door.name, handle, claims, ends_at)
    return handle.decode() if door.attempt == "handle" else None


def attempt_hash(tools: Tools, door: Door, presented: str) -> bytes:
    """Return the SHA-256 of the handle in what a client presents for a paused sign-in. Raises NoSuchAttempt."""
    if isinstance(door.attempt, Signed):
        try:
            named = tools.tokens.read(door.attempt, door.name, presented).session_id
        except BadToken:
            raise refusals.NoSuchAttempt from None
        return sha256(named or b"").digest()
    return sha256(presented.encode("utf-8", "surrogatepass")).digest()
