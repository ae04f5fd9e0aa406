"""What the product knows: accounts, credentials, attempts, sessions. No HTTP, no SQL, no settings.

`Core` is the one object that dialects, pages and commands talk to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from dragoman.core.access_keys import AccessKeys
from dragoman.core.accounts import Accounts
from dragoman.core.activation import Activation
from dragoman.core.addresses import Addresses
from dragoman.core.administration import Administration
from dragoman.core.background import Background
from dragoman.core.captchas import Captchas
from dragoman.core.devices import Devices
from dragoman.core.directory import Consultation, Rules
from dragoman.core.documents import Documents
from dragoman.core.doors import Door
from dragoman.core.enrolment import Enrolment
from dragoman.core.events import Tally
from dragoman.core.factors import Factors
from dragoman.core.family import Family
from dragoman.core.feed import Feed
from dragoman.core.hashing import HashPool
from dragoman.core.health import Health, look
from dragoman.core.keystore import KeyStore, uses_of
from dragoman.core.letters import Letters
from dragoman.core.life import Life
from dragoman.core.limits import Limits
from dragoman.core.linked import Linked
from dragoman.core.members import Members
from dragoman.core.observed import Observed
from dragoman.core.on_behalf import OnBehalf
from dragoman.core.outbox import Outbox
from dragoman.core.own_factors import OwnFactors
from dragoman.core.passkeys import Passkeys
from dragoman.core.people import People
from dragoman.core.pictures import Pictures
from dragoman.core.ports import Captcha, Clock, Directory, Random
from dragoman.core.preferences import Preferences
from dragoman.core.proving import Proving
from dragoman.core.recovery import Recovery
from dragoman.core.registration import Registration
from dragoman.core.retention import sweep
from dragoman.core.sessions import Sessions
from dragoman.core.signin import SignIn
from dragoman.core.stored_settings import Configured, StoredSettings
from dragoman.core.tickets import Tickets
from dragoman.core.tokens import Tokens
from dragoman.core.tools import Tools
from dragoman.core.upstream import Offered, Upstream
from dragoman.storage import credentials as stored_credentials
from dragoman.storage import events as stored_events
from dragoman.storage.engine import Engine
from dragoman.storage.events import Event
from dragoman.storage.sealing import Sealer

MINUTE = 60_000


class Core:
    """Everything that dialects, pages and commands may ask for."""

    def __init__(
        self, db: Engine, sealer: Sealer, pool: HashPool, clock: Clock, random: Random, *, doors: Iterable[Door],
        configured: Configured, directory: Directory | None = None, directory_rules: Rules = Rules(),  # noqa: B008
        providers: Mapping[str, Offered] = MappingProxyType({}), captchas: Mapping[str, Captcha] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        by_name = {door.name: door for door in doors}
        self.doors = by_name
        """The doors that are open, by name: a dialect sees whether the one it opens children in is among them."""
        self.clock = clock
        self.random = random
        self.db = db
        self.sealer = sealer
        self.pool = pool
        self.keystore = KeyStore(db, sealer, clock, random, uses_of(by_name.values()))
        self.tokens = Tokens(clock, random, self.keystore.keys)
        self.settings = StoredSettings(db, clock, configured)
        self.letters = Letters(db, sealer, clock, random, self.settings.current)
        people = People(db)
        self.directory = Consultation(directory, directory_rules, clock, people)
        self._tools = Tools(
            db=db, sealer=sealer, clock=clock, random=random, pool=pool, people=people, tokens=self.tokens,
            keys=self.keystore.keys, limits=Limits(lambda: self.settings.latest().budgets), tally=Tally(),
            background=Background(), letters=self.letters, tickets=Tickets(db, clock, random, self.tokens),
            policy=self.settings.current, latest=self.settings.latest, doors=by_name, directory=self.directory,
        )  # fmt: skip
        self.recovery = Recovery(self._tools)
        self.signin = SignIn(self._tools, self.recovery)
        self.proving = Proving(self._tools, self.signin)
        self.access_keys = AccessKeys(self._tools, self.signin, self.proving)
        self.on_behalf = OnBehalf(self._tools, self.signin)
        self.pictures = Pictures(self._tools)
        self.upstream = Upstream(self._tools, self.signin, providers)
        self.sessions = Sessions(self._tools)
        self.devices = Devices(self._tools)
        self.feed = Feed(self._tools, self.sessions)
        self.accounts = Accounts(self._tools, self.signin)
        self.registration = Registration(self._tools, self.accounts, self.signin)
        self.activation = Activation(self._tools, self.registration)
        self.linked = Linked(self._tools)
        self.life = Life(self._tools)
        self.addresses = Addresses(self._tools)
        self.members = Members(self._tools, self.accounts, self.life, self.recovery, self.proving)
        self.family = Family(
            self._tools, accounts=self.accounts, life=self.life, recovery=self.recovery, proving=self.proving,
            signin=self.signin, sessions=self.sessions,
        )  # fmt: skip
        self.preferences = Preferences(self._tools)
        self.factors = Factors(self._tools, self.proving, self.settings.latest().issuer)
        self.passkeys = Passkeys(self._tools, self.proving)
        self.enrolment = Enrolment(self._tools, self.settings.latest().issuer)
        self.own_factors = OwnFactors(self._tools, self.proving, self.factors, self.settings.latest().issuer)
        self.outbox = Outbox(self._tools)
        self.observed = Observed(self._tools)
        self.documents = Documents(self._tools)
        self.captchas = Captchas(captchas)
        self.administration = Administration(self._tools, self.accounts, self.life, self.addresses)
        self._swept_at = 0
        self._surveyed_at = 0

    async def start(self) -> None:
        """Load the signing keys, make the missing ones, and learn what hashes the store holds."""
        await self.keystore.ensure()
        await self._survey()

    async def stop(self) -> None:
        """Finish what was put off: rehashes, confirmations, tallies, last uses."""
        await self.feed.stop()
        self.pictures.close()
        await self._tools.background.drain()
        await self._flush()

    def jwks(self) -> dict[str, Any]:
        """Return the public keys with which others check our signed tokens (RFC 7517)."""
        return dict(self.keystore.keys().jwks())

    async def ready(self) -> str | None:
        """Return None when sign-ins would be taken now, else one sentence why not."""
        return None if await self.db.ready() else "the database takes no calls"

    async def tick(self) -> None:
        """Do what is due: keys and settings that another process changed, last uses, tallies; then survey and sweep.

        Called once a second by whoever serves.
        """
        await self.keystore.load()
        await self.settings.current()
        now = self.clock.now()
        if now - self._surveyed_at >= MINUTE:
            await self._flush()
            await self._survey()
        if now - self._swept_at >= 10 * MINUTE:
            self._swept_at = now
            await self.sweep()

    async def _flush(self) -> None:
        await self.sessions.flush_seen()
        await self._tools.tally.flush(self.db, self.clock.now())

    async def _survey(self) -> None:
        self._surveyed_at = self.clock.now()
        self._tools.schemes = tuple(await stored_credentials.schemes(self.db))

    async def sweep(self) -> int:
        """Apply every table's retention in small pieces; return how many rows went."""
        return await sweep(self.db, self.clock.now(), (await self.settings.current()).budgets)

    async def health(self) -> Health:
        """Count what is weak or stuck in what is stored; changes nothing."""
        return await look(self.db, await self.keystore.listed(), self.clock.now())

    async def events_after(self, number: int) -> list[Event]:
        """Return up to 1,000 lines of the audit trail numbered above `number`, oldest first."""
        return await stored_events.after(self.db, number)

    async def newest_events(self, limit: int, account: bytes | None = None) -> list[Event]:
        """Return the newest lines of the audit trail, of one account or of all, newest first."""
        return await stored_events.newest(self.db, limit, account)
