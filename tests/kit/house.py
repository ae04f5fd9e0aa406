"""A whole Dragoman for a test: every dialect over a fresh database, a clock that moves, requests without a network."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import httpx2
import pyotp

from dragoman.app import core_over, gateway, mounts, open_doors
from dragoman.core import Core, identifiers
from dragoman.core.accounts import NewAccount
from dragoman.core.doors import Door
from dragoman.core.ports import Letter, SystemRandom
from dragoman.core.tickets import Purpose
from dragoman.http import Dialect, Mount
from dragoman.http.server import Gateway
from dragoman.model import Client, Password, Person
from dragoman.settings import Settings, load
from dragoman.storage import attempts, credentials
from dragoman.storage.attempts import Attempt
from dragoman.storage.engine import Engine, Statement, Tx
from dragoman.storage.migrate import migrate_postgres, migrate_sqlite
from dragoman.storage.sealing import Ring, Sealer
from dragoman.storage.sqlite import SqliteEngine
from kit.clock import MovableClock
from kit.engines import postgres_engine, sqlite_engine
from kit.postgres import Cluster

PASSWORD = "correct horse battery"
CREATE_TOKENS_SECRET = "a secret for making tokens"
_LIVE = Statement("select door, kind, account from session where ended_at is null order by id")
_WAITING = Statement("select id, account, kind, sealed from outbox order by created_at, id")
_UNEXPLAINED = Statement(
    """select count(*) from session s where not exists
         (select 1 from event e where e.kind = 'signed_in' and e.session = s.id)"""
)


class Totp:
    """An authenticator app: each code is of a later step than the one before."""

    def __init__(self, house: House, seed: str, recovery: tuple[str, ...]) -> None:
        self._house = house
        self.seed = seed
        self._app = pyotp.TOTP(seed)
        self._last = -1
        self.recovery = recovery

    def code(self) -> str:
        """Return the next code, moving the clock to the next step when this one was given out."""
        step = self._house.clock.now() // 30_000
        if step <= self._last:
            self._house.clock.move(30 * (self._last + 1 - step))
            step = self._house.clock.now() // 30_000
        self._last = step
        return self._app.at(step * 30)

    def wrong(self) -> str:
        """Return a code of no step nearby."""
        now = self._house.clock.now() // 1000
        near = {self._app.at(now + 30 * k) for k in range(-5, 6)}
        return next(f"{n:06d}" for n in range(1000) if f"{n:06d}" not in near)


class House:
    """Core, gateway and clock of one test."""

    def __init__(self, core: Core, app: Gateway, clock: MovableClock, db: Engine, settings: Settings) -> None:
        self.core, self.app, self.clock, self.db, self.settings = core, app, clock, db, settings

    async def add(self, password: str | None = PASSWORD, **fields: Any) -> Person:
        """Add an account; fields are those of NewAccount."""
        given = Password.from_plain(password) if password is not None else None
        return await self.core.accounts.add(NewAccount(**fields), given, allow_weak=True)

    async def ada(self, **fields: Any) -> Person:
        """Add Ada Example with the password every example uses."""
        wanted = {
            "email": "ada@example.com", "username": "ada", "first_name": "Ada", "last_name": "Example",
            "verified": True, **fields,
        }  # fmt: skip
        return await self.add(**wanted)

    async def request(self, method: str, path: str, *, address: str = "192.0.2.1", **wanted: Any) -> httpx2.Response:
        """Send one request through the ASGI application as if from this network address."""
        transport = httpx2.ASGITransport(app=cast("Any", self.app), raise_app_exceptions=True, client=(address, 40000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://dragoman.test") as client:
            return await client.request(method, path, **wanted)

    post = functools.partialmethod(request, "POST")
    get = functools.partialmethod(request, "GET")
    delete = functools.partialmethod(request, "DELETE")

    async def enrol_totp(self, person: Person) -> Totp:
        """Enrol TOTP for an account, as an operator would."""
        enrolled = await self.core.factors.enable_totp(person.account)
        return Totp(self, enrolled.seed.reveal(), tuple(c.reveal() for c in enrolled.recovery_codes))

    async def enrol_email(self, person: Person, *, recovery: bool = False) -> tuple[str, ...]:
        """Enrol codes by mail for an account, as an operator would; return its recovery codes, if they are wanted."""
        drawn = await self.core.factors.enable_email(person.account, recovery=recovery)
        return tuple(code.reveal() for code in drawn)

    async def mailed_code(self) -> str:
        """Return the code that was mailed last."""
        return (await self.letters("code"))[-1].values["code"]

    async def sessions(self) -> list[tuple[str, str, bytes]]:
        """Return door, kind and account of every session that was not ended."""
        return [(door, kind, account) for door, kind, account in await self.db.scan(_LIVE)]

    async def letters(self, kind: str | None = None) -> list[Letter]:
        """Return the letters that wait in the outbox, oldest first, of one kind or of all."""
        rows = await self.db.scan(_WAITING)
        found = [self.core.letters.read(id, account, named, sealed) for id, account, named, sealed in rows]
        return [letter for letter in found if kind in (None, letter.kind)]

    async def token(self, kind: str) -> str:
        """Return the token in the link of the newest letter of this kind."""
        return (await self.letters(kind))[-1].values["link"].rpartition("/")[2]

    async def ticket(self, purpose: Purpose, person: Person, about: str = "", door: Door | None = None) -> str:
        """Return the token of a ticket put as a letter would bring it. `about` is the account's address by default."""
        tickets = self.core.recovery._t.tickets
        about = about or identifiers.fold("email", person.email or "")
        draft = tickets.draft(purpose, person.account.id, about=about, door=door)

        async def fn(tx: Tx) -> None:
            await tickets.put(tx, draft)

        await self.db.transaction(fn)
        return draft.token

    async def pause_at(self, door: str, person: Person) -> str:
        """Put a sign-in that waits for a code at a door which keeps none itself; return what names it."""
        handle, now = self.core.random.bytes(10).hex(), self.clock.now()
        account = await self.core.accounts.by_id(person.account.id)
        held = await credentials.find(self.db, account.id, "password")
        version = held.version if held is not None else 0
        waiting = Attempt(account.id, door, "password", account.auth_epoch, version, 0, "{}", now, now + 15 * 60_000)
        await self.db.transaction(
            lambda tx: attempts.insert(tx, hashlib.sha256(handle.encode()).digest(), waiting, 5)
        )  # fmt: skip
        return handle

    async def magic(self, person: Person) -> str:
        """Return the token of a link with the code of a sign-in that waits, as a letter would bring it."""
        if "email" not in (await self.core.accounts.person(person.account)).factors:
            await self.enrol_email(person)
        account = await self.core.accounts.by_id(person.account.id)
        way = await self.core.factors._codes.way(self.core.doors["flashback"], account)
        assert way is not None
        assert way.ticket is not None
        codes, door, now = self.core.factors._codes, self.core.doors["flashback"], self.clock.now()
        await self.db.transaction(lambda tx: codes._put(tx, way, account, door, now))
        return way.ticket.token

    def hash_evaluations(self) -> int:
        """Return how many password hashes were computed to verify."""
        return self.core.pool.evaluations

    async def sessions_without_event(self) -> int:
        """Return how many sessions came another way than through the gate (threat 1). Must be 0."""
        return int((await self.db.scan(_UNEXPLAINED))[0][0])


