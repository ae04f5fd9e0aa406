"""What only the server's engine meets: conflicts, lost connections, a standby, passwords in addresses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial

import asyncpg
import pytest
from structlog.testing import capture_logs

from dragoman.storage.engine import (
    ConstraintViolated,
    OutcomeUnknown,
    Row,
    Statement,
    StorageBusy,
    StorageUnavailable,
    Tx,
    UnstorableValue,
)
from dragoman.storage.postgres import PostgresEngine
from kit.postgres import Cluster

MAKE = Statement("create table entry (id bigint primary key, number bigint not null, name text unique)")
INSERT = Statement("insert into entry (id, number, name) values (:id, 0, :name)")
NUMBER = Statement("select number from entry where id = :id")
SET = Statement("update entry set number = :number where id = :id")
COUNT = Statement("select count(*) from entry")
SLEEP = Statement("select 1 from pg_sleep(cast(:seconds as double precision))")
DIE = Statement("select pg_terminate_backend(pg_backend_pid())")

FAIL_AT_FIRST = """
    create sequence try;
    create function fail() returns trigger language plpgsql as $body$
    begin
        if nextval('try') <= {times} then
            raise exception 'in the way' using errcode = '{state}';
        end if;
        return new;
    end $body$;
    create {constraint} trigger fail after insert on entry {deferred} for each row execute function fail();
"""
DIE_AT_COMMIT = """
    create function die() returns trigger language plpgsql as $body$
    begin
        perform pg_terminate_backend(pg_backend_pid());
        perform pg_sleep(1);
        return new;
    end $body$;
    create constraint trigger die after insert on entry deferrable initially deferred
        for each row execute function die();
