"""`dragoman doctor`: what is weaker than it could be, each with the setting and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from dragoman.cli.given import faults_or_settings, json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import plain, say

if TYPE_CHECKING:
    from dragoman.cli.doctor.finding import Finding

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command(short_help="Name what is weaker than it could be, with the remedy.")
@where_options
@json_option
@click.option("--online", is_flag=True, help="Ask the mail server, the directory and outside providers, too.")
def doctor(as_json: bool, online: bool) -> None:
    """Name what is weaker than it could be, each with the setting and the remedy. Exit code 1 on errors.

    Reads only, and asks nobody beyond the database; with --online the mail server as well, for three seconds at most,
    and the directory and outside providers, each for its own timeout_seconds.
    """
    found = _findings(online=online)
    found.sort(key=lambda finding: tuple(_COLOURS).index(finding.level))
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif not found:
        say("nothing to report")
    else:
        for finding in found:
            level = click.style(f"{finding.level:<7}", fg=_COLOURS[finding.level])
            click.echo(f"{level}  {plain(finding.setting)}: {plain(finding.text)}")
            click.echo(f"         remedy: {plain(finding.remedy)}")
    if any(finding.level == "error" for finding in found):
        raise click.exceptions.Exit(1)


def _findings(*, online: bool) -> list[Finding]:
    from dragoman.cli.doctor.configuration import of_configuration, of_faults
    from dragoman.cli.doctor.directory import of_directory
    from dragoman.cli.doctor.files import of_files
    from dragoman.cli.doctor.mail import of_mail
    from dragoman.cli.doctor.providers import of_providers
    from dragoman.cli.doctor.stored import of_database

    faults, loaded = faults_or_settings()
    if loaded is None:
        return of_faults(faults)
    lying = of_files(loaded.settings)  # first: opening the database mends some modes
    given, stored = of_database(loaded.settings)
    return [
        *of_configuration(given),
        *lying,
        *of_mail(given, online=online),
        *of_directory(given, online=online),
        *of_providers(given, online=online),
        *stored,
    ]
