"""Sessions of every dialect: the one INSERT, the authenticated read, rotation, ending."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from dragoman.model import Account, Caller, Grant, Id, Millis, Session
from dragoman.storage.accounts import ACCOUNT_COLUMNS, account_of
from dragoman.storage.engine import Reader, Row, Statement, Tx, Writer
from dragoman.storage.sealing import Sealer, where

_COLUMNS = """
    s.id, s.account, s.organization, s.door, s.kind, s.parent, s.token_use, s.created_at, s.seen_at, s.idle_until,
    s.ends_at, s.address, s.user_agent, s.methods, s.proved_at, s.generation, s.confirmed_generation,
    s.bypass, s.proved_client, s.permissions
"""
_WIDTH = 20
_LIVE = (
    "s.ended_at is null and (s.ends_at is null or s.ends_at > :now) and (s.idle_until is null or s.idle_until > :now)"
)

_CALLER_BY_ID = Statement(
    f"""select {_COLUMNS}, {ACCOUNT_COLUMNS} from session s join account a on a.id = s.account
        join organization o on o.id = a.organization where s.id = :id and {_LIVE}""",
    hot=True,
)
_CALLER_BY_TOKEN = Statement(
    f"""select {_COLUMNS}, {ACCOUNT_COLUMNS} from session s join account a on a.id = s.account
        join organization o on o.id = a.organization
        where s.token_use = :use and s.token_hash = :hash and {_LIVE}""",
    hot=True,
)
_INSERT = Statement(
    """insert into session(id, account, organization, door, kind, parent, token_use, token_hash, sealed_token,
         created_at, seen_at, idle, idle_until, ends_at, address, user_agent, device, name, hint, bypass, methods,
         proved_at, proved_client, rotated_at, rotated_client, key_id, seed, device_id, permissions)
       values (:id, :account, :organization, :door, :kind, :parent, :token_use, :token_hash, :sealed_token,
         :now, :now, :idle, :idle_until, :ends_at, :address, :user_agent, :device, :name, :hint, :bypass, :methods,
         :proved_at, :proved_client, :now, :client, :key_id, :seed, :device_id, :permissions)""",
    hot=True,
)
_END_BEYOND_CAP = Statement(
    """update session set ended_at = :now, ended_why = 'limit' where id in (
         select id from session where account = :account and ended_at is null and door = :door and kind = 'client'
           and parent is null order by id desc limit 1000 offset :cap)
       or parent in (
         select id from session where account = :account and ended_at is null and door = :door and kind = 'client'
           and parent is null order by id desc limit 1000 offset :cap)""",
)
_COUNT_LIVE = Statement(
    """select count(*) from session where account = :account and ended_at is null and door = :door
       and kind = 'client' and parent is null""",
    hot=True,
)
_END = Statement("update session set ended_at = :now, ended_why = :why where id = :id and ended_at is null", hot=True)
_END_CHILDREN = Statement(
    "update session set ended_at = :now, ended_why = :why where parent = :id and ended_at is null", hot=True
)
_END_CHILDREN_BEYOND = Statement(
    """update session set ended_at = :now, ended_why = 'limit' where id in (
         select id from session where parent = :id and ended_at is null order by id desc limit 1000 offset :cap)"""
)
_END_CLIENTS = Statement(
    """update session set ended_at = :now, ended_why = :why
       where account = :account and ended_at is null and kind = 'client'"""
)
_END_OTHERS = Statement(
    """update session set ended_at = :now, ended_why = :why
       where account = :account and ended_at is null and kind = 'client'
         and id <> :keep and (parent is null or parent <> :keep)"""
)
_END_ALL = Statement(
    "update session set ended_at = :now, ended_why = :why where account = :account and ended_at is null"
)
_CHAIN = Statement(
    f"""select {_COLUMNS}, s.idle, s.rotated_at, s.rotated_client, s.odd_retries, s.key_id, s.seed, s.ended_at,
          {ACCOUNT_COLUMNS} from session s join account a on a.id = s.account
        join organization o on o.id = a.organization where s.id = :id""",
    hot=True,
)
_CHAIN_WIDTH = _WIDTH + 7
_ROTATE = Statement(
    """update session set generation = generation + 1, confirmed_generation = :generation, rotated_at = :now,
         rotated_client = :client, odd_retries = :odd_retries, key_id = :key_id, idle_until = :idle_until,
         seen_at = :now
       where id = :id and generation = :generation and ended_at is null""",
    hot=True,
)
_MARK_ODD = Statement(
    "update session set odd_retries = :odd_retries where id = :id and generation = :generation and ended_at is null",
    hot=True,
)
_CONFIRM = Statement(
    """update session set confirmed_generation = :generation
       where id = :id and generation >= :generation and confirmed_generation < :generation""",
    hot=True,
)
_STAY = Statement(
    """update session set idle_until = :idle_until
       where id = :id and ended_at is null and idle_until > :now and (ends_at is null or ends_at > :now)""",
    hot=True,
)
_PROVED = Statement("update session set proved_at = :now, proved_client = :client where id = :id and ended_at is null")
_SEEN = Statement("update session set seen_at = :now where id = :id and seen_at < :now", hot=True)
_ENDED_SINCE = Statement(
    """select id, ended_at from session where ended_at > :since and (ended_at < :at or (ended_at = :at and id < :id))
       order by ended_at desc, id desc limit 200""",
    hot=True,
)
_LIST = Statement(
    f"select {_COLUMNS} from session s where s.account = :account and {_LIVE} order by s.id desc limit 200", hot=True
)
_LIST_CLIENTS = Statement(
    f"""select {_COLUMNS} from session s
        where s.account = :account and s.kind = 'client' and s.parent is null and {_LIVE}
        order by s.id desc limit 200""",
    hot=True,
)
_KEY = Statement(
    f"""select s.id, s.sealed_token from session s
        where s.account = :account and s.ended_at is null and s.kind = 'key' and s.token_use = :use and s.name = :use
          and {_LIVE}""",
    hot=True,
)
_SWEEP = Statement(
    "delete from session where id in (select id from session where ended_at < :before order by ended_at limit 200)"
)
_SWEEP_EXPIRED = Statement(
    "delete from session where id in (select id from session where ends_at < :before order by ends_at limit 200)"
)
_END_OF_TIME: Millis = 2**62


class Chain(Struct, frozen=True, gc=False):
    """A session with what its row says of its refresh chain, and its account (decision 19)."""

    session: Session
    account: Account
    idle: Millis | None
    rotated_at: Millis
    rotated_client: bytes | None
    odd_retries: int
    key_id: int | None
    seed: bytes | None
    ended_at: Millis | None


def _caller(row: Row) -> Caller:
    return Caller(Session(*row[:_WIDTH]), account_of(row[_WIDTH:]))


def seal_token(sealer: Sealer, session: Id, account: Id, token: str) -> bytes:
    """Seal a key's token, which its dialect shows again (decision 22)."""
    return sealer.seal("session", where("session", "sealed_token", session, account), token.encode())


