"""Passkeys: the public halves of keys that authenticators hold."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.accounts import changed
from dragoman.storage.engine import Reader, Statement, Tx

_LIST = Statement(
    """select id, rp, public_key, sign_count, transports, name, created_at, used_at from passkey
       where account = :account order by created_at, id""",
    hot=True,
)
_INSERT = Statement(
    """insert into passkey(id, account, rp, public_key, sign_count, transports, name, created_at)
       values (:id, :account, :rp, :public_key, :count, :transports, :name, :now)"""
)
_USE = Statement(
    """update passkey set sign_count = :count, used_at = :now
       where id = :id and account = :account and (sign_count < :count or (sign_count = 0 and :count = 0))""",
    hot=True,
)
_DROP_ALL = Statement("delete from passkey where account = :account")


class Passkey(Struct, frozen=True, gc=False):
    """One passkey of an account."""

    id: bytes
    rp: str
    """The name of ours that it was made for (WebAuthn's RP id)."""
    public_key: bytes
    """COSE key."""
    sign_count: int
    """How often it has signed, by its own count; 0 for those that do not count."""
    transports: str
    """How a browser reaches it, comma-separated."""
    name: str
    created_at: Millis
    used_at: Millis | None


async def of_account(db: Reader, account: Id) -> list[Passkey]:
    """Return the account's passkeys, the oldest first."""
    return [Passkey(*row) for row in await db.all(_LIST, account=account)]


async def insert(tx: Tx, account: Id, key: Passkey) -> None:
    """Add a passkey. Raises ConstraintViolated when it is there already, whoever has it."""
    await tx.run(
        _INSERT, id=key.id, account=account, rp=key.rp, public_key=key.public_key, count=key.sign_count,
        transports=key.transports, name=key.name, now=key.created_at,
    )  # fmt: skip
    await changed(tx, account)


async def signed(tx: Tx, account: Id, id: bytes, count: int, now: Millis) -> bool:
    """Record that a passkey signed; False when its count did not rise, as that of a copy would not."""
    return await tx.run(_USE, account=account, id=id, count=count, now=now) == 1


async def drop_all(tx: Tx, account: Id) -> int:
    """Remove the account's passkeys; return how many there were."""
    gone = await tx.run(_DROP_ALL, account=account)
    await changed(tx, account)
    return gone
