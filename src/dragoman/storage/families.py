"""Parents and their children: whoever stands below an account, page by page (decision 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from dragoman.model import Account, Id
from dragoman.storage.accounts import ACCOUNT_COLUMNS, account_of
from dragoman.storage.engine import Engine, Reader, Row, Statement, Tx

Order = Literal["number", "username", "email", "standing", "created", "updated"]

_STANDING = """
    case when a.status = 'active' and a.first_verified_at is not null then 1
         when a.status = 'active' or a.status = 'invited' then 2 else 3 end
"""
_WANTED = f"""
    a.status <> 'deleted' and (({_STANDING} = 1 and :active = 1) or ({_STANDING} = 2 and :pending = 1)
      or ({_STANDING} = 3 and :barred = 1))
"""
_BELOW = """
    a.organization = :organization and a.administrator = 0 and a.id in (
      with recursive family(id) as (
        select c.id from account c where c.parent = :top
        union select c.id from account c join family f on c.parent = f.id)
      select id from family)
"""
_SHOWN = f"""
    select {ACCOUNT_COLUMNS}, x.value, u.shown, e.shown from account a join organization o on o.id = a.organization
      join alias x on x.account = a.id and x.system = :system
      join identifier u on u.account = a.id and u.kind = 'username'
      left join identifier e on e.account = a.id and e.kind = 'email' and e.is_primary = 1
"""
_ORDERS: Mapping[Order, str] = {
    "number": "cast(x.value as bigint)",
    "username": "u.folded",
    "email": "coalesce(e.folded, '')",
    "standing": _STANDING,
    "created": "a.created_at",
    "updated": "a.updated_at",
}


def _pages(condition: str) -> Mapping[tuple[Order, bool], Statement]:
    """Return a statement for each order, rising and falling: a column to sort by is no parameter."""
    return {
        (order, falling): Statement(
            f"""{_SHOWN} where {condition} order by {column} {"desc" if falling else "asc"},
                {_ORDERS["number"]} {"desc" if falling else "asc"} limit :limit offset :after"""
        )
        for order, column in _ORDERS.items()
        for falling in (False, True)
    }


_FAMILY = _pages(f"{_BELOW} and {_WANTED}")
_EVERYBODY = _pages(_WANTED)
_COUNT_FAMILY = Statement(f"select count(*) from account a where {_BELOW} and {_WANTED}")
_COUNT_EVERYBODY = Statement(f"select count(*) from account a where {_WANTED}")
_CHILD = Statement("select 1 from account where parent = :top and status <> 'deleted' limit 1")
_MOVE_UP = Statement(
    """update account set parent = (select p.parent from account p where p.id = :top)
       where parent = :top and exists (select 1 from account p where p.id = :top and p.deleted_at = 0)"""
)


class Standings(Struct, frozen=True):
    """Which accounts are meant, by what they are to whoever looks at a list."""

    active: bool = True
    """Active, and verified once."""
    pending: bool = True
    """Invited, or active and never verified."""
    barred: bool = True
    """Suspended or resting."""


class Listed(Struct, frozen=True):
    """One account of a list."""

    account: Account
    number: str
    """What the dialect calls it."""
    username: str
    email: str | None
    """The primary address as typed."""


class Listing(Struct, frozen=True):
    """Which part of a list is wanted, and how it is sorted."""

    system: str
    """Whose names of the accounts are shown (`alias.system`); they are numbers."""
    standings: Standings = Standings()
    order: Order = "number"
    falling: bool = False
    limit: int = 10
    after: int = 0
    """How many are left out at the beginning."""


def _listed(row: Row) -> Listed:
    *of_account, number, username, email = row
    return Listed(account_of(tuple(of_account)), number, username, email)


def _wanted(listing: Listing) -> dict[str, int]:
    found = listing.standings
    return {"active": int(found.active), "pending": int(found.pending), "barred": int(found.barred)}


async def page(db: Engine, top: Account | None, listing: Listing) -> tuple[list[Listed], int]:
    """Return a part of the list of whoever stands below an account, of all accounts for None; and how many there are.

    Below an account are those of its organization, and no administrators. Deleted ones are in no list.
    """
    wanted, key = _wanted(listing), (listing.order, listing.falling)
    part = {"system": listing.system, "limit": listing.limit, "after": listing.after}
    if top is None:
        rows, counted = await db.scan(_EVERYBODY[key], **wanted, **part), await db.scan(_COUNT_EVERYBODY, **wanted)
    else:
        below = {**wanted, "top": top.id, "organization": top.organization}
        rows, counted = await db.scan(_FAMILY[key], **below, **part), await db.scan(_COUNT_FAMILY, **below)
    return [_listed(row) for row in rows], int(counted[0][0])


async def has_children(db: Reader, account: Id) -> bool:
    """Tell whether an account has children that are not deleted."""
    return await db.one(_CHILD, top=account) is not None


async def move_up(tx: Tx, account: Id) -> None:
    """Give the children of an account that is being erased to its own parent, or to nobody."""
    await tx.run(_MOVE_UP, top=account)
