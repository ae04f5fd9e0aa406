"""Accounts with their identifiers, aliases and organizations."""

from __future__ import annotations

from typing import cast

import msgspec

from dragoman.model import Account, Id, Identifier, IdentifierKind, Millis, Person, Status
from dragoman.storage import documents
from dragoman.storage.engine import Engine, Reader, Row, Statement, Tx

_LABELS = "labels."
"""What the names of the documents begin with that hold the words a dialect shows of an account."""

ACCOUNT_COLUMNS = """
    a.id, a.organization, a.kind, a.status, a.administrator, a.root, a.parent, a.first_name, a.last_name,
    a.display_name, a.auth_epoch, a.facts, a.first_verified_at, a.created_at, a.updated_at, a.signed_in_at, a.rank,
    o.is_default, o.business, o.factor_from
"""

_BY_ID = Statement(
    f"select {ACCOUNT_COLUMNS} from account a join organization o on o.id = a.organization where a.id = :id",
    hot=True,
)
_BY_IDENTIFIER = Statement(
    f"""select {ACCOUNT_COLUMNS} from identifier i join account a on a.id = i.account
        join organization o on o.id = a.organization where i.kind = :kind and i.folded = :folded""",
    hot=True,
)
_BY_ALIAS = Statement(
    f"""select {ACCOUNT_COLUMNS} from alias x join account a on a.id = x.account
        join organization o on o.id = a.organization where x.system = :system and x.value = :value"""
)
_FACTS = Statement(
    """select 1, kind, shown, state, is_primary from identifier where account = :account
       union all select 2, system, value, '', 0 from alias where account = :account
       union all select 3, kind, '', '', initial from credential where account = :account
       union all select 3, 'recovery', '', '', 0 from account
         where id = :account and exists (select 1 from recovery_code where account = :account and used_at is null)
       union all select 3, 'passkey', '', '', 0 from account
         where id = :account and exists (select 1 from passkey where account = :account)
       union all select 4, name, body, '', 0 from document where owner = :account and name like 'labels.%'""",
    hot=True,
)
_LIST = Statement(
    f"""select {ACCOUNT_COLUMNS} from account a join organization o on o.id = a.organization
        where a.id > :after order by a.id limit 200"""
)
_INSERT = Statement(
    """insert into account(id, organization, rank, kind, status, administrator, root, parent, first_name, last_name,
         display_name, auth_epoch, first_verified_at, created_at, updated_at)
       values (:id, :organization, :rank, :kind, :status, :administrator, :root, :parent, :first_name, :last_name,
         :display_name, 0, :first_verified_at, :now, :now)"""
)
_INSERT_IDENTIFIER = Statement(
    """insert into identifier(kind, folded, shown, state, is_primary, verified_at, created_at, account)
       values (:kind, :folded, :shown, :state, :is_primary, :verified_at, :now, :account)"""
)
_RENAME = Statement(
    """update identifier set folded = :folded, shown = :shown
       where kind = 'username' and account = :account"""
)
_INSERT_ALIAS = Statement("insert into alias(system, value, account) values (:system, :value, :account)")
_ALIAS_OF = Statement("select value from alias where account = :account and system = :system", hot=True)
_DROP_ALIAS = Statement("delete from alias where account = :account and system = :system")
_LINKED = Statement("select count(*) from alias where system = :system")
_SET_NAMES = Statement(
    """update account set first_name = :first_name, last_name = :last_name, display_name = :display_name,
         updated_at = :now where id = :id"""
)
_NEXT = Statement(
    """insert into sequence(name, next) values (:name, 2)
       on conflict (name) do update set next = sequence.next + 1 returning next - 1"""
)
_SET_STATUS = Statement(
    """update account set status = :status, deleted_at = :deleted_at, deleted_from = :deleted_from,
         auth_epoch = auth_epoch + 1, updated_at = :now
       where id = :id"""
)
_DELETION = Statement("select deleted_at, deleted_from from account where id = :id")
_SET_ADMINISTRATOR = Statement(
    "update account set administrator = :administrator, rank = :rank, updated_at = :now where id = :id"
)
_OTHER_ADMINISTRATOR = Statement(
    "select 1 from account where administrator = 1 and status = 'active' and id <> :id limit 1"
)
_CHANGED = Statement("update account set facts = facts + 1 where id = :id", hot=True)
_RAISE_EPOCH = Statement("update account set auth_epoch = auth_epoch + 1, updated_at = :now where id = :id", hot=True)
_SIGNED_IN = Statement(
    "update account set signed_in_at = :now where id = :id and (signed_in_at is null or signed_in_at < :now)", hot=True
)
_INSERT_ORGANIZATION = Statement(
    """insert into organization(id, name, business, is_default, created_at)
       values (:id, :name, :business, :is_default, :now)"""
)
_SET_FACTOR_FROM = Statement("update organization set factor_from = :factor_from where id = :organization")
_DEFAULT_ORGANIZATION = Statement("select id from organization where is_default = 1")
_ORGANIZATION_NAMED = Statement("select id from organization where name = :name")
_LANGUAGE = Statement("select language from account where id = :id", hot=True)
_SET_LANGUAGE = Statement("update account set language = :language where id = :id")
_MAIL_PROVED_AT = Statement("select mail_proved_at from account where id = :id", hot=True)
_MAIL_PROVED = Statement("update account set mail_proved_at = :now where id = :id")
_META = Statement("select value from meta where name = :name")
_SET_META = Statement("insert into meta(name, value) values (:name, :value) on conflict (name) do nothing")
_ADMINISTRATOR = Statement("select 1 from account where administrator = 1 limit 1")
_COUNT = Statement("select count(*) from account where status <> 'deleted'")


