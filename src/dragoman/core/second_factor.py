"""Checking a code of the second factor: TOTP, a mailed code or a recovery code, each good once (decisions 8 and 9).

The costly and secret part (unsealing, HMAC) is done before the transaction by `prepare`; `accept` spends the code
inside it, so that of two requests with one code only one gets through.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from dragoman.core import mailed_codes
from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.credentials.passkeys import Signed
from dragoman.core.doors import Door
from dragoman.core.mailed_codes import Way
from dragoman.model import Account, Client, Id, Millis
from dragoman.storage import credentials, passkeys
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.sealing import Sealer

REPEAT_WITHIN: Millis = 60_000


class Code(Struct, frozen=True, gc=False):
    """A code as it arrived, made ready for comparison. `step` is the TOTP step it matches, if any."""

    step: int | None
    mailed: tuple[bytes, ...]
    """What it would be stored as, had it been mailed."""
    macs: tuple[bytes, ...]
    """What it would be stored as among the recovery codes."""
    client: bytes
    passkey: Signed | None = None
    """Which passkey signed for this attempt."""


class Proof(Struct, frozen=True, gc=False):
    """A second factor was proved; `method` names it."""

    method: str


def client_print(client: Client) -> bytes:
    """Return 8 bytes that stand for a client's network and program."""
    return hashlib.sha256(f"{client.network}\n{client.address}\n{client.user_agent}".encode()).digest()[:8]


async def prepare(
    db: Reader, sealer: Sealer, account: Id, *, door: Door, code: str, client: Client, now: Millis, steps: int = 1
) -> Code:  # fmt: skip
    """Compare a typed code with the account's TOTP seed and work out what to look for among its other codes.

    :param steps: how many steps a code of the app may be early or late.
    """
    step = None
    enrolled = await credentials.find(db, account, "totp")
    if enrolled is not None:
        step = totp.matching_step(credentials.unseal(sealer, account, "totp", enrolled.sealed), code, now, steps)
    mailed = mailed_codes.candidates(sealer, account, door.name, code)
    macs = recovery_codes.candidates(sealer, account, code)
    return Code(step, mailed, macs, client_print(client))


async def accept(
    tx: Tx, account: Account, code: Code, door: Door, now: Millis, *, offers: tuple[str, ...], way: Way | None
) -> Proof | None:  # fmt: skip
    """Spend the code, if it is good for one of the factors offered at this door; return what it proved, or None."""
    if code.step is not None and "totp" in offers:
        if await credentials.use_step(tx, account.id, code.step, code.client, now):
            return Proof("totp")
        since = now - REPEAT_WITHIN
        if door.repeats_step and await credentials.repeat_step(tx, account.id, code.step, code.client, since):
            return Proof("totp")
    if way is not None and "email" in offers and await mailed_codes.take(tx, account, door, way, now, macs=code.mailed):
        return Proof("email")
    key = code.passkey if "passkey" in offers else None
    if key is not None and await passkeys.signed(tx, account.id, key.id, key.count, now):
        return Proof("passkey")
    if "recovery" in offers:
        for mac in code.macs:
            if await credentials.use_recovery_code(tx, account.id, mac, now):
                return Proof("recovery")
    return None
