"""Changing the names by which an account is found: proving, replacing, letting lapse (decisions 6 and 15)."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import AddressState, Id, IdentifierKind, Millis
from dragoman.storage.accounts import changed
from dragoman.storage.engine import Reader, Statement, Tx

SUPERSEDED: Millis = 1 << 62
"""`lapses_at` of an address another has taken the place of, until that one is verified (decision 6)."""

_COLUMNS = "kind, folded, shown, state, is_primary, created_at, lapses_at, account"
_FIND = Statement(f"select {_COLUMNS} from identifier where kind = :kind and folded = :folded")
_LISTED = Statement(
    f"select {_COLUMNS} from identifier where account = :account order by kind, is_primary desc, created_at, folded"
)
_VERIFY = Statement(
    """update identifier set state = 'verified', verified_at = :now, lapses_at = null
       where kind = :kind and folded = :folded and account = :account"""
)
_FIRST_VERIFIED = Statement(
    "update account set first_verified_at = coalesce(first_verified_at, :now), updated_at = :now where id = :account"
)
_DEMOTE = Statement(
    """update identifier set is_primary = 0 where account = :account and kind = :kind and folded <> :folded
       and is_primary = 1"""
)
_PROMOTE = Statement(
    """update identifier set is_primary = 1, lapses_at = null
       where account = :account and kind = :kind and folded = :folded"""
)
_LAPSE = Statement(
    f"""update identifier set lapses_at = :lapses_at
       where account = :account and kind = :kind and lapses_at = cast({SUPERSEDED} as bigint)"""
)
_LAPSE_ONE = Statement(
    """update identifier set lapses_at = :lapses_at where account = :account and kind = :kind and folded = :folded"""
)
_REMOVE = Statement("delete from identifier where account = :account and kind = :kind and folded = :folded")
_LAPSED = Statement(f"select {_COLUMNS} from identifier where lapses_at < :now order by lapses_at limit 50")
_PROMOTE_BEST = Statement(
    """update identifier set is_primary = 1, lapses_at = null where account = :account and kind = :kind and folded =
         (select folded from identifier where account = :account and kind = :kind
          order by case state when 'verified' then 0 when 'vouched' then 1 else 2 end, created_at, folded limit 1)"""
)


class Held(Struct, frozen=True, gc=False):
    """One identifier with its account, as stored."""

    kind: IdentifierKind
    folded: str
    shown: str
    state: AddressState
    primary: bool
    created_at: Millis
    lapses_at: Millis | None
    account: Id


def _held(row: tuple[object, ...]) -> Held:
    kind, folded, shown, state, primary, created_at, lapses_at, account = row
    return Held(kind, folded, shown, state, primary == 1, created_at, lapses_at, account)  # type: ignore[arg-type]


async def find(db: Reader, kind: IdentifierKind, folded: str) -> Held | None:
    """Return an identifier with whose it is."""
    row = await db.one(_FIND, kind=kind, folded=folded)
    return _held(row) if row else None


async def listed(db: Reader, account: Id) -> list[Held]:
    """Return every identifier of an account, primary ones first within their kind."""
    return [_held(row) for row in await db.all(_LISTED, account=account)]


async def verify(tx: Tx, account: Id, kind: IdentifierKind, folded: str, now: Millis) -> bool:
    """Record that an address was proved; the account counts as verified from the first one on. False: not its own."""
    if await tx.run(_VERIFY, account=account, kind=kind, folded=folded, now=now) != 1:
        return False
    await tx.run(_FIRST_VERIFIED, account=account, now=now)
    await changed(tx, account)
    return True


async def make_primary(tx: Tx, account: Id, kind: IdentifierKind, folded: str) -> None:
    """Let one identifier be what dialects show of its kind; it no longer lapses."""
    await tx.run(_DEMOTE, account=account, kind=kind, folded=folded)
    await tx.run(_PROMOTE, account=account, kind=kind, folded=folded)
    await changed(tx, account)


async def let_lapse(tx: Tx, account: Id, kind: IdentifierKind, folded: str, at: Millis) -> None:
    """Let one identifier go at this time; SUPERSEDED: once the one that took its place is verified."""
    await tx.run(_LAPSE_ONE, account=account, kind=kind, folded=folded, lapses_at=at)


async def let_superseded_lapse(tx: Tx, account: Id, kind: IdentifierKind, at: Millis) -> None:
    """Let every superseded identifier of a kind go at this time."""
    await tx.run(_LAPSE, account=account, kind=kind, lapses_at=at)


async def remove(tx: Tx, account: Id, kind: IdentifierKind, folded: str) -> bool:
    """Take an identifier away; the best one left becomes primary. Tell whether the account had it."""
    removed = await tx.run(_REMOVE, account=account, kind=kind, folded=folded) == 1
    await changed(tx, account)
    if removed:
        await _keep_one_primary(tx, account, kind)
    return removed


async def _keep_one_primary(tx: Tx, account: Id, kind: IdentifierKind) -> None:
    left = [one for one in await listed(tx, account) if one.kind == kind]
    if left and not any(one.primary for one in left):
        await tx.run(_PROMOTE_BEST, account=account, kind=kind)
    await changed(tx, account)


async def sweep_lapsed(tx: Tx, now: Millis) -> int:
    """Take away up to 50 identifiers whose time has come; return how many."""
    lapsed = [_held(row) for row in await tx.all(_LAPSED, now=now)]
    for one in lapsed:
        await remove(tx, one.account, one.kind, one.folded)
    return len(lapsed)