def account_of(row: Row) -> Account:
    """Read the columns of ACCOUNT_COLUMNS."""
    (
        id_, organization, kind, status, administrator, root, parent, first_name, last_name, display_name, epoch,
        facts, first_verified_at, created_at, updated_at, signed_in_at, rank, is_default, business, factor_from,
    ) = row  # fmt: skip
    return Account(
        id_, organization, kind, status, administrator == 1, root == 1, parent, first_name, last_name, display_name,
        epoch, facts, first_verified_at, created_at, updated_at, signed_in_at, rank, is_default == 1, business == 1,
        factor_from,
    )  # fmt: skip


async def by_id(db: Reader, id: Id) -> Account | None:
    """Return the account of this id, whatever its status."""
    row = await db.one(_BY_ID, id=id)
    return account_of(row) if row else None


async def by_identifier(db: Reader, kind: IdentifierKind, folded: str) -> Account | None:
    """Return the account that has this identifier; `folded` comes from core/identifiers.py."""
    row = await db.one(_BY_IDENTIFIER, kind=kind, folded=folded)
    return account_of(row) if row else None


async def by_alias(db: Reader, system: str, value: str) -> Account | None:
    """Return the account another system knows by this name."""
    row = await db.one(_BY_ALIAS, system=system, value=value)
    return account_of(row) if row else None


async def person(db: Reader, account: Account) -> Person:
    """Return the account with all that a dialect shows of it, in one read. Good while `account.facts` stays."""
    identifiers: list[Identifier] = []
    aliases: dict[str, str] = {}
    factors: set[str] = set()
    labels: dict[str, tuple[str, ...]] = {}
    initial = False
    for what, kind, shown, state, primary in await db.all(_FACTS, account=account.id):
        if what == 1:
            identifiers.append(Identifier(cast("IdentifierKind", kind), shown, state, primary == 1))
        elif what == 2:
            aliases[kind] = shown
        elif what == 4:
            labels[kind.removeprefix(_LABELS)] = msgspec.json.decode(shown, type=tuple[str, ...])
        else:
            factors.add(kind)
            initial = initial or (kind == "password" and primary == 1)
    identifiers.sort(key=lambda i: not i.primary)
    return Person(
        account, tuple(identifiers), aliases, frozenset(factors - {"password"}), "password" in factors, initial, labels
    )


