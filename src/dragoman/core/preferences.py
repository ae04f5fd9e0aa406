"""Preferences: JSON objects without any meaning to us, which clients keep with an account or with its organization.

Every value is kept in the very characters it came in, so that no number loses a digit; names are data, whatever they
spell. What is read and what is written are one transaction: of two changes at once none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from dragoman.core import events, refusals
from dragoman.core.organizations import ADMINISTRATOR_RANK
from dragoman.core.refusals import Refusal
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Id
from dragoman.storage import accounts, documents
from dragoman.storage.engine import Tx

Object = dict[str, "Raw | Object"]
"""A JSON object: further objects as such, everything else as it was written."""

_OBJECT = msgspec.json.Decoder(dict[str, Raw])


class Shelf(Struct, frozen=True):
    """Where a dialect keeps one of these objects, and how large it may become."""

    of: Literal["account", "organization"]
    name: str
    """`<door>.<subject>`."""
    size: int = 32 * 1024
    """Bytes of its JSON, at most."""
    depth: int = 10
    """How many objects and lists may be in one another, the whole counted."""


class Preferences:
    """Reads and changes them. Those of an organization are read by its members and changed from rank 254 on.

    Every change raises NotSignedIn where the caller was taken out of use meanwhile, NotAllowed, and DocumentRefused for
    what cannot be kept.
    """

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def find(self, caller: Caller, shelf: Shelf) -> dict[str, Raw]:
        """Return what is kept, an empty object where nothing is."""
        held = await documents.find(self._t.db, _owner(caller.account, shelf), shelf.name)
        return {} if held is None else _OBJECT.decode(held.body)

    async def replace(self, caller: Caller, shelf: Shelf, whole: Mapping[str, Raw], client: Client) -> None:
        """Keep these values in the place of what is kept."""
        read = _checked(whole)
        await self._change(caller, shelf, lambda _: read, client)

    async def merge(self, caller: Caller, shelf: Shelf, part: Mapping[str, Raw], client: Client) -> None:
        """Put these values beside what is kept: objects into objects, all else in the place of what was there."""
        read = _checked(part)
        await self._change(caller, shelf, lambda held: merged(held, read), client)

    async def remove(self, caller: Caller, shelf: Shelf, keys: Sequence[str], client: Client) -> None:
        """Take keys away, `a.b` that of the object `a`; what is not there is gone already."""
        await self._change(caller, shelf, lambda held: without(held, keys), client)

    async def _change(
        self, caller: Caller, shelf: Shelf, edit: Callable[[Object], Object], client: Client
    ) -> None:  # fmt: skip
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            actor = await accounts.by_id(tx, caller.account.id)
            if actor is None or actor.status != "active":
                return refusals.NotSignedIn()
            if shelf.of == "organization" and not _may_furnish(actor):
                return refusals.NotAllowed()
            owner = _owner(actor, shelf)
            held = await documents.find(tx, owner, shelf.name)
            before = "{}" if held is None else held.body
            after = msgspec.json.encode(edit(parsed(_OBJECT.decode(before))))
            if len(after) > shelf.size:
                return refusals.DocumentRefused("too_large")
            if _depth(msgspec.json.decode(after)) > shelf.depth:
                return refusals.DocumentRefused("too_deep")
            if after.decode() != before:
                await documents.put(tx, owner, shelf.name, after.decode(), now)
                if shelf.of == "organization":
                    await events.record(
                        tx, "account_changed", now, client=client, account=actor.id, what="preferences of all",
                        name=shelf.name,
                    )  # fmt: skip
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused


def _owner(account: Account, shelf: Shelf) -> Id:
    return account.id if shelf.of == "account" else account.organization


def _may_furnish(account: Account) -> bool:
    return account.administrator or account.rank >= ADMINISTRATOR_RANK


def within(values: dict[str, Any], size: int, depth: int) -> dict[str, Any]:
    """Return an object as it is if it may be kept. Raises DocumentRefused.

    :param size: bytes of its JSON, at most.
    :param depth: how many objects and lists may be in one another, the whole counted.
    """
    if len(msgspec.json.encode(values)) > size:
        raise refusals.DocumentRefused("too_large")
    if _depth(values) > depth:
        raise refusals.DocumentRefused("too_deep")
    return values


def parsed(values: Mapping[str, Raw]) -> Object:
    """Return an object as it was written. Of a name that comes twice the last value counts."""
    return {
        name: parsed(_OBJECT.decode(raw)) if bytes(memoryview(raw)[:1]) == b"{" else raw for name, raw in values.items()
    }


def _checked(values: Mapping[str, Raw]) -> Object:
    """Return an object that came from outside. Raises DocumentRefused for a number that no computer reads."""
    read = parsed(values)
    try:
        msgspec.json.decode(msgspec.json.encode(read))
    except msgspec.ValidationError:
        raise refusals.DocumentRefused("out_of_range") from None
    return read


def merged(held: Object, part: Object) -> Object:
    """Return one object with another put into it."""
    after = dict(held)
    for name, value in part.items():
        before = after.get(name)
        after[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return after


def without(held: Object, keys: Sequence[str]) -> Object:
    """Return an object without some keys. A key that is there as it is spelt is meant, dots and all; else its dots
    lead inside.
    """
    after = held
    for key in keys:
        after = _without(after, key)
    return after


def _without(held: Object, key: str) -> Object:
    if key in held:
        return {name: value for name, value in held.items() if name != key}
    first, dot, rest = key.partition(".")
    inner = held.get(first)
    return {**held, first: _without(inner, rest)} if dot and isinstance(inner, dict) else held


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
