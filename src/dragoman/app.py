"""The composition root: settings → engine → keys → Core → dialects → ASGI. Nothing else knows all of these."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from dragoman import sections, test_mode
from dragoman.adapters.captcha.siteverify import Site, SiteVerify
from dragoman.adapters.upstream.github import GithubProvider
from dragoman.adapters.upstream.oidc import OidcProvider
from dragoman.adapters.upstream.place import Place
from dragoman.core import Core
from dragoman.core.credentials.hashes import Parameters
from dragoman.core.directory import Rules
from dragoman.core.doors import Door
from dragoman.core.hashing import HashPool, usable_cores
from dragoman.core.hashing import Limits as PoolLimits
from dragoman.core.limits import DAY, HOUR, MINUTE, Budget, Budgets, Window
from dragoman.core.policy import Mailing, PasskeyPlace, Policy
from dragoman.core.ports import (
    Captcha,
    Clock,
    Directory,
    Letter,
    Mailer,
    Random,
    SystemClock,
    SystemRandom,
    Unreachable,
    text,
)
from dragoman.core.provider_links import Provider
from dragoman.core.stored_settings import Configured, Storable, StoredSettings, Value
from dragoman.core.upstream import Offered
from dragoman.dialects import flashback, pocketm8, probe, rocketchat
from dragoman.http.address import Proxies
from dragoman.http.dialect import Mount
from dragoman.http.metrics import Metrics, Reading
from dragoman.http.proxy_watch import Suspicion
from dragoman.http.rates import Counts, Own
from dragoman.http.server import Gateway, House, Log
from dragoman.http.socket import SocketLimits
from dragoman.model import Secret
from dragoman.settings import Settings, catalogue, value_of, with_values
from dragoman.storage import accounts
from dragoman.storage.engine import Engine, StorageUnavailable, Tx
from dragoman.storage.sealing import Ring, RingBroken, Sealer
from dragoman.storage.sqlite import SqliteEngine
from dragoman.storage.version import is_current
from dragoman.web import pages
from dragoman.worker import Pace, deliver_for_ever

log = structlog.get_logger("dragoman.app")
TICK_SECONDS = 1.0
Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[None]]
_CHECK = "master_key_check"
_TEST = "test_mode"


class NotReady(Exception):
    """Dragoman cannot start. The text says why and what to do."""


class SchemaBehind(NotReady):
    """There is no database yet, or it has another schema than this code: `dragoman migrate` is to be run."""


def mounts(settings: Settings) -> tuple[Mount, ...]:
    """Return the dialects, configured and placed: the one list of dialects.

    One that is switched off keeps its paths, where the pages answer: else `/api/v1` would go to whoever owns `/api`.
    """
    of = settings.dialects
    listed = (
        (of.rocketchat, rocketchat.dialect(rocketchat.Config(
            digest=of.rocketchat.digest, site_url=of.rocketchat.site_url, version=of.rocketchat.version,
            directory=bool(settings.directory.urls), test=of.rocketchat.test_mode,
            exempt_networks=settings.limits.exempt_networks, method_errors=of.rocketchat.method_errors,
            instance=text(SystemRandom(), rocketchat.IDS, 17),
            create_tokens_secret=Secret(secret) if (secret := of.rocketchat.create_tokens_secret) else None,
        ))),
        (of.pocketm8, pocketm8.DIALECT),
        (of.probe, probe.dialect(probe.Config(
            ret_url_origins=of.probe.ret_url_origins, cookie_site=of.probe.cookie_site, origins=of.probe.origins,
            query_tokens=of.probe.query_tokens,
            token_calls=of.probe.token_calls,
        ))),
        (of.flashback, flashback.dialect(flashback.Config(
            expires_at_unit=of.flashback.expires_at_unit, settings_size=of.flashback.settings_size,
            settings_depth=of.flashback.settings_depth, plan=_plan(settings),
        ))),
    )  # fmt: skip
    return tuple(
        Mount(
            dialect=dialect, host=place.host or None, prefix=place.prefix, live=place.enabled, origins=place.origins
        )
        for place, dialect in listed
    )  # fmt: skip


def _plan(settings: Settings) -> flashback.Plan | None:
    given = settings.dialects.flashback.plan
    return flashback.Plan(given.id, given.name, given.description, given.capabilities) if given.name else None


def open_doors(placed: Iterable[Mount]) -> list[Door]:
    """Return the doors of the dialects that are switched on."""
    return [mount.dialect.door for mount in placed if mount.live and mount.dialect.door is not None]


def configured(settings: Settings) -> Configured:
    """Return what the configuration says of the settings that may be stored, and how the policy follows from them."""
    storables = tuple(
        Storable(known.name, known.type, known.tighter, value_of(settings, known), known.words)
        for known in catalogue()
        if known.tighter is not None
    )
    if test_mode.is_on(settings):
        return test_mode.configured(settings, storables, policy)
    return Configured(storables, lambda in_force: policy(with_values(settings, in_force)))


async def stored_values(settings: Settings) -> list[Value]:
    """Return the settings that may be stored as they are in force; none where there is no database yet.

    Raises NotReady, StorageUnavailable.
    """
    if not settings.storage.postgres and not settings.database.exists():
        return []
    db = await open_database(settings, SystemRandom())
    try:
        if not await is_current(db):
            raise SchemaBehind("the database has another schema than this version; run: dragoman migrate")
        return await StoredSettings(db, SystemClock(), configured(settings)).values()
    finally:
        await db.close()


def policy(settings: Settings) -> Policy:
    """Return what the settings say of the core's behaviour: those of the file, and the same with what is stored."""
    limits = settings.limits
    windows = (
        Window(limits.account_5_minutes, _seconds(limits.account_minutes)), Window(limits.account_hour, HOUR),
        Window(limits.account_day, DAY),
    )  # fmt: skip
    network = (
        Window(limits.network_5_minutes, _seconds(limits.network_minutes)),
        Window(limits.network_names_hour, HOUR, distinct=True),
    )
    budgets = Budgets(
        strangers=Budget(windows, closes_at=limits.account_closes),
        known=Budget(windows),
        network=Budget(network),
        wide_network=Budget(tuple(Window(w.limit * 10, w.seconds, w.distinct) for w in network)),
        codes_per_attempt=limits.codes_per_attempt,
        registrations=Budget((Window(limits.registrations_hour, HOUR), Window(3 * limits.registrations_hour, DAY))),
        exempt=test_mode.networks(limits.exempt_networks),
    )
    given = settings.accounts
    return Policy(
        budgets=budgets,
        conceal_accounts=given.conceal,
        issuer=given.issuer,
        mail=mailing(settings),
        password_reset=given.password_reset,
        email_codes=given.email_codes,
        code_life=_seconds(given.code_minutes) * 1000,
        totp_steps=given.totp_steps,
        remembered=round(given.remember_minutes * 60_000),
        registration=given.registration,
        passkeys=passkeys(settings),
        enrol_within=round(given.enrol_days * DAY * 1000),
        sign_up=given.sign_up,
        registration_secret=sha256(given.registration_secret.encode()).digest() if given.registration_secret else b"",
        approval=given.approval,
        wants_verified=frozenset({"rocketchat"} if settings.dialects.rocketchat.require_verified else ()),
    )