async def page(db: Engine, after: Id = b"") -> list[Account]:
    """Return up to 200 accounts with ids above `after`, in order of creation."""
    return [account_of(row) for row in await db.scan(_LIST, after=after)]


async def insert(tx: Tx, account: Account) -> None:
    """Add the account row alone. `created_at` serves as its time."""
    await tx.run(
        _INSERT,
        id=account.id,
        organization=account.organization,
        rank=account.rank,
        kind=account.kind,
        status=account.status,
        administrator=int(account.administrator),
        root=int(account.root),
        parent=account.parent,
        first_name=account.first_name,
        last_name=account.last_name,
        display_name=account.display_name,
        first_verified_at=account.first_verified_at,
        now=account.created_at,
    )


async def changed(tx: Tx, account: Id) -> None:
    """Say that what `person` returns is different now. Every write of this folder that changes it calls this."""
    await tx.run(_CHANGED, id=account)


async def insert_identifier(tx: Tx, account: Id, identifier: Identifier, folded: str, now: Millis) -> None:
    """Give the account a name. Raises ConstraintViolated when another account has it."""
    await tx.run(
        _INSERT_IDENTIFIER,
        kind=identifier.kind,
        folded=folded,
        shown=identifier.shown,
        state=identifier.state,
        is_primary=int(identifier.primary),
        verified_at=now if identifier.state == "verified" else None,
        now=now,
        account=account,
    )
    await changed(tx, account)


async def rename(tx: Tx, account: Id, folded: str, shown: str) -> None:
    """Change the username. Raises ConstraintViolated when another account has it."""
    await tx.run(_RENAME, account=account, folded=folded, shown=shown)
    await changed(tx, account)


async def insert_alias(tx: Tx, account: Id, system: str, value: str) -> None:
    """Record what another system calls the account."""
    await tx.run(_INSERT_ALIAS, system=system, value=value, account=account)
    await changed(tx, account)


async def alias_of(db: Reader, account: Id, system: str) -> str | None:
    """Return what another system calls the account."""
    row = await db.one(_ALIAS_OF, account=account, system=system)
    return str(row[0]) if row else None


async def drop_alias(tx: Tx, account: Id, system: str) -> bool:
    """Forget what another system calls the account; tell whether it had a name there."""
    dropped = await tx.run(_DROP_ALIAS, account=account, system=system) == 1
    await changed(tx, account)
    return dropped


async def count_aliases(db: Engine, system: str) -> int:
    """Return how many accounts another system has a name for."""
    return int((await db.scan(_LINKED, system=system))[0][0])


async def set_names(tx: Tx, account: Account, now: Millis) -> None:
    """Write the account's first, last and display name."""
    await tx.run(
        _SET_NAMES, id=account.id, first_name=account.first_name, last_name=account.last_name,
        display_name=account.display_name, now=now,
    )  # fmt: skip
    await changed(tx, account.id)


async def put_labels(tx: Tx, account: Id, dialect: str, labels: tuple[str, ...], now: Millis) -> None:
    """Give the account these words of a dialect in the place of those it had."""
    name = _LABELS + dialect
    if labels:
        await documents.put(tx, account, name, msgspec.json.encode(labels).decode(), now)
    else:
        await documents.drop(tx, account, name)
    await changed(tx, account)


async def next_number(tx: Tx, name: str) -> int:
    """Return the next number of a sequence, from 1, without gaps among committed transactions."""
    row = await tx.one(_NEXT, name=name)
    return int(row[0]) if row else 1


async def set_status(tx: Tx, account: Id, status: Status, now: Millis) -> None:
    """Change the status and raise the epoch, so that no sign-in under way is finished with the old one."""
    await tx.run(_SET_STATUS, id=account, status=status, deleted_at=None, deleted_from=None, now=now)


async def set_deleted(tx: Tx, account: Id, was: Status, deleted_at: Millis, now: Millis) -> None:
    """Make the account a deleted one that was `was` before; a `deleted_at` of 0 lets it be erased at once."""
    await tx.run(_SET_STATUS, id=account, status="deleted", deleted_at=deleted_at, deleted_from=was, now=now)


