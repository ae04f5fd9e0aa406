"""Alembic's entry: the connection comes from storage/migrate.py."""

from alembic import context

from dragoman.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
