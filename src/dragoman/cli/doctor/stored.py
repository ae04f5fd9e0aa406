"""What is stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dragoman.cli.doctor.directory import of_linked
from dragoman.cli.doctor.finding import Finding
from dragoman.cli.doctor.providers import of_links
from dragoman.cli.doctor.proxies import of_proxies

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.core.health import Health
    from dragoman.settings import Settings

CLOCK_SLACK = 60_000
NAMED = 10


def of_database(settings: Settings) -> tuple[Settings, list[Finding]]:
    """Judge what is stored; a database that does not open is a finding itself.

    Returns the settings as they are in force, too: some may have been changed while the server runs.
    """
    from dragoman.cli.logs import configure  # isort: skip
    from dragoman import app
    from dragoman.core.refusals import of_storage
    from dragoman.settings import with_values

    configure(settings, serving=False)

    async def look() -> tuple[Settings, list[Finding]]:
        async with app.opened(settings) as core:
            in_force = with_values(settings, await core.settings.in_force())
            health = await core.health()
            return in_force, [
                *_of_passwords(health), *_of_people(health), *_of_letters(health, settings), *_of_upkeep(health),
                *await of_linked(core), *await of_links(core), *await of_proxies(core, settings),
                *await _of_clock(core),
            ]  # fmt: skip

    try:
        return asyncio.run(look())
    except app.NotReady as why:
        return settings, [Finding("error", "storage", str(why), "then run `dragoman doctor` again")]
    except Exception as broken:
        if of_storage(broken) is None:
            raise
        remedy = "see that the database runs and takes our connections"
        return settings, [Finding("error", "storage", str(broken), remedy)]


def _of_passwords(health: Health) -> Iterator[Finding]:
    foreign: Counter[str] = Counter()
    for label, number in health.schemes.items():
        foreign[label.partition(":")[0]] += number
    del foreign["canonical"]
    if foreign:
        listed = ", ".join(f"{number} {scheme}" for scheme, number in sorted(foreign.items()))
        yield Finding(
            "note", "accounts", f"{sum(foreign.values())} passwords are not in canonical form yet ({listed}):"
            " a Rocket.Chat client that sends digests cannot use them",
            "each is rewritten at its owner's next sign-in with the plain password",
        )  # fmt: skip
    if health.too_costly:
        yield Finding(
            "warning", "accounts", f"{health.too_costly} passwords have a hash that asks for more memory or time than"
            " one sign-in may take: nobody can sign in with them",
            "have them reset by mail, or set with `dragoman account set-password`",
        )  # fmt: skip
    if health.initial_passwords:
        yield Finding(
            "note", "accounts", f"{_several(health.initial_passwords)} passwords were set by somebody else and not"
            " replaced yet; each dies after 7 days",
            "remind the owners; `dragoman account set-password ACCOUNT --initial` begins anew",
        )  # fmt: skip


def _of_people(health: Health) -> Iterator[Finding]:
    number, bare = len(health.administrators), health.without_factor
    if not number:
        yield Finding(
            "warning", "accounts", "nobody is an active administrator",
            "`dragoman account set-role ACCOUNT admin`, or `account activate` for one who rests",
        )  # fmt: skip
    if number == 1:
        yield Finding(
            "note", "accounts", f"{health.administrators[0]} is the only active administrator",
            "make another one with `dragoman account set-role ACCOUNT admin`",
        )  # fmt: skip
    if bare:
        more = f" and {len(bare) - NAMED} more" if len(bare) > NAMED else ""
        yield Finding(
            "warning", "accounts", f"administrators without a second factor: {', '.join(bare[:NAMED])}{more}",
            "`dragoman account totp enable ACCOUNT`",
        )  # fmt: skip
    if health.only_claimed:
        yield Finding(
            "note", "accounts", f"{_several(health.only_claimed)} accounts have only addresses that nobody proved",
            "they can hold a password and sessions, nothing else, until their owners follow the link in the mail",
        )  # fmt: skip


def _of_letters(health: Health, settings: Settings) -> Iterator[Finding]:
    if health.dead_letters:
        yield Finding(
            "warning", "mail", f"{_several(health.dead_letters)} letters could not be delivered",
            "`dragoman outbox list` says why, `dragoman outbox retry` sends them again",
        )  # fmt: skip
    if health.late_letters:
        runs = "`dragoman serve`" if settings.mail.in_serve else "`dragoman worker`"
        yield Finding(
            "warning", "mail", f"{_several(health.late_letters)} letters have waited for more than 10 minutes",
            f"see that {runs} runs and that the mail server takes them (`dragoman doctor --online`)",
        )  # fmt: skip


def _of_upkeep(health: Health) -> Iterator[Finding]:
    if health.old_keys:
        yield Finding(
            "note", "keys", f"signing keys older than 180 days: {', '.join(health.old_keys)}",
            "`dragoman keys rotate`; clients notice nothing",
        )  # fmt: skip
    if health.behind:
        yield Finding(
            "warning", "storage", f"rows are kept longer than promised in: {', '.join(health.behind)}",
            "let `dragoman serve` run: it lets go of what is due every ten minutes",
        )  # fmt: skip


def _several(number: int) -> str:
    from dragoman.core.health import MOST

    return f"more than {MOST}" if number > MOST else str(number)


async def _of_clock(core: Core) -> list[Finding]:
    newest = await core.newest_events(1)
    ahead = newest[0].at - core.clock.now() if newest else 0
    if ahead <= CLOCK_SLACK:
        return []
    return [
        Finding("error", "clock", f"the newest event is {ahead // 1000} s ahead of this machine's clock",
                "set the clock; codes of authenticator apps and token lifetimes depend on it")
    ]  # fmt: skip