def _seconds(minutes: float) -> int:
    return max(1, round(minutes * MINUTE))


def mailing(settings: Settings) -> Mailing:
    """Return what the settings say of mail."""
    server, mail, links = settings.server, settings.mail, {}
    for name in settings.dialects.__struct_fields__:
        section = getattr(settings.dialects, name)
        for purpose in ("reset", "verify", "invite", "activate"):
            if template := getattr(section, f"link_{purpose}", ""):
                links[f"{name}.{purpose}"] = template
    scheme = "https" if server.tls_cert else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    base = server.public_url or f"{scheme}://{host}:{server.port}"
    return Mailing(mail.transport != "off", mail.language, frozenset(mail.notices_off), base, links)


def passkeys(settings: Settings) -> PasskeyPlace | None:
    """Return where passkeys are made; None for an address, since browsers make them for names only."""
    base, given = mailing(settings).base, settings.passkeys
    name = given.name or urlsplit(base).hostname or ""
    if not name or name.replace(".", "").isdigit() or ":" in name:
        return None
    dialects = [getattr(settings.dialects, dialect) for dialect in settings.dialects.__struct_fields__]
    listed = given.origins or (base, *(origin for dialect in dialects for origin in dialect.origins if origin != "*"))
    under = [each for each in listed if f".{urlsplit(each).hostname}".endswith(f".{name}")]
    return PasskeyPlace(name, tuple(dict.fromkeys(under)))


