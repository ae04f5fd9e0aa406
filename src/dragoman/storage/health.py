"""What `dragoman doctor` counts: reads that walk an index over few rows, or stop after some thousand."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dragoman.model import Id, Millis
from dragoman.storage.engine import Engine, Statement

MOST = 10_000
"""Nothing is counted beyond; one more means `more than`."""

_ADMINISTRATORS = Statement(
    """select (select min(i.shown) from identifier i where i.account = a.id and i.kind = 'username'),
         (select count(*) from credential c where c.account = a.id and c.kind <> 'password')
       from account a where a.administrator = 1 and a.status = 'active' order by a.id limit 1000"""
)
_INITIAL = Statement(f"select count(*) from (select 1 from credential where dies_at >= 0 limit {MOST + 1}) as found")
_ONLY_CLAIMED = Statement(
    f"""select count(*) from (select account from identifier where state = 'claimed' and kind = 'email'
          and is_primary = 1 limit {MOST + 1}) as i
        where not exists (select 1 from identifier o
          where o.account = i.account and o.kind = 'email' and o.state <> 'claimed')"""
)
_DEAD = Statement(f"select count(*) from (select 1 from outbox where dead_at >= 0 limit {MOST + 1}) as found")
_LATE = Statement(
    f"select count(*) from (select 1 from outbox where id < :id and due_at >= 0 limit {MOST + 1}) as found"
)
_BEHIND: Mapping[str, Statement] = {
    table: Statement(f"select 1 from {table} where {column} < :before limit 1")
    for table, column in {
        "account": "deleted_at", "attempt": "ends_at", "code": "ends_at", "event": "at",
        "known_network": "last_at", "mark": "last_at", "outbox": "dead_at", "session": "ended_at",
        "spent_token": "ends_at", "ticket": "ends_at",
    }.items()
}  # fmt: skip
"""Of each table that lets rows go and has an index on when: whether one from before then is still there."""


class Administrator(Struct, frozen=True):
    """An active administrator."""

    username: str
    factors: int


async def administrators(db: Engine) -> list[Administrator]:
    """Return the active administrators with the number of their second factors, at most 1,000."""
    return [Administrator(username or "", factors) for username, factors in await db.scan(_ADMINISTRATORS)]


async def initial_passwords(db: Engine) -> int:
    """Count the passwords that somebody else set for the time being."""
    return await _number(db, _INITIAL)


async def only_claimed(db: Engine) -> int:
    """Count the accounts whose every address is merely claimed."""
    return await _number(db, _ONLY_CLAIMED)


async def dead_letters(db: Engine) -> int:
    """Count the letters that nobody will take."""
    return await _number(db, _DEAD)


async def letters_before(db: Engine, id: Id) -> int:
    """Count the letters that wait and whose id is below: ids tell when a letter was written."""
    return int((await db.scan(_LATE, id=id))[0][0])


async def behind(db: Engine, before: Mapping[str, Millis]) -> list[str]:
    """Return the tables that hold a row from before the time given for them."""
    return [table for table, at in before.items() if await db.scan(_BEHIND[table], before=at)]


async def _number(db: Engine, statement: Statement) -> int:
    return int((await db.scan(statement))[0][0])
