"""Everything that is held about one account, table by table, and never a secret of it.

A test demands that every table and every column that has to do with an account is here, or stands in LEFT_OUT with
the reason why not: so a new table cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from dragoman.model import Id
from dragoman.storage.engine import Engine, Statement

Kind = Literal["plain", "time", "id", "flag", "json", "bytes"]
PAGE = 1000
PROVES = "proves the account or opens a session"
HASHED = "a hash of something that was sent or set as a cookie; of no use to anybody but us"
INNER = "how far something of ours has come, not what is known of anybody"
OURS = "the account itself"


class Column(Struct, frozen=True):
    """One column, as what it is shown, and how its value is to be read."""

    name: str
    shown: str
    kind: Kind = "plain"


class Section(Struct, frozen=True):
    """What one table holds of an account."""

    name: str
    """Its name in an export."""
    table: str
    columns: tuple[Column, ...]
    statement: Statement
    single: bool = False
    """At most one row, shown as it is and not in a list."""
    paged: bool = False
    """Read by the thousand: the first column is the row's number or id."""


def _columns(text: str) -> tuple[Column, ...]:
    """Read `name`, `name=shown` and `name:kind`, separated by spaces; `account_name` is shown as `accountName`."""
    found = []
    for word in text.split():
        rest, _, kind = word.partition(":")
        name, _, shown = rest.partition("=")
        first, *others = name.split("_")
        found.append(Column(name, shown or first + "".join(map(str.title, others)), kind or "plain"))  # type: ignore[arg-type]
    return tuple(found)


def _section(name: str, table: str, columns: str, order: str, *, by: str = "account") -> Section:
    read = _columns(columns)
    named = ", ".join(column.name for column in read)
    statement = Statement(f"select {named} from {table} where {by} = :account order by {order}")
    return Section(name, table, read, statement)


def _single(name: str, table: str, columns: str, condition: str) -> Section:
    read = _columns(columns)
    named = ", ".join(column.name for column in read)
    return Section(name, table, read, Statement(f"select {named} from {table} where {condition}"), single=True)


def _paged(name: str, table: str, columns: str, after: str) -> Section:
    read = _columns(columns)
    named = ", ".join(column.name for column in read)
    statement = Statement(
        f"select {named} from {table} where account = :account and id > :{after} order by id limit {PAGE}"
    )
    return Section(name, table, read, statement, paged=True)


_START: Mapping[str, Any] = {"session": b"", "event": 0}
_AFTER: Mapping[str, str] = {"session": "after", "event": "number"}

SECTIONS: tuple[Section, ...] = (
    _single(
        "account", "account",
        """id:id kind status administrator:flag root:flag rank parent:id first_name last_name display_name language
           first_verified_at:time created_at:time updated_at:time signed_in_at:time mail_proved_at:time
           deleted_at:time deleted_from""",
        "id = :account",
    ),
    _single(
        "organization", "organization",
        "id:id name business:flag is_default=default:flag created_at:time factor_from:time",
        "id = (select organization from account where id = :account)",
    ),
    _section(
        "identifiers", "identifier",
        "kind shown=value state is_primary=primary:flag verified_at:time created_at:time lapses_at:time",
        "kind, is_primary desc, folded",
    ),
    _section("aliases", "alias", "system value", "system"),
    _section(
        "providers", "provider_link", "provider issuer subject address created_at:time last_at:time",
        "created_at, issuer, subject",
    ),
    _section(
        "credentials", "credential",
        "kind created_at:time initial:flag dies_at:time digest_seen:flag step_at=usedAt:time", "kind",
    ),
    _section("passkeys", "passkey", "name rp=madeFor created_at:time used_at:time", "created_at, id"),
    _section("recoveryCodes", "recovery_code", "used_at:time", "coalesce(used_at, 0), mac"),
    _paged(
        "sessions", "session",
        """id:id kind door=dialect name hint=lastCharacters bypass:flag parent:id created_at:time seen_at:time
           idle_until:time ends_at:time address user_agent device device_id:id methods proved_at:time
           permissions updated_at:time ended_at:time ended_why""",
        _AFTER["session"],
    ),
    _section(
        "devices", "device",
        """id:id name type os browser user_agent address created_at:time seen_at:time trusted_until:time""",
        "created_at, id",
    ),
    _section("knownNetworks", "known_network", "network last_at:time", "last_at, network"),
    _section("knownBrowsers", "mark", "created_at:time last_at:time", "created_at, hash"),
    _section("failures", "counter", "scope streak=sinceSuccess updated_at:time", "scope, subject"),
    _section(
        "attempts", "attempt", "door=dialect methods wrong_codes created_at:time ends_at:time",
        "created_at, handle_hash",
    ),
    _section("tickets", "ticket", "purpose created_at:time ends_at:time used_at:time", "created_at, id"),
    _section("codes", "code", "purpose door=dialect wrong=wrongCodes created_at:time ends_at:time", "purpose, door"),
    _section("enrolments", "enrolment", "kind wrong=wrongCodes created_at:time ends_at:time", "kind"),
    _section(
        "letters", "outbox",
        "kind channel created_at:time due_at:time expires_at:time tries dead_at:time", "created_at, id",
    ),
    _section("documents", "document", "name body:json updated_at:time", "name", by="owner"),
    _single("picture", "picture", "media image:bytes updated_at:time", "account = :account"),
    _section("settings", "setting", "name value:json updated_at:time", "name", by="changed_by"),
    _paged(
        "events", "event", "id=number at:time kind session:id door=dialect address detail:json count",
        _AFTER["event"],
    ),
)  # fmt: skip

