"""`dragoman config`: what is set, where it was said, and what of it is changed while the server runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, faults_or_settings, json_option, read_settings, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import plain, say, stamp, table, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.core.stored_settings import Value
    from dragoman.settings import Known, Settings

HIDDEN = "(hidden)"


@click.group(short_help="Show, check and change the configuration.")
@where_options
def config() -> None:
    """Show, check and change the configuration: the file, DRAGOMAN_... variables, then the command line.

    Some settings can be made stricter while the server runs: they are stored, and the file says how loose they can be.
    """


@config.command()
@where_options
@json_option
def show(as_json: bool) -> None:
    """Print every setting, its value in force, and where that comes from. Secrets stay hidden."""
    from dragoman.settings import SECRETS, catalogue, value_of

    loaded = read_settings()
    stored = _stored(loaded.settings)
    listed = []
    for known in catalogue():
        value = value_of(loaded.settings, known)
        if known.name in SECRETS:
            value = HIDDEN if value else ""
        listed.append((known, list(value) if isinstance(value, tuple) else value, loaded.sources[known.name]))
    if as_json:
        print_json([_described(*setting, stored.get(setting[0].name)) for setting in listed])
        return
    rows = (_row(*setting, stored.get(setting[0].name)) for setting in listed)
    table(("setting", "value", "from"), rows)


@config.command("set")
@where_options
@click.argument("name")
@click.argument("value")
def set_(name: str, value: str) -> None:
    """Make a setting stricter than the configuration file says, in force at once; see `config show`."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> Value:
        await core.settings.set(name, value, None, text=True)
        return next(each for each in await core.settings.values() if each.name == name)

    stored = with_core(work)
    say(f"{name} is {_shown(stored.value)} now; the configuration file says {_shown(stored.floor)}")


@config.command()
@where_options
@click.argument("name")
def unset(name: str) -> None:
    """Forget what was stored of a setting: what the configuration file says is in force at once."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> tuple[bool, Any]:
        return await core.settings.unset(name, None), core.settings.floor(name)

    was_stored, floor = with_core(work)
    if not was_stored:
        fail(f"nothing is stored of {name}; the configuration file says {_shown(floor)}")
    say(f"{name} is {_shown(floor)} now, as the configuration file says")


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


def _stored(settings: Settings) -> dict[str, Value]:
    """Return what the database says of the settings that may be stored; nothing, and why on stderr, without one."""
    import asyncio

    from dragoman.cli.logs import configure  # isort: skip
    from dragoman import app
    from dragoman.core.refusals import of_storage

    configure(settings, serving=False)
    try:
        return {value.name: value for value in asyncio.run(app.stored_values(settings))}
    except Exception as broken:
        if not isinstance(broken, app.NotReady) and of_storage(broken) is None:
            raise
        click.echo(f"dragoman: what is stored is not shown: {plain(str(broken))}", err=True)
        return {}


def _described(known: Known, value: Any, source: str, stored: Value | None) -> dict[str, Any]:
    found = {
        "name": known.name,
        "value": value,
        "source": source,
        "variable": known.variable,
        "description": known.description,
    }
    if known.tighter is not None:
        found["floor"] = value
    if stored is not None and stored.source == "stored":
        found |= {"value": stored.value, "source": "stored", "by": stored.by, "at": stamp(stored.at)}
    return found


def _row(known: Known, value: Any, source: str, stored: Value | None) -> tuple[str, str, str]:
    if stored is None or stored.source != "stored":
        return known.name, _shown(value), source
    by = f"stored (by {stored.by}, {when(stored.at)}); floor {_shown(value)}, {source}"
    return known.name, _shown(stored.value), by


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, list) else str(value)
