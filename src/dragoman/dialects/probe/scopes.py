"""What an API token, or a JWT for another program, is held to: some of its account's permissions (threat 27).

They are judged at each use, together with those of the account (`permissions.held`): what an account loses, its
credentials lose at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.dialects.probe import permissions
from dragoman.dialects.probe.wire_users import Permission
from dragoman.http import Call

Grants = dict[str, Permission]


async def held_to(call: Call, names: Iterable[str] | None) -> str | None:
    """Return what a new credential is held to, as the core keeps it; None stands for whatever its account may.

    Raises NotAllowed, which names the permission, for one that the caller lacks.
    """
    if names is None:
        return None
    wanted = frozenset(names)
    await permissions.may_give(call, wanted)
    return " ".join(sorted(wanted))


def granted(whole: frozenset[str], held: str | None) -> Grants:
    """Return the permissions that a credential has now, of those of its account."""
    return {name: Permission(name) for name in sorted(whole) if held is None or name in held.split()}
