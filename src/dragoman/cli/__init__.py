"""The command line: one file per command group, imported only when its command is called.

Commands talk to the Core, never to the database; they work while the server runs and take effect at once.
"""

from __future__ import annotations

import importlib

import click

from dragoman import __version__
from dragoman.cli.given import where_options

_COMMANDS = {
    "serve": ("dragoman.cli.serve:serve", "Serve every dialect that is switched on."),
    "worker": ("dragoman.cli.worker:worker", "Deliver mail and tidy up, without serving anybody."),
    "account": ("dragoman.cli.account:account", "Add, show and change accounts."),
    "session": ("dragoman.cli.session:session", "List and end the sessions of an account."),
    "events": ("dragoman.cli.events:events", "Print the audit trail."),
    "outbox": ("dragoman.cli.outbox:outbox", "List, retry and drop letters that wait to be sent."),
    "mail": ("dragoman.cli.mail:mail", "Try the mail settings out."),
    "provider": ("dragoman.cli.provider:provider", "Try outside providers out, show and remove links to them."),
    "directory": ("dragoman.cli.directory:directory", "Try the directory out, unlink accounts from it."),
    "keys": ("dragoman.cli.keys:keys", "List and rotate the signing keys."),
    "doctor": ("dragoman.cli.doctor:doctor", "Name what is weaker than it could be, with the remedy."),
    "migrate": ("dragoman.cli.migrate:migrate", "Bring the database to this version's schema."),
    "config": ("dragoman.cli.config:config", "Show and check the configuration."),
}


class Commands(click.Group):
    """The top-level commands. `--help` prints their summaries without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a first day."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of a command and return it."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
@where_options
def main() -> None:
    """Dragoman: a sign-in server that answers in the login API its clients already speak."""


__all__ = ["main"]
