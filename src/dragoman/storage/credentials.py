"""Password hashes and TOTP seeds (sealed), recovery codes (as HMAC)."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.accounts import changed
from dragoman.storage.engine import Engine, Reader, Statement, Tx
from dragoman.storage.sealing import Sealer, where


class Credential(Struct, frozen=True, gc=False):
    """One stored credential, still sealed."""

    scheme: str
    sealed: bytes
    version: int
    initial: bool
    dies_at: Millis | None
    digest_seen: bool
    last_step: int
    step_at: Millis
    step_client: bytes | None


_FIND = Statement(
    """select scheme, sealed, version, initial, dies_at, digest_seen, last_step, step_at, step_client
       from credential where account = :account and kind = :kind""",
    hot=True,
)
_PUT = Statement(
    """insert into credential(account, kind, scheme, sealed, version, created_at, initial, dies_at, digest_seen)
       values (:account, :kind, :scheme, :sealed, 1, :now, :initial, :dies_at, 0)
       on conflict (account, kind) do update set scheme = excluded.scheme, sealed = excluded.sealed,
         version = credential.version + 1, created_at = excluded.created_at, initial = excluded.initial,
         dies_at = excluded.dies_at, last_step = 0, step_at = 0, step_client = null"""
)
_REHASH = Statement(
    """update credential set sealed = :sealed, scheme = :scheme
       where account = :account and kind = 'password' and version = :version and sealed = :old""",
    hot=True,
)
_SEEN = Statement(
    "update credential set digest_seen = 1 where account = :account and kind = 'password' and digest_seen = 0",
    hot=True,
)
_DROP = Statement("delete from credential where account = :account and kind = :kind")
_STEP = Statement(
    """update credential set last_step = :step, step_at = :now, step_client = :client
       where account = :account and kind = 'totp' and last_step < :step""",
    hot=True,
)
_REPEAT_STEP = Statement(
    """update credential set step_client = null
       where account = :account and kind = 'totp' and last_step = :step and step_at >= :since
         and step_client = :client""",
    hot=True,
)
_SCHEMES = Statement("select scheme, count(*) from credential where kind = 'password' group by scheme")
_PUT_CODE = Statement("insert into recovery_code(account, mac) values (:account, :mac)")
_CODES_LEFT = Statement("select count(*) from recovery_code where account = :account and used_at is null")
_DROP_CODES = Statement("delete from recovery_code where account = :account")
_USE_CODE = Statement(
    "update recovery_code set used_at = :now where account = :account and mac = :mac and used_at is null", hot=True
)


def _place(account: Id, kind: str) -> bytes:
    return where("credential", kind, account, account)


def seal(sealer: Sealer, account: Id, kind: str, secret: bytes) -> bytes:
    """Seal a hash or seed so that it opens for this account and kind only (threat 20)."""
    return sealer.seal("credential", _place(account, kind), secret)


def unseal(sealer: Sealer, account: Id, kind: str, sealed: bytes) -> bytes:
    """Open what `seal` made. Raises SealBroken when it was made for another row or altered."""
    return sealer.open("credential", _place(account, kind), sealed)


async def find(db: Reader, account: Id, kind: str) -> Credential | None:
    """Return the account's `password` or `totp` credential."""
    row = await db.one(_FIND, account=account, kind=kind)
    if row is None:
        return None
    scheme, sealed, version, initial, dies_at, digest_seen, last_step, step_at, step_client = row
    return Credential(scheme, sealed, version, initial == 1, dies_at, digest_seen == 1, last_step, step_at, step_client)


async def put(
    tx: Tx, account: Id, kind: str, *, scheme: str, sealed: bytes, now: Millis, dies_at: Millis | None = None
) -> None:
    """Set or replace a credential and raise its version. `dies_at` marks an initial password (threat 16)."""
    await tx.run(
        _PUT, account=account, kind=kind, scheme=scheme, sealed=sealed, now=now,
        initial=int(dies_at is not None), dies_at=dies_at,
    )  # fmt: skip
    await changed(tx, account)


async def rehash(tx: Tx, account: Id, *, version: int, old: bytes, scheme: str, sealed: bytes) -> bool:
    """Replace a verified hash by a better one of the same password, unless it changed meanwhile (decision 28)."""
    changed = await tx.run(_REHASH, account=account, version=version, old=old, scheme=scheme, sealed=sealed)
    return changed == 1


async def saw_digest(tx: Tx, account: Id) -> None:
    """Remember that the account's clients sign in by digest (design 6, setting `seen`)."""
    await tx.run(_SEEN, account=account)


async def drop(tx: Tx, account: Id, kind: str) -> bool:
    """Remove a credential; tell whether there was one."""
    dropped = await tx.run(_DROP, account=account, kind=kind) == 1
    await changed(tx, account)
    return dropped


async def use_step(tx: Tx, account: Id, step: int, client: bytes, now: Millis) -> bool:
    """Take a TOTP step if it is later than the last accepted one; tell whether it was (decision 8)."""
    return await tx.run(_STEP, account=account, step=step, client=client, now=now) == 1


async def repeat_step(tx: Tx, account: Id, step: int, client: bytes, since: Millis) -> bool:
    """Take the last accepted step once more, if the same client took it since then (decision 8)."""
    return await tx.run(_REPEAT_STEP, account=account, step=step, client=client, since=since) == 1


async def schemes(db: Engine) -> dict[str, int]:
    """Return how many passwords are stored in each scheme."""
    return dict(await db.scan(_SCHEMES))


async def put_recovery_codes(tx: Tx, account: Id, macs: tuple[bytes, ...]) -> None:
    """Replace the account's recovery codes."""
    await tx.run(_DROP_CODES, account=account)
    for mac in macs:
        await tx.run(_PUT_CODE, account=account, mac=mac)
    await changed(tx, account)


async def use_recovery_code(tx: Tx, account: Id, mac: bytes, now: Millis) -> bool:
    """Use a recovery code up; tell whether it was there and unused."""
    used = await tx.run(_USE_CODE, account=account, mac=mac, now=now) == 1
    if used:
        await changed(tx, account)
    return used


async def recovery_codes_left(db: Reader, account: Id) -> int:
    """Return how many recovery codes of the account are unused."""
    row = await db.one(_CODES_LEFT, account=account)
    return int(row[0]) if row else 0
