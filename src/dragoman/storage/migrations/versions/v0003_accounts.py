"""What dialects keep of accounts and organizations; what keys are known by; who proved a session fresh."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns to sessions, then the tables, one call each."""
    op.add_column("session", sa.Column("hint", sa.Text(), nullable=True))
    op.add_column("session", sa.Column("bypass", NUMBER, server_default="0", nullable=False))
    op.add_column("session", sa.Column("proved_client", sa.LargeBinary(), nullable=True))
    _session_permissions()
    op.add_column("organization", sa.Column("factor_from", NUMBER, nullable=True))
    _document()
    _passkey()
    _device()
    _enrolment()
    _picture()
    _provider_link()
    _spent_token()


def _session_permissions() -> None:
    op.add_column("session", sa.Column("permissions", sa.Text(), nullable=True))
    op.add_column("session", sa.Column("updated_at", NUMBER, nullable=True))


def _document() -> None:
    op.create_table(
        "document",
        sa.Column("owner", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("version", NUMBER, autoincrement=False, nullable=False),
        sa.Column("updated_at", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name=op.f("pk_document")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _passkey() -> None:
    op.create_table(
        "passkey",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("rp", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", NUMBER, autoincrement=False, nullable=False),
        sa.Column("transports", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("used_at", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_passkey_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_passkey_account", "passkey", ["account", "created_at"], unique=False)


def _device() -> None:
    op.add_column("session", sa.Column("device_id", sa.LargeBinary(), nullable=True))
    op.create_table(
        "device",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("os", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seen_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("trusted_until", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_device_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("uq_device_account_fingerprint", "device", ["account", "fingerprint"], unique=True)
    op.create_index("ix_device_seen_at", "device", ["seen_at"], unique=False)


def _enrolment() -> None:
    op.create_table(
        "enrolment",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("wrong", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["account.id"], name=op.f("fk_enrolment_account_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", "kind", name=op.f("pk_enrolment")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_enrolment_ends_at", "enrolment", ["ends_at"], unique=False)


def _picture() -> None:
    op.create_table(
        "picture",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["account.id"], name=op.f("fk_picture_account_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_picture")),
        sqlite_strict=True,
    )


def _provider_link() -> None:
    op.create_table(
        "provider_link",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("last_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["account.id"], name=op.f("fk_provider_link_account_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_provider_link")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_provider_link_account", "provider_link", ["account"], unique=False)


def _spent_token() -> None:
    op.create_table(
        "spent_token",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_spent_token")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_spent_token_ends_at", "spent_token", ["ends_at"], unique=False)
