"""What dialects show of an account, remembered exactly as long as it holds."""

from __future__ import annotations

from dragoman.model import Account, Id, Person
from dragoman.storage import accounts
from dragoman.storage.engine import Engine

REMEMBERED = 20_000


class People:
    """Reads persons, and keeps them under the number that each change of their facts raises.

    The account row that names the number is read by every call anyway, so nothing stale is ever shown, also when
    another process changed it; what is saved is the second read.
    """

    def __init__(self, db: Engine, most: int = REMEMBERED) -> None:
        self._db = db
        self._most = most
        self._known: dict[Id, Person] = {}

    async def of(self, account: Account) -> Person:
        """Return the person of an account that was read just now."""
        known = self._known.get(account.id)
        if known is not None and known.account.facts == account.facts:
            if known.account is account:
                return known
            return Person(
                account, known.identifiers, known.aliases, known.factors, known.has_password, known.initial_password,
                known.labels,
            )  # fmt: skip
        person = await accounts.person(self._db, account)
        if not person.identifiers:
            return person  # about to be inserted: what it will have is not known yet
        if len(self._known) >= self._most:
            self._known.pop(next(iter(self._known)), None)
        self._known[account.id] = person
        return person