def client(address: str = "192.0.2.1", user_agent: str = "test") -> Client:
    """Return the program at the other end, for calls straight to the core."""
    return Client(address, f"{address}/32" if address else "", user_agent)


@functools.cache
def empty_database() -> Path:
    """Return a migrated, empty SQLite file to copy: migrating takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="dragoman-empty-"))
    migrate_sqlite(folder / "db" / "dragoman.db")
    return folder / "db" / "dragoman.db"


def fast_settings(folder: Path, **changes: Any) -> Settings:
    """Return settings for tests: cheap hashes, database in `folder`; `changes` are dotted names with _ for the dot."""
    overrides: dict[str, Any] = {
        "storage.data": str(folder / "data"), "passwords.memory_kib": 8192, "passwords.passes": 1,
        "passwords.queue_seconds": 10.0, "log.access": False, "mail.transport": "console",
        "server.public_url": "http://dragoman.test", "dialects.rocketchat.rate_limit": False,
        "dialects.rocketchat.create_tokens_secret": CREATE_TOKENS_SECRET,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }  # fmt: skip
    return load(None, {}, overrides)


@contextlib.asynccontextmanager
async def house_over(
    db: Engine, settings: Settings, folder: Path, clock: MovableClock | None = None, *, also: Sequence[Dialect] = ()
) -> AsyncIterator[House]:
    """Build a house over an open, migrated database. `also` are dialects beside those of the application's list."""
    clock, random = clock or MovableClock(), SystemRandom()
    ring = folder / "master.keys"
    sealer = Sealer(Ring.load(ring) if ring.exists() else Ring.create(ring, random), random)
    placed = (*mounts(settings), *(Mount(dialect=dialect) for dialect in also))
    doors = open_doors(placed)
    async with core_over(db, sealer, settings, clock, random, doors=doors) as core:
        await core.accounts.set_up(
            NewAccount(email="root@example.com", username="root", administrator=True, root=True, verified=True),
            Password.from_plain("root's own password"),
        )
        yield House(core, gateway(core, settings, placed), clock, db, settings)