async def deletion(db: Reader, account: Id) -> tuple[Millis, Status] | None:
    """Return when an account was deleted and what it was before; None for one that is not deleted."""
    row = await db.one(_DELETION, id=account)
    if row is None or row[0] is None:
        return None
    return int(row[0]), cast("Status", row[1] or "active")


async def set_administrator(tx: Tx, account: Id, administrator: bool, rank: int, now: Millis) -> None:
    """Make the account an administrator or take that from it, with its rank."""
    await tx.run(_SET_ADMINISTRATOR, id=account, administrator=int(administrator), rank=rank, now=now)


async def other_administrator(tx: Tx, account: Id) -> bool:
    """Tell whether somebody else is an active administrator."""
    return await tx.one(_OTHER_ADMINISTRATOR, id=account) is not None


async def raise_epoch(tx: Tx, account: Id, now: Millis) -> None:
    """Undo every sign-in under way: none that read an older epoch is finished."""
    await tx.run(_RAISE_EPOCH, id=account, now=now)


async def signed_in(tx: Tx, account: Id, now: Millis) -> None:
    """Record the time of a finished sign-in."""
    await tx.run(_SIGNED_IN, id=account, now=now)


async def language(db: Reader, account: Id) -> str | None:
    """Return the language in which the account wants its mail, None for the installation's."""
    row = await db.one(_LANGUAGE, id=account)
    return None if row is None or row[0] is None else str(row[0])


async def set_language(tx: Tx, account: Id, language: str | None) -> None:
    """Change the language in which the account wants its mail."""
    await tx.run(_SET_LANGUAGE, id=account, language=language)


async def mail_proved_at(db: Reader, account: Id) -> Millis | None:
    """Return when a mailed token was last used for the account (decision 5)."""
    row = await db.one(_MAIL_PROVED_AT, id=account)
    return None if row is None or row[0] is None else int(row[0])


async def mail_proved(tx: Tx, account: Id, now: Millis) -> None:
    """Record that a mailed token was used for the account."""
    await tx.run(_MAIL_PROVED, id=account, now=now)


async def insert_organization(tx: Tx, id: Id, name: str, now: Millis, *, business: bool, default: bool) -> None:
    """Add an organization."""
    await tx.run(_INSERT_ORGANIZATION, id=id, name=name, business=int(business), is_default=int(default), now=now)


async def set_factor_from(tx: Tx, organization: Id, at: Millis | None) -> None:
    """Say from when on the members of an organization need a second factor, or that they need none."""
    await tx.run(_SET_FACTOR_FROM, organization=organization, factor_from=at)


async def default_organization(db: Reader) -> Id | None:
    """Return the organization made at set-up."""
    row = await db.one(_DEFAULT_ORGANIZATION)
    return bytes(row[0]) if row else None


async def organization_named(db: Reader, name: str) -> Id | None:
    """Return the oldest organization of this name."""
    row = await db.one(_ORGANIZATION_NAMED, name=name)
    return bytes(row[0]) if row else None


async def meta(db: Reader, name: str) -> str | None:
    """Return a fact of the installation."""
    row = await db.one(_META, name=name)
    return str(row[0]) if row else None


async def set_meta_once(tx: Tx, name: str, value: str) -> bool:
    """Record a fact of the installation unless it is there; tell whether this call did (a latch)."""
    return await tx.run(_SET_META, name=name, value=value) == 1


async def has_administrator(db: Engine) -> bool:
    """Tell whether any account is an administrator, whatever its status."""
    return bool(await db.scan(_ADMINISTRATOR))


async def administered(db: Reader) -> bool:
    """Tell the same within a transaction."""
    return await db.one(_ADMINISTRATOR) is not None


async def count(db: Engine) -> int:
    """Return how many accounts there are, deleted ones left out."""
    return int((await db.scan(_COUNT))[0][0])
