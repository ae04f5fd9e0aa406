"""Whom outside providers know our accounts as, and which of their tokens were used up."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Engine, Reader, Statement, Tx

_COLUMNS = "issuer, subject, account, provider, address, created_at, last_at"
_FIND = Statement(
    f"select {_COLUMNS} from provider_link where issuer = :issuer and subject = :provider_subject", hot=True
)
_OF = Statement(f"select {_COLUMNS} from provider_link where account = :account order by created_at, issuer, subject")
_INSERT = Statement(
    """insert into provider_link(issuer, subject, account, provider, address, created_at, last_at)
       values (:issuer, :provider_subject, :account, :provider, :shown, :now, :now)"""
)
_USED = Statement(
    "update provider_link set last_at = :now where issuer = :issuer and subject = :provider_subject", hot=True
)
_DROP = Statement("delete from provider_link where account = :account and provider = :provider")
_DROP_ALL = Statement("delete from provider_link where account = :account")
_COUNTS = Statement("select provider, count(*) from provider_link group by provider order by provider")
_SPEND = Statement(
    "insert into spent_token(hash, ends_at) values (:hash, :ends_at) on conflict (hash) do nothing", hot=True
)
_SWEEP = Statement(
    """delete from spent_token where hash in
         (select hash from spent_token where ends_at < :before order by ends_at limit 200)"""
)


class Link(Struct, frozen=True, gc=False):
    """That a provider's subject is the owner of an account."""

    issuer: str
    subject: str
    account: Id
    provider: str
    """The name under which the provider was configured when it was linked."""
    address: str | None
    """What the provider called the address then; for people to read, it decides nothing."""
    created_at: Millis
    last_at: Millis


async def find(db: Reader, issuer: str, subject: str) -> Link | None:
    """Return whose subject this is: the only way by which a provider's word finds an account (threat 13)."""
    row = await db.one(_FIND, issuer=issuer, provider_subject=subject)
    return Link(*row) if row else None


async def of(db: Reader, account: Id) -> list[Link]:
    """Return the links of an account, oldest first."""
    return [Link(*row) for row in await db.all(_OF, account=account)]


async def insert(tx: Tx, link: Link) -> None:
    """Link a subject to an account. Raises ConstraintViolated when another account has it."""
    await tx.run(
        _INSERT, issuer=link.issuer, provider_subject=link.subject, account=link.account, provider=link.provider,
        shown=link.address, now=link.created_at,
    )  # fmt: skip


async def used(tx: Tx, issuer: str, subject: str, now: Millis) -> None:
    """Record that the link was used to sign in."""
    await tx.run(_USED, issuer=issuer, provider_subject=subject, now=now)


async def drop(tx: Tx, account: Id, provider: str) -> int:
    """Take an account's links to a provider away; return how many there were."""
    return await tx.run(_DROP, account=account, provider=provider)


async def drop_all(tx: Tx, account: Id) -> int:
    """Take all links of an account away; return how many there were."""
    return await tx.run(_DROP_ALL, account=account)


async def counts(db: Engine) -> dict[str, int]:
    """Return how many links to each provider there are."""
    return {str(name): int(number) for name, number in await db.scan(_COUNTS)}


async def spend(tx: Tx, hash: bytes, ends_at: Millis) -> bool:
    """Use a token up; tell whether it was not used before, so that of two only one gets through."""
    return await tx.run(_SPEND, hash=hash, ends_at=ends_at) == 1


async def sweep(tx: Tx, before: Millis) -> int:
    """Forget up to 200 used tokens that would be refused for their age by then; return how many."""
    return await tx.run(_SWEEP, before=before)
