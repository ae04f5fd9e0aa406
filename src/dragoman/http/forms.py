"""`application/x-www-form-urlencoded`: query strings and form bodies."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_MAX_PAIRS = 1000
_MAX_DEPTH = 32


class BadForm(ValueError):
    """The text is no form: bytes that are not UTF-8, too many fields, or nested too deeply."""


def parse_pairs(raw: bytes, *, errors: str = "strict") -> list[tuple[str, str]]:
    """Split form-encoded bytes into decoded pairs, in order. A name without `=` has an empty value.

    :param errors: `strict` raises BadForm for bytes that are not UTF-8; `replace` puts U+FFFD.
    """
    pieces = raw.split(b"&", _MAX_PAIRS)
    if len(pieces) > _MAX_PAIRS:
        if errors == "strict":
            raise BadForm("too many fields")
        del pieces[_MAX_PAIRS:]
    pairs = []
    for piece in pieces:
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_decoded(name, errors), _decoded(value, errors)))
    return pairs


def _decoded(raw: bytes, errors: str) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode("utf-8", errors)
    except UnicodeDecodeError as broken:
        raise BadForm("not UTF-8") from broken


def nested(pairs: list[tuple[str, str]], lists: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Build objects from pairs: `a[b]=c` is `{"a": {"b": "c"}}`, and at the top `a[]=c` adds to a list.

    Of a repeated name the last counts (decision 38).

    :param lists: names at the top each of whose values counts, `a=b&a=c`. Raises BadForm when nested deeper than 32
        levels.
    """
    built: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            _put(built, [name, ""], value)
            continue
        top, bracket, _ = name.partition("[")
        if not bracket or not top or not name.endswith("]"):
            built[name] = value
            continue
        steps = [top, *_BRACKETS.findall(name[len(top) :])]
        if len(steps) > _MAX_DEPTH:
            raise BadForm("nested too deeply")
        _put(built, steps, value)
    return built


def _put(into: dict[str, Any], steps: list[str], value: str) -> None:
    """Set one value along its steps; a step onto something of another shape replaces it, since the last counts."""
    *way, last = steps
    if last == "" and len(way) == 1:
        into[way[0]] = [*found, value] if isinstance(found := into.get(way[0]), list) else [value]
        return
    for step in way:
        found = into.get(step)
        if not isinstance(found, dict):
            found = into[step] = {}
        into = found
    into[last] = value
