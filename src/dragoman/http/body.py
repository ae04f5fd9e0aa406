"""From the bytes of a body, or a query string, to a value of the declared class: one decoder, every fault named.

The usual request is decoded once. Only when that fails is each field tried on its own, so that an answer can name all
of them. Nothing that arrives may raise anything but a Fault.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Generator, Mapping, MutableMapping
from functools import lru_cache
from types import UnionType, coroutine
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from dragoman.http import multipart
from dragoman.http.dialect import BodyRules
from dragoman.http.faults import (
    BodyTooLarge,
    BodyTooSlow,
    Fault,
    Invalid,
    Kind,
    NotAnObject,
    NotJson,
    Place,
    Problem,
    WrongMediaType,
)
from dragoman.http.forms import BadForm, nested, parse_pairs

Message = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]

MAX_DEPTH = 32
_LARGEST = 2**63 - 1

_BRACKETS = re.compile(rb"[\[\]{}]")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
# What a decoded value may hold that storage cannot: NUL, and integers beyond 64 bits. Both are rare, so look at the
# bytes first and walk the value only after a hit.
_SUSPECT = re.compile(rb"\\u0000|[0-9]{19}")


class Gone(Exception):
    """The client went away before its body was complete; there is nobody to answer."""


async def read_body(scope: Mapping[str, Any], receive: Receive, limit: int, deadline: float) -> bytes:
    """Read a whole body.

    :param limit: largest size in bytes; more raises BodyTooLarge, before reading where Content-Length tells.
    :param deadline: seconds until BodyTooSlow.
    """
    announced = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            announced = value != b"0"
            if len(value) > 18 or not value.isdigit() or int(value) > limit:
                raise BodyTooLarge
        elif name == b"transfer-encoding":
            announced = True
    if not announced:
        return b""
    # A usual body has come together with its head. A timer costs more than decoding, so it is set only when one waits.
    message: Message | None = None
    waits_for = None
    arriving = receive()
    try:
        waits_for = arriving.send(None)
    except StopIteration as arrived:
        message = arrived.value
        if not message.get("more_body", False):
            return _piece(message, limit)
    try:
        async with asyncio.timeout(deadline):
            return await _joined(message or await _go_on(arriving, waits_for), receive, limit)
    except TimeoutError:
        raise BodyTooSlow from None


@coroutine
def _go_on(begun: Coroutine[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Go on with a coroutine that was run up to what it waits for."""
    try:
        yield waits_for
    except BaseException:
        begun.close()
        raise
    message: Message = yield from begun
    return message


async def _joined(message: Message, receive: Receive, limit: int) -> bytes:
    """Collect the pieces of a body, beginning with a message that has come."""
    pieces = [_piece(message, limit)]
    size = len(pieces[0])
    while message.get("more_body", False):
        message = await receive()
        pieces.append(_piece(message, limit - size))
        size += len(pieces[-1])
    return b"".join(pieces)


def _piece(message: Message, room: int) -> bytes:
    """Return what a message brings, if there is room for it."""
    if message["type"] == "http.disconnect":
        raise Gone
    piece: bytes = message.get("body", b"")
    if len(piece) > room:
        raise BodyTooLarge
    return piece


def decode(raw: bytes, content_type: str | None, rules: BodyRules, kind: Any) -> Any:
    """Return a value of class `kind` from a body.

    :param raw: the whole body.
    :param content_type: the header as it came, or None.
    :param rules: how this dialect reads bodies.
    :param kind: a class that msgspec decodes; with a class variable `multipart` it is read from such a form as well,
        with one `may_be_absent` a request without a body counts as `{}`.
    """
    if not raw:
        if rules.lenient or rules.empty_is_object or getattr(kind, "may_be_absent", False):
            return _converted({}, kind, "body")
        raise NotJson("the body is empty")
    media = _media_type(content_type)
    if media == "application/json" and rules.json:
        try:
            return decode_json(raw, kind)
        except NotJson:
            if not rules.lenient:
                raise
    elif media == multipart.MEDIA and getattr(kind, "multipart", False):
        try:
            return _converted(_clean(multipart.parse(raw, content_type or ""), "form"), kind, "form")
        except multipart.BadMultipart as broken:
            raise Invalid((Problem("", "format", str(broken), "form"),)) from None
    elif media == "application/x-www-form-urlencoded" and rules.form:
        try:
            return _converted(_clean(_renamed(nested(parse_pairs(raw), _lists_of(kind)), kind), "form"), kind, "form")
        except BadForm as broken:
            if not rules.lenient:
                raise Invalid((Problem("", "format", str(broken), "form"),)) from None
    elif not rules.lenient:
        raise WrongMediaType
    return _converted({}, kind, "body")


