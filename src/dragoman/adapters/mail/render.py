"""A letter in words: the catalogue of its language, put into one layout as text and one as HTML.

Values are data. In HTML they are escaped; in both forms they lose line ends, control characters and the marks that turn
the direction of writing. Names, which strangers may choose, are left out where a mail program would see a link in them.
Catalogues and templates are loaded at the first letter, so that a server that sends none starts sooner.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from dragoman.core.ports import Letter

if TYPE_CHECKING:
    from jinja2 import Environment

LANGUAGES = ("en", "de")
"""The first is what everybody gets whose own is not here."""

_HERE = Path(__file__).parent
_WIDTH = 72
_LONGEST = {"name": 60, "by": 60, "site": 80, "client": 160}
_LENGTH = 300
_NAMES = frozenset({"name", "by"})
_LINKED = re.compile(r"://|@|/|\bwww\.|[^\s.]{2,}\.[^\s.]{2,}", re.IGNORECASE)
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NEEDS = {
    "reset": ("link",),
    "verify": ("link",),
    "invite": ("link",),
    "activate": ("link",),
    "code": ("code",),
    "magic": ("link", "code"),
}
"""What a letter that was asked for is nothing without: one of these."""
_PART = re.compile(r"\[\[(?:(\w+)\?)?([^\]|]*)(?:\|([^\]]*))?\]\]")
_PLACE = re.compile(r"\{(\w+)\}")
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII)
"""Printable ASCII without space, double quote, angle brackets, backslash, caret, backquote, braces and bar."""


class Unfit(ValueError):
    """No letter can be made of this, now or later. The text names the reason and no value."""


class Rendered(Struct, frozen=True):
    """A letter in words, line ends as `\\n`. The subject is one line."""

    language: str
    subject: str
    text: str
    html: str


async def ready() -> None:
    """Load what the first letter needs, in a thread: other work must not wait for it."""
    if not _environment.cache_info().currsize:
        await asyncio.to_thread(_load)


def _load() -> None:
    for name in _environment().list_templates():
        _environment().get_template(name)
    for language in LANGUAGES:
        catalogue(language)


def render(letter: Letter) -> Rendered:
    """Return a letter in words, in its language or else in English.

    Raises Unfit for a kind that is in no catalogue, a link that is not http or https, and when the link or code that
    was asked for is missing.
    """
    language = spoken(letter.language)
    words = catalogue(language)
    if letter.kind not in words["kinds"]:
        raise Unfit("no such kind of letter")
    if letter.kind in _NEEDS and not any(letter.values.get(name) for name in _NEEDS[letter.kind]):
        raise Unfit("the letter lacks its link or code")
    values = _shown(letter.values, words)
    parts = _parts(words, letter.kind, values)
    text = _environment().get_template("letter.txt").render(parts)
    html = _environment().get_template("letter.html").render(parts, language=language)
    return Rendered(language, parts["subject"], text, html)


def spoken(language: str) -> str:
    """Return the language of ours that serves: `de-AT` is served by `de`, what is unknown by `en`."""
    first = re.split("[-_]", language.lower(), maxsplit=1)[0]
    return first if first in LANGUAGES else LANGUAGES[0]


@cache
def catalogue(language: str) -> Mapping[str, Any]:
    """Return the catalogue of one of LANGUAGES, as `languages/en.toml` explains it."""
    import tomllib

    return tomllib.loads((_HERE / "languages" / f"{language}.toml").read_text("utf-8"))


def filled(phrase: str, values: Mapping[str, str]) -> str:
    """Return a phrase of a catalogue with its values; never looks into a value for more places to fill."""

    def chosen(part: re.Match[str]) -> str:
        flag, this, that = part.groups()
        asked = [*([flag] if flag else []), *_PLACE.findall(this)]
        return this if all(values.get(name) for name in asked) else that or ""

    whole = _PLACE.sub(lambda place: values.get(place[1], ""), _PART.sub(chosen, phrase))
    return re.sub(" {2,}", " ", whole).strip()


def clean(value: str, longest: int = _LENGTH) -> str:
    """Return a value as one line without control characters, at most `longest` characters long."""
    kept = []
    for c in value[: 4 * longest]:
        kind = unicodedata.category(c)
        if c.isspace() or kind in ("Zl", "Zp"):
            kept.append(" ")
        elif kind == "Cs":
            kept.append("\ufffd")
        elif kind != "Cc" and c not in _TURNING:
            kept.append(c)
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _parts(words: Mapping[str, Any], kind: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return what both layouts show, as plain text."""
    own, common = words["kinds"][kind], words["letter"]
    facts = [(words["facts"][name], values[name]) for name in own.get("facts", ()) if values.get(name)]
    return {
        "subject": filled(own["subject"], values),
        "greeting": filled(common["greeting"], values),
        "before": _paragraphs(own["before"], values),
        "facts": facts,
        "link": values.get("link", "") if "button" in own else "",
        "link_before": filled(own.get("link", ""), values),
        "button": filled(own.get("button", ""), values),
        "by_hand": common["by_hand"],
        "code_before": filled(own.get("code", ""), values),
        "code": values.get("code", "") if "code" in own else "",
        "after": _paragraphs(own.get("after", ()), values),
        "closing": filled(own["closing"], values),
        "signature": filled(common["signature"], values),
        "footer": filled(common["footer"], values),
    }


