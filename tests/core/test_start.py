"""Starting with every state of key ring and database (threat 38), and what lies on the disk afterwards (threat 41)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.app import NotReady, SchemaBehind, migrate, opened
from dragoman.core.accounts import NewAccount
from dragoman.core.ports import SystemRandom
from dragoman.model import Password
from dragoman.settings import Settings
from dragoman.storage.sealing import Ring
from kit.house import PASSWORD, empty_database, fast_settings


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    """Whatever the operator's shell leaves to others, ours must not."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fast_settings(tmp_path)


def new_database(settings: Settings) -> None:
    settings.database.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(empty_database(), settings.database)


async def used_database(settings: Settings) -> None:
    new_database(settings)
    async with opened(settings) as core:
        account = NewAccount(email="ada@example.com", administrator=True, verified=True)
        await core.accounts.set_up(account, Password.from_plain(PASSWORD))


async def starts(settings: Settings) -> None:
    async with opened(settings) as core:
        assert await core.ready() is None


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


async def test_a_new_database_makes_its_ring_and_starts_again_with_it(settings: Settings) -> None:
    await used_database(settings)
    ring = settings.key_ring.read_bytes()
    await starts(settings)
    assert settings.key_ring.read_bytes() == ring


async def test_a_new_database_takes_the_ring_that_is_there(settings: Settings) -> None:
    settings.key_ring.parent.mkdir(parents=True, exist_ok=True)
    Ring.create(settings.key_ring, SystemRandom())
    ring = settings.key_ring.read_bytes()
    new_database(settings)
    await starts(settings)
    assert settings.key_ring.read_bytes() == ring


async def test_a_ring_that_grew_still_opens_its_database(settings: Settings) -> None:
    await used_database(settings)
    Ring.load(settings.key_ring).add(SystemRandom())
    await starts(settings)


@pytest.mark.parametrize("state", ["missing", "another", "garbage", "empty", "folder", "readable by others"])
async def test_a_database_without_its_ring_does_not_start(settings: Settings, state: str) -> None:
    await used_database(settings)
    ring = settings.key_ring
    kept = ring.read_bytes()
    ring.unlink()
    if state == "another":
        Ring.create(ring, SystemRandom())
    elif state == "garbage":
        ring.write_bytes(b'{"keys":[{"id":1,"key":"AAAA"}]}')
        ring.chmod(0o600)
    elif state == "empty":
        ring.touch(0o600)
    elif state == "folder":
        ring.mkdir(0o700)
    elif state == "readable by others":
        ring.write_bytes(kept)
        ring.chmod(0o640)
    before = ring.read_bytes() if ring.is_file() else None
    with pytest.raises(NotReady) as told:
        await starts(settings)
    assert str(ring) in str(told.value)
    assert (ring.read_bytes() if ring.is_file() else None) == before, "a ring was made silently"


async def test_no_database_is_told_and_none_is_made(settings: Settings) -> None:
    with pytest.raises(SchemaBehind, match="dragoman migrate"):
        await starts(settings)
    assert not settings.database.exists()
    assert not settings.key_ring.exists()


async def test_a_backup_of_the_data_folder_holds_no_master_key(settings: Settings) -> None:
    await used_database(settings)
    assert settings.database.parent not in settings.key_ring.parents
    ring = settings.key_ring.read_text()
    master = [part for part in ring.split('"') if len(part) > 40]
    assert master
    for path in files_of(settings.database.parent):
        text = path.read_bytes()
        assert not any(key.encode() in text for key in master), path


async def test_what_is_written_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = fast_settings(tmp_path)
    migrate(settings)
    async with opened(settings) as core:
        account = NewAccount(email="ada@example.com", administrator=True, verified=True)
        await core.accounts.set_up(account, Password.from_plain(PASSWORD))
        names = {path.name for path in files_of(settings.database.parent)}
        assert names >= {"dragoman.db", "dragoman.db-wal", "dragoman.db-shm", "writer.lock"}
        for path in (*files_of(settings.database.parent), settings.key_ring):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        for folder in (settings.database.parent, *(p for p in settings.database.parent.rglob("*") if p.is_dir())):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
