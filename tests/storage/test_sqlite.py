"""The guards that only the embedded engine needs: its group, its file, its threads (decisions 31 to 33)."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dragoman.storage.engine import (
    Engine,
    Statement,
    StorageBusy,
    StorageUnavailable,
    SuspendedInTransaction,
    Tx,
)
from dragoman.storage.sqlite import SqliteEngine
from dragoman.storage.sqlite_file import LOCK_NAME, WAL_BYTES, Wal, WriterLock
from kit.engines import sqlite_engine

MAKE = Statement("create table entry (id bigint primary key, data blob)")
INSERT = Statement("insert into entry (id, data) values (:id, :data)")
COUNT = Statement("select count(*) from entry")
IDS = Statement("select id from entry order by id")
SLOW = Statement(
    "with recursive series (n) as (select 1 union all select n + 1 from series where n < :count)"
    " select max(n) from series"
)
SERIES = Statement(
    "with recursive series (n) as (select 1 union all select n + 1 from series where n < :count) select n from series"
)
THREAD = Statement("select thread_name()")
WRITER = Path(__file__).with_name("writing_child.py")


async def make(engine: Engine) -> None:
    await engine.transaction(lambda tx: tx.run(MAKE))


async def insert(tx: Tx, id: int, size: int = 0) -> int:
    await tx.run(INSERT, id=id, data=bytes(size))
    return id


def integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("pragma integrity_check").fetchone()[0])
    finally:
        connection.close()


# --- the group ---


@pytest.mark.parametrize("rehearse", [False, True])
async def test_a_full_disk_in_the_middle_of_a_group(tmp_path: Path, rehearse: bool) -> None:
    """SQLite gives the whole transaction up: those before fail too, those after are taken anew (decision 31)."""
    async with sqlite_engine(tmp_path, rehearse=rehearse) as engine:
        await make(engine)
        release = threading.Event()

        async def hold(tx: Tx) -> None:  # so that the others gather into one group
            release.wait(5)

        async def limit(tx: Tx, id: int) -> int:
            connection: sqlite3.Connection = tx._connection  # type: ignore[attr-defined]
            pages = connection.execute("pragma page_count").fetchone()[0]
            connection.execute(f"pragma max_page_count={pages + 2}")
            return await insert(tx, id)

        async def lift(tx: Tx, id: int) -> int:
            tx._connection.execute("pragma max_page_count=1000000")  # type: ignore[attr-defined]
            return await insert(tx, id)

        first = asyncio.create_task(engine.transaction(hold))
        await asyncio.sleep(0.05)
        fns = [partial(insert, id=1), partial(limit, id=2), partial(insert, id=3, size=100_000)]
        fns += [partial(insert, id=4), partial(lift, id=5), partial(insert, id=6, size=100_000)]
        group = [asyncio.create_task(engine.transaction(fn)) for fn in fns]
        await asyncio.sleep(0.05)
        release.set()
        await first
        outcomes = await asyncio.gather(*group, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[:3]] == [StorageUnavailable] * 3
        assert outcomes[3:] == [4, 5, 6]
        assert await engine.all(IDS) == [(4,), (5,), (6,)]
        assert await engine.ready()


async def test_a_failing_commit_fails_the_group(tmp_path: Path) -> None:
    deferred = Statement(
        "create table child (id bigint primary key, parent bigint references entry (id) deferrable initially deferred)"
    )
    orphan = Statement("insert into child (id, parent) values (1, 99)")
    async with sqlite_engine(tmp_path) as engine:
        await make(engine)
        await engine.transaction(lambda tx: tx.run(deferred))
        outcomes = await asyncio.gather(
            engine.transaction(partial(insert, id=1)),
            engine.transaction(lambda tx: tx.run(orphan)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
        assert await engine.all(IDS) == []
        assert await engine.transaction(partial(insert, id=2)) == 2


async def test_many_callers_share_a_commit(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path, rehearse=False) as engine:
        await make(engine)
        commits = 0
        connection: sqlite3.Connection = engine._written

        def count(sql: str) -> None:
            nonlocal commits
            commits += sql.lower() == "commit"

        connection.set_trace_callback(count)
        await asyncio.gather(*(engine.transaction(partial(insert, id=id)) for id in range(500)))
        assert commits <= 20
        assert await engine.one(COUNT) == (500,)


async def test_a_suspended_fn_leaves_the_group_and_its_cleanup_runs(tmp_path: Path) -> None:
    cleaned = []

    async def dawdle(tx: Tx) -> None:
        await insert(tx, 1)
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    async with sqlite_engine(tmp_path, rehearse=False) as engine:
        await make(engine)
        outcomes = await asyncio.gather(
            engine.transaction(dawdle), engine.transaction(partial(insert, id=2)), return_exceptions=True
        )
        assert isinstance(outcomes[0], SuspendedInTransaction)
        assert outcomes[1] == 2
        assert cleaned == [True, True]  # its group ran without savepoints first, then again with them
        assert await engine.all(IDS) == [(2,)]


async def test_a_slow_fn_is_logged(tmp_path: Path) -> None:
    async def dawdle(tx: Tx) -> None:
        time.sleep(0.06)  # noqa: ASYNC251 - the point

    async with sqlite_engine(tmp_path, rehearse=False) as engine:
        with capture_logs() as lines:
            await engine.transaction(dawdle)
    slow = next(line for line in lines if line["event"] == "transaction_slow")
    assert "dawdle" in slow["fn"]
    assert slow["milliseconds"] >= 60


# --- waiting ---


async def test_the_queue_has_a_deadline_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path, queue_seconds=0.2) as engine:
        await make(engine)
        lock = WriterLock(tmp_path)
        with lock.held(1):
            started = time.monotonic()
            outcomes = await asyncio.gather(
                *(engine.transaction(partial(insert, id=id)) for id in range(300)), return_exceptions=True
            )
            waited = time.monotonic() - started
            assert {type(outcome) for outcome in outcomes} == {StorageBusy}
            assert 0.15 < waited < 1.0
            assert not await engine.ready()
            assert await engine.one(COUNT) == (0,)  # readers do not mind
        lock.close()
        assert await engine.transaction(partial(insert, id=1)) == 1


async def test_the_queue_has_a_deadline_behind_a_slow_fn(tmp_path: Path) -> None:
    async def dawdle(tx: Tx) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - the point

    async with sqlite_engine(tmp_path, queue_seconds=0.1, rehearse=False) as engine:
        await make(engine)
        outcomes = await asyncio.gather(
            engine.transaction(dawdle), engine.transaction(partial(insert, id=1)), return_exceptions=True
        )
        assert outcomes[0] is None
        assert isinstance(outcomes[1], StorageBusy)
        assert outcomes[1].retry_after == 1
        assert await engine.one(COUNT) == (0,)


async def test_opening_waits_for_the_lock_only_so_long(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path):
        lock = WriterLock(tmp_path)
        with lock.held(1), pytest.raises(StorageBusy):
            await SqliteEngine.open(tmp_path / "dragoman.db", queue_seconds=0.1)
        lock.close()


# --- reads ---


async def test_a_long_read_moves_to_a_reader_thread(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        delays = []

        async def heartbeat() -> None:
            while True:
                started = time.perf_counter()
                await asyncio.sleep(0.001)
                delays.append(time.perf_counter() - started)

        beating = asyncio.create_task(heartbeat())
        assert await engine.one(SLOW, count=1_000_000) == (1_000_000,)
        assert await engine.all(SLOW, count=1_000_000) == [(1_000_000,)]
        beating.cancel()
        assert len(delays) > 20  # the event loop went on meanwhile


async def test_short_reads_stay_on_the_event_loop_and_scans_do_not(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        for connection in (engine._inline, *engine._readers._connections):
            connection.create_function("thread_name", 0, lambda: threading.current_thread().name)
        main = threading.current_thread().name
        assert await engine.one(THREAD) == (main,)
        assert await engine.all(THREAD) == [(main,)]
        assert (await engine.scan(THREAD))[0][0].startswith("dragoman-reader")


async def test_reads_cannot_write(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        await make(engine)
        for read in (engine.one, engine.all, engine.scan):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await read(INSERT, id=1, data=b"")


async def test_connections_are_set_as_designed(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:

        def setting(connection: sqlite3.Connection, name: str) -> object:
            return connection.execute(f"pragma {name}").fetchone()[0]

        for connection in (engine._inline, engine._written, *engine._readers._connections):
            assert setting(connection, "journal_mode") == "wal"
            assert setting(connection, "synchronous") == 2
            assert setting(connection, "wal_autocheckpoint") == 0
            assert setting(connection, "foreign_keys") == 1
            assert connection.execute("pragma mmap_size").fetchone() in {None, (0,)}
        assert setting(engine._inline, "query_only") == 1
        assert setting(engine._inline, "busy_timeout") == 0
        assert setting(engine._written, "query_only") == 0


# --- the file ---


async def test_modes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    old = os.umask(0)
    try:
        async with sqlite_engine(folder) as engine:
            await make(engine)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(["dragoman.db", "dragoman.db-wal", "dragoman.db-shm", LOCK_NAME], 0o600)


async def test_modes_that_were_too_wide_are_tightened(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        await make(engine)
    for file in (tmp_path, *tmp_path.iterdir()):
        file.chmod(0o777)
    async with sqlite_engine(tmp_path):
        for file in (tmp_path, *tmp_path.iterdir()):
            assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="file/data"):
        await SqliteEngine.open(tmp_path / "file" / "data" / "dragoman.db")


async def test_something_else_than_a_database(tmp_path: Path) -> None:
    (tmp_path / "dragoman.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageUnavailable, match=r"dragoman\.db"):
        await SqliteEngine.open(tmp_path / "dragoman.db")


async def test_the_log_is_checkpointed_beyond_4_mb_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    log = path.with_name("dragoman.db-wal")
    async with sqlite_engine(tmp_path, rehearse=False) as engine:
        await make(engine)
        for id in range(300):
            await engine.transaction(partial(insert, id=id, size=100_000))
        assert path.stat().st_size > 20_000_000
        assert log.stat().st_size < 2 * WAL_BYTES
        assert integrity(path) == "ok"
    assert not log.exists()


async def test_a_log_pinned_by_a_reader_swells_and_is_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    log = path.with_name("dragoman.db-wal")
    async with sqlite_engine(tmp_path, rehearse=False) as engine:
        await make(engine)
        reader = sqlite3.connect(path)
        reader.execute("begin")
        reader.execute("select count(*) from entry").fetchall()
        for id in range(300):
            await engine.transaction(partial(insert, id=id, size=100_000))
        assert log.stat().st_size > 4 * WAL_BYTES
        reader.close()
        for id in range(300, 400):
            await engine.transaction(partial(insert, id=id, size=100_000))
        assert log.stat().st_size < 2 * WAL_BYTES
        assert await engine.one(COUNT) == (400,)


def test_the_length_of_the_log_in_use_is_told_without_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma wal_autocheckpoint=0")
    connection.execute("create table entry (data blob)")
    wal = Wal(path)
    assert not wal.is_long()
    connection.execute("insert into entry values (?)", (bytes(WAL_BYTES),))
    assert wal.is_long()
    assert not wal.is_long()  # once for each 4 MB
    connection.execute("pragma wal_checkpoint(restart)")
    connection.execute("insert into entry values (?)", (bytes(1000),))
    assert wal.size() > WAL_BYTES
    assert not wal.is_long()  # begun anew, though the file is as large as before
    connection.execute("insert into entry values (?)", (bytes(WAL_BYTES),))
    assert wal.is_long()
    wal.close()
    connection.close()


# --- several processes ---


def child(path: Path, first: int, count: int) -> subprocess.Popen[str]:
    """Start a process that inserts ids from `first` on and prints each one that was acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(path), str(first), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