def unseal_token(sealer: Sealer, session: Id, account: Id, sealed: bytes) -> str:
    """Open what `seal_token` made."""
    return sealer.open("session", where("session", "sealed_token", session, account), sealed).decode()


async def caller_by_id(db: Reader, id: Id, now: Millis) -> Caller | None:
    """Return a live session and its account by the session's id."""
    row = await db.one(_CALLER_BY_ID, id=id, now=now)
    return _caller(row) if row else None


async def caller_by_token(db: Reader, use: str, token_hash: bytes, now: Millis) -> Caller | None:
    """Return a live session and its account by the hash of an opaque token and the use it was made for."""
    row = await db.one(_CALLER_BY_TOKEN, use=use, hash=token_hash, now=now)
    return _caller(row) if row else None


async def insert(tx: Tx, grant: Grant, print_of_client: bytes) -> Session:
    """Insert the session that a grant allows: the only INSERT into `session` (threat 1)."""
    now = grant.created_at
    idle_until = None if grant.idle is None else now + grant.idle
    client, proved_client = grant.client, grant.proved_client or print_of_client
    await tx.run(
        _INSERT, id=grant.id, account=grant.account, organization=grant.organization, door=grant.door,
        kind=grant.kind, parent=grant.parent, token_use=grant.token_use, token_hash=grant.token_hash,
        sealed_token=grant.sealed_token, now=now, idle=grant.idle, idle_until=idle_until, ends_at=grant.ends_at,
        address=client.address, user_agent=client.user_agent, device=grant.device, name=grant.name,
        hint=grant.hint, bypass=int(grant.bypass), methods=grant.methods, proved_at=grant.proved_at,
        client=print_of_client, proved_client=proved_client, key_id=grant.key_id, seed=grant.seed,
        device_id=grant.device_id, permissions=grant.permissions,
    )  # fmt: skip
    return Session(
        grant.id, grant.account, grant.organization, grant.door, grant.kind, grant.parent, grant.token_use, now, now,
        idle_until, grant.ends_at, client.address, client.user_agent, grant.methods, grant.proved_at, 0, 0,
        int(grant.bypass), proved_client, grant.permissions,
    )  # fmt: skip


async def end_beyond_cap(tx: Tx, account: Id, door: str, cap: int, now: Millis) -> int:
    """End the oldest client sessions of an account and dialect beyond `cap`, with their children (decision 21)."""
    row = await tx.one(_COUNT_LIVE, account=account, door=door)
    if row is None or row[0] <= cap:
        return 0
    return await tx.run(_END_BEYOND_CAP, account=account, door=door, cap=cap, now=now)


