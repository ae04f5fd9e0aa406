"""Who may see and manage whom: two functions for every dialect (decision 12)."""

from __future__ import annotations

from dragoman.model import Account
from dragoman.storage import accounts
from dragoman.storage.engine import Reader

MANAGER_RANK = 2
ADMINISTRATOR_RANK = 254
OWNER_RANK = 255
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


async def may_govern(db: Reader, caller: Account, target: Account) -> bool:
    """Tell whether the caller may take the target out of the organization or back into it: whom he manages, and an
    owner everybody but administrators (contract of Flashback, open point 15).
    """
    return _owns(caller, target) or await may_manage(db, caller, target)


def may_rank(caller: Account, target: Account, rank: int) -> bool:
    """Tell whether the caller may give the target this rank: what he has himself he can neither give nor take.

    For others both ranks are strictly below the caller's, who is of rank 2 or more; an owner may do anything; everybody
    may lower his own (contract of Flashback, section 4.8 and open point 15). Being an ancestor gives no such right.
    """
    if caller.administrator:
        return True
    if caller.id == target.id:
        return rank <= caller.rank
    if target.administrator or not may_see(caller, target):
        return False
    if caller.rank == OWNER_RANK:
        return True
    return caller.rank >= MANAGER_RANK and caller.rank > max(target.rank, rank)


def _owns(caller: Account, target: Account) -> bool:
    return caller.rank == OWNER_RANK and caller.organization == target.organization and not target.administrator


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