async def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    async with sqlite_engine(tmp_path, rehearse=False, queue_seconds=10.0) as engine:
        await make(engine)
        children = [child(path, 1_000_000 * number, 1500) for number in (1, 2)]
        for id in range(1500):
            await engine.transaction(partial(insert, id=id, size=2000))
        acknowledged = [
            int(line) for process in children for line in (await asyncio.to_thread(process.communicate))[0].split()
        ]
        assert [process.returncode for process in children] == [0, 0]
        assert len(acknowledged) == 3000
        kept = {row[0] for row in await engine.scan(IDS)}
        assert kept == {*range(1500), *acknowledged}
    assert integrity(path) == "ok"


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    async with sqlite_engine(tmp_path) as engine:
        await make(engine)
    acknowledged: set[int] = set()
    for number in range(10):
        process = child(path, 1_000_000 * number, 1_000_000)
        assert process.stdout is not None
        heard = [process.stdout.readline() for _ in range(40 + 13 * number)]
        process.send_signal(signal.SIGKILL)
        heard += (await asyncio.to_thread(process.communicate))[0].splitlines(keepends=True)
        acknowledged |= {int(line) for line in heard if line.endswith("\n")}
        async with sqlite_engine(tmp_path) as engine:
            assert acknowledged <= {row[0] for row in await engine.scan(IDS)}
            assert await engine.ready()
        assert integrity(path) == "ok"
    assert len(acknowledged) > 400


