"""`dragoman config`: what is set, and where it was said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, faults_or_settings, json_option, read_settings, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say, table

if TYPE_CHECKING:
    from dragoman.settings import Known

HIDDEN = "(hidden)"


@click.group(short_help="Show and check the configuration.")
@where_options
def config() -> None:
    """Show and check the configuration: the file, DRAGOMAN_... variables, then the command line."""


@config.command()
@where_options
@json_option
def show(as_json: bool) -> None:
    """Print every setting, its value, and where that comes from. Secrets stay hidden."""
    from dragoman.settings import SECRETS, catalogue

    loaded = read_settings()
    listed = []
    for known in catalogue():
        value: Any = loaded.settings
        for part in known.path:
            value = getattr(value, part)
        if known.name in SECRETS:
            value = HIDDEN if value else ""
        listed.append((known, list(value) if isinstance(value, tuple) else value, loaded.sources[known.name]))
    if as_json:
        print_json([_described(*setting) for setting in listed])
        return
    table(("setting", "value", "from"), ((known.name, _shown(value), source) for known, value, source in listed))


@config.command()
@where_options
@json_option
def check(as_json: bool) -> None:
    """Say everything that is wrong with the configuration; exit code 1 when anything is."""
    found = faults()
    if as_json:
        print_json({"ok": not found, "faults": found})
        if found:
            raise click.exceptions.Exit(1)
        return
    if found:
        fail("the configuration cannot be used:", *found)
    say("the configuration can be used")


def faults() -> list[str]:
    """Return everything that is wrong with the configuration that the command line names, for serving too."""
    from dragoman.settings import unknown_variables

    found, loaded = faults_or_settings()
    if loaded is not None:
        from dragoman.cli.listen import faults as serving_faults

        found += serving_faults(loaded.settings)
    found += [f"{name}: no setting has this variable; `dragoman config show --json` lists them all"
              for name in unknown_variables(os.environ)]  # fmt: skip
    return found


def _described(known: Known, value: Any, source: str) -> dict[str, Any]:
    return {
        "name": known.name,
        "value": value,
        "source": source,
        "variable": known.variable,
        "description": known.description,
    }


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, list) else str(value)
