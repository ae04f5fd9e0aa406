"""What a serving process saw of its surroundings and an operator should know: kept for `dragoman doctor`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from dragoman.core.tools import Tools
from dragoman.model import Millis
from dragoman.storage import documents
from dragoman.storage.engine import Tx

KEPT: Millis = 7 * 24 * 60 * 60 * 1000
"""How long what was seen is worth telling."""
_NAME = "observed"


class Sight(Struct, frozen=True):
    """One thing that was seen."""

    at: Millis
    facts: Mapping[str, str]


class Observed:
    """Keeps the last sight of each kind."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    def note(self, kind: str, facts: Mapping[str, str]) -> None:
        """Keep a sight, in the background: nobody waits for it, and losing it costs nothing."""
        self._t.background.start(self._keep(kind, Sight(self._t.clock.now(), facts)))

    async def _keep(self, kind: str, sight: Sight) -> None:
        async def fn(tx: Tx) -> None:
            held = await documents.find(tx, documents.INSTALLATION, _NAME)
            body = msgspec.json.encode({**_read(held), kind: sight}).decode()
            await documents.put(tx, documents.INSTALLATION, _NAME, body, sight.at)

        await self._t.db.transaction(fn)

    async def recent(self) -> Mapping[str, Sight]:
        """Return the last sight of each kind, of the last seven days."""
        held = await documents.find(self._t.db, documents.INSTALLATION, _NAME)
        since = self._t.clock.now() - KEPT
        return {kind: sight for kind, sight in _read(held).items() if sight.at >= since}


def _read(held: documents.Document | None) -> dict[str, Sight]:
    return msgspec.json.decode(held.body, type=dict[str, Sight]) if held is not None else {}
