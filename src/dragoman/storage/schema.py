"""The schema, once, for both engines, with each table's retention. Migrations import it; serving never does.

Times are milliseconds since 1970; booleans are integers; `id` columns hold UUIDv7 in 16 bytes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

DAY = 24 * 60 * 60 * 1000
FOREVER = None

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

RETENTION: dict[str, int | None] = {}
"""How long a row is kept after its last use, in milliseconds; None for as long as its account."""

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Bytes = sa.LargeBinary()
Text = sa.Text()


def _table(name: str, *columns: Any, kept: int | None, rowid: bool = False) -> sa.Table:
    RETENTION[name] = kept
    return sa.Table(name, metadata, *columns, sqlite_strict=True, sqlite_with_rowid=rowid)


def _number(name: str, default: int | None = None, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    given = None if default is None else str(default)
    return sa.Column(name, Number, nullable=null, primary_key=key, autoincrement=False, server_default=given)


def _bytes(name: str, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Bytes, nullable=null, primary_key=key)


def _text(name: str, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Text, nullable=null, primary_key=key)


def _account(*, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column("account", Bytes, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=null, primary_key=key)


def _few(name: str, column: sa.Column[Any], only: Any) -> None:
    """Declare an index over the few rows that `only` holds for: counting them walks nothing else."""
    sa.Index(name, column, sqlite_where=only, postgresql_where=only)


meta = _table("meta", _text("name", key=True), _text("value"), kept=FOREVER)
"""Facts of the installation: the master key's check value, the latch of the first administrator."""

sequence = _table("sequence", _text("name", key=True), _number("next"), kept=FOREVER)
"""Counters that give numbers out, Probe's user ids for one."""

organization = _table(
    "organization",
    _bytes("id", key=True),
    _text("name"),
    _number("business", 0),
    _number("is_default", 0),
    _number("created_at"),
    _number("factor_from", null=True),
    kept=FOREVER,
)
"""`factor_from`: from then on its members need a second factor; none while they need not."""

account = _table(
    "account",
    _bytes("id", key=True),
    sa.Column("organization", Bytes, sa.ForeignKey("organization.id"), nullable=False),
    _number("rank", 0),
    _text("kind"),
    _text("status"),
    _number("administrator", 0),
    _number("root", 0),
    sa.Column("parent", Bytes, sa.ForeignKey("account.id", ondelete="SET NULL"), nullable=True),
    _text("first_name"),
    _text("last_name"),
    _text("display_name", null=True),
    _number("auth_epoch", 0),
    _number("facts", 0),
    _number("first_verified_at", null=True),
    _number("created_at"),
    _number("updated_at"),
    _number("signed_in_at", null=True),
    _number("deleted_at", null=True),
    _text("deleted_from", null=True),
    _text("language", null=True),
    _number("mail_proved_at", null=True),
    kept=30 * DAY,
)
"""A person or bot. Kept for good; 30 days after a soft deletion, then erased with all that hangs on it.

`deleted_from` is the status that a return brings back. A `deleted_at` of 0 says that it is being erased now.
"""
sa.Index("ix_account_organization", account.c.organization, account.c.id)
sa.Index("ix_account_parent", account.c.parent)
_few("ix_account_administrator", account.c.id, account.c.administrator == sa.literal_column("1"))
_few("ix_account_deleted_at", account.c.deleted_at, account.c.deleted_at.is_not(None))

identifier = _table(
    "identifier",
    _text("kind", key=True),
    _text("folded", key=True),
    _text("shown"),
    _text("state"),
    _number("is_primary", 0),
    _number("verified_at", null=True),
    _number("created_at"),
    _account(),
    _number("lapses_at", null=True),
    kept=FOREVER,
)
"""Names by which an account is found, unique on the fold (decision 15).

One with `lapses_at` goes then: an address that was not proved, or the one it took the place of (decision 6).
"""
sa.Index("ix_identifier_account", identifier.c.account)
sa.Index("ix_identifier_lapses_at", identifier.c.lapses_at)
_few("ix_identifier_claimed", identifier.c.account, identifier.c.state == sa.literal_column("'claimed'"))

alias = _table("alias", _text("system", key=True), _text("value", key=True), _account(), kept=FOREVER)
"""The names other systems know an account by, made with it (decision 16)."""
sa.Index("uq_alias_account_system", alias.c.account, alias.c.system, unique=True)

credential = _table(
    "credential",
    _account(key=True),
    _text("kind", key=True),
    _text("scheme"),
    _bytes("sealed"),
    _number("version"),
    _number("created_at"),
    _number("initial", 0),
    _number("dies_at", null=True),
    _number("digest_seen", 0),
    _number("last_step", 0),
    _number("step_at", 0),
    _bytes("step_client", null=True),
    kept=FOREVER,
)
"""A password's hash or a TOTP seed, sealed. `version` is raised by each change (threat 3)."""
_few("ix_credential_dies_at", credential.c.dies_at, credential.c.dies_at.is_not(None))

