"""What `dragoman doctor` says of the directory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.sections import Directory
    from dragoman.settings import Settings


def of_directory(settings: Settings, *, online: bool) -> list[Finding]:
    """Judge how the directory is asked; `online` asks it, within its own time."""
    given = settings.directory
    if not given.urls:
        return []
    found = _of_encryption(given)
    if not given.bind_name:
        found.append(
            Finding("note", "directory.bind_name", "people are searched as nobody: whoever reaches the directory can",
                    "let it show people to one reader only, and name that one with directory.bind_password")
        )  # fmt: skip
    if given.merge == "same-name":
        found.append(
            Finding("note", "directory.merge", "a local account goes over to whomever the directory gives its username,"
                    " with all that belongs to it",
                    'set it to "never" once the accounts of old are merged')
        )  # fmt: skip
    if given.fallback == "unreachable":
        found.append(
            Finding("note", "directory.fallback", "while the directory is out of reach, the last password it took"
                    " counts, also of somebody who was shut out there meanwhile",
                    'set it to "never" where a directory that is down may keep people out')
        )  # fmt: skip
    return found + (asyncio.run(_of_reach(settings)) if online else [])


def _of_encryption(given: Directory) -> list[Finding]:
    clear = [url for url in given.urls if url.startswith("ldap://")]
    if not clear or given.starttls:
        return []
    return [
        Finding("warning", "directory.urls", f"passwords cross the network to {clear[0]} in clear",
                "use ldaps://, or set directory.starttls = true")
    ]  # fmt: skip


async def _of_reach(settings: Settings) -> list[Finding]:
    from dragoman import app
    from dragoman.core.ports import DirectoryFailed, SystemClock

    port, _ = app.directory(settings, SystemClock())
    if port is None:
        return []
    try:
        await port.reach()
    except DirectoryFailed as why:
        return [
            Finding("error", "directory.urls", f"the directory cannot be used: {why}",
                    "see that it runs, takes our connection and knows directory.bind_name; `dragoman directory check`")
        ]  # fmt: skip
    finally:
        await port.close()
    return []


async def of_linked(core: Core) -> list[Finding]:
    """Name accounts that nobody answers for: linked to a directory that is not configured any more."""
    number = 0 if core.directory.on else await core.linked.count()
    if not number:
        return []
    return [
        Finding("warning", "directory.urls", f"{number} accounts belong to a directory, and none is configured: they"
                " cannot sign in",
                "name the directory again, or `dragoman directory unlink` each account and set its password")
    ]  # fmt: skip
