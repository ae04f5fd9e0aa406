"""Tickets: mailed tokens, each bound to one purpose and one account, stored as a hash, good once."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import base64url, refusals
from dragoman.core.doors import Door
from dragoman.core.ports import Clock, Random
from dragoman.core.tokens import BadToken, TokenExpired, Tokens
from dragoman.model import Id, Millis, uuid_text
from dragoman.storage import tickets
from dragoman.storage.engine import Reader, Tx
from dragoman.storage.tickets import Ticket

Purpose = Literal["reset", "update", "verify", "invite", "activate", "undo", "open", "magic"]
MINUTE: Millis = 60_000
HOUR: Millis = 60 * MINUTE
DAY: Millis = 24 * HOUR
LIVES: Mapping[Purpose, Millis] = {
    "reset": HOUR, "update": 15 * MINUTE, "verify": DAY, "invite": 7 * DAY, "activate": 7 * DAY, "undo": 7 * DAY,
    "open": DAY, "magic": 10 * MINUTE,
}  # fmt: skip
"""How long each is good (decision 44)."""
KEPT_AS: Mapping[Purpose, Purpose] = {"update": "reset"}
"""An `update` is a `reset` that was exchanged: the same ticket under another token, so that what voids the one voids
the other."""
KEPT = 3
"""Live ones per account and purpose; the oldest beyond go."""
UNDO_KEPT = 250
"""The same for links to undo: more than an account's changes of addresses in 7 days can make (`core/addresses.py`), so
that none of them voids the link of an earlier one."""
ACTIVATE_KEPT = 200
"""The same for links to register with, of whoever made them: another's address is in each."""
TOKEN_BYTES = 32
HANDLE_BYTES = 16


class Draft(Struct, frozen=True):
    """A ticket that is not stored yet, and the token that only its mail will hold."""

    token: str
    ticket: Ticket


class Tickets:
    """Issues tickets and takes them back."""

    def __init__(self, db: Reader, clock: Clock, random: Random, tokens: Tokens) -> None:
        self._db = db
        self._clock = clock
        self._random = random
        self._tokens = tokens

    def draft(self, purpose: Purpose, account: Id, *, about: str = "", door: Door | None = None) -> Draft:
        """Draw a ticket, before the transaction that stores it. `door` may want its token in a form of its own."""
        now = self._clock.now()
        ends_at = now + LIVES[purpose]
        token, hash = self._draw(purpose, account, door, ends_at)
        id = self._random.bytes(HANDLE_BYTES)
        return Draft(token, Ticket(id, hash, KEPT_AS.get(purpose, purpose), account, about, now, ends_at, None))

    def redraft(self, ticket: Ticket, *, door: Door | None = None) -> Draft:
        """Draw another token for a ticket that is to be mailed again."""
        now = self._clock.now()
        purpose: Purpose = ticket.purpose  # type: ignore[assignment]
        ends_at = now + LIVES[purpose]
        token, hash = self._draw(purpose, ticket.account, door, ends_at)
        return Draft(token, replace(ticket, hash=hash, created_at=now, ends_at=ends_at))

    def exchanged(self, ticket: Ticket, door: Door) -> Draft:
        """Draw what a ticket to reset is exchanged for, in the form that `door` has for it; `renew` stores it."""
        now = self._clock.now()
        ends_at = now + LIVES["update"]
        token, hash = self._draw("update", ticket.account, door, ends_at)
        return Draft(token, replace(ticket, hash=hash, created_at=now, ends_at=ends_at))

    def _draw(self, purpose: Purpose, account: Id, door: Door | None, ends_at: Millis) -> tuple[str, bytes]:
        form = None if door is None else door.ticket_of(purpose)
        if door is None or form is None:
            token = base64url.encode(self._random.bytes(TOKEN_BYTES))
            return token, _hash(purpose, token.encode())
        handle = self._random.bytes(HANDLE_BYTES)
        claims = {"sub": uuid_text(account)}
        token = self._tokens.issue_for(form, door.name, handle, claims, ends_at)
        return token, _hash(purpose, handle)

    async def put(self, tx: Tx, draft: Draft) -> None:
        """Store a drawn ticket; the account's oldest live ones of its purpose beyond three go."""
        keep = {"undo": UNDO_KEPT, "activate": ACTIVATE_KEPT}.get(draft.ticket.purpose, KEPT)
        await tickets.insert(tx, draft.ticket, keep)

    async def renew(self, tx: Tx, before: Ticket, draft: Draft) -> bool:
        """Store another token in a ticket's place: the one before is void. False when it was used meanwhile."""
        after = draft.ticket
        return await tickets.renew(tx, before, after.hash, after.created_at, after.ends_at)

    async def find(self, purpose: Purpose, presented: str, door: Door | None = None) -> Ticket:
        """Return the live ticket of a token, without using it up.

        Raises BadTicket for whatever is wrong with it, TicketExpired when it was good once.
        """
        ticket = await tickets.find(self._db, _hash(purpose, self._handle(purpose, presented, door)))
        if ticket is None or ticket.purpose != KEPT_AS.get(purpose, purpose) or ticket.used_at is not None:
            raise refusals.BadTicket
        if ticket.ends_at <= self._clock.now():
            raise refusals.TicketExpired
        return ticket

    def hash_of(self, purpose: Purpose, presented: str) -> bytes:
        """Return what a token of no door's own form is stored under."""
        return _hash(purpose, presented.encode("utf-8", "surrogatepass"))

    def _handle(self, purpose: Purpose, presented: str, door: Door | None) -> bytes:
        form = None if door is None else door.ticket_of(purpose)
        if door is None or form is None:
            return presented.encode("utf-8", "surrogatepass")
        try:
            return self._tokens.read(form, door.name, presented).session_id or b""
        except TokenExpired:
            raise refusals.TicketExpired from None
        except BadToken:
            raise refusals.BadTicket from None


def _hash(purpose: str, token: bytes) -> bytes:
    """Return what a token is stored under: one presented for another purpose finds nothing."""
    return sha256(purpose.encode() + b"\x00" + token).digest()
