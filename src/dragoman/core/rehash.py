"""Rewriting a password's hash after a sign-in that proved it."""

from __future__ import annotations

from dragoman.core.credentials import hashes
from dragoman.core.tools import Tools
from dragoman.model import Id, Password
from dragoman.storage import credentials
from dragoman.storage.credentials import Credential


async def rehash(tools: Tools, account: Id, credential: Credential, password: Password) -> None:
    """Rewrite an imported or weak hash in the canonical form, unless it changed meanwhile (decision 28)."""
    stored = await tools.pool.make(password)
    sealed = credentials.seal(tools.sealer, account, "password", stored.encode())
    label = hashes.examine(stored).label
    await tools.db.transaction(
        lambda tx: credentials.rehash(
            tx, account, version=credential.version, old=credential.sealed, scheme=label, sealed=sealed
        )
    )
