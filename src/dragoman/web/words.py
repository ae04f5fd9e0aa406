"""What the pages behind mailed links say: one catalogue per language, chosen by what the browser asks for.

Values are data: escaped, and set apart so that a name written from right to left turns nothing around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

LANGUAGES = ("en", "de")
"""The first is what everybody gets whose own is not here."""

Words = Mapping[str, Any]

_HERE = Path(__file__).parent
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z", re.IGNORECASE)
_MOST = 50
_LONGEST = 80
_VEIL = "•••"


def language_for(accepted: str | None) -> str:
    """Return the language of ours that a browser likes best (RFC 9110, section 12.5.4).

    :param accepted: the header `Accept-Language` as it came, or None. What cannot be read counts for nothing.
    """
    best, weight = LANGUAGES[0], 0.0
    for part in (accepted or "").split(",", _MOST)[:_MOST]:
        tag, _, parameter = part.partition(";")
        found = _WEIGHT.match(parameter.strip()) if parameter else None
        wanted = 1.0 if not parameter else float(found[1]) if found else 0.0
        spoken = tag.strip().partition("-")[0].lower()
        if spoken in LANGUAGES and wanted > weight:
            best, weight = spoken, wanted
    return best


@cache
def catalogue(language: str) -> Words:
    """Return the catalogue of one of LANGUAGES, as `languages/en.toml` explains it."""
    import tomllib

    return tomllib.loads((_HERE / "languages" / f"{language}.toml").read_text("utf-8"))


def filled(phrase: str, values: Mapping[str, str]) -> Markup:
    """Return a phrase of a catalogue as HTML, with its values."""
    from markupsafe import Markup, escape

    shown = {name: Markup("<bdi>{}</bdi>").format(short(value)) for name, value in values.items()}
    return escape(phrase).format(**shown)


def short(value: str) -> str:
    """Return a name as it is, or its beginning where it is longer than anybody's name."""
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1].rstrip() + "…"


def masked(destination: str | None) -> str:
    """Return an address or a number so that its owner knows it and others do not learn it: `a•••@example.com`."""
    if not destination:
        return ""
    local, at, domain = destination.rpartition("@")
    if not at:
        return _VEIL + destination[-2:]
    return f"{local[:1] if len(local) > 1 else ''}{_VEIL}@{domain}"
