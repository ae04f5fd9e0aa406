"""Everything held about one account, in words that need no knowledge of our tables."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from dragoman.core import refusals
from dragoman.model import Id, Millis, uuid_text
from dragoman.storage import held as stored
from dragoman.storage.engine import Engine

FORMAT = 1
"""Raised when a name that was there changes its meaning or goes; new ones may come at any time."""


async def held(db: Engine, account: Id, now: Millis) -> Mapping[str, Any]:
    """Return everything held about an account but its secrets, ready to be written as JSON.

    Ids are UUIDs, times RFC 3339 in UTC. One key per section of `storage/held.py`; recovery codes as how many are left
    and when the others were used. Raises NotFound.
    """
    document: dict[str, Any] = {"format": FORMAT, "exportedAt": rfc3339(now)}
    for section in stored.SECTIONS:
        shown = [
            {column.shown: _shown(column.kind, row[column.name]) for column in section.columns}
            async for row in stored.rows(db, section, account)
        ]
        if section.name == "account" and not shown:
            raise refusals.NotFound
        document[section.name] = next(iter(shown), None) if section.single else shown
    codes = document["recoveryCodes"]
    document["recoveryCodes"] = {
        "left": sum(code["usedAt"] is None for code in codes),
        "used": [code["usedAt"] for code in codes if code["usedAt"] is not None],
    }
    return MappingProxyType(document)


def _shown(kind: stored.Kind, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case "time":
            return rfc3339(value) if value else None
        case "id":
            return uuid_text(value)
        case "flag":
            return value == 1
        case "json":
            return msgspec.json.decode(value)
        case "bytes":
            return base64.b64encode(value).decode()
    return value


def rfc3339(at: Millis) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds."""
    moment = datetime.datetime.fromtimestamp(at / 1000, tz=datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