def _paragraphs(phrases: list[str], values: Mapping[str, str]) -> list[str]:
    return [paragraph for phrase in phrases if (paragraph := filled(phrase, values))]


def _shown(values: Mapping[str, str], words: Mapping[str, Any]) -> dict[str, str]:
    """Return the values as people read them: clean, times and spans in words."""
    shown = {name: clean(value, _LONGEST.get(name, _LENGTH)) for name, value in values.items() if name != "link"}
    for name in _NAMES:
        if _LINKED.search(shown.get(name, "")):
            shown[name] = ""
    if "://" in shown.get("client", ""):
        shown["client"] = ""
    shown["site"] = shown.get("site") or "Dragoman"
    shown["link"] = _checked(values.get("link", ""))
    shown["factor"] = words["factors"].get(shown.get("factor", ""), shown.get("factor", ""))
    shown["at"] = _moment(shown.get("at", ""), words["time"])
    for unit in ("minutes", "hours", "days"):
        shown[unit] = _span(shown.get(unit, ""), unit, words["time"])
    return shown


def _checked(link: str) -> str:
    if not link:
        return ""
    try:
        parts = urlsplit(link)
    except ValueError as why:
        raise Unfit("the link is no address") from why
    if parts.scheme not in ("http", "https") or not parts.hostname or not _URL.fullmatch(link):
        raise Unfit("the link is not http or https")
    return link


def _moment(at: str, words: Mapping[str, Any]) -> str:
    """Return an RFC 3339 time in words; what is none as it is."""
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        return at
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    date = {"day": str(when.day), "month": words["months"][when.month - 1], "year": str(when.year)}
    return filled(words["moment"], {**date, "clock": f"{when:%H:%M}"})


def _span(count: str, unit: str, words: Mapping[str, Any]) -> str:
    """Return `1 hour`, `24 hours`, `7 days`; whole days and hours are said as such."""
    if not re.fullmatch("[0-9]{1,6}", count):
        return count
    number = int(count)
    for smaller, size, larger in (("minutes", 60, "hours"), ("hours", 24, "days")):
        if unit == smaller and number % size == 0 and number >= (2 * size if larger == "days" else size):
            number, unit = number // size, larger
    one, many = words[unit]
    return str(one) if number == 1 else filled(many, {"count": str(number)})


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(["html"]),  # text is shown as it is
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["wrapped"] = _wrapped
    return made


def _wrapped(paragraph: str) -> str:
    """Return a paragraph in lines of at most 72 characters; words, and so addresses, are never broken."""
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
