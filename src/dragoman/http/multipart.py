"""`multipart/form-data` (RFC 7578): fields and files of a body that was read as a whole, within its limit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

MEDIA = "multipart/form-data"
MOST_PARTS = 50


logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it would warn of what clients send


class BadMultipart(ValueError):
    """The bytes are not the parts that their boundary says, or too many."""


class File(Struct, frozen=True):
    """A file in a form. Its name and type are what the client says of it: words, not facts."""

    name: str
    media_type: str
    content: bytes


class _Parts:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.complete = False
        self._number = 0
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[str, bytes] = {}
        self._body = bytearray()

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        self._number += 1
        if self._number > MOST_PARTS:
            raise BadMultipart("too many parts")
        self._headers.clear()
        self._body = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._body += data[start:end]

    def _end(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get("content-disposition"))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise BadMultipart("a part has no name")
        body = bytes(self._body)
        if b"filename" in options:
            media_type = self._headers.get("content-type", b"").decode("latin-1")
            value: Any = {"name": _text(options[b"filename"]), "media_type": media_type, "content": body}
        else:
            value = _text(body)
        self.found[_text(name)] = value

    def _all(self) -> None:
        self.complete = True


def parse(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a form by name, files as values of `File`'s fields; of a repeated name the last counts.

    Raises BadMultipart.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise BadMultipart("no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        parser.write(raw)
        parser.finalize()
    except FormParserError as broken:
        raise BadMultipart("not the parts that its boundary says") from broken
    if not parts.complete:
        raise BadMultipart("it ends before its last boundary")
    return parts.found


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as broken:
        raise BadMultipart("not UTF-8") from broken
