"""`dragoman worker`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from dragoman.cli.given import fail, settings_given, where_options
from dragoman.cli.running import run_for_long

if TYPE_CHECKING:
    from dragoman.settings import Settings


@click.command(short_help="Deliver mail and tidy up, without serving anybody.")
@where_options
def worker() -> None:
    """Deliver the outbox and let go of what is older than its retention, without serving anybody.

    `dragoman serve` does both by itself; set mail.in_serve = false where this runs beside it. Any number may run at
    once. Once it is at work, one line on standard output says so: for people on a terminal, else as JSON.
    """
    os.umask(0o077)
    settings = settings_given()
    from dragoman.cli.logs import configure  # first: it decides what the log library imports

    configure(settings, serving=True)
    from dragoman import app

    if settings.mail.transport == "off":
        fail(
            "mail.transport is off: there is nothing to deliver; set it to smtp (`dragoman config show` lists the rest)"
        )
    try:
        run_for_long(_work(settings))
    except app.NotReady as why:
        fail(str(why))


async def _work(settings: Settings) -> None:
    import asyncio
    import signal

    from dragoman import app

    async with app.opened(settings) as core, app.beating(core), app.delivering(core, settings):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        _announce()
        await stop.wait()


def _announce() -> None:
    if sys.stdout.isatty():
        click.echo("Dragoman delivers mail  (Ctrl+C stops it)")
    else:
        click.echo(json.dumps({"event": "delivering", "pid": os.getpid()}))
    sys.stdout.flush()
