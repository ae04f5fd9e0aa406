"""`dragoman serve`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, settings_given, where_options
from dragoman.cli.running import run_for_long

if TYPE_CHECKING:
    from dragoman.settings import Settings


@click.command(short_help="Serve every dialect that is switched on.")
@where_options
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option("--workers", type=click.IntRange(1), help="Processes that serve.  [default: 1]")
@click.option("--tls-cert", metavar="FILE", help="PEM file with the certificate chain.")
@click.option("--tls-key", metavar="FILE", help="PEM file with the certificate's key.")
@click.option("--insecure", is_flag=True, default=None, help="Allow plain HTTP beyond this machine, without a proxy.")
@click.option("--inherit", hidden=True, help="Descriptors of the socket and of the line to the parent, for workers.")
def serve(inherit: str | None, **given: Any) -> None:
    """Serve every dialect that is switched on.

    A new installation is prepared first: database, keys, and the first administrator, whose password is
    DRAGOMAN_ADMIN_PASSWORD (DRAGOMAN_ADMIN_EMAIL names the address), else drawn: shown once on a terminal, else
    written to a file that only you can read.

    Once it answers, one line on standard output says where: for people on a terminal, else as JSON.
    """
    os.umask(0o077)
    settings = settings_given({f"server.{name}": value for name, value in given.items() if value is not None})
    from dragoman.cli.logs import configure  # first: it decides what the log library imports

    configure(settings, serving=True)
    from dragoman import app

    try:
        if inherit is None:
            _refuse_faults(settings)
            _serve_as_parent(settings)
        else:
            _serve_as_worker(settings, inherit)
    except app.NotReady as why:
        fail(str(why))


def _refuse_faults(settings: Settings) -> None:
    from dragoman.cli.listen import faults

    found = faults(settings)
    if found:
        fail("the configuration cannot be used:", *found)


def _serve_as_parent(settings: Settings) -> None:
    import structlog

    from dragoman import test_mode
    from dragoman.cli import listen

    if test_mode.is_on(settings):
        click.secho(test_mode.WARNING, fg="red", bold=True, err=True)
        structlog.get_logger("dragoman").warning("test mode", setting=test_mode.NAME)
    listener = listen.bound(settings)
    address = listen.address_of(listener, settings)
    if settings.server.workers == 1:
        run_for_long(listen.serve_here(settings, listener, lambda: announce(address)))
        return
    from dragoman.cli.prepare import prepared
    from dragoman.cli.workers import Workers, command

    async def prepare() -> None:
        async with prepared(settings, os.environ):
            pass

    run_for_long(prepare())
    sys.exit(Workers(settings.server.workers, listener, command(sys.argv[1:]), lambda: announce(address)).run())


def _serve_as_worker(settings: Settings, inherit: str) -> None:
    from dragoman.cli import listen
    from dragoman.cli.workers import inherited

    listener, line = inherited(inherit)

    def answering() -> None:
        os.write(line, b".")

    run_for_long(listen.serve_here(settings, listener, answering, life=line))


def announce(address: str) -> None:
    """Say on standard output that Dragoman answers, and where."""
    if sys.stdout.isatty():
        click.echo(f"Dragoman answers at {click.style(address, bold=True)}  (Ctrl+C stops it)")
    else:
        click.echo(json.dumps({"event": "listening", "address": address, "pid": os.getpid()}))
    sys.stdout.flush()
