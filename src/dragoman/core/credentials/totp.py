"""Codes of an authenticator app (RFC 6238): SHA-1, 6 digits, 30 seconds. Pure; whether a step was used is the row's."""

from __future__ import annotations

import base64
import hmac

import pyotp

from dragoman.core.ports import Random
from dragoman.model import Millis

DIGITS = 6
STEP: Millis = 30_000
SEED_SIZE = 20
"""Bytes of a seed, as RFC 4226 recommends."""


def new_seed(random: Random) -> bytes:
    """Return a fresh seed of 20 bytes."""
    return random.bytes(SEED_SIZE)


def secret_text(seed: bytes) -> str:
    """Return a seed as people type it into an app: base32 without padding."""
    return base64.b32encode(seed).decode().rstrip("=")


def otpauth_url(seed: bytes, account_name: str, issuer: str) -> str:
    """Return the URL that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret_text(seed)).provisioning_uri(name=account_name, issuer_name=issuer)


def is_code(text: str) -> bool:
    """Tell whether a text has the shape of a code: 6 ASCII digits, spaces aside."""
    digits = text.replace(" ", "")
    return len(digits) == DIGITS and digits.isascii() and digits.isdigit()


def matching_step(seed: bytes, code: str, now_ms: Millis, window: int = 1) -> int | None:
    """Return the step (30 seconds since 1970) whose code this is, or None.

    Looks `window` steps to either side of now (decision 8), compares each in constant time and always all of them. The
    caller accepts a step only if it is later than the last accepted one; of two steps with the same code the later
    counts, so that a code is never good twice.
    """
    if not is_code(code):
        return None
    digits = code.replace(" ", "").encode()
    codes = pyotp.HOTP(secret_text(seed))
    now, found = now_ms // STEP, None
    for step in range(max(0, now - window), now + window + 1):
        if hmac.compare_digest(codes.at(step).encode(), digits):
            found = step
    return found
