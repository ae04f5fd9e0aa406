"""What lies on disk, and who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.settings import Settings

FIXED_SQLITE = (3, 51, 3)


def of_files(settings: Settings) -> list[Finding]:
    """Judge modes and owners of the key ring and the data."""
    ring, data = settings.key_ring, Path(settings.storage.data)
    found = [*_of_mode("storage.key_ring", ring, 0o600), *_of_folder("storage.key_ring", ring.absolute().parent)]
    note = ring.with_name(ring.name + ".first-administrator")
    if note.exists():
        found.append(
            Finding("warning", str(note), "the first administrator's password lies here in clear",
                    "change it with `dragoman account set-password admin --password-stdin`, then delete the file")
        )  # fmt: skip
    if settings.storage.postgres:
        return found
    found += _of_mode("storage.data", data, 0o700)
    if data.absolute().parent != ring.absolute().parent:
        found += _of_folder("storage.data", data.absolute().parent)
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


def _of_folder(setting: str, folder: Path) -> list[Finding]:
    """Judge the folder in which something lies: whoever may write there may put another thing in its place."""
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return []
    if not mode & 0o022 or mode & stat.S_ISVTX:
        return []
    return [
        Finding("warning", setting, f"the folder {folder} has mode {stat.S_IMODE(mode):04o}: others may replace what"
                " lies in it", f"chmod go-w {folder}")
    ]  # fmt: skip
