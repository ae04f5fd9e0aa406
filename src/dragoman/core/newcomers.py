"""The rows of a new account: its names, and what the dialects call it (decision 16)."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.core import identifiers, ports
from dragoman.core.ports import Random
from dragoman.model import Account, Id, Identifier, Millis
from dragoman.storage import accounts
from dragoman.storage.engine import Tx

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
"""Rocket.Chat's: 55 characters without look-alikes (its contract, section 2.1)."""


async def insert(tx: Tx, account: Account, names: Iterable[Identifier]) -> None:
    """Add an account with its identifiers and aliases. Raises ConstraintViolated when another has one of the names."""
    now = account.created_at
    await accounts.insert(tx, account)
    for name in names:
        await accounts.insert_identifier(tx, account.id, name, identifiers.fold(name.kind, name.shown), now)
    aliases = {
        "rocketchat": _word(account.id, ALPHABET, 17),
        "probe": str(await accounts.next_number(tx, "probe")),
        "pocketm8": _appwrite_id(account.id, now),
    }
    for system, value in aliases.items():
        await accounts.insert_alias(tx, account.id, system, value)


def other_username(random: Random, wanted: str) -> str:
    """Return a username like one that is taken."""
    suffix = ports.text(random, "23456789abcdefghjkmnpqrstwxyz", 4)
    return f"{wanted[: identifiers.USERNAME_LENGTH - 8]}-{suffix}"


def _word(id: Id, alphabet: str, length: int) -> str:
    """Spell the random part of an id in an alphabet: 74 random bits leave no collision to fear; keys are unique."""
    number = int.from_bytes(id[6:], "big") << 32 | int.from_bytes(id[:6], "big") & 0xFFFFFFFF
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(alphabet))
        letters.append(alphabet[rest])
    return "".join(letters)


def _appwrite_id(id: Id, now: Millis) -> str:
    """Return Pocketm8's 20 hex digits: seconds (8), milliseconds (5), random (7) (its contract, section 2.7)."""
    return f"{now // 1000:08x}{now % 1000:05x}{id.hex()[-7:]}"