async def end_children_beyond(tx: Tx, id: Id, cap: int, now: Millis) -> int:
    """End the oldest children of a session beyond `cap`."""
    return await tx.run(_END_CHILDREN_BEYOND, id=id, cap=cap, now=now)


async def end(tx: Tx, id: Id, why: str, now: Millis) -> bool:
    """End one session and its children; tell whether it was live."""
    ended = await tx.run(_END, id=id, why=why, now=now) == 1
    await tx.run(_END_CHILDREN, id=id, why=why, now=now)
    return ended


async def end_clients(tx: Tx, account: Id, why: str, now: Millis, *, keep: Id | None = None) -> int:
    """End the account's client sessions in all dialects, `keep` and its children left out; keys stay."""
    if keep is None:
        return await tx.run(_END_CLIENTS, account=account, why=why, now=now)
    return await tx.run(_END_OTHERS, account=account, why=why, now=now, keep=keep)


async def end_all(tx: Tx, account: Id, why: str, now: Millis) -> int:
    """End all sessions and keys of the account in all dialects."""
    return await tx.run(_END_ALL, account=account, why=why, now=now)


async def chain(db: Reader, id: Id) -> Chain | None:
    """Return a session with the state of its refresh chain, live or not, and its account: one read."""
    row = await db.one(_CHAIN, id=id)
    if row is None:
        return None
    return Chain(Session(*row[:_WIDTH]), account_of(row[_CHAIN_WIDTH:]), *row[_WIDTH:_CHAIN_WIDTH])


async def rotate(
    db: Writer, id: Id, generation: int, now: Millis, *, client: bytes, odd_retries: int, key_id: int,
    idle_until: Millis | None,
) -> bool:  # fmt: skip
    """Move a chain from `generation` to the next, if it still stands there; tell whether it did."""
    changed = await db.run(
        _ROTATE, id=id, generation=generation, now=now, client=client, odd_retries=odd_retries, key_id=key_id,
        idle_until=idle_until,
    )  # fmt: skip
    return changed == 1


async def mark_odd(db: Writer, id: Id, generation: int, odd_retries: int) -> bool:
    """Record a late or foreign retry within the present generation; tell whether the chain still stands there."""
    return await db.run(_MARK_ODD, id=id, generation=generation, odd_retries=odd_retries) == 1


async def confirm(db: Writer, id: Id, generation: int) -> None:
    """Record that something issued with this generation was presented, so that its parent is spent."""
    await db.run(_CONFIRM, id=id, generation=generation)


async def stay(db: Writer, id: Id, idle_until: Millis, now: Millis) -> bool:
    """Move the idle end of a live session; tell whether it is one that has such an end."""
    return await db.run(_STAY, id=id, idle_until=idle_until, now=now) == 1


async def proved(tx: Tx, id: Id, now: Millis, print_of_client: bytes) -> None:
    """Record that this client proved a credential in the session just now (decision 25)."""
    await tx.run(_PROVED, id=id, now=now, client=print_of_client)


async def seen(tx: Tx, id: Id, now: Millis) -> None:
    """Record when the session was last used."""
    await tx.run(_SEEN, id=id, now=now)


async def ended_since(db: Reader, since: Millis) -> AsyncIterator[list[Id]]:
    """Yield the sessions that ended after then, the latest first, some at a time."""
    at, id = _END_OF_TIME, b""
    while rows := await db.all(_ENDED_SINCE, since=since, at=at, id=id):
        yield [row[0] for row in rows]
        if len(rows) < 200:
            return
        id, at = rows[-1]


async def list_live(db: Reader, account: Id, now: Millis) -> list[Session]:
    """Return the account's live sessions and keys in all dialects, newest first, at most 200."""
    return [Session(*row) for row in await db.all(_LIST, account=account, now=now)]


async def list_clients(db: Reader, account: Id, now: Millis) -> list[Session]:
    """Return the account's live clients in all dialects, newest first, at most 200: no keys, no children."""
    return [Session(*row) for row in await db.all(_LIST_CLIENTS, account=account, now=now)]


async def live_key(db: Reader, account: Id, use: str, now: Millis) -> tuple[Id, bytes] | None:
    """Return the id and sealed token of the key that the account's sign-ins show, which is named as its use is."""
    row = await db.one(_KEY, account=account, use=use, now=now)
    return (row[0], row[1]) if row else None


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 400 sessions that ended or ran out before then; return how many."""
    return await tx.run(_SWEEP, before=before) + await tx.run(_SWEEP_EXPIRED, before=before)
