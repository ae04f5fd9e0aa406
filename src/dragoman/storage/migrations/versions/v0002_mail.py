"""Mail: the outbox, tickets, mailed codes; settings changed at run time; what changed addresses and deleted accounts
leave behind.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make four tables, four columns, and indexes over the few rows that are looked for among many."""
    for table, column in (
        ("account", sa.Column("deleted_from", sa.Text(), nullable=True)),
        ("account", sa.Column("language", sa.Text(), nullable=True)),
        ("account", sa.Column("mail_proved_at", NUMBER, nullable=True)),
        ("identifier", sa.Column("lapses_at", NUMBER, nullable=True)),
    ):
        op.add_column(table, column)
    op.create_index("ix_identifier_lapses_at", "identifier", ["lapses_at"], unique=False)
    _few("ix_account_administrator", "account", "id", "administrator = 1")
    _few("ix_account_deleted_at", "account", "deleted_at", "deleted_at IS NOT NULL")
    _few("ix_identifier_claimed", "identifier", "account", "state = 'claimed'")
    _few("ix_credential_dies_at", "credential", "dies_at", "dies_at IS NOT NULL")
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("changed_by", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    _ticket()
    _code()
    _outbox()


def _few(name: str, table: str, column: str, only: str) -> None:
    where = sa.text(only)
    op.create_index(name, table, [column], unique=False, sqlite_where=where, postgresql_where=where)


def _ticket() -> None:
    op.create_table(
        "ticket",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("used_at", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_ticket_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("uq_ticket_hash", "ticket", ["hash"], unique=True)
    op.create_index("ix_ticket_account", "ticket", ["account", "purpose", "created_at"], unique=False)
    op.create_index("ix_ticket_ends_at", "ticket", ["ends_at"], unique=False)


def _code() -> None:
    op.create_table(
        "code",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("wrong", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("ends_at", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_code_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "purpose", "door", name=op.f("pk_code")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_code_ends_at", "code", ["ends_at"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", NUMBER, autoincrement=False, nullable=False),
        sa.Column("due_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("expires_at", NUMBER, autoincrement=False, nullable=True),
        sa.Column("tries", NUMBER, server_default="0", autoincrement=False, nullable=False),
        sa.Column("lease", sa.LargeBinary(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("dead_at", NUMBER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["account"], ["account.id"], name=op.f("fk_outbox_account"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_outbox_due_at", "outbox", ["due_at"], unique=False)
    op.create_index("ix_outbox_account", "outbox", ["account"], unique=False)
    op.create_index("ix_outbox_dead_at", "outbox", ["dead_at"], unique=False)
