"""Recovery codes: 12 of 8 characters, each good once, stored as MACs under the master key (decision 8)."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.core import ports
from dragoman.core.ports import Random
from dragoman.model import Id
from dragoman.storage.sealing import Sealer

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
"""Rocket.Chat's id alphabet: no look-alikes (its contract, section 2.1)."""
COUNT = 12
LENGTH = 8
_PURPOSE = "recovery code"
_LETTERS = frozenset(ALPHABET)


def draw(random: Random) -> tuple[str, ...]:
    """Return 12 fresh codes, all different."""
    codes: dict[str, None] = {}
    while len(codes) < COUNT:
        codes[ports.text(random, ALPHABET, LENGTH)] = None
    return tuple(codes)


def is_code(text: str) -> bool:
    """Tell whether a text has the shape of a recovery code, spaces aside."""
    letters = text.replace(" ", "")
    return len(letters) == LENGTH and _LETTERS.issuperset(letters)


def macs(sealer: Sealer, account: Id, codes: Iterable[str]) -> tuple[bytes, ...]:
    """Return what is stored of an account's codes, in their order: 32 bytes each, bound to the account."""
    return tuple(sealer.mac(_PURPOSE, account + code.encode()) for code in codes)


def candidates(sealer: Sealer, account: Id, typed: str) -> tuple[bytes, ...]:
    """Return what a typed code would be stored as, under each master key, newest first; nothing for another shape."""
    if not is_code(typed):
        return ()
    return sealer.macs(_PURPOSE, account + typed.replace(" ", "").encode())
