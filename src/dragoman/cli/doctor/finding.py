"""One thing that an operator should know."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One thing to know."""

    level: Literal["error", "warning", "note"]
    """error: something does not work; warning: weaker than it should be; note: a choice worth knowing."""
    setting: str
    """The setting or file it is about."""
    text: str
    remedy: str
