"""Sign-ins that wait for a second factor, by what their client holds of them (decision 4)."""

from __future__ import annotations

from msgspec import Struct

from dragoman.core import refusals
from dragoman.core.doors import Door
from dragoman.core.tools import Tools, attempt_hash
from dragoman.model import Account
from dragoman.storage import accounts, attempts
from dragoman.storage.attempts import Attempt


class PausedSignIn(Struct, frozen=True):
    """A live attempt and whose it is."""

    handle: bytes
    """SHA-256 of what the attempt is found by."""
    attempt: Attempt
    account: Account


async def find(t: Tools, door: Door, presented: str) -> PausedSignIn:
    """Return the sign-in that waits at this door for whoever holds `presented`.

    Raises NoSuchAttempt: unknown, used up, out of time, another door's, or undone by a change of the account.
    """
    handle = attempt_hash(t, door, presented)
    attempt = await attempts.find(t.db, handle)
    if attempt is None or attempt.door != door.name or attempt.ends_at <= t.clock.now():
        raise refusals.NoSuchAttempt(expired=attempt is not None and attempt.door == door.name)
    account = await accounts.by_id(t.db, attempt.account)
    if account is None or account.auth_epoch != attempt.auth_epoch:
        raise refusals.NoSuchAttempt
    return PausedSignIn(handle, attempt, account)