LEFT_OUT: Mapping[str, str] = {
    "meta": "facts of the installation",
    "sequence": "facts of the installation",
    "signing_key": "keys of the installation",
    "spent_token": "hashes that name nobody",
    "account.organization": "shown as the organization",
    "account.auth_epoch": INNER,
    "account.facts": INNER,
    "identifier.folded": "the value again, in small letters",
    "identifier.account": OURS,
    "alias.account": OURS,
    "provider_link.account": OURS,
    "credential.account": OURS,
    "credential.sealed": PROVES,
    "credential.scheme": "how a secret is kept",
    "credential.version": INNER,
    "credential.last_step": "which code of the authenticator app was the last",
    "credential.step_client": HASHED,
    "passkey.account": OURS,
    "passkey.id": "names the key to whoever asks for its signature",
    "passkey.public_key": "of no use to anybody but us",
    "passkey.sign_count": INNER,
    "passkey.transports": "how a browser reaches the key",
    "recovery_code.account": OURS,
    "recovery_code.mac": PROVES,
    "attempt.account": OURS,
    "attempt.handle_hash": PROVES,
    "attempt.auth_epoch": INNER,
    "attempt.version": INNER,
    "attempt.wish": "what a client asked for that is not signed in yet",
    "ticket.account": OURS,
    "ticket.id": "has a mail sent again",
    "ticket.hash": PROVES,
    "ticket.about": "the act under way; what comes of it stands among identifiers and events",
    "code.account": OURS,
    "code.mac": PROVES,
    "code.about": "an address that stands among identifiers",
    "enrolment.account": OURS,
    "enrolment.sealed": PROVES,
    "outbox.account": OURS,
    "outbox.id": INNER,
    "outbox.sealed": "holds live links and codes",
    "outbox.lease": INNER,
    "outbox.fault": "what a mail server said to us",
    "document.owner": OURS,
    "document.version": INNER,
    "picture.account": OURS,
    "picture.etag": "a hash of the image",
    "setting.changed_by": OURS,
    "session.account": OURS,
    "session.organization": "shown once",
    "session.token_use": INNER,
    "session.token_hash": PROVES,
    "session.sealed_token": PROVES,
    "session.idle": "shown as the time it comes to",
    "session.generation": INNER,
    "session.confirmed_generation": INNER,
    "session.rotated_at": "seen_at says when",
    "session.rotated_client": HASHED,
    "session.proved_client": HASHED,
    "session.odd_retries": INNER,
    "session.key_id": INNER,
    "session.seed": PROVES,
    "device.account": OURS,
    "device.fingerprint": HASHED,
    "known_network.account": OURS,
    "mark.account": OURS,
    "mark.hash": PROVES,
    "counter.account": OURS,
    "counter.subject": HASHED,
    "counter.marks": HASHED,
    "event.account": OURS,
}
"""What an export does not hold, as `table` or `table.column`, and why."""


async def rows(db: Engine, section: Section, account: Id) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows of a section by the names of their columns, oldest first, a thousand at a time where many."""
    names = [column.name for column in section.columns]
    if not section.paged:
        for row in await db.scan(section.statement, account=account):
            yield dict(zip(names, row, strict=True))
        return
    last = _START[section.table]
    while True:
        found = await db.scan(section.statement, account=account, **{_AFTER[section.table]: last})
        for row in found:
            yield dict(zip(names, row, strict=True))
        if len(found) < PAGE:
            return
        last = found[-1][0]
