"""Hashing a password for the store, and rewriting a hash after a sign-in that proved it."""

from __future__ import annotations

from dragoman.core.credentials import hashes
from dragoman.core.hashing import Lane
from dragoman.core.tools import Tools
from dragoman.model import Id, Password
from dragoman.storage import credentials
from dragoman.storage.credentials import Credential


async def hashed(tools: Tools, account: Id, password: Password, lane: Lane | None = None) -> tuple[str, bytes]:
    """Return what is stored of a password: the scheme of its hash, and the hash sealed to the account. Raises Busy.

    :param lane: on whose behalf, where anybody may ask for it (table D, "hash pool").
    """
    stored = await tools.pool.make(password, lane)
    return hashes.examine(stored).label, credentials.seal(tools.sealer, account, "password", stored.encode())


async def rehash(tools: Tools, account: Id, credential: Credential, password: Password) -> None:
    """Rewrite an imported or weak hash in the canonical form, unless it changed meanwhile (decision 28)."""
    scheme, sealed = await hashed(tools, account, password)
    await tools.db.transaction(
        lambda tx: credentials.rehash(
            tx, account, version=credential.version, old=credential.sealed, scheme=scheme, sealed=sealed
        )
    )
