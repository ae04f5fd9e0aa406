"""Who may see and manage whom: two functions for every dialect (decision 12)."""

from __future__ import annotations

from dragoman.model import Account
from dragoman.storage import accounts
from dragoman.storage.engine import Reader

MANAGER_RANK = 2
DEEPEST = 16


def may_see(caller: Account, target: Account) -> bool:
    """Tell whether the caller may know that the target exists: same organization, or an administrator."""
    return caller.organization == target.organization or caller.administrator


async def may_manage(db: Reader, caller: Account, target: Account) -> bool:
    """Tell whether the caller may act on the target: an administrator; an ancestor; or, in the same organization, of
    rank 2 or more and strictly above. Nobody but an administrator manages an administrator.
    """
    if caller.administrator:
        return True
    if target.administrator or not may_see(caller, target):
        return False
    if caller.rank >= MANAGER_RANK and caller.rank > target.rank:
        return True
    return await _is_ancestor(db, caller, target)


async def _is_ancestor(db: Reader, caller: Account, target: Account) -> bool:
    parent = target.parent
    for _ in range(DEEPEST):
        if parent is None:
            return False
        if parent == caller.id:
            return True
        above = await accounts.by_id(db, parent)
        parent = above.parent if above else None
    return False
