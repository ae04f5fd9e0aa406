"""What an operator may set of this dialect, and the dialect that carries it to its handlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from dragoman.core.doors import Door
from dragoman.http import Call, Dialect


class Config(Struct, frozen=True):
    """The settings of this dialect."""

    digest: Literal["always", "seen", "never"] = "always"
    """Whose passwords may come as SHA-256: everybody's, accounts' that did before, nobody's."""
    site_url: str = ""
    """The address that clients are told, without a path; empty: the one they called."""
    version: str = "8.8.0"
    """The version presented to clients; the mobile app judges by it (contract section 16, no. 1)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RocketChat(Dialect):
    """The dialect with its settings."""

    config: Config
    gate: Door
    """The door, as its sign-in calls take it."""


def here(call: Call) -> RocketChat:
    """Return the dialect that a call came in by."""
    if not isinstance(call.dialect, RocketChat):
        raise TypeError("this operation is Rocket.Chat's and was mounted in another dialect")
    return call.dialect