def decode_json(raw: bytes, kind: Any) -> Any:
    """Return a value of class `kind` from JSON. Raises NotJson, NotAnObject or Invalid."""
    if not raw.isascii():
        _refuse_bad_utf8(raw)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise NotJson(f"the body is nested deeper than {MAX_DEPTH} levels")
    if hasattr(kind, "other_names"):
        return _converted(_clean(_renamed(_generic(raw), kind), "body"), kind, "body", strict=True)
    try:
        decoded = _decoder(kind).decode(raw)
    except msgspec.ValidationError as broken:
        try:
            value = _generic(raw)
        except NotJson:  # a number that only the class made out to be absurd
            raise Invalid((_problem(broken, "", "body"),)) from None
        raise _judged(value, kind, broken, "body") from None
    except (ValueError, RecursionError):
        raise NotJson from None
    if _SUSPECT.search(raw) is not None:
        _clean(_generic(raw), "body")
    return decoded


def _refuse_bad_utf8(raw: bytes) -> None:
    """Raise NotJson for bytes that are not UTF-8 (RFC 8259, section 8.1): the decoder skips fields nobody reads."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise NotJson("the body is not UTF-8") from None


def convert_query(pairs: list[tuple[str, str]], kind: Any) -> Any:
    """Return a value of class `kind` from a query string's pairs; `a[b]=c` is an object, and where a field is a list
    each of its values counts, `a=b&a=c`. Raises Invalid.
    """
    if not pairs:  # as most requests have it
        return _converted({}, kind, "query")
    try:
        return _converted(_clean(nested(pairs, _lists_of(kind)), "query"), kind, "query")
    except BadForm as broken:
        raise Invalid((Problem("", "format", str(broken), "query"),)) from None


@lru_cache(maxsize=256)
def _lists_of(kind: Any) -> frozenset[str]:
    """Return the names of a class's fields that are lists, by themselves or beside others (`list[str] | None`)."""
    if not _is_struct(kind):
        return frozenset()
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type))


