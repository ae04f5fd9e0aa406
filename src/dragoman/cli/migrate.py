"""`dragoman migrate`: the only process that knows SQLAlchemy and Alembic."""

from __future__ import annotations

import os

import click

from dragoman.cli.given import fail, settings_given, where_options


@click.command(short_help="Bring the database to this version's schema.")
@where_options
def migrate() -> None:
    """Bring the database to the schema of this version, making it where there is none.

    Safe to run at any time and by several at once; `serve` runs it when the schema is behind.
    """
    os.umask(0o077)
    settings = settings_given()
    from dragoman import app

    try:
        app.migrate(settings)
    except app.NotReady as why:
        fail(str(why))
    where = "PostgreSQL" if settings.storage.postgres else str(settings.database)
    click.echo(f"{where} has the schema of this version", err=True)
