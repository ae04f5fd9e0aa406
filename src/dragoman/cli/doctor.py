"""`dragoman doctor`: what is weaker than it could be, each with the setting and the remedy."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from msgspec import Struct
from msgspec.structs import asdict

from dragoman.cli.given import json_option, settings_given, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import plain, say

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.settings import Settings

FIXED_SQLITE = (3, 51, 3)
CLOCK_SLACK = 60_000


class Finding(Struct, frozen=True):
    """One thing to know."""

    level: Literal["error", "warning", "note"]
    """error: something does not work; warning: weaker than it should be; note: a choice worth knowing."""
    setting: str
    """The setting or file it is about."""
    text: str
    remedy: str


@click.command(short_help="Name what is weaker than it could be, with the remedy.")
@where_options
@json_option
def doctor(as_json: bool) -> None:
    """Name what is weaker than it could be, each with the setting and the remedy. Exit code 1 on errors."""
    settings = settings_given()
    found = [*of_configuration(settings), *of_files(settings), *of_database(settings)]
    found.sort(key=lambda finding: ("error", "warning", "note").index(finding.level))
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif not found:
        say("nothing to report")
    else:
        for finding in found:
            colour = {"error": "red", "warning": "yellow", "note": "cyan"}[finding.level]
            click.echo(
                f"{click.style(f'{finding.level:<7}', fg=colour)}  {plain(finding.setting)}: {plain(finding.text)}"
            )
            click.echo(f"         remedy: {plain(finding.remedy)}")
    if any(finding.level == "error" for finding in found):
        raise click.exceptions.Exit(1)


# ---------------------------------------------------------------- what is configured


def of_configuration(settings: Settings) -> list[Finding]:
    """Judge the settings alone."""
    from dragoman.cli.listen import faults
    from dragoman.settings import unknown_variables

    found = [Finding("error", *_split(fault), "correct it; `dragoman config check` says when it is right")
             for fault in faults(settings)]  # fmt: skip
    found += [
        Finding("warning", name, "no setting has this variable: it does nothing", "see `dragoman config show --json`")
        for name in unknown_variables(os.environ)
    ]
    return found + _of_network(settings) + _of_dialects(settings) + _of_hashing(settings)


def _split(fault: str) -> tuple[str, str]:
    name, _, text = fault.partition(": ")
    return name, text


def _of_network(settings: Settings) -> list[Finding]:
    from dragoman.cli.listen import is_loopback

    server = settings.server
    found = []
    if not server.tls_cert:
        reached = "only this machine reaches it" if is_loopback(server.host) else "others can reach it"
        found.append(
            Finding(
                "note" if is_loopback(server.host) or server.trusted_proxies else "warning",
                "server.tls_cert",
                f"connections are plain HTTP ({reached})",
                "give server.tls_cert and server.tls_key, or let a proxy of yours speak TLS",
            )
        )
    if not server.trusted_proxies:
        found.append(
            Finding(
                "note",
                "server.trusted_proxies",
                "no forwarded address counts: behind a proxy no network is known and none is blocked",
                "name your proxy's network; without a proxy leave it empty",
            )
        )
    if server.insecure:
        found.append(
            Finding("warning", "server.insecure", "passwords may cross the network in clear", "use TLS and drop it")
        )
    if server.workers > 1 and not settings.storage.postgres:
        found.append(
            Finding("note", "server.workers", "several processes share one SQLite file and wait for its lock",
                    "one worker is right on SQLite; use PostgreSQL for more")
        )  # fmt: skip
    return found


def _of_dialects(settings: Settings) -> list[Finding]:
    from dragoman import app

    found = []
    for mount in app.mounts(settings):
        if not mount.live:
            continue
        dialect, door = mount.dialect, mount.dialect.door
        if door is not None and door.tells and not settings.accounts.conceal:
            found.append(
                Finding(
                    "note",
                    "accounts.conceal",
                    f"{dialect.title} tells at sign-in that nobody has the address, or that the account has no password"
                    " (its contract; ten answers an hour and network)",
                    "set accounts.conceal = true",
                )
            )
        if door is not None and door.repeats_step:
            found.append(
                Finding(
                    "note",
                    f"dialects.{dialect.name}",
                    f"{dialect.title} takes one TOTP code twice within 60 s from the same client, with the password",
                    f"set dialects.{dialect.name}.enabled = false where no client needs it",
                )
            )
        if dialect.name == "rocketchat" and settings.dialects.rocketchat.digest != "never":
            found.append(
                Finding(
                    "note",
                    "dialects.rocketchat.digest",
                    f"SHA-256 digests are taken for passwords ({settings.dialects.rocketchat.digest}): whoever has a"
                    " digest can sign in",
                    'set it to "never" when every client sends the password itself',
                )
            )
    return found


def _of_hashing(settings: Settings) -> list[Finding]:
    given = settings.passwords
    if given.memory_kib >= 19456 and given.passes >= 2:
        return []
    return [
        Finding("warning", "passwords.memory_kib, passwords.passes",
                f"hashes are cheaper to guess than recommended ({given.memory_kib} KiB, {given.passes} passes)",
                "use at least 19456 KiB and 2 passes")
    ]  # fmt: skip


# ---------------------------------------------------------------- what lies on disk


def of_files(settings: Settings) -> list[Finding]:
    """Judge modes and owners of the key ring and the data."""
    ring, data = settings.key_ring, Path(settings.storage.data)
    found = _of_mode("storage.key_ring", ring, 0o600)
    note = ring.with_name(ring.name + ".first-administrator")
    if note.exists():
        found.append(
            Finding("warning", str(note), "the first administrator's password lies here in clear",
                    "change it with `dragoman account set-password admin --password-stdin`, then delete the file")
        )  # fmt: skip
    if settings.storage.postgres:
        return found
    found += _of_mode("storage.data", data, 0o700)
    for file in sorted(data.glob("dragoman.db*")) + sorted(data.glob("*.lock")):
        found += _of_mode("storage.data", file, 0o600)
    if sqlite3.sqlite_version_info < FIXED_SQLITE:
        fixed = ".".join(map(str, FIXED_SQLITE))
        found.append(
            Finding("note", "storage", f"SQLite {sqlite3.sqlite_version} is older than {fixed}, which mends a rare loss"
                    " in WAL mode; our writers take turns, so that it cannot happen",
                    "let no other program write to the database; back up under its lock")
        )  # fmt: skip
    return found


def _of_mode(setting: str, path: Path, most: int) -> list[Finding]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return []
    found = []
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~most:
        found.append(
            Finding("warning", setting, f"{path} has mode {mode:04o}: others may read it", f"chmod {most:04o} {path}")
        )
    if status.st_uid not in (os.geteuid(), 0):
        found.append(
            Finding("warning", setting, f"{path} belongs to another user ({status.st_uid})",
                    f"chown {os.geteuid()} {path}")
        )  # fmt: skip
    return found


# ---------------------------------------------------------------- what is stored


def of_database(settings: Settings) -> list[Finding]:
    """Judge what is stored; a database that does not open is a finding itself."""
    import asyncio

    from dragoman.cli.logs import configure  # isort: skip
    from dragoman import app
    from dragoman.core.refusals import of_storage

    configure(settings, serving=False)

    async def look() -> list[Finding]:
        async with app.opened(settings) as core:
            return [*await _of_passwords(core), *await _of_clock(core)]

    try:
        return asyncio.run(look())
    except app.NotReady as why:
        return [Finding("error", "storage", str(why), "then run `dragoman doctor` again")]
    except Exception as broken:
        if of_storage(broken) is None:
            raise
        return [Finding("error", "storage", str(broken), "see that the database runs and takes our connections")]


async def _of_passwords(core: Core) -> list[Finding]:
    foreign: Counter[str] = Counter()
    for label, number in (await core.password_schemes()).items():
        foreign[label.partition(":")[0]] += number
    del foreign["canonical"]
    if not foreign:
        return []
    listed = ", ".join(f"{number} {scheme}" for scheme, number in sorted(foreign.items()))
    return [
        Finding("note", "accounts", f"{sum(foreign.values())} passwords are not in canonical form yet ({listed}):"
                " a Rocket.Chat client that sends digests cannot use them",
                "each is rewritten at its owner's next sign-in with the plain password")
    ]  # fmt: skip


async def _of_clock(core: Core) -> list[Finding]:
    newest = await core.newest_events(1)
    ahead = newest[0].at - core.clock.now() if newest else 0
    if ahead <= CLOCK_SLACK:
        return []
    return [
        Finding("error", "clock", f"the newest event is {ahead // 1000} s ahead of this machine's clock",
                "set the clock; codes of authenticator apps and token lifetimes depend on it")
    ]  # fmt: skip
