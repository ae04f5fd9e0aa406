"""`dragoman account deactivate`, `delete`, `erase`, `export` and the others that begin, pause and end accounts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, where_options
from dragoman.cli.show import plain, say

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.model import Account


def _do(name: str, act: Callable[[Core, Account], Awaitable[Any]]) -> Any:
    """Do something to the account of a name, and return what came of it."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> Any:
        return await act(core, await core.accounts.named(name))

    return with_core(work)


@click.command()
@where_options
@click.argument("account")
def deactivate(account: str) -> None:
    """Let an account rest until `activate`. Ends every session and key; its owner is told by mail."""
    _do(account, lambda core, found: core.life.deactivate(found))
    say(f"{account} is deactivated; every session and key ended")


@click.command()
@where_options
@click.argument("account")
def suspend(account: str) -> None:
    """Bar an account until `activate`. Ends every session and key."""
    _do(account, lambda core, found: core.life.suspend(found))
    say(f"{account} is suspended; every session and key ended")


@click.command()
@where_options
@click.argument("account")
def activate(account: str) -> None:
    """Let a deactivated, suspended or invited account sign in again."""
    _do(account, lambda core, found: core.life.activate(found))
    say(f"{account} is active")


@click.command("set-status")
@where_options
@click.argument("account")
@click.argument("status", type=click.Choice(["active", "deactivated", "suspended"]))
def set_status(account: str, status: Any) -> None:
    """Change the status, as `activate`, `deactivate` and `suspend` do."""
    _do(account, lambda core, found: core.life.set_status(found, status))
    say(f"{account} is {status}")


@click.command("set-role")
@where_options
@click.argument("account")
@click.argument("role", type=click.Choice(["admin", "user"]))
def set_role(account: str, role: str) -> None:
    """Make somebody an administrator, or no longer."""
    _do(account, lambda core, found: core.life.set_administrator(found, role == "admin"))
    say(f"{account} has the role {role}")


@click.command("set-language")
@where_options
@click.argument("account")
@click.argument("language", type=click.Choice(["en", "de", "default"]))
def set_language(account: str, language: Any) -> None:
    """Change the language of the account's mail; `default` follows mail.language."""
    _do(account, lambda core, found: core.accounts.set_language(found, None if language == "default" else language))
    say(f"{account} gets mail in {'the language of mail.language' if language == 'default' else language}")


@click.command()
@where_options
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(account: str, yes: bool) -> None:
    """Delete an account. Ends every session and key; its owner is told by mail.

    It is erased after 30 days; until then its identifiers stay reserved, and `restore` brings it back.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {plain(account)}?", abort=True, err=True)
    _do(account, lambda core, found: core.life.delete(found))
    say(f"{account} is deleted; it is erased in 30 days")


@click.command()
@where_options
@click.argument("account")
def restore(account: str) -> None:
    """Bring a deleted account back as it was, without its sessions and keys."""
    status = _do(account, lambda core, found: core.life.restore(found))
    say(f"{account} is {status}")


@click.command()
@where_options
@click.argument("account")
@click.option("--yes", is_flag=True, help="Do not ask. Needed where nobody could answer.")
def erase(account: str, yes: bool) -> None:
    """Erase an account at once, deleted or not. Nothing brings it back.

    Everything that hangs on it goes and its identifiers are free again. The audit trail keeps its lines under the id,
    without addresses and names.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("erasing cannot be undone: say --yes")
    if not yes:
        click.confirm(f"Erase {plain(account)} for good?", abort=True, err=True)
    _do(account, lambda core, found: core.life.erase(found))
    say(f"{account} is erased")


@click.command()
@where_options
@click.argument("account")
@click.option("--output", "-o", metavar="FILE", help="A new file, readable by you alone; else standard output.")
def export(account: str, output: str | None) -> None:
    """Print everything held about an account as JSON. Its secrets are left out; the audit trail says that it was done.

    The lines about failed sign-ins hold the network addresses of whoever tried.
    """
    # Made before anything is asked: what cannot be written is not handed out, and not noted either.
    file = _private_file(output) if output is not None else None
    try:
        held = _do(account, lambda core, found: core.life.export(found))
    except BaseException:
        if output is not None:
            os.unlink(output)
        raise
    text = json.dumps(dict(held), indent=2)
    if file is None:
        click.echo(text)
        return
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(text + "\n")
    say(f"{account} is written to {output}")


def _private_file(path: str) -> int:
    """Make a file that was not there, mode 0600, and return its descriptor."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{path} is there already; name a new file")
    except OSError as why:
        fail(f"{path} cannot be written: {why.strerror}")


COMMANDS: tuple[click.Command, ...] = (
    deactivate, suspend, activate, set_status, set_role, set_language, delete, restore, erase, export,
)  # fmt: skip
