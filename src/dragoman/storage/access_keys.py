"""Keys: sessions that a person named and that stay, by account, use and name (decision 17).

A key that has run out is kept as long as any session that did, and can be renewed; one that was ended is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dragoman.model import Id, Key, Millis
from dragoman.storage import sessions
from dragoman.storage.engine import Reader, Row, Statement, Tx
from dragoman.storage.sealing import Sealer

_COLUMNS = "id, name, hint, bypass = 1, created_at, seen_at, ends_at, updated_at, permissions"
_OF = "account = :account and ended_at is null and kind = 'key' and token_use = :use"
_LIVE = f"{_OF} and (ends_at is null or ends_at > :now)"
_LIST = Statement(f"select {_COLUMNS} from session where {_LIVE} order by id limit 200", hot=True)
_LIST_ALL = Statement(f"select {_COLUMNS} from session where {_OF} order by id desc limit 200", hot=True)
_FIND = Statement(f"select {_COLUMNS} from session where {_LIVE} and name = :name order by id limit 1", hot=True)
_BY_ID = Statement(f"select {_COLUMNS} from session where id = :id and {_OF}", hot=True)
_BY_HASH = Statement(
    f"""select {_COLUMNS} from session
        where token_use = :use and token_hash = :hash and account = :account and ended_at is null and kind = 'key'""",
    hot=True,
)
_COUNT = Statement(f"select count(*) from session where {_LIVE}", hot=True)
_CHANGE = Statement(
    """update session set ends_at = :ends_at, permissions = :permissions, updated_at = :now
       where id = :id and ended_at is null and kind = 'key'"""
)
_SEALED = Statement(
    f"select id, sealed_token from session where {_OF} and sealed_token is not null order by id desc limit 200",
    hot=True,
)


def _key(row: Row) -> Key:
    id, name, hint, bypass, *rest = row
    return Key(id, name or "", hint or "", bool(bypass), *rest)


async def of(db: Reader, account: Id, use: str, now: Millis) -> list[Key]:
    """Return the account's live keys for this use, oldest first, at most 200."""
    return [_key(row) for row in await db.all(_LIST, account=account, use=use, now=now)]


async def all_of(db: Reader, account: Id, use: str) -> list[Key]:
    """Return the same together with those that have run out: the newest 200, oldest first."""
    return [_key(row) for row in reversed(await db.all(_LIST_ALL, account=account, use=use))]


async def named(db: Reader, account: Id, use: str, name: str, now: Millis) -> Key | None:
    """Return the account's live key of this use and name, or None."""
    row = await db.one(_FIND, account=account, use=use, name=name, now=now)
    return None if row is None else _key(row)


async def by_id(db: Reader, account: Id, use: str, id: Id) -> Key | None:
    """Return a key of the account, live or run out, by its session's id, or None."""
    row = await db.one(_BY_ID, id=id, account=account, use=use)
    return None if row is None else _key(row)


async def by_token(db: Reader, account: Id, use: str, token_hash: bytes) -> Key | None:
    """Return a key of the account, live or run out, by the hash of its token, or None."""
    row = await db.one(_BY_HASH, use=use, hash=token_hash, account=account)
    return None if row is None else _key(row)


async def number(tx: Tx, account: Id, use: str, now: Millis) -> int:
    """Return how many live keys of this use the account has."""
    row = await tx.one(_COUNT, account=account, use=use, now=now)
    return int(row[0]) if row else 0


async def change(tx: Tx, key: Key, now: Millis) -> bool:
    """Store what its owner makes of a key: its end and permissions; tell whether it was there."""
    changed = await tx.run(_CHANGE, id=key.id, ends_at=key.ends_at, permissions=key.permissions, now=now)
    return changed == 1


async def tokens(db: Reader, sealer: Sealer, account: Id, use: str, keys: Collection[Id]) -> Mapping[Id, str]:
    """Return the tokens of some of the account's keys, of those that are kept to be shown again (decision 22)."""
    rows = await db.all(_SEALED, account=account, use=use)
    return {id: sessions.unseal_token(sealer, id, account, sealed) for id, sealed in rows if id in keys}
