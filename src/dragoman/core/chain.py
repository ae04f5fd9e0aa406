"""Refresh tokens and the judgement over them (decision 19). Pure: the caller reads and writes the session's row.

A chain's tokens are derived from the row, none is stored. The parent of the current generation stays good for 30
seconds, or until anything issued with its child is seen, so that a lost answer or a second tab signs nobody out. What
is older proves theft. Retries that come late or from elsewhere leave a bit, and 6 bits in 8 generations end the chain:
a thief in step with the owner is found by them.
"""

from __future__ import annotations

import hmac
from typing import Literal

from msgspec import Struct

from dragoman.core import base64url
from dragoman.core.keys import SigningKey
from dragoman.model import Millis

GRACE: Millis = 30_000
MOST_ODD = 6
_REMEMBERED = 0xFF
_LABEL = b"dragoman refresh token\x00"
_PREFIX = 24
_SIZE = _PREFIX + 32
LENGTH = 75
"""Characters of a refresh token."""


class RefreshToken(Struct, frozen=True, gc=False):
    """A refresh token taken apart. Nothing of it is believed before `mac_holds`."""

    session_id: bytes
    generation: int
    key_id: int
    mac: bytes


class ChainState(Struct, frozen=True, gc=False):
    """What the session's row remembers of its chain."""

    generation: int
    """The current one: 0 at sign-in, one more with each rotation."""
    confirmed_generation: int
    """The highest generation whose refresh or access token was presented; 0 at sign-in."""
    rotated_at: Millis
    """When the current generation was made."""
    odd_bits: int
    """One bit per generation, the current one lowest: it saw a late or foreign retry."""
    last_network: str
    last_user_agent: str
    """Who made the current generation."""


class Rotate(Struct, frozen=True):
    """The newest token: write `after` where the row still has the generation judged, then answer with its token."""

    after: ChainState


class SameChild(Struct, frozen=True):
    """An honest retry: answer with the current generation's token again, derived under the row's key."""

    odd: bool
    """Whether this retry sets a bit that was not set: `odd_bits` must be written."""
    odd_bits: int


class Theft(Struct, frozen=True):
    """A copy is in other hands: end the session and tell its owner."""

    reason: Literal["spent", "confirmed", "odd_retries"]
    """An older generation; a parent whose child was used; 6 odd retries in 8 generations."""


class NoSuchGeneration(Struct, frozen=True):
    """A generation that was not made yet: refuse, end nothing."""


Judgement = Rotate | SameChild | Theft | NoSuchGeneration


def derive(key: SigningKey, session_id: bytes, generation: int, seed: bytes) -> str:
    """Return the refresh token of one generation.

    `session_id` and `seed` have 16 bytes; `key` is the one that the session's row names (use `refresh`, HMAC-SHA256).
    """
    head = session_id + generation.to_bytes(4, "big") + key.id.to_bytes(4, "big")
    return base64url.encode(head + _mac(key, head, seed))


def parse(text: str) -> RefreshToken | None:
    """Take a refresh token apart; None unless it is the one spelling of one."""
    if len(text) != LENGTH or (raw := base64url.decode(text)) is None or len(raw) != _SIZE:
        return None
    generation, key_id = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    return RefreshToken(raw[:16], generation, key_id, raw[_PREFIX:])


def mac_holds(key: SigningKey, parsed: RefreshToken, seed: bytes) -> bool:
    """Tell, in constant time, whether we made this token for the session with this seed.

    `key` is the one whose id the token carries. Theft is judged only after this held (threat 24).
    """
    head = parsed.session_id + parsed.generation.to_bytes(4, "big") + parsed.key_id.to_bytes(4, "big")
    return key.id == parsed.key_id and hmac.compare_digest(_mac(key, head, seed), parsed.mac)


def _mac(key: SigningKey, head: bytes, seed: bytes) -> bytes:
    # head and seed have fixed lengths, so their concatenation is unambiguous.
    keyed = key.keyed.copy()
    keyed.update(_LABEL + head + seed)
    return keyed.digest()


def judge(state: ChainState, presented: int, now: Millis, network: str, user_agent: str) -> Judgement:
    """Judge a refresh token of generation `presented`, whose MAC has held, against the row (decision 19)."""
    if presented > state.generation:
        return NoSuchGeneration()
    if presented == state.generation:
        return Rotate(
            ChainState(
                generation=state.generation + 1,
                confirmed_generation=max(state.confirmed_generation, presented),
                rotated_at=now,
                odd_bits=(state.odd_bits << 1) & _REMEMBERED,
                last_network=network,
                last_user_agent=user_agent,
            )
        )
    if presented < state.generation - 1:
        return Theft("spent")
    late = now - state.rotated_at > GRACE
    if late and state.confirmed_generation >= state.generation:
        return Theft("confirmed")
    return _retry(state, late or network != state.last_network or user_agent != state.last_user_agent)


def _retry(state: ChainState, odd: bool) -> SameChild | Theft:
    bits = state.odd_bits | odd
    if bits.bit_count() >= MOST_ODD:
        return Theft("odd_retries")
    return SameChild(bits != state.odd_bits, bits)