def _is_list(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Annotated:
        return _is_list(get_args(kind)[0])
    if origin in (Union, UnionType):
        return any(_is_list(part) for part in get_args(kind))
    return (origin or kind) in (list, tuple)


@lru_cache(maxsize=1024)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=256)
def _media_type(content_type: str | None) -> str:
    """Return the bare media type, empty for none and for a character set that is not UTF-8."""
    media, _, parameters = (content_type or "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset is not None and charset.group(1).lower() not in {"utf-8", "utf8", "us-ascii"}:
        return ""
    return media.strip().lower()


def _depth(raw: bytes) -> int:
    """Return how deeply brackets nest outside strings."""
    deepest = level = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", raw)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def _generic(raw: bytes) -> Any:
    """Decode JSON without a class, for the second look."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        raise NotJson from None


def _renamed(value: Any, kind: Any) -> Any:
    """Give each field its first name, where the class says in `other_names` (other to first) that it has others.

    When both came the first name counts.
    """
    others: Mapping[str, str] = getattr(kind, "other_names", {})
    if not isinstance(value, dict) or others.keys().isdisjoint(value):
        return value
    renamed = {name: item for name, item in value.items() if name not in others}
    for other, first in others.items():
        if other in value:
            renamed.setdefault(first, value[other])
    return renamed


def _clean(value: Any, place: Place) -> Any:
    """Return a value that holds no NUL and no integer beyond 64 bits. Raises Invalid naming where one is."""
    problems: list[Problem] = []
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, found = stack.pop()
        if isinstance(found, str):
            if "\x00" in found:
                problems.append(Problem(path, "format", "must not contain NUL", place))
        elif isinstance(found, dict):
            if any("\x00" in key for key in found):
                problems.append(Problem(path, "format", "names must not contain NUL", place))
            stack.extend((f"{path}.{key}" if path else key, item) for key, item in found.items() if "\x00" not in key)
        elif isinstance(found, list):
            stack.extend((f"{path}[{index}]", item) for index, item in enumerate(found))
        elif isinstance(found, int) and not -_LARGEST <= found <= _LARGEST:
            problems.append(Problem(path, "format", "is out of range", place))
    if problems:
        raise Invalid(tuple(sorted(problems, key=lambda p: p.field)))
    return value


def _converted(value: Any, kind: Any, place: Place, *, strict: bool = False) -> Any:
    """Convert a generic value; strings count as numbers and booleans unless `strict`."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as broken:
        raise _judged(value, kind, broken, place, strict=strict) from None
    except (ValueError, RecursionError, OverflowError):
        raise Invalid((Problem("", "format", "cannot be read", place),)) from None


def _judged(value: Any, kind: Any, broken: msgspec.ValidationError, place: Place, *, strict: bool = True) -> Fault:
    """Return the fault for a value that does not fit: all fields that are wrong, else what the decoder said."""
    if not isinstance(value, dict) and str(broken).startswith("Expected `object`"):
        return NotAnObject()
    problems = tuple(_problems(value, kind, "", place, strict)) if _is_struct(kind) and isinstance(value, dict) else ()
    return Invalid(problems or (_problem(broken, "", place),))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _struct_in(kind: Any) -> Any:
    """Return the one Struct class of a field's type, `Device` or `Device | None`, else None."""
    if _is_struct(kind):
        return kind
    found = [part for part in get_args(kind) if _is_struct(part)] if get_origin(kind) in {Union, UnionType} else []
    return found[0] if len(found) == 1 else None


def _problems(value: Mapping[str, Any], kind: Any, prefix: str, place: Place, strict: bool) -> list[Problem]:
    """Try every field of a Struct class on its own."""
    problems: list[Problem] = []
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.encode_name}"
        if field.encode_name not in value:
            if field.required:
                problems.append(Problem(path, "required", "is required", place))
            continue
        item = value[field.encode_name]
        inner = _struct_in(field.type) if isinstance(item, dict) else None
        if inner is not None:
            problems += _problems(item, inner, path + ".", place, strict)
            continue
        try:
            msgspec.convert(item, field.type, strict=strict)
        except msgspec.ValidationError as broken:
            problems.append(_problem(broken, path, place))
        except (ValueError, RecursionError, OverflowError):
            problems.append(Problem(path, "format", "cannot be read", place))
    return problems


_AT = re.compile(r" - at `(?:key in )?\$([^`]*)`\Z")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_LENGTH = re.compile(r"of length (>=|<=) \d+")


def _problem(broken: msgspec.ValidationError, path: str, place: Place) -> Problem:
    """Translate what msgspec says of one value."""
    text = str(broken)
    if at := _AT.search(text):
        text, path = text[: at.start()], (path + at.group(1)).lstrip(".")
    if missing := _MISSING.search(text):
        return Problem(f"{path}.{missing.group(1)}".lstrip("."), "required", "is required", place)
    return Problem(path, _kind(text), _sentence(text), place)


def _kind(text: str) -> Kind:
    if length := _LENGTH.search(text):
        return "too_short" if length.group(1) == ">=" else "too_long"
    if "enum value" in text or "unknown field" in text:
        return "not_allowed"
    if ", got " in text:
        return "type"
    return "format"


def _sentence(text: str) -> str:
    """Make msgspec's words a sentence about the field, without the value: an enum error quotes it."""
    if "enum value" in text:
        return "is not one of the allowed values"
    text = text.replace("`", "")
    return f"must be {text.removeprefix('Expected ')}" if text.startswith("Expected ") else text[:1].lower() + text[1:]
