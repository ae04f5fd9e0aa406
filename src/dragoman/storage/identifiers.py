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
    """update identifier set state = 'verified', verified_at = :now,
         lapses_at = case when is_primary = 1 then null else lapses_at end
       where kind = :kind and folded = :folded and account = :account"""
)
_VOUCH = Statement(
    """update identifier set state = 'vouched', lapses_at = case when is_primary = 1 then null else lapses_at end
       where kind = :kind and folded = :folded and account = :account and state = 'claimed'"""
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
_REMOVE = Statement(
    """delete from identifier where account = :account and kind = :kind and folded = :folded
       returning is_primary"""
)
_WITHDRAW = Statement(
    """update identifier set is_primary = 0, lapses_at = :lapses_at
       where account = :account and kind = :kind and folded = :folded"""
)
_RESPELL = Statement(
    "update identifier set shown = :shown where account = :account and kind = :kind and folded = :folded"
)
_LAPSED = Statement(f"select {_COLUMNS} from identifier where lapses_at < :now order by lapses_at limit 50")
_PROMOTE_BEST = Statement(
    f"""update identifier set is_primary = 1, lapses_at = null where account = :account and kind = :kind and folded =
         (select folded from identifier where account = :account and kind = :kind
          order by case state when 'claimed' then 1 else 0 end, coalesce(lapses_at, cast({SUPERSEDED} as bigint)) desc,
            case state when 'verified' then 0 else 1 end, created_at, folded limit 1)"""
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

    @property
    def proved(self) -> bool:
        """Whether it was verified, or vouched for by an operator or a directory: a claimed one carries no right."""
        return self.state != "claimed"


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


async def vouch(tx: Tx, account: Id, kind: IdentifierKind, folded: str) -> None:
    """Record that an operator or a directory answers for an address that was only claimed."""
    if await tx.run(_VOUCH, account=account, kind=kind, folded=folded):
        await changed(tx, account)


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


async def withdraw(tx: Tx, account: Id, kind: IdentifierKind, folded: str, at: Millis) -> None:
    """Show an identifier no more, and let it go at this time; none takes its place."""
    await tx.run(_WITHDRAW, account=account, kind=kind, folded=folded, lapses_at=at)
    await changed(tx, account)


async def respell(tx: Tx, account: Id, kind: IdentifierKind, folded: str, shown: str) -> None:
    """Show an identifier as it is spelled now."""
    await tx.run(_RESPELL, account=account, kind=kind, folded=folded, shown=shown)
    await changed(tx, account)


async def remove(tx: Tx, account: Id, kind: IdentifierKind, folded: str) -> bool:
    """Take an identifier away; if it was primary, the best one left becomes so: a proved one, the last to have been
    primary. Tell whether the account had it.
    """
    row = await tx.one(_REMOVE, account=account, kind=kind, folded=folded)
    if row is not None:
        if row[0] == 1:
            await tx.run(_PROMOTE_BEST, account=account, kind=kind)
        await changed(tx, account)
    return row is not None


async def sweep_lapsed(tx: Tx, now: Millis) -> int:
    """Take away up to 50 identifiers whose time has come; return how many."""
    lapsed = [_held(row) for row in await tx.all(_LAPSED, now=now)]
    for one in lapsed:
        await remove(tx, one.account, one.kind, one.folded)
    return len(lapsed)
