"""Which schema the code expects, and which one a database has. SQLAlchemy and Alembic stay unimported."""

from __future__ import annotations

from dragoman.storage.engine import Engine, Statement

HEAD = "0003"
"""The newest revision under storage/migrations/versions; a test holds it against Alembic's."""

_VERSION = Statement("select version_num from alembic_version")


async def is_current(db: Engine) -> bool:
    """Tell whether the database has the schema that this code expects; False for an empty one too."""
    try:
        row = await db.one(_VERSION)
    except Exception:  # an empty database has no such table, and each engine says so in its own class
        return False
    return row is not None and row[0] == HEAD