recovery_code = _table(
    "recovery_code", _account(key=True), _bytes("mac", key=True), _number("used_at", null=True), kept=FOREVER
)
"""Recovery codes as HMAC under the master key, each good once (decision 8)."""

passkey = _table(
    "passkey",
    _bytes("id", key=True),
    _account(),
    _text("rp"),
    _bytes("public_key"),
    _number("sign_count"),
    _text("transports"),
    _text("name"),
    _number("created_at"),
    _number("used_at", null=True),
    kept=FOREVER,
)
"""Passkeys as second factors (WebAuthn): the public half, and for which name of ours (`rp`) it was made."""
sa.Index("ix_passkey_account", passkey.c.account, passkey.c.created_at)

attempt = _table(
    "attempt",
    _bytes("handle_hash", key=True),
    _account(),
    _text("door"),
    _text("methods"),
    _number("auth_epoch"),
    _number("version"),
    _number("wrong_codes", 0),
    _text("wish"),
    _number("created_at"),
    _number("ends_at"),
    kept=DAY,
)
"""A sign-in that waits for its second factor (decisions 4 and 44)."""
sa.Index("ix_attempt_account", attempt.c.account, attempt.c.created_at)
sa.Index("ix_attempt_ends_at", attempt.c.ends_at)

ticket = _table(
    "ticket",
    _bytes("id", key=True),
    _bytes("hash"),
    _text("purpose"),
    _account(),
    _text("about"),
    _number("created_at"),
    _number("ends_at"),
    _number("used_at", null=True),
    kept=DAY,
)
"""What a link in a mail stands for, by the hash of its token, each good once. Kept for a day after its end."""
sa.Index("uq_ticket_hash", ticket.c.hash, unique=True)
sa.Index("ix_ticket_account", ticket.c.account, ticket.c.purpose, ticket.c.created_at)
sa.Index("ix_ticket_ends_at", ticket.c.ends_at)

code = _table(
    "code",
    _account(key=True),
    _text("purpose", key=True),
    _text("door", key=True),
    _bytes("mac"),
    _text("about"),
    _number("wrong", 0),
    _number("created_at"),
    _number("ends_at"),
    kept=DAY,
)
"""Codes that were sent, as HMAC under the master key: one per account, purpose and door. Kept for a day at most."""
sa.Index("ix_code_ends_at", code.c.ends_at)

enrolment = _table(
    "enrolment",
    _account(key=True),
    _text("kind", key=True),
    _bytes("sealed"),
    _number("wrong", 0),
    _number("created_at"),
    _number("ends_at"),
    kept=DAY,
)
"""A second factor that is being set up, sealed: one per account and kind, in force only once a code of it came.

Good for 15 minutes, kept for a day at most.
"""
sa.Index("ix_enrolment_ends_at", enrolment.c.ends_at)

outbox = _table(
    "outbox",
    _bytes("id", key=True),
    _text("channel"),
    _text("kind"),
    _account(null=True),
    _bytes("sealed"),
    _number("created_at"),
    _number("due_at", null=True),
    _number("expires_at", null=True),
    _number("tries", 0),
    _bytes("lease", null=True),
    _text("fault", null=True),
    _number("dead_at", null=True),
    kept=14 * DAY,
)
"""What waits to be sent, sealed; gone once it was taken over. A dead letter is kept for 14 days.

`due_at` is when it is tried next; whoever takes it moves that ahead and leaves a `lease`. None: it is dead.
"""
sa.Index("ix_outbox_due_at", outbox.c.due_at)
sa.Index("ix_outbox_account", outbox.c.account)
sa.Index("ix_outbox_dead_at", outbox.c.dead_at)

setting = _table(
    "setting",
    _text("name", key=True),
    _text("value"),
    _number("updated_at"),
    _bytes("changed_by", null=True),
    kept=FOREVER,
)
"""Settings that were changed at run time, as JSON, and by which account."""

