"""What an API token, or a JWT made for others, is held to: some of the permissions of its account (threat 27)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from dragoman.http import Call

Permission = Literal[
    "read:admin", "read:billing", "read:invite", "read:media", "read:profile", "read:statistics", "read:sub-user",
    "read:user", "write:admin", "write:billing", "write:invite", "write:media", "write:sub-user", "write:user",
]  # fmt: skip


class Granted(Struct, frozen=True):
    """One permission, as the documents show it."""

    name: str
    scopes: tuple[str, ...] = ()


Grants = dict[str, Granted]


async def held_to(call: Call, names: Iterable[Permission] | None) -> str | None:
    """Return what a new credential is held to, as the core keeps it. Raises NotAllowed for what the caller may not."""
    return None if names is None else " ".join(sorted(set(names)))


async def granted(call: Call, held: str | None) -> Grants:
    """Return the permissions of one of the caller's credentials, by name."""
    return {name: Granted(name) for name in sorted((held or "").split())}
