"""What a passkey signed for a sign-in that waits, judged before the transaction that spends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dragoman.core.credentials import passkeys
from dragoman.core.credentials.passkeys import NotProved, Signed
from dragoman.core.tools import Tools
from dragoman.model import Account
from dragoman.storage import passkeys as stored


class Assertion(Struct, frozen=True):
    """What a browser answered with `navigator.credentials.get`, as JSON of the shape that WebAuthn names."""

    credential: Mapping[str, Any]


async def signed(t: Tools, account: Account, bound: bytes, assertion: Assertion) -> Signed | None:
    """Return which of the account's passkeys signed for `bound`, or None."""
    place = (await t.policy()).passkeys
    held = await stored.of_account(t.db, account.id)
    if place is None or not held:
        return None
    try:
        return await asyncio.to_thread(
            passkeys.signed, t.sealer, place, assertion.credential, held, bound=bound, now=t.clock.now()
        )
    except NotProved:
        return None
