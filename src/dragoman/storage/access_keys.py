"""Keys: sessions without an end that a person named, by account, use and name (decision 17)."""

from __future__ import annotations

from dragoman.model import Id, Key
from dragoman.storage.engine import Reader, Row, Statement, Tx

_COLUMNS = "id, name, hint, bypass = 1, created_at, seen_at"
_OF = "account = :account and ended_at is null and kind = 'key' and token_use = :use"
_LIST = Statement(f"select {_COLUMNS} from session where {_OF} order by id limit 200", hot=True)
_FIND = Statement(f"select {_COLUMNS} from session where {_OF} and name = :name order by id limit 1", hot=True)
_COUNT = Statement(f"select count(*) from session where {_OF}", hot=True)


def _key(row: Row) -> Key:
    id, name, hint, bypass, created_at, seen_at = row
    return Key(id, name or "", hint or "", bool(bypass), created_at, seen_at)


async def of(db: Reader, account: Id, use: str) -> list[Key]:
    """Return the account's live keys for this use, oldest first, at most 200."""
    return [_key(row) for row in await db.all(_LIST, account=account, use=use)]


async def named(db: Reader, account: Id, use: str, name: str) -> Key | None:
    """Return the account's live key of this use and name, or None."""
    row = await db.one(_FIND, account=account, use=use, name=name)
    return None if row is None else _key(row)


async def number(tx: Tx, account: Id, use: str) -> int:
    """Return how many live keys of this use the account has."""
    row = await tx.one(_COUNT, account=account, use=use)
    return int(row[0]) if row else 0