# --- death ---


async def test_a_writer_that_dies_is_told_and_refuses(tmp_path: Path) -> None:
    died = threading.Event()

    async def murder(tx: Tx) -> None:
        tx._connection.close()  # type: ignore[attr-defined]

    engine = await SqliteEngine.open(tmp_path / "dragoman.db", switch_interval=None, on_death=died.set)
    try:
        await make(engine)
        with capture_logs() as lines:
            outcomes = await asyncio.gather(
                engine.transaction(partial(insert, id=1)),
                engine.transaction(murder),
                engine.transaction(partial(insert, id=2)),
                return_exceptions=True,
            )
            assert died.wait(5)
        assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
        assert [line["event"] for line in lines if line["log_level"] == "critical"] == ["writer_died"]
        assert not await engine.ready()
        with pytest.raises(StorageUnavailable):
            await engine.transaction(partial(insert, id=3))
        assert await engine.one(COUNT) == (0,)  # reads go on until the process ends
        other = WriterLock(tmp_path)
        assert other.try_take()  # the other processes are not held up
        other.close()
    finally:
        await engine.close()


def test_by_default_the_process_ends_with_its_writer(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from dragoman.storage.sqlite import SqliteEngine\n"
        "async def murder(tx):\n"
        "    tx._connection.close()\n"
        "async def main():\n"
        "    engine = await SqliteEngine.open(pathlib.Path(sys.argv[1]))\n"
        "    try:\n"
        "        await engine.transaction(murder)\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, flush=True)\n"
        "    await asyncio.sleep(30)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "dragoman.db")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == -signal.SIGTERM
    assert "writer_died" in ended.stdout + ended.stderr


async def test_a_read_that_took_too_long_once_is_not_compiled_anew_for_ever(tmp_path: Path) -> None:
    """Python 3.11 takes an interrupted statement for busy; what was slow once was five times as slow from then on."""
    async with sqlite_engine(tmp_path) as engine:
        await engine.one(SERIES, count=3)
        compiled = 0

        def count(*_: object) -> int:
            nonlocal compiled
            compiled += 1
            return sqlite3.SQLITE_OK

        engine._inline.set_authorizer(count)
        assert await engine.one(SERIES, count=200_000) == (1,)  # interrupted in the middle, then read by a thread
        await engine.one(SERIES, count=3)
        once = compiled
        for _ in range(20):
            assert await engine.one(SERIES, count=3) == (1,)
            assert await engine.all(SERIES, count=3) == [(1,), (2,), (3,)]
        assert compiled == once


async def test_reads_may_take_too_long_any_number_of_times(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        for _ in range(3):
            assert await engine.one(SERIES, count=200_000) == (1,)
        assert len(engine._spelt) == 1
        assert engine._spelt[SERIES].rstrip() == SERIES.question