@contextlib.asynccontextmanager
async def sqlite_copy(folder: Path) -> AsyncIterator[SqliteEngine]:
    """Open a copy of the migrated, empty SQLite database: an engine without a house over it."""
    shutil.copy(empty_database(), folder / "dragoman.db")
    async with sqlite_engine(folder) as db:
        yield db


@contextlib.asynccontextmanager
async def open_house(folder: Path, *, also: Sequence[Dialect] = (), **changes: Any) -> AsyncIterator[House]:
    """Build a house over a fresh SQLite file. `also` are dialects beside those of the application's list."""
    settings = fast_settings(folder, **changes)
    settings.database.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(empty_database(), settings.database)
    db = await SqliteEngine.open(settings.database, rehearse=True)
    try:
        async with house_over(db, settings, folder, also=also) as house:
            yield house
            assert await house.sessions_without_event() == 0, "a session came another way than through the gate"
    finally:
        await db.close()


async def empty_template(cluster: Cluster) -> str:
    """Return the name of a migrated, empty PostgreSQL database to copy, made once per cluster."""

    async def build(dsn: str) -> None:
        await asyncio.to_thread(migrate_postgres, dsn)

    return await cluster.template("dragoman_empty", build)


@contextlib.asynccontextmanager
async def open_house_on_postgres(folder: Path, cluster: Cluster, **changes: Any) -> AsyncIterator[House]:
    """Build a house over a fresh PostgreSQL database."""
    settings = fast_settings(folder, **changes)
    settings.database.parent.mkdir(mode=0o700, parents=True)
    async with (
        postgres_engine(cluster, template=await empty_template(cluster)) as db,
        house_over(db, settings, folder) as house,
    ):
        yield house
        assert await house.sessions_without_event() == 0, "a session came another way than through the gate"


@contextlib.asynccontextmanager
async def open_house_of(
    kind: Literal["sqlite", "postgres"], folder: Path, cluster: Cluster, **changes: Any
) -> AsyncIterator[House]:
    """Build a house over the engine named `kind` (one of kit.engines.ENGINES)."""
    opened = open_house(folder, **changes) if kind == "sqlite" else open_house_on_postgres(folder, cluster, **changes)
    async with opened as house:
        yield house


__all__ = [
    "PASSWORD",
    "House",
    "Totp",
    "client",
    "empty_template",
    "fast_settings",
    "house_over",
    "open_house",
    "open_house_of",
    "open_house_on_postgres",
    "sqlite_copy",
]