"""


@pytest.fixture
async def engine(postgres_dsn: str) -> AsyncIterator[PostgresEngine]:
    opened = await PostgresEngine.open(postgres_dsn, jitter=lambda: 0.0, min_connections=1, max_connections=4)
    await opened.transaction(lambda tx: tx.run(MAKE))
    yield opened
    await opened.close()


async def prepare(dsn: str, script: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def insert(tx: Tx, id: int) -> int:
    return await tx.run(INSERT, id=id, name=None)


async def insert_counted(engine: PostgresEngine, calls: list[int]) -> None:
    async def write(tx: Tx) -> None:
        calls.append(1)
        await tx.run(INSERT, id=1, name=None)

    await engine.transaction(write)


# --- conflicts ---


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("at_commit", [False, True])
async def test_a_conflict_is_tried_again_five_times(
    engine: PostgresEngine, postgres_dsn: str, state: str, at_commit: bool
) -> None:
    deferred = {"constraint": "constraint", "deferred": "deferrable initially deferred"}
    where = deferred if at_commit else {"constraint": "", "deferred": ""}
    await prepare(postgres_dsn, FAIL_AT_FIRST.format(times=5, state=state, **where))
    calls: list[int] = []
    await insert_counted(engine, calls)
    assert len(calls) == 6
    assert await engine.one(COUNT) == (1,)


async def test_after_five_retries_it_is_refused(engine: PostgresEngine, postgres_dsn: str) -> None:
    await prepare(postgres_dsn, FAIL_AT_FIRST.format(times=6, state="40001", constraint="", deferred=""))
    calls: list[int] = []
    with pytest.raises(StorageUnavailable, match="6 times"):
        await insert_counted(engine, calls)
    assert len(calls) == 6
    assert await engine.one(COUNT) == (0,)


async def test_a_conflict_that_fn_swallows_is_tried_again_all_the_same(
    engine: PostgresEngine, postgres_dsn: str
) -> None:
    await prepare(postgres_dsn, FAIL_AT_FIRST.format(times=1, state="40001", constraint="", deferred=""))
    calls: list[int] = []

    async def write(tx: Tx) -> str:
        calls.append(1)
        try:
            await tx.run(INSERT, id=1, name=None)
        except Exception as error:
            if len(calls) > 1:
                raise
            raise LookupError from error
        return "kept"

    assert await engine.transaction(write) == "kept"
    assert len(calls) == 2
    assert await engine.one(COUNT) == (1,)


async def test_real_conflicts_are_tried_again(engine: PostgresEngine) -> None:
    await engine.transaction(lambda tx: tx.run(INSERT, id=1, name=None))
    calls: list[int] = []

    async def add(tx: Tx) -> None:
        calls.append(1)
        row = await tx.one(NUMBER, id=1)
        assert row is not None
        await tx.run(SET, id=1, number=row[0] + 1)

    await asyncio.gather(*(engine.transaction(add) for _ in range(60)))
    assert await engine.one(NUMBER, id=1) == (60,)
    assert len(calls) > 60


async def test_a_changed_table_does_not_break_prepared_statements(engine: PostgresEngine, postgres_dsn: str) -> None:
    everything = Statement("select * from entry where id = :id")

    async def read(tx: Tx) -> Row | None:
        return await tx.one(everything, id=1)

    await engine.transaction(lambda tx: tx.run(INSERT, id=1, name="a"))
    assert await engine.transaction(read) == (1, 0, "a")
    await prepare(postgres_dsn, "alter table entry add column more bigint")
    assert await engine.transaction(read) == (1, 0, "a", None)
    assert await engine.one(everything, id=1) == (1, 0, "a", None)


# --- connections ---


async def test_waiting_for_a_connection_has_a_deadline(postgres_dsn: str) -> None:
    engine = await PostgresEngine.open(
        postgres_dsn, jitter=lambda: 0.0, min_connections=1, max_connections=1, queue_seconds=0.1
    )
    long = asyncio.create_task(engine.transaction(lambda tx: tx.one(SLEEP, seconds=0.5)))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    with pytest.raises(StorageBusy):
        await engine.one(SLEEP, seconds=0)
    with pytest.raises(StorageBusy):
        await engine.transaction(lambda tx: tx.one(SLEEP, seconds=0))
    assert not await engine.ready()
    assert time.monotonic() - started < 0.45
    await long
    assert await engine.ready()
    await engine.close()


async def test_a_statement_has_a_deadline(postgres_dsn: str) -> None:
    engine = await PostgresEngine.open(postgres_dsn, jitter=lambda: 0.0, min_connections=1, command_seconds=0.2)
    with pytest.raises(StorageUnavailable):
        await engine.transaction(lambda tx: tx.one(SLEEP, seconds=5))
    with pytest.raises(StorageUnavailable):
        await engine.scan(SLEEP, seconds=5)
    assert await engine.one(SLEEP, seconds=0) == (1,)
    await engine.close()


async def test_a_connection_lost_in_a_transaction(engine: PostgresEngine) -> None:
    async def write(tx: Tx) -> None:
        await tx.run(INSERT, id=1, name=None)
        await tx.one(DIE)

    with pytest.raises(StorageUnavailable) as refused:
        await engine.transaction(write)
    assert not isinstance(refused.value, OutcomeUnknown)
    with pytest.raises(StorageUnavailable):
        await engine.one(DIE)
    assert await engine.one(COUNT) == (0,)
    await engine.transaction(lambda tx: tx.run(INSERT, id=1, name=None))


async def test_a_connection_lost_in_the_commit_is_told_as_unknown(engine: PostgresEngine, postgres_dsn: str) -> None:
    await prepare(postgres_dsn, DIE_AT_COMMIT)
    with pytest.raises(OutcomeUnknown):
        await engine.transaction(lambda tx: tx.run(INSERT, id=1, name=None))
    assert await engine.one(COUNT) == (0,)


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.remove()


async def test_a_server_that_restarts(own_cluster: Cluster) -> None:
    dsn = await own_cluster.create()
    engine = await PostgresEngine.open(dsn, jitter=lambda: 0.0, min_connections=3)
    await engine.transaction(lambda tx: tx.run(MAKE))
    await engine.transaction(lambda tx: tx.run(INSERT, id=1, name=None))

    busy = asyncio.create_task(engine.transaction(lambda tx: tx.one(SLEEP, seconds=30)))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_cluster.stop)
    with pytest.raises(StorageUnavailable):
        await busy
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await engine.one(COUNT)
        with pytest.raises(StorageUnavailable):
            await engine.transaction(lambda tx: tx.run(INSERT, id=2, name=None))
    assert not await engine.ready()

    await asyncio.to_thread(own_cluster.start)
    assert await engine.one(COUNT) == (1,)
    await asyncio.gather(*(engine.transaction(partial(insert, id=id)) for id in (2, 3, 4)))
    assert await engine.one(COUNT) == (4,)
    assert await engine.ready()
    await engine.close()


async def test_a_standby_is_not_ready(engine: PostgresEngine, postgres_dsn: str) -> None:
    database = postgres_dsn.rpartition("/")[2]
    await prepare(postgres_dsn, f"alter database {database} set default_transaction_read_only = on")
    standby = await PostgresEngine.open(postgres_dsn, jitter=lambda: 0.0, min_connections=1)
    assert not await standby.ready()
    with pytest.raises(StorageUnavailable):
        await standby.transaction(lambda tx: tx.run(INSERT, id=1, name=None))
    await standby.close()


# --- words ---


@pytest.mark.parametrize("dsn", ["postgresql://ada:hunter2@127.0.0.1:1/x", "postgresql://ada:hunter2@127.0.0.1:one/x"])
async def test_the_password_of_the_address_is_never_told(dsn: str) -> None:
    with capture_logs() as lines, pytest.raises(StorageUnavailable) as refused:
        await PostgresEngine.open(dsn, jitter=lambda: 0.0)
    assert "hunter2" not in f"{refused.value!r} {refused.value.__cause__!r} {lines!r}"


async def test_the_password_is_not_in_the_log_of_a_good_opening(postgres_dsn: str) -> None:
    with capture_logs() as lines:
        engine = await PostgresEngine.open(
            postgres_dsn.replace("postgres@", "postgres:hunter2@"), jitter=lambda: 0.0, min_connections=1
        )
    await engine.close()
    assert "127.0.0.1" in str(lines)
    assert "hunter2" not in str(lines)


async def test_refusals_name_the_constraint_or_parameter_and_no_value(engine: PostgresEngine) -> None:
    await engine.transaction(lambda tx: tx.run(INSERT, id=1, name="ada@example.com"))
    with pytest.raises(ConstraintViolated, match="entry_name_key") as clash:
        await engine.transaction(lambda tx: tx.run(INSERT, id=2, name="ada@example.com"))
    with pytest.raises(UnstorableValue, match="'id'") as wrong:
        await engine.transaction(lambda tx: tx.run(INSERT, id=2**63, name="ada@example.com"))
    assert "ada" not in f"{clash.value} {wrong.value}"
    assert str(2**63) not in str(wrong.value)
    long = "".join(f"{number:x}" for number in range(20_000))
    with pytest.raises(UnstorableValue, match="too long"):
        await engine.transaction(lambda tx: tx.run(INSERT, id=2, name=long))
