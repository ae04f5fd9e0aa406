"""Unpadded base64url with one spelling per value (RFC 4648, section 5)."""

from __future__ import annotations

import base64
import binascii


def encode(value: bytes) -> str:
    """Return the unpadded base64url text of `value`."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes | None:
    """Return what `text` spells, or None unless it is the one canonical spelling: no padding, no other alphabet, no
    stray bits in the last character. Two texts for one token would be two tokens to every cache and list.
    """
    try:
        raw = text.encode("ascii")
        value = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return None
    return value if base64.urlsafe_b64encode(value).rstrip(b"=") == raw else None
