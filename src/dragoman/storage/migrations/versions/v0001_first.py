"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "counter",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=True),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("streak", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("updated_at", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_counter")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_counter_account", "counter", ["account"], unique=False)
    op.create_index("ix_counter_updated_at", "counter", ["updated_at"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=True),
        sa.Column("session", sa.LargeBinary(), nullable=True),
        sa.Column("door", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("count", NUMBER, server_default="1", autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_event_account", "event", ["account", "id"], unique=False)
    op.create_index("ix_event_at", "event", ["at"], unique=False)
    op.create_index("ix_event_session", "event", ["session"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("business", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("is_default", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sequence",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sequence")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signing_key",
        sa.Column("id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("retired_at", NUMBER, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_key")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "account",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("organization", sa.LargeBinary(), nullable=False),
        sa.Column("rank", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("administrator", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("root", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("auth_epoch", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("facts", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("first_verified_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("updated_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("signed_in_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("deleted_at", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["organization"], ["organization.id"], name=op.f("fk_account_organization")),
        sa.ForeignKeyConstraint(["parent"], ["account.id"], name=op.f("fk_account_parent"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_account_organization", "account", ["organization", "id"], unique=False)
    op.create_index("ix_account_parent", "account", ["parent"], unique=False)
    op.create_table(
        "alias",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_alias_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("system", "value", name=op.f("pk_alias")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("uq_alias_account_system", "alias", ["account", "system"], unique=True)
    op.create_table(
        "attempt",
        sa.Column("handle_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("auth_epoch", NUMBER, autoincrement=False, nullable=False),
        sa.Column("version", NUMBER, autoincrement=False, nullable=False),
        sa.Column("wrong_codes", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("wish", sa.Text(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_attempt_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("handle_hash", name=op.f("pk_attempt")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attempt_account", "attempt", ["account", "created_at"], unique=False)
    op.create_index("ix_attempt_ends_at", "attempt", ["ends_at"], unique=False)
    op.create_table(
        "credential",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("version", NUMBER, autoincrement=False, nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("initial", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("dies_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("digest_seen", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("last_step", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("step_at", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("step_client", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_credential_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "kind", name=op.f("pk_credential")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identifier",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_primary", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("verified_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_identifier_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("kind", "folded", name=op.f("pk_identifier")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_identifier_account", "identifier", ["account"], unique=False)
    op.create_table(
        "known_network",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("last_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_known_network_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "network", name=op.f("pk_known_network")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_known_network_last_at", "known_network", ["last_at"], unique=False)
    op.create_table(
        "mark",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("last_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_mark_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_mark")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_mark_account", "mark", ["account"], unique=False)
    op.create_index("ix_mark_last_at", "mark", ["last_at"], unique=False)
    op.create_table(
        "recovery_code",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_recovery_code_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "mac", name=op.f("pk_recovery_code")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "session",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("organization", sa.LargeBinary(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("token_use", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seen_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("idle", NUMBER, autoincrement=False, nullable=True),
        sa.Column("idle_until", NUMBER, autoincrement=False, nullable=True),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("proved_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("generation", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("confirmed_generation", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("rotated_at", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("rotated_client", sa.LargeBinary(), nullable=True),
        sa.Column("odd_retries", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("key_id", NUMBER, autoincrement=False, nullable=True),
        sa.Column("seed", sa.LargeBinary(), nullable=True),
        sa.Column("ended_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_session_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_session_account", "session", ["account", "ended_at"], unique=False)
    op.create_index("ix_session_ended_at", "session", ["ended_at"], unique=False)
    op.create_index("ix_session_ends_at", "session", ["ends_at"], unique=False)
    op.create_index("ix_session_parent", "session", ["parent"], unique=False)
    op.create_index("uq_session_token_use_token_hash", "session", ["token_use", "token_hash"], unique=True)
