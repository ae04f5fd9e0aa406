"""The catalogue of letters, and writing one: what is to be sent waits in the outbox from the commit of its act on."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import Struct

from dragoman.core.policy import Policy
from dragoman.core.ports import Clock, Letter, Random, new_id
from dragoman.model import Id, Millis, Person
from dragoman.storage import accounts, outbox
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.outbox import Waiting
from dragoman.storage.sealing import Sealer

ASKED_FOR: Mapping[str, tuple[str, ...]] = {
    "reset": ("link", "hours"),
    "verify": ("link", "hours"),
    "invite": ("link", "days", "by"),
    "activate": ("link", "days", "by"),
    "registered_already": (),
    "code": ("code", "minutes"),
    "magic": ("link", "code", "minutes"),
    "test": (),
}
"""Letters that somebody waits for, and the values each has beside `name`, `site` and `at`."""

NOTICES: Mapping[str, tuple[str, ...]] = {
    "new_network": ("address", "client"),
    "password_changed": ("address",),
    "password_reset": ("address",),
    "password_set": (),
    "factor_added": ("factor",),
    "factor_removed": ("factor", "by"),
    "key_added": ("key", "address"),
    "address_changed": ("old", "new", "link", "days"),
    "phone_changed": ("old", "new", "link", "days"),
    "address_yielded": ("old",),
    "chain_stolen": ("address", "client"),
    "codes_used_up": ("link",),
    "lane_closed": ("link",),
    "account_deactivated": (),
    "account_deleted": ("days",),
    "provider_linked": ("provider",),
    "provider_unlinked": ("provider",),
}
"""Letters that tell an owner what happened; an operator may switch each off."""

KINDS: Mapping[str, tuple[str, ...]] = {**ASKED_FOR, **NOTICES}
CHANNEL = "mail"


class _Payload(Struct, frozen=True):
    """What is sealed in the outbox."""

    to: str
    language: str
    values: dict[str, str]


class Letters:
    """Writes letters into the outbox."""

    def __init__(
        self, db: Reader, sealer: Sealer, clock: Clock, random: Random, policy: Callable[[], Awaitable[Policy]]
    ) -> None:  # fmt: skip
        self._db = db
        self._sealer = sealer
        self._clock = clock
        self._random = random
        self._policy = policy

    async def draft(
        self, kind: str, person: Person, to: str | None, *, life: Millis | None = None, **values: str
    ) -> Waiting | None:
        """Write and seal a letter, before the transaction that puts it into the outbox.

        :param kind: a name of KINDS, whose values `values` brings; what is left out is empty.
        :param to: the address as typed; None: the account's primary one.
        :param life: after these milliseconds it is of no use and is not sent any more.

        Returns None where there is nothing to send: no mailer, no address, or a notice that is switched off.
        """
        policy = await self._policy()
        to = to or person.email
        if not policy.mail.enabled or to is None or kind in policy.mail.notices_off:
            return None
        unknown = values.keys() - set(KINDS[kind])
        if unknown:
            raise TypeError(f"a letter {kind!r} has no values {sorted(unknown)}")
        now = self._clock.now()
        filled = {name: values.get(name, "") for name in KINDS[kind]}
        filled |= {"name": person.name, "site": policy.issuer, "at": _moment(now)}
        language = await accounts.language(self._db, person.account.id) or policy.mail.language
        payload = msgspec.json.encode(_Payload(to, language, filled))
        id, account = new_id(self._clock, self._random), person.account.id
        sealed = outbox.seal(self._sealer, id, account, payload)
        return Waiting(id, CHANNEL, kind, account, sealed, None if life is None else now + life)

    async def put(self, tx: Tx, now: Millis, *letters: Waiting | None) -> None:
        """Put letters into the outbox within the transaction of the act they tell of."""
        for letter in letters:
            if letter is not None:
                await outbox.put(tx, letter, now)

    def destination(self, folded: str) -> bytes:
        """Return what the sending budgets know an address by, whether or not anybody has it (table D)."""
        return self._sealer.mac("destination", folded.encode("utf-8", "surrogatepass"))[:16]

    def read(self, id: Id, account: Id | None, kind: str, sealed: bytes) -> Letter:
        """Return a letter that waits in the outbox. Raises SealBroken."""
        payload = msgspec.json.decode(outbox.unseal(self._sealer, id, account, sealed), type=_Payload)
        return Letter(id, kind, payload.to, payload.language, payload.values)


def trial(to: str, site: str, language: str, clock: Clock, random: Random) -> Letter:
    """Return a letter that only tells that mail works, for an operator who tries that out."""
    return Letter(new_id(clock, random), "test", to, language, {"name": "", "site": site, "at": _moment(clock.now())})


def _moment(at: Millis) -> str:
    moment = datetime.datetime.fromtimestamp(at // 1000, tz=datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")
