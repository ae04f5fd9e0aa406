"""What both engines promise (src/dragoman/storage/engine.py), tried on each. Every fn runs twice (decision 30)."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from dragoman.storage.engine import (
    ROW_LIMIT,
    ConstraintViolated,
    Engine,
    Row,
    Statement,
    StorageUnavailable,
    SuspendedInTransaction,
    TooManyRows,
    Tx,
    UnstorableValue,
)
from kit.engines import ENGINES, open_engine
from kit.postgres import Cluster

LARGEST = 2**63 - 1

MAKE_BLOB = {"sqlite": "blob", "postgres": "bytea"}
TABLES = {
    kind: [
        Statement(
            f"create table thing (id bigint primary key, name text unique, data {blob}, number bigint not null"
            " check (number >= 0))"
        ),
        Statement("create table part (id bigint primary key, thing bigint not null references thing (id))"),
    ]
    for kind, blob in MAKE_BLOB.items()
}
INSERT = Statement("insert into thing (id, name, data, number) values (:id, :name, :data, :number)")
INSERT_RETURNING = Statement(
    "insert into thing (id, name, data, number) values (:id, :name, null, 0) returning id, name"
)
UPSERT = Statement(
    "insert into thing (id, name, number) values (:id, 'counter', 1)"
    " on conflict (id) do update set number = thing.number + 1 returning number"
)
PART = Statement("insert into part (id, thing) values (:id, :thing)")
THING = Statement("select id, name, data, number from thing where id = :id")
NUMBER = Statement("select number from thing where id = :id")
ADD = Statement("update thing set number = number + :step where id = :id")
SET = Statement("update thing set number = :number where id = :id")
ADD_ALL = Statement("update thing set number = number + 1")
ADD_TO_ALL_RETURNING = Statement("update thing set number = number + 1 returning id")
WITH_ADD = Statement(
    "with chosen as (select id from thing where id < :below) update thing set number = 7"
    " where id in (select id from chosen)"
)
SET_WHERE = Statement("update thing set number = :number where id = :id and number = cast(:number as bigint) - 1")
DELETE = Statement("delete from thing where id = :id")
IDS = Statement("select id from thing order by id")
SERIES = Statement(
    "with recursive series (n) as (select 1 union all select n + 1 from series where n < cast(:count as bigint))"
    " select n from series"
)
REPEATED = Statement(
    "select id, ':id', 1 /* :nothing */ from thing -- :nothing\n"
    " where (id = :id or number = :number) and (id = :id or number <> :id)"
)
OF_TEXT = Statement("select id from thing where name = :name")


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path, postgres_cluster: Cluster) -> AsyncIterator[Engine]:
    async with open_engine(request.param, tmp_path, postgres_cluster) as opened:

        async def make(tx: Tx) -> None:
            for table in TABLES[request.param]:
                await tx.run(table)

        await opened.transaction(make)
        yield opened


async def add(engine: Engine, id: int, name: str | None = None, data: bytes | None = None, number: int = 0) -> int:
    return await engine.transaction(lambda tx: tx.run(INSERT, id=id, name=name, data=data, number=number))


async def test_a_write_that_was_acknowledged_is_read_at_once(engine: Engine) -> None:
    for number in range(50):
        await add(engine, number, number=number)
        assert await engine.one(NUMBER, id=number) == (number,)
        assert len(await engine.all(IDS)) == number + 1
        assert len(await engine.scan(IDS)) == number + 1


async def test_rows_are_plain_tuples(engine: Engine) -> None:
    await add(engine, 1, "a", b"b", 2)

    async def read(tx: Tx) -> list[Row | None]:
        return [await tx.one(THING, id=1), *await tx.all(THING, id=1)]

    rows = [
        await engine.one(THING, id=1),
        *await engine.all(THING, id=1),
        *await engine.scan(THING, id=1),
        *await engine.transaction(read),
    ]
    assert rows == [(1, "a", b"b", 2)] * 5
    assert {type(row) for row in rows} == {tuple}


async def test_nothing_found(engine: Engine) -> None:
    async def read(tx: Tx) -> tuple[Row | None, list[Row], int]:
        return await tx.one(THING, id=1), await tx.all(THING, id=1), await tx.run(DELETE, id=1)

    assert await engine.one(THING, id=1) is None
    assert await engine.all(THING, id=1) == []
    assert await engine.scan(THING, id=1) == []
    assert await engine.transaction(read) == (None, [], 0)


@pytest.mark.parametrize(
    ("name", "data", "number"),
    [
        (None, None, 0),
        ("", b"", LARGEST),
        ("Ada Example", b"\x00\xff\x00", 1),
        ("żółw 🐢 مرحبا İıſK\u0301 \u202e\ufeff", "żółw".encode(), 2),
        ("it's; -- :id /* */ \" ? $1", b"'", 3),
        ("\x01\x7f\r\n\t\\", bytes(range(256)), 4),
        ("x" * 2_000, b"y" * 1_000_000, 5),
    ],
)
async def test_values_come_back_as_they_were(engine: Engine, name: str | None, data: bytes | None, number: int) -> None:
    await add(engine, LARGEST, name, data, number)
    assert await engine.one(THING, id=LARGEST) == (LARGEST, name, data, number)
    await add(engine, -LARGEST - 1)
    assert await engine.one(NUMBER, id=-LARGEST - 1) == (0,)


@pytest.mark.parametrize("name", ["nul \0 inside", "lone \ud800 surrogate"])
async def test_text_that_no_engine_keeps(engine: Engine, name: str) -> None:
    with pytest.raises(UnstorableValue) as refused:
        await add(engine, 1, name)
    assert "inside" not in str(refused.value)
    for read in (engine.one, engine.all, engine.scan):
        with pytest.raises(UnstorableValue):
            await read(OF_TEXT, name=name)
    assert await engine.all(IDS) == []


@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 2, 10**40])
async def test_integers_beyond_64_bits(engine: Engine, number: int) -> None:
    with pytest.raises(UnstorableValue):
        await add(engine, number)
    with pytest.raises(UnstorableValue):
        await engine.one(NUMBER, id=number)


async def test_a_transaction_goes_on_after_an_unstorable_value(engine: Engine) -> None:
    async def write(tx: Tx) -> None:
        with pytest.raises(UnstorableValue):
            await tx.run(INSERT, id=1, name="\0", data=None, number=0)
        with pytest.raises(UnstorableValue):
            await tx.run(INSERT, id=2**64, name="a", data=None, number=0)
        await tx.run(INSERT, id=2, name="b", data=None, number=0)

    await engine.transaction(write)
    assert await engine.all(IDS) == [(2,)]


async def test_a_parameter_may_occur_again_and_in_any_order(engine: Engine) -> None:
    await add(engine, 5, number=6)
    assert await engine.one(REPEATED, number=6, id=5) == (5, ":id", 1)
    assert await engine.one(REPEATED, number=6, id=4) is not None
    assert await engine.one(REPEATED, number=1, id=4) is None


async def test_missing_and_unknown_parameters_are_mistakes(engine: Engine) -> None:
    with pytest.raises(TypeError, match="needs a parameter 'id'"):
        await engine.one(NUMBER)
    with pytest.raises(TypeError, match="no parameter \\['other'\\]"):
        await engine.all(NUMBER, id=1, other=2)
    with pytest.raises(TypeError):
        await engine.transaction(lambda tx: tx.run(NUMBER, name=1))


async def test_counts_of_changed_rows(engine: Engine) -> None:
    async def write(tx: Tx) -> list[int]:
        return [
            await tx.run(INSERT, id=1, name=None, data=None, number=0),
            await tx.run(INSERT, id=2, name=None, data=None, number=0),
            await tx.run(ADD_ALL),
            await tx.run(ADD_TO_ALL_RETURNING),
            await tx.run(WITH_ADD, below=2),
            await tx.run(WITH_ADD, below=0),
            await tx.run(DELETE, id=1),
            await tx.run(DELETE, id=1),
        ]

    assert await engine.transaction(write) == [1, 1, 2, 2, 1, 0, 1, 0]


async def test_one_runs_a_returning_write_to_its_end(engine: Engine) -> None:
    async def write(tx: Tx) -> tuple[Row | None, Row | None]:
        inserted = await tx.one(INSERT_RETURNING, id=1, name="a")
        await tx.one(INSERT_RETURNING, id=2, name="b")
        return inserted, await tx.one(ADD_TO_ALL_RETURNING)

    inserted, updated = await engine.transaction(write)
    assert inserted == (1, "a")
    assert updated in {(1,), (2,)}
    assert [await engine.one(NUMBER, id=id) for id in (1, 2)] == [(1,), (1,)]


async def test_all_is_limited_and_scan_is_not(engine: Engine) -> None:
    assert len(await engine.all(SERIES, count=ROW_LIMIT)) == ROW_LIMIT
    with pytest.raises(TooManyRows, match="series"):
        await engine.all(SERIES, count=ROW_LIMIT + 1)
    with pytest.raises(TooManyRows):
        await engine.transaction(lambda tx: tx.all(SERIES, count=ROW_LIMIT + 1))
    assert len(await engine.scan(SERIES, count=5000)) == 5000
    await add(engine, 1)  # nothing was left half-read
    assert await engine.all(IDS) == [(1,)]


async def test_an_error_of_fn_rolls_its_own_writes_back_only(engine: Engine) -> None:
    class Refused(Exception):
        pass

    async def write(tx: Tx, id: int) -> int:
        await tx.run(INSERT, id=id, name=None, data=None, number=0)
        if id % 3 == 0:
            raise Refused(id)
        return id

    outcomes = await asyncio.gather(
        *(engine.transaction(partial(write, id=id)) for id in range(30)), return_exceptions=True
    )
    kept = [id for id in range(30) if id % 3]
    assert [outcome for outcome in outcomes if not isinstance(outcome, Exception)] == kept
    assert all(isinstance(outcomes[id], Refused) for id in range(0, 30, 3))
    assert await engine.all(IDS) == [(id,) for id in kept]


@pytest.mark.parametrize(
    ("statement", "args"),
    [
        (INSERT, {"id": 1, "name": "other", "data": None, "number": 0}),
        (INSERT, {"id": 2, "name": "Ada Example", "data": None, "number": 0}),
        (INSERT, {"id": 2, "name": None, "data": None, "number": -1}),
        (INSERT, {"id": 2, "name": None, "data": None, "number": None}),
        (PART, {"id": 1, "thing": 99}),
    ],
    ids=["primary key", "unique", "check", "not null", "foreign key"],
)
async def test_constraints(engine: Engine, statement: Statement, args: dict[str, object]) -> None:
    await add(engine, 1, "Ada Example")

    async def write(tx: Tx) -> None:
        await tx.run(INSERT, id=7, name=None, data=None, number=0)
        await tx.run(statement, **args)

    with pytest.raises(ConstraintViolated) as refused:
        await engine.transaction(write)
    assert "Ada" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert await engine.all(IDS) == [(1,)]


async def test_a_constraint_ends_the_transaction_even_if_fn_goes_on(engine: Engine) -> None:
    await add(engine, 1)

    async def write(tx: Tx) -> str:
        await tx.run(INSERT, id=2, name=None, data=None, number=0)
        with pytest.raises(ConstraintViolated):
            await tx.run(INSERT, id=1, name=None, data=None, number=0)
        return "as if nothing had been"

    async def write_more(tx: Tx) -> str:
        await write(tx)
        await tx.run(INSERT, id=3, name=None, data=None, number=0)
        return "as if nothing had been"

    for fn in (write, write_more):
        with pytest.raises(ConstraintViolated):
            await engine.transaction(fn)
    assert await engine.all(IDS) == [(1,)]


async def test_parallel_increments_of_one_row_are_exact(engine: Engine) -> None:
    await add(engine, 1)

    async def read_then_write(tx: Tx) -> None:
        row = await tx.one(NUMBER, id=1)
        assert row is not None
        await tx.run(SET, id=1, number=row[0] + 1)

    await asyncio.gather(*(engine.transaction(read_then_write) for _ in range(40)))
    assert await engine.one(NUMBER, id=1) == (40,)
    await asyncio.gather(*(engine.transaction(lambda tx: tx.run(ADD, id=1, step=1)) for _ in range(40)))
    assert await engine.one(NUMBER, id=1) == (80,)


async def test_parallel_upserts_count_everybody(engine: Engine) -> None:
    rows = await asyncio.gather(*(engine.transaction(lambda tx: tx.one(UPSERT, id=1)) for _ in range(20)))
    assert sorted(row[0] for row in rows if row) == list(range(1, 21))


async def test_no_two_transactions_pass_the_same_check(engine: Engine) -> None:
    """Write skew: each sees room for one more, and only one may take it."""

    async def delete(tx: Tx, id: int) -> int:
        return await tx.run(DELETE, id=id)

    async def take(tx: Tx, id: int) -> bool:
        if await tx.all(IDS):
            return False
        await tx.run(INSERT, id=id, name=None, data=None, number=0)
        return True

    for _ in range(5):
        taken = await asyncio.gather(*(engine.transaction(partial(take, id=id)) for id in range(10)))
        assert sum(taken) == 1
        [(id,)] = await engine.all(IDS)
        assert await engine.transaction(partial(delete, id=id)) == 1


async def test_a_transaction_sees_its_own_writes_and_nobody_else_does(engine: Engine) -> None:
    seen_outside: list[Row | None] = []

    async def write(tx: Tx) -> Row | None:
        await tx.run(INSERT, id=1, name=None, data=None, number=3)
        time.sleep(0.2)  # noqa: ASYNC251  keeps the transaction open while the other one looks
        return await tx.one(NUMBER, id=1)

    async def look() -> None:
        seen_outside.append(await engine.one(NUMBER, id=1))

    row, _ = await asyncio.gather(engine.transaction(write), look())
    assert row == (3,)
    assert seen_outside == [None]


async def test_a_cancelled_caller_does_not_cancel_its_write(engine: Engine) -> None:
    task = asyncio.create_task(add(engine, 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(200):
        if await engine.one(NUMBER, id=1):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the write did not happen")


async def test_an_error_after_the_caller_was_cancelled_disturbs_nobody(engine: Engine) -> None:
    await add(engine, 1)
    task = asyncio.create_task(add(engine, 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(engine, 2)
    assert await engine.all(IDS) == [(1,), (2,)]


async def test_awaiting_something_else_ends_the_transaction(engine: Engine) -> None:
    async def dawdle(tx: Tx) -> None:
        await tx.run(INSERT, id=1, name=None, data=None, number=0)
        await asyncio.sleep(0)

    async def sleep(tx: Tx) -> None:
        await tx.run(INSERT, id=1, name=None, data=None, number=0)
        await asyncio.sleep(0.01)

    async def scatter(tx: Tx) -> None:
        first, second = tx.one(NUMBER, id=1), tx.one(NUMBER, id=2)
        try:
            await asyncio.gather(first, second)
        finally:
            first.close()
            second.close()

    for fn in (dawdle, sleep, scatter):
        with pytest.raises(SuspendedInTransaction):
            await engine.transaction(fn)
    assert await engine.all(IDS) == []


async def test_fn_runs_under_the_callers_context(engine: Engine) -> None:
    request = contextvars.ContextVar("request", default="none")

    async def which(tx: Tx) -> str:
        await tx.one(NUMBER, id=1)
        return request.get()

    async def caller(name: str) -> str:
        request.set(name)
        return await engine.transaction(which)

    names = [f"request {number}" for number in range(10)]
    assert await asyncio.gather(*(caller(name) for name in names)) == names


async def test_a_tx_is_dead_after_its_transaction(engine: Engine) -> None:
    async def leak(tx: Tx) -> Tx:
        return tx

    tx = await engine.transaction(leak)
    with pytest.raises(RuntimeError, match="after its transaction"):
        await tx.one(NUMBER, id=1)


async def test_every_fn_runs_twice_here_and_counts_once(engine: Engine) -> None:
    calls = []

    async def write(tx: Tx) -> int:
        calls.append(1)
        return await tx.run(INSERT, id=1, name="a", data=None, number=0)

    assert await engine.transaction(write) == 1
    assert len(calls) == 2
    assert await engine.all(IDS) == [(1,)]


async def test_a_mistake_in_sql_reaches_the_caller_and_harms_nobody(engine: Engine) -> None:
    wrong = Statement("select id from nowhere")
    for read in (engine.one, engine.all, engine.scan):
        with pytest.raises(Exception, match="nowhere"):
            await read(wrong)
    with pytest.raises(Exception, match="nowhere"):
        await engine.transaction(lambda tx: tx.one(wrong))
    await add(engine, 1)
    assert await engine.ready()


async def test_ready_and_closed(engine: Engine) -> None:
    assert await engine.ready()
    writes = [asyncio.create_task(add(engine, id)) for id in range(20)]
    await asyncio.sleep(0)
    await engine.close()
    assert await asyncio.gather(*writes) == [1] * 20  # accepted, so finished
    assert not await engine.ready()
    for read in (engine.one, engine.all, engine.scan):
        with pytest.raises(StorageUnavailable):
            await read(IDS)
    with pytest.raises(StorageUnavailable):
        await add(engine, 100)
    await engine.close()


@pytest.mark.parametrize(
    "sql",
    [
        "commit",
        "  -- a comment\n ROLLBACK",
        "savepoint a",
        "pragma foreign_keys=off",
        "insert or rollback into thing (id) values (1)",
        "select id::text from thing",
        "select id from thing where id = ?",
        "select id from thing where id = $1",
        " ",
    ],
)
def test_statements_that_are_no_business_of_a_subject(sql: str) -> None:
    with pytest.raises(ValueError, match="engine"):
        Statement(sql)


# ---------------------------------------------------------------- single writes


async def test_a_single_write_is_kept_and_counted(engine: Engine) -> None:
    assert await engine.run(INSERT, id=1, name="a", data=None, number=0) == 1
    assert await engine.run(SET, id=1, number=7) == 1
    assert await engine.one(NUMBER, id=1) == (7,)
    assert await engine.run(SET, id=2, number=7) == 0
    assert await engine.run(ADD_ALL) == 1
    assert await engine.one(NUMBER, id=1) == (8,)


async def test_of_single_writes_that_depend_on_a_row_one_gets_through(engine: Engine) -> None:
    await add(engine, 1)
    for number in range(1, 6):
        done = await asyncio.gather(*(engine.run(SET_WHERE, id=1, number=number) for _ in range(20)))
        assert sorted(done) == [0] * 19 + [1]
    assert await engine.one(NUMBER, id=1) == (5,)


async def test_single_writes_and_transactions_do_not_lose_each_others_work(engine: Engine) -> None:
    await add(engine, 1)

    async def fn(tx: Tx) -> None:
        row = await tx.one(NUMBER, id=1)
        assert row is not None
        await tx.run(SET, id=1, number=row[0] + 1)

    both = (engine.transaction(fn) if n % 2 else engine.run(ADD, id=1, step=1) for n in range(20))
    results = await asyncio.gather(*both, return_exceptions=True)
    kept = [each for each in results if not isinstance(each, StorageUnavailable)]
    assert all(each in (1, None) for each in kept)
    assert await engine.one(NUMBER, id=1) == (len(kept),)


async def test_a_single_write_that_is_refused(engine: Engine) -> None:
    await add(engine, 1, "a")
    with pytest.raises(ConstraintViolated):
        await engine.run(INSERT, id=1, name=None, data=None, number=0)
    with pytest.raises(ConstraintViolated):
        await engine.run(SET, id=1, number=-1)
    with pytest.raises(UnstorableValue):
        await engine.run(INSERT, id=2, name="\0", data=None, number=0)
    assert await engine.all(IDS) == [(1,)]


async def test_a_single_write_outlives_its_caller(engine: Engine) -> None:
    await add(engine, 1)
    task = asyncio.create_task(engine.run(SET, id=1, number=3))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if await engine.one(NUMBER, id=1) == (3,):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the write went with its caller")
