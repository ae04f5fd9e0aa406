"""Templates and the style sheet. Loaded at the first page, so that a server that shows none starts sooner."""

from __future__ import annotations

import asyncio
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman import __version__
from dragoman.web.words import LANGUAGES, catalogue, filled

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8"}


async def ready() -> None:
    """Load the templates where nobody has yet, in a thread: other calls must not wait for a first page."""
    if not _environment.cache_info().currsize:
        await asyncio.to_thread(_load)


def _load() -> None:
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)
    for language in LANGUAGES:
        catalogue(language)


def render(template: str, **values: Any) -> bytes:
    """Return a page. Every value is escaped."""
    page = _environment().get_template(template)
    return page.render(**values, style=style_path(), version=__version__).encode("utf-8", "replace")


def style_path() -> str:
    """Return the path of the style sheet, which names its content, so that browsers may keep it for good."""
    return "/static/" + next(iter(files()))


@cache
def files() -> dict[str, tuple[str, bytes]]:
    """Return content type and bytes of every static file, by the name that holds its hash: `style-1f0c9a2b.css`."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        content = path.read_bytes()
        name = f"{path.stem}-{sha256(content).hexdigest()[:16]}{path.suffix}"
        found[name] = (_TYPES[path.suffix], content)
    return found


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["prose"] = _prose
    made.filters["filled"] = filled
    return made


def _prose(text: str) -> str:
    """Return a sentence as HTML, escaped, with what stands between backquotes as code."""
    from markupsafe import Markup

    parts = text.split("`")
    shown = [
        Markup("<code>{}</code>").format(part) if n % 2 else Markup("{}").format(part) for n, part in enumerate(parts)
    ]
    return Markup().join(shown)
