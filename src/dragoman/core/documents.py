"""Documents of the installation: what a dialect keeps whole, read at each use and changed without losing a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from dragoman.core import events
from dragoman.core.tools import Tools
from dragoman.model import Caller, Client, uuid_text
from dragoman.storage import documents as stored
from dragoman.storage.documents import INSTALLATION, Document
from dragoman.storage.engine import Tx


class Edited(Struct, frozen=True):
    """What a document becomes, and what the audit trail says of it."""

    body: str
    """JSON."""
    changes: Mapping[str, tuple[str, str]]
    """What changed, by name: from and to. Nothing changed, nothing is written."""


Edit = Callable[[str | None], Edited]


class Documents:
    """Reads and changes documents of the installation. One read by key, so that a change counts at once everywhere."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def find(self, name: str) -> Document | None:
        """Return the document of this name, None while nobody stored one."""
        return await stored.find(self._t.db, INSTALLATION, name)

    async def edit(self, name: str, edit: Edit, by: Caller, client: Client) -> None:
        """Change a document; who changed what is in the audit trail.

        :param name: `<door>.<subject>`.
        :param edit: returns what the document becomes, given the JSON that is stored; called again where two changes
            meet, so it has no other effect.
        """
        now = self._t.clock.now()

        async def fn(tx: Tx) -> None:
            held = await stored.find(tx, INSTALLATION, name)
            edited = edit(held.body if held is not None else None)
            if not edited.changes:
                return
            await stored.put(tx, INSTALLATION, name, edited.body, now)
            for what, (before, after) in edited.changes.items():
                await events.record(
                    tx, "setting_changed", now, client=client, account=by.account.id, session=by.session.id,
                    door=by.session.door, name=f"{name}.{what}", to=after, by=uuid_text(by.account.id),
                    **{"from": before},
                )  # fmt: skip

        await self._t.db.transaction(fn)


__all__ = ["Document", "Documents", "Edit", "Edited"]
