"""Printing: what came from outside is escaped, so that it neither steers a terminal nor marks it up (threat 40)."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str) -> str:
    """Return the text with every character escaped that a terminal would obey or hide instead of print."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if unicodedata.category(c) not in _STEERING else c.encode("unicode_escape").decode("ascii") for c in text
    )


def when(millis: int | None) -> str:
    """Return a time for people: UTC to the second, `-` for none."""
    if millis is None:
        return "-"
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def stamp(millis: int | None) -> str | None:
    """Return a time for programs: RFC 3339 in UTC with milliseconds."""
    if millis is None:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(value: Any) -> None:
    """Print one JSON value in ASCII, so that nothing in it steers a terminal: a list with each of its items on a line
    of its own, everything else on one line.
    """
    if isinstance(value, list):
        items = ",\n".join(json.dumps(item) for item in value)
        click.echo(f"[\n{items}\n]" if items else "[]")
    else:
        click.echo(json.dumps(value))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings: a table on a terminal, tab-separated lines without headings elsewhere."""
    cells = [[plain(str(cell)) if cell is not None else "-" for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, the values aligned."""
    listed = [(name, "-" if value is None or value == "" else plain(str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        click.echo(f"{name:<{width}}  {value}")


def say(text: str) -> None:
    """Print one line about what was done."""
    click.echo(plain(text))
