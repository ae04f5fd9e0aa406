"""Who may see and manage whom: two functions for every dialect (decision 12)."""

from __future__ import annotations

from dragoman.model import Account
from dragoman.storage import accounts
from dragoman.storage.engine import Reader

MANAGER_RANK = 2
ADMINISTRATOR_RANK = 254
OWNER_RANK = 255
DEEPEST = 16
"""How many ancestors an account may have: nobody is looked for further up."""


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


async def may_parent(db: Reader, caller: Account, target: Account) -> bool:
    """Tell whether the caller may act on the target as a parent does: an ancestor or an administrator whom `may_manage`
    lets. A rank alone gives no such right, whatever it is: not over a parent, a sibling or a stranger.
    """
    if not await may_manage(db, caller, target):
        return False
    return caller.administrator or await _is_ancestor(db, caller, target)


async def ancestors(db: Reader, account: Account) -> list[Account]:
    """Return an account's parent, the parent's parent and so on, deleted ones too."""
    found: list[Account] = []
    parent = account.parent
    while parent is not None and len(found) < DEEPEST:
        above = await accounts.by_id(db, parent)
        if above is None:
            break
        found.append(above)
        parent = above.parent
    return found


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
    return any(above.id == caller.id for above in await ancestors(db, target))
