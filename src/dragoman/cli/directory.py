"""`dragoman directory`: the directory's settings tried out, and letting go of accounts it answers for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.given import fail, json_option, settings_given, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say

if TYPE_CHECKING:
    from dragoman.core import Core


@click.group(short_help="Try the directory out, unlink accounts from it.")
@where_options
def directory() -> None:
    """Try the directory's settings out, and unlink accounts from it."""


@directory.command()
@where_options
@json_option
@click.option("--name", help="Also prove a person: the password is read from the first line of standard input.")
def check(as_json: bool, name: str | None) -> None:
    """Connect and sign in to search; with --name sign a person in there, and print what would be taken over.

    Nothing is written, and no account is made.
    """
    import asyncio
    import sys

    settings = settings_given()
    if not settings.directory.urls:
        fail("directory.urls is empty: no directory is asked; name its server there")
    password = sys.stdin.readline().rstrip("\r\n") if name else ""
    found = asyncio.run(_tried(name, password))
    if as_json:
        print_json(found)
    elif name is None:
        say("the directory answers")
    else:
        for key, value in found.items():
            click.echo(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


async def _tried(name: str | None, password: str) -> dict[str, str | list[str] | bool]:
    from dragoman import app
    from dragoman.core.ports import DirectoryFailed, SystemClock
    from dragoman.model import Secret

    try:
        port, _ = app.directory(settings_given(), SystemClock())
    except app.NotReady as why:
        fail(str(why))
    if port is None:
        return {}
    try:
        if name is None:
            await port.reach()
            return {"ok": True}
        entry = await port.prove(name, Secret(password))
    except DirectoryFailed as why:
        fail(f"the directory said: {why}")
    finally:
        await port.close()
    return {
        "id": entry.id, "username": entry.username, "emails": list(entry.emails), "first_name": entry.first_name,
        "last_name": entry.last_name, "display_name": entry.display_name or "",
    }  # fmt: skip


@directory.command()
@where_options
@click.argument("account")
def unlink(account: str) -> None:
    """Let an account be a local one from now on.

    It keeps its sessions, names and factors. Set its password afterwards; the directory's no longer counts, or rather
    makes a new account where nobody has its name.
    """
    from dragoman.cli.running import with_core

    async def work(core: Core) -> tuple[str, bool]:
        found = await core.accounts.named(account)
        return (await core.accounts.person(found)).username, await core.linked.unlink(found)

    username, linked = with_core(work)
    say(f"{username} is a local account now" if linked else f"{username} belongs to no directory")