def directory(settings: Settings, clock: Clock) -> tuple[Directory | None, Rules]:
    """Return the directory that is configured, if any, and how its word counts. Raises NotReady."""
    given = settings.directory
    if not given.urls:
        return None, Rules()
    if importlib.util.find_spec("ldap3") is None:
        raise NotReady("directory.urls: the package ldap3 is missing; install dragoman[ldap]")
    from dragoman.adapters.directory.ldap import Attributes, LdapDirectory, Place

    place = Place(
        urls=given.urls, base=given.base, filter=given.filter, scope=given.scope, bind_name=given.bind_name,
        bind_password=Secret(given.bind_password), starttls=given.starttls, ca_file=given.ca_file,
        group_base=given.group_base, group_filter=given.group_filter, timeout=given.timeout_seconds,
        connections=given.connections,
        attributes=Attributes(
            given.attribute_id, given.attribute_username, given.attribute_email, given.attribute_first_name,
            given.attribute_last_name, given.attribute_display_name,
        ),
    )  # fmt: skip
    rules = Rules(given.merge, given.fallback, given.first_sign_in, places=4 * given.connections)
    return LdapDirectory(place, clock), rules


def providers(settings: Settings, clock: Clock) -> dict[str, Offered]:
    """Return the outside providers that are configured, by the names that clients call them."""
    found = {}
    for section in settings.providers.__struct_fields__:
        given: sections.Provider = getattr(settings.providers, section)
        if not given.client_id:
            continue
        name = getattr(given, "name", section)
        place = Place(
            issuer=given.issuer, client_id=given.client_id, client_secret=Secret(given.client_secret),
            scopes=given.scopes, hosts=given.hosts, tokeninfo=given.tokeninfo_url, api=getattr(given, "api_url", ""),
            timeout=given.timeout_seconds, connections=given.connections,
        )  # fmt: skip
        provider = Provider(
            name=name, clients=(given.client_id, *given.other_clients), signs=not place.api,
            algorithms=given.algorithms, trusts=given.trust, domains=given.domains,
            personal_domains=given.personal_domains, first_sign_in=given.first_sign_in,
            redirect_uris=given.redirect_uris,
        )  # fmt: skip
        found[name] = Offered(provider, (GithubProvider if place.api else OidcProvider)(place, clock))
    return found


def captchas(settings: Settings, clock: Clock) -> dict[str, Captcha]:
    """Return what checks captchas, by the name of the door that asks for them."""
    given = settings.dialects.probe
    if not given.captcha_url:
        return {}
    site = Site(
        url=given.captcha_url, secret=Secret(given.captcha_secret), hosts=given.captcha_hosts,
        action=given.captcha_action, score=given.captcha_score, timeout=given.captcha_seconds,
    )  # fmt: skip
    return {"probe": SiteVerify(site, clock)}


