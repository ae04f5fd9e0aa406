"""Checking a code of the second factor: TOTP or a recovery code, each good once (decision 8).

The costly and secret part (unsealing, HMAC) is done before the transaction by `prepare`; `accept` spends the code
inside it, so that of two requests with one code only one gets through.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from dragoman.core.credentials import recovery_codes, totp
from dragoman.core.doors import Door
from dragoman.model import Client, Id, Millis
from dragoman.storage import credentials
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.sealing import Sealer

REPEAT_WITHIN: Millis = 60_000


class Code(Struct, frozen=True, gc=False):
    """A code as it arrived, made ready for comparison. `step` is the TOTP step it matches, if any."""

    step: int | None
    macs: tuple[bytes, ...]
    client: bytes


class Proof(Struct, frozen=True, gc=False):
    """A second factor was proved; `method` names it."""

    method: str


def client_print(client: Client) -> bytes:
    """Return 8 bytes that stand for a client's network and program."""
    return hashlib.sha256(f"{client.network}\n{client.address}\n{client.user_agent}".encode()).digest()[:8]


async def prepare(db: Reader, sealer: Sealer, account: Id, *, code: str, client: Client, now: Millis) -> Code:
    """Compare a typed code with the account's TOTP seed and work out what to look for among its recovery codes."""
    step = None
    enrolled = await credentials.find(db, account, "totp")
    if enrolled is not None:
        step = totp.matching_step(credentials.unseal(sealer, account, "totp", enrolled.sealed), code, now)
    macs = recovery_codes.candidates(sealer, account, code)
    return Code(step, macs, client_print(client))


async def accept(tx: Tx, account: Id, code: Code, door: Door, now: Millis) -> Proof | None:
    """Spend the code, if it is good at this door; return what it proved, or None."""
    if code.step is not None and "totp" in door.factors:
        if await credentials.use_step(tx, account, code.step, code.client, now):
            return Proof("totp")
        since = now - REPEAT_WITHIN
        if door.repeats_step and await credentials.repeat_step(tx, account, code.step, code.client, since):
            return Proof("totp")
    if "recovery" in door.factors:
        for mac in code.macs:
            if await credentials.use_recovery_code(tx, account, mac, now):
                return Proof("recovery")
    return None