session = _table(
    "session",
    _bytes("id", key=True),
    _account(),
    _bytes("organization"),
    _text("door"),
    _text("kind"),
    _bytes("parent", null=True),
    _text("token_use"),
    _bytes("token_hash", null=True),
    _bytes("sealed_token", null=True),
    _number("created_at"),
    _number("seen_at"),
    _number("idle", null=True),
    _number("idle_until", null=True),
    _number("ends_at", null=True),
    _text("address"),
    _text("user_agent"),
    _text("device", null=True),
    _text("name", null=True),
    _text("hint", null=True),
    _number("bypass", 0),
    _text("methods"),
    _number("proved_at"),
    _bytes("proved_client", null=True),
    _bytes("device_id", null=True),
    _number("generation", 0),
    _number("confirmed_generation", 0),
    _number("rotated_at", 0),
    _bytes("rotated_client", null=True),
    _number("odd_retries", 0),
    _number("key_id", null=True),
    _bytes("seed", null=True),
    _number("ended_at", null=True),
    _text("ended_why", null=True),
    _text("permissions", null=True),
    _number("updated_at", null=True),
    kept=90 * DAY,
)
"""One signed-in client or key. Kept for 90 days after its end.

Of a key, `hint` is the end of its token, and `bypass` says that it stands for the second factor, too. `permissions`
are the words of its dialect that it is held to, parted by spaces; null for whatever its account may. `updated_at` is
when its owner changed it last.
"""
sa.Index("uq_session_token_use_token_hash", session.c.token_use, session.c.token_hash, unique=True)
sa.Index("ix_session_account", session.c.account, session.c.ended_at)
sa.Index("ix_session_parent", session.c.parent)
sa.Index("ix_session_ended_at", session.c.ended_at)
sa.Index("ix_session_ends_at", session.c.ends_at)

signing_key = _table(
    "signing_key",
    _number("id", key=True),
    _text("use"),
    _text("algorithm"),
    _bytes("sealed"),
    _number("created_at"),
    _number("retired_at", null=True),
    kept=180 * DAY,
)
"""Keys of tokens and refresh chains, sealed. Kept for 180 days after retirement."""

counter = _table(
    "counter",
    _text("scope", key=True),
    _bytes("subject", key=True),
    _bytes("account", null=True),
    _bytes("marks"),
    _number("streak", 0),
    _number("updated_at"),
    kept=DAY,
)
"""Failures in sliding windows (table D): eight bytes each, when and by whom. Kept for a day after the last one."""
sa.Index("ix_counter_account", counter.c.account)
sa.Index("ix_counter_updated_at", counter.c.updated_at)

known_network = _table(
    "known_network", _account(key=True), _text("network", key=True), _number("last_at"), kept=90 * DAY
)
"""Networks from which an account has signed in (decision 36). Kept for 90 days after the last sign-in."""
sa.Index("ix_known_network_last_at", known_network.c.last_at)

mark = _table(
    "mark",
    _bytes("hash", key=True),
    _account(),
    _number("created_at"),
    _number("last_at"),
    kept=90 * DAY,
)
"""Cookies that make a browser known to an account (decision 36). Kept for 90 days after the last sign-in."""
sa.Index("ix_mark_account", mark.c.account)
sa.Index("ix_mark_last_at", mark.c.last_at)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    _number("at"),
    _text("kind"),
    _bytes("account", null=True),
    _bytes("session", null=True),
    _text("door", null=True),
    _text("address"),
    _text("detail"),
    _number("count", 1),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
"""The audit trail. Kept for 400 days."""
RETENTION["event"] = 400 * DAY
sa.Index("ix_event_account", event.c.account, event.c.id)
sa.Index("ix_event_at", event.c.at)
sa.Index("ix_event_session", event.c.session)

picture = _table(
    "picture",
    _account(key=True),
    _text("media"),
    _text("etag"),
    _bytes("image"),
    _number("updated_at"),
    kept=FOREVER,
    rowid=True,
)
"""Pictures of accounts, small and made anew from what was uploaded."""

document = _table(
    "document",
    _bytes("owner", key=True),
    _text("name", key=True),
    _text("body"),
    _number("version"),
    _number("updated_at"),
    kept=FOREVER,
)
"""What a dialect keeps whole, as JSON: of an account, of an organization, or of the installation (an empty owner).

Kept as long as its owner. Each change raises `version`.
"""

device = _table(
    "device",
    _bytes("id", key=True),
    _account(),
    _bytes("fingerprint"),
    _text("name"),
    _text("type"),
    _text("os"),
    _text("browser"),
    _text("user_agent"),
    _text("address"),
    _number("created_at"),
    _number("seen_at"),
    _number("trusted_until", null=True),
    kept=90 * DAY,
)
"""What clients said of themselves when they signed in. Kept for 90 days after the last sign-in.

`fingerprint` is keyed. `trusted_until` is a mark of the owner's that nothing asks for.
"""
sa.Index("uq_device_account_fingerprint", device.c.account, device.c.fingerprint, unique=True)
sa.Index("ix_device_seen_at", device.c.seen_at)
provider_link = _table(
    "provider_link",
    _text("issuer", key=True),
    _text("subject", key=True),
    _account(),
    _text("provider"),
    _text("address", null=True),
    _number("created_at"),
    _number("last_at"),
    kept=FOREVER,
)
"""Whom outside providers know an account as: by issuer and subject, never by an address (decision 24)."""
sa.Index("ix_provider_link_account", provider_link.c.account)

spent_token = _table("spent_token", _bytes("hash", key=True), _number("ends_at"), kept=DAY)
"""Tokens of providers that were used, as hashes: each is good once. Kept for a day after they would be too old."""
sa.Index("ix_spent_token_ends_at", spent_token.c.ends_at)
