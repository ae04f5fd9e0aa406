"""Which settings of a list are wanted: the parts of Mongo's language that clients of the original use on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.wire import PublicSettings, Setting, SettingsQuery
from dragoman.http import Answer


class _OneOf(Struct, forbid_unknown_fields=True):
    names: tuple[str, ...] = msgspec.field(name="$in")


class _Query(Struct, forbid_unknown_fields=True):
    id: str | _OneOf | UnsetType = msgspec.field(default=UNSET, name="_id")


_Fields = dict[str, Literal[0, 1] | bool]
_Sort = dict[str, Literal[-1, 1]]


def page(values: Mapping[str, Any], asked: SettingsQuery) -> PublicSettings | Answer:
    """Return a page of settings, by name unless asked otherwise; or what is wrong with the question.

    Regular expressions are not run for clients, and operators but `$in` are not known (contract section 6.2).
    """
    given: dict[str, Any] = {}
    for name, kind in (("query", _Query), ("fields", _Fields), ("sort", _Sort)):
        text = getattr(asked, name)
        try:
            given[name] = msgspec.json.decode("{}" if text is UNSET else text, type=kind)
        except msgspec.DecodeError:
            return failure(400, f"Invalid {name} parameter provided", f"error-invalid-{name}")
    names = sorted(_wanted(values, asked, given["query"]), reverse=given["sort"].get("_id") == -1)
    shows = _shows_values(given["fields"])
    found = [Setting(name, values[name] if shows else UNSET) for name in names]
    shown = tuple(found[asked.offset :][: asked.count or None])
    return PublicSettings(shown, len(shown), asked.offset, len(found), True)


def _wanted(values: Mapping[str, Any], asked: SettingsQuery, query: _Query) -> set[str]:
    wanted = set(values)
    if asked.id is not UNSET:
        wanted &= {name.strip() for name in asked.id.split(",")}
    if query.id is not UNSET:
        wanted &= set(query.id.names) if isinstance(query.id, _OneOf) else {query.id}
    return wanted


def _shows_values(fields: Mapping[str, int]) -> bool:
    """Tell whether values are shown: unless left out by name, or by naming others only."""
    return bool(fields.get("value", 1 not in fields.values()))
