"""What every command accepts: where the configuration and the data are, and whether to print JSON."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from dragoman.settings import Loaded, Settings

DEFAULT_FILE = Path("dragoman.toml")
FILE_VARIABLE = "DRAGOMAN_CONFIG"

F = TypeVar("F", bound=Callable[..., Any])


def where_options(command: F) -> F:
    """Add `--config` and `--data`. Given to the program and to every command, so that they stand before or after."""
    command = click.option(
        "--data", metavar="DIR", callback=_remember, expose_value=False, help="Folder of the embedded database."
    )(command)
    return click.option(
        "--config",
        metavar="FILE",
        callback=_remember,
        expose_value=False,
        help=f"Configuration file; else {FILE_VARIABLE}, else ./{DEFAULT_FILE} where it exists.",
    )(command)


def json_option(command: F) -> F:
    """Add `--json` to a command that prints data; it arrives as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _remember(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.find_root().ensure_object(dict)[str(option.name)] = value


def config_file(context: click.Context) -> Path | None:
    """Return the configuration file to read: named, else from the environment, else the usual one if it is there."""
    named = context.find_root().ensure_object(dict).get("config") or os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read_settings(overrides: dict[str, Any] | None = None) -> Loaded:
    """Read the configuration as the command line says. Ends the program with all faults when there are any."""
    faults, loaded = faults_or_settings(overrides)
    if loaded is None:
        fail("the configuration cannot be used:", *faults)
    return loaded


def faults_or_settings(overrides: dict[str, Any] | None = None) -> tuple[list[str], Loaded | None]:
    """Read the configuration as the command line says; return its faults, or none and the settings."""
    from dragoman.settings import BadSettings, read

    context = click.get_current_context()
    data = context.find_root().ensure_object(dict).get("data")
    wanted = {**({"storage.data": data} if data else {}), **(overrides or {})}
    try:
        return [], read(config_file(context), os.environ, wanted)
    except BadSettings as why:
        return why.faults, None


def settings_given(overrides: dict[str, Any] | None = None) -> Settings:
    """Return the settings. Ends the program with all faults when there are any."""
    return read_settings(overrides).settings


def fail(reason: str, *details: str) -> NoReturn:
    """Say on stderr why the command did nothing, and end it with exit code 1."""
    from dragoman.cli.show import plain

    click.echo(f"dragoman: {plain(reason)}", err=True)
    for detail in details:
        click.echo(f"  {plain(detail)}", err=True)
    raise click.exceptions.Exit(1)
