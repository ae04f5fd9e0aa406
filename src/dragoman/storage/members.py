"""The members of an organization, with what its managers see of each."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Account, Id, Millis
from dragoman.storage.accounts import ACCOUNT_COLUMNS, account_of
from dragoman.storage.engine import Engine, Reader, Row, Statement, Tx

_MEMBERS = f"""
    select {ACCOUNT_COLUMNS}, a.deleted_at, i.shown, i.state from account a join organization o on o.id = a.organization
      left join identifier i on i.account = a.id and i.kind = 'email' and i.is_primary = 1
"""
_THERE = "(a.deleted_at is null or a.deleted_at > 0)"
"""An account that is being erased is a member no more."""

_LIST = Statement(
    f"{_MEMBERS} where a.organization = :organization and {_THERE} order by a.id limit :limit offset :after"
)
_ONE = Statement(f"{_MEMBERS} where a.id = :id and {_THERE}")
_COUNT = Statement(f"select count(*) from account a where a.organization = :organization and {_THERE}")
_SET_RANK = Statement("update account set rank = :rank, updated_at = :now where id = :id")
_OTHER_OWNER = Statement(
    """select 1 from account where organization = :organization and rank = 255 and status = 'active' and id <> :id
       limit 1"""
)
_OTHERS = Statement(
    "select 1 from account where organization = :organization and status <> 'deleted' and id <> :id limit 1"
)


class Member(Struct, frozen=True):
    """One member, as the organization's managers see it."""

    account: Account
    email: str | None
    """The primary address as typed."""
    verified: bool
    """Whether that address was proved."""
    deleted_at: Millis | None
    """When it was deleted, while it can be brought back."""


def _member(row: Row) -> Member:
    *of_account, deleted_at, email, state = row
    return Member(account_of(tuple(of_account)), email, state == "verified", deleted_at)


async def page(db: Engine, organization: Id, *, limit: int, after: int) -> list[Member]:
    """Return up to `limit` members, in the order in which they came, without the first `after`."""
    return [_member(row) for row in await db.scan(_LIST, organization=organization, limit=limit, after=after)]


async def find(db: Reader, id: Id) -> Member | None:
    """Return a member of whatever organization."""
    row = await db.one(_ONE, id=id)
    return _member(row) if row else None


async def count(db: Engine, organization: Id) -> int:
    """Return how many members an organization has, deleted ones that can be brought back among them."""
    return int((await db.scan(_COUNT, organization=organization))[0][0])


async def set_rank(tx: Tx, account: Id, rank: int, now: Millis) -> None:
    """Give a member a rank."""
    await tx.run(_SET_RANK, id=account, rank=rank, now=now)


async def other_owner(tx: Tx, account: Account) -> bool:
    """Tell whether somebody else owns the account's organization and can act."""
    return await tx.one(_OTHER_OWNER, organization=account.organization, id=account.id) is not None


async def has_others(tx: Tx, account: Account) -> bool:
    """Tell whether the account's organization has other members, whatever their status but deleted."""
    return await tx.one(_OTHERS, organization=account.organization, id=account.id) is not None