async def open_database(settings: Settings, random: Random) -> Engine:
    """Open the configured database. Raises StorageUnavailable."""
    if settings.storage.postgres:
        from dragoman.storage.postgres import PostgresEngine  # its driver takes long to import

        return await PostgresEngine.open(
            settings.storage.postgres,
            max_connections=settings.storage.pool,
            jitter=lambda: random.below(1000) / 1000,
        )
    return await SqliteEngine.open(settings.database)


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema. Imports SQLAlchemy: for `dragoman migrate`, never while serving.

    Raises NotReady when the database is out of reach or of a newer version than this code.
    """
    from dragoman.storage.migrate import CannotMigrate, migrate_postgres, migrate_sqlite

    try:
        if settings.storage.postgres:
            migrate_postgres(settings.storage.postgres)
        else:
            migrate_sqlite(settings.database)
    except (CannotMigrate, StorageUnavailable) as why:
        raise NotReady(str(why)) from None


async def hold_to_birth(db: Engine, *, test: bool) -> None:
    """Hold the test switch to databases that were made with it, and these to it (threat 50). Raises NotReady."""
    born = await accounts.meta(db, _TEST) is not None
    if test and not born:
        if await accounts.meta(db, _CHECK) is not None:
            raise NotReady(f"{test_mode.NAME}: this database was made without it; give it a new, empty storage.data")

        async def mark(tx: Tx) -> bool:
            return await accounts.set_meta_once(tx, _TEST, "yes")

        await db.transaction(mark)
    elif born and not test:
        raise NotReady(f"this database was made in test mode ({test_mode.NAME}); it can be used in no other")


async def open_sealer(db: Engine, path: Path, random: Random, clock: Clock) -> Sealer:
    """Load the key ring, made only together with a new database (threat 38).

    Raises NotReady when the database is not new and its ring is missing or another.
    """
    known = await accounts.meta(db, _CHECK)
    if known is None and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Ring.create(path, random)
    if known is not None and not path.exists():
        raise NotReady(f"the key ring {path} is missing; put it back, the database does not open without it")
    try:
        ring = Ring.load(path)
    except RingBroken as why:
        raise NotReady(str(why)) from None
    first = ring.ids[-1]
    check = f"{first}:{ring.check_value(first).hex()}"

    async def remember(tx: Tx) -> bool:
        return await accounts.set_meta_once(tx, _CHECK, check)

    if known is None and await db.transaction(remember):
        known = check
    known = known or await accounts.meta(db, _CHECK)
    if known != check:
        raise NotReady(f"the key ring {path} belongs to another database; put the right one back")
    return Sealer(ring, random)


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, *, clock: Clock | None = None, random: Random | None = None
) -> AsyncIterator[Core]:  # fmt: skip
    """Open everything that the configuration names and yield the Core; close it in order afterwards.

    Raises NotReady when the database has another schema than this code, or its key ring is missing or another.
    """
    os.umask(0o077)
    clock, random = clock or SystemClock(), random or SystemRandom()
    if not settings.storage.postgres and not settings.database.exists():
        raise SchemaBehind(f"there is no database at {settings.database}; run: dragoman migrate")
    db = await open_database(settings, random)
    try:
        if not await is_current(db):
            raise SchemaBehind("the database has another schema than this version; run: dragoman migrate")
        await hold_to_birth(db, test=test_mode.is_on(settings))
        sealer = await open_sealer(db, settings.key_ring, random, clock)
        doors = open_doors(mounts(settings))
        async with core_over(db, sealer, settings, clock, random, doors=doors) as core:
            yield core
    finally:
        await db.close()


@contextlib.asynccontextmanager
async def core_over(
    db: Engine, sealer: Sealer, settings: Settings, clock: Clock, random: Random, *, doors: Iterable[Door]
) -> AsyncIterator[Core]:
    """Build the Core over an open database and start it."""
    given = settings.passwords
    threads = given.hash_threads or max(1, usable_cores() // settings.server.workers)
    pool = HashPool(
        threads, clock, random, Parameters(given.memory_kib, given.passes), PoolLimits(deadline=given.queue_seconds)
    )
    port, rules = directory(settings, clock)
    offered = providers(settings, clock)
    verifiers = captchas(settings, clock)
    core = Core(
        db, sealer, pool, clock, random, doors=doors, configured=configured(settings), directory=port,
        directory_rules=rules, providers=offered, captchas=verifiers,
    )  # fmt: skip
    try:
        await core.start()
        yield core
        await core.stop()
    finally:
        if port is not None:
            await port.close()
        for each in offered.values():
            await each.port.close()
        for verifier in verifiers.values():
            await verifier.close()
        pool.close()


def gateway(
    core: Core,
    settings: Settings,
    placed: Sequence[Mount],
    *,
    lifespan: Lifespan | None = None,
    access_log: Log | None = None,
) -> Gateway:
    """Build the ASGI application over an open Core. `access_log` takes a line per request (http.server.Log)."""
    metrics = Metrics()
    metrics.watch(partial(outbox_readings, core))

    house = House(
        clock=core.clock,
        random=core.random,
        fresh=core.proving.is_fresh,
        ready=core.ready,
        jwks=core.jwks,
        log=structlog.get_logger("dragoman"),
        access_log=access_log,
        proxies=Proxies.named(settings.server.trusted_proxies, settings.server.forwarded_header),
        metrics=metrics,
        suspect=partial(suspected, core, settings),
        rates=counts(settings, core.clock),
        lifespan=lifespan,
        sockets=SocketLimits(total=settings.server.sockets, per_network=settings.server.sockets_per_network),
    )
    return Gateway(core, placed, house, pages=pages(placed))


def counts(settings: Settings, clock: Clock) -> Counts:
    """Return where request rates are counted. Raises NotReady."""
    if not settings.server.rates_url:
        return Own()
    if importlib.util.find_spec("limits") is None or importlib.util.find_spec("valkey") is None:
        raise NotReady("server.rates_url: the packages limits and valkey are missing; install dragoman[valkey]")
    from dragoman.http.shared_rates import Shared

    return Shared(settings.server.rates_url, clock)


def suspected(core: Core, settings: Settings, seen: Suspicion) -> None:
    """Say what does not fit the configured proxies: in the log, and to `dragoman doctor`, which is another process."""
    setting = "server.forwarded_header" if seen.kind in ("header", "unreadable") else "server.trusted_proxies"
    facts = {"header": seen.header, "peer": seen.peer, "configured": proxies_in_words(settings)}
    log.warning("client addresses are not known", why=seen.kind, setting=setting, **facts)
    core.observed.note(f"proxy:{seen.kind}", facts)


def proxies_in_words(settings: Settings) -> str:
    """Return how proxies are configured, to tell one configuration from another."""
    return ", ".join((settings.server.forwarded_header, *settings.server.trusted_proxies))


async def outbox_readings(core: Core) -> list[Reading]:
    """Return how the outbox stands, for `/metrics`; the last two are of this process."""
    now = await core.outbox.stats()
    return [
        Reading("dragoman_outbox_waiting", "Letters that wait to be sent.", now.waiting),
        Reading("dragoman_outbox_dead", "Letters that were given up.", now.dead),
        Reading("dragoman_outbox_oldest_seconds", "For how long the oldest letter has waited.", now.oldest_seconds),
        Reading("dragoman_outbox_sent", "Letters that a mail server took over.", now.sent, counts=True),
        Reading("dragoman_outbox_failed", "Tries to hand a letter over that failed.", now.failed, counts=True),
    ]


# ---------------------------------------------------------------- mail


def mailer(settings: Settings, clock: Clock) -> LateMailer | None:
    """Return what delivers mail, or None where none is sent."""
    if settings.mail.transport == "off":
        return None
    return LateMailer(partial(_adapter, settings, clock))


def _adapter(settings: Settings, clock: Clock) -> Mailer:
    """Import and make the mailer that the settings name. Raises ValueError for a sender that is no address."""
    mail = settings.mail
    if mail.transport == "console":
        from dragoman.adapters.mail.console import ConsoleMailer

        return ConsoleMailer()
    from dragoman.adapters.mail.connection import Server
    from dragoman.adapters.mail.smtp import SmtpMailer

    server = Server(
        host=mail.host, port=mail.port, security=mail.security, username=mail.username, password=Secret(mail.password),
        ca_file=mail.ca_file, timeout=mail.timeout_seconds, connections=Pace().at_once,
    )  # fmt: skip
    return SmtpMailer(server, mail.sender, clock)


class LateMailer:
    """A mailer whose libraries are imported, in a thread, when the first letter is there: no start waits for them."""

    def __init__(self, make: Callable[[], Mailer]) -> None:
        self._make = make
        self._making: asyncio.Future[Mailer] | None = None

    async def ready(self) -> Mailer:
        """Return the mailer itself. Raises Unreachable when it cannot be made as it is configured."""
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
        try:
            return await asyncio.shield(self._making)
        except ValueError as why:
            raise Unreachable(f"mail.sender cannot be used: {why}") from None

    async def send(self, letter: Letter) -> None:
        """Hand one letter over, as the mailer itself does."""
        await (await self.ready()).send(letter)

    async def close(self) -> None:
        """Let go of what was kept open, if there ever was a letter."""
        if self._making is not None:
            with contextlib.suppress(Exception):  # it was never made, then
                await (await self._making).close()


@contextlib.asynccontextmanager
async def delivering(core: Core, settings: Settings) -> AsyncIterator[None]:
    """Deliver the outbox meanwhile, where mail is sent at all; on leaving, hand-overs under way may end."""
    chosen = mailer(settings, core.clock)
    if chosen is None:
        yield
        return
    # The mailer keeps its own time for a letter; the delivery's is for one that does not.
    pace = Pace(longest=settings.mail.timeout_seconds + 2.0)
    task = asyncio.create_task(deliver_for_ever(core, chosen, pace))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await chosen.close()


@contextlib.asynccontextmanager
async def beating(core: Core) -> AsyncIterator[None]:
    """Do what is due once a second meanwhile."""
    beat = asyncio.create_task(tick_for_ever(core))
    try:
        yield
    finally:
        beat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beat


async def tick_for_ever(core: Core) -> None:
    """Do what is due once a second; a failure is logged and tried again at the next beat."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        try:
            await core.tick()
        except Exception as fault:
            log.warning("tick failed", fault=type(fault).__name__)
