"""Write the pages of docs/reference/ that are read off the code: settings, operations, refusals, events, tables.

Run by `make docs`; `--check` names the pages that are stale and writes nothing. A test does the same.
"""

# ruff: noqa: E501, T201  (pages are sentences; a script of `make` says what it did)

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import msgspec
from msgspec import Meta

from dragoman import app, settings
from dragoman.core import Core, events, refusals
from dragoman.core.refusals import Refusal
from dragoman.http.address import Proxies
from dragoman.http.call import Answer, Call
from dragoman.http.dialect import Dialect
from dragoman.http.operation import Operation
from dragoman.http.rates import rate_of
from dragoman.model import Person
from dragoman.storage import schema

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/generate.py (`make docs`) from the code; edit the code, not this page. -->"


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def dialects() -> tuple[Dialect, ...]:
    """Return the dialects as a configuration without any setting places them."""
    return tuple(mount.dialect for mount in app.mounts(settings.Settings()))


# ---------------------------------------------------------------- settings


def settings_page() -> str:
    """Return the page of all settings, in the order of the file."""
    parts = [
        "# Settings",
        "One commented file, `dragoman.toml` in the working folder, or the one that `--config` or `DRAGOMAN_CONFIG` names."
        " An environment variable overrides the file, an option of the command line overrides both. Lists in variables are"
        " separated by commas. All faults of a configuration are reported together.",
        "`dragoman config show` prints the values in force and where each comes from; `dragoman config check` judges them.",
        "Where a setting names a way *at run time*, `dragoman config set` and administrators over the wire can move it that"
        " way from what the configuration says, and back again as far; never the other way. It is stored, in force at once"
        " in every process, and a line of the audit trail.",
    ]
    sections: dict[tuple[str, ...], list[settings.Known]] = {}
    for known in settings.catalogue():
        sections.setdefault(known.path[:-1], []).append(known)
    for path, found in sections.items():
        parts.append(f"## `[{'.'.join(path)}]`")
        rows = (
            (f"`{k.path[-1]}`", _type_of(k.type), f"`{_literal(k.default)}`", _meaning(k), f"`{k.variable}`")
            for k in found
        )
        parts.append(table(("setting", "value", "default", "meaning", "variable"), rows))
    others = ", ".join(f"`{name}`" for name in sorted(settings.OTHER_VARIABLES))
    parts.append(f"Read by the command line besides: {others}.")
    return "\n\n".join(parts)


_WAYS = {
    "smaller": "smaller",
    "larger": "larger",
    "true": "to `true`",
    "false": "to `false`",
    "earlier": "to the word before",
}


def _meaning(known: settings.Known) -> str:
    return known.description if known.tighter is None else f"{known.description} At run time: {_WAYS[known.tighter]}."


def _literal(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _type_of(kind: Any) -> str:
    """Say in words what a setting takes."""
    bounds = ""
    while get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        for note in notes:
            if isinstance(note, Meta):
                bounds += "".join(
                    f" {sign} {value}"
                    for sign, value in (("≥", note.ge), (">", note.gt), ("≤", note.le), ("<", note.lt))
                    if value is not None
                )
    if get_origin(kind) is Literal:
        return " or ".join(f"`{_literal(value)}`" for value in get_args(kind))
    if get_origin(kind) is tuple and not isinstance(kind, UnionType):
        return "list of texts"
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return names[kind] + bounds


# ---------------------------------------------------------------- operations


def operations_page() -> str:
    """Return the page of all operations of all dialects."""
    parts = [
        "# Operations",
        "Every operation of every dialect, as declared in its `routes.py`. A running server shows fields and examples at"
        " `/docs/<dialect>` and an OpenAPI document at `/docs/<dialect>/openapi.json`.",
        "*Access*: `open` asks for no token, `optional` works with and without one, `client` wants a signed-in client,"
        " `any` takes a key as well; `limited` means that a token passes that still waits for a second factor.",
    ]
    for dialect in dialects():
        prefixes = ", ".join(f"`{prefix}`" for prefix in dialect.prefixes)
        parts.append(f"## {dialect.title}")
        parts.append(f"Owns {prefixes}. [Its README](../../src/dragoman/dialects/{dialect.name}/README.md).")
        if dialect.socket is not None:
            parts.append(f"Its WebSocket is `{dialect.socket.path}`.")
        if dialect.rates is None:
            rows = ((f"`{each.method} {each.path}`", _access(each), each.summary) for each in dialect.operations)
            parts.append(table(("operation", "access", "what it does"), rows))
            continue
        parts.append(
            "*Rate*: how often one network may call the operation in how many seconds, counted from the first call,"
            " unless configured otherwise; beyond it the answer is 429."
        )
        rated = (
            (f"`{each.method} {each.path}`", _access(each), _rate(each, dialect), each.summary)
            for each in dialect.operations
        )
        parts.append(table(("operation", "access", "rate", "what it does"), rated))
    return "\n\n".join(parts)


def _rate(each: Operation, dialect: Dialect) -> str:
    rate = rate_of(each, dialect)
    return "" if rate is None else f"{rate.calls} in {rate.seconds:g}"


def _access(each: Operation) -> str:
    facts = [each.access, *(name for name in ("fresh", "verified", "hidden") if getattr(each, name))]
    return ", ".join([*facts, "limited"] if each.accepts_limited else facts)


# ---------------------------------------------------------------- refusals

_PERSON = cast(Person, None)
_MADE: Mapping[type[Refusal], Callable[[], Refusal]] = {
    refusals.NotActive: lambda: refusals.NotActive("suspended"),
    refusals.NotVerified: lambda: refusals.NotVerified(_PERSON),
    refusals.WrongCode: lambda: refusals.WrongCode(None, ("totp", "recovery")),
    refusals.CodeVoid: lambda: refusals.CodeVoid(None, ("email",)),
    refusals.Ambiguous: lambda: refusals.Ambiguous(("probe:1", "username:1")),
    refusals.BadPicture: lambda: refusals.BadPicture("it cannot be decoded"),
    refusals.IdentifierTaken: lambda: refusals.IdentifierTaken("email"),
    refusals.BadIdentifier: lambda: refusals.BadIdentifier("email", "no @ in it"),
    refusals.WeakPassword: lambda: refusals.WeakPassword("common"),
    refusals.DocumentRefused: lambda: refusals.DocumentRefused("too_large"),
    refusals.SettingRefused: lambda: refusals.SettingRefused("limits.account_hour", "at most 30"),
}


def refusals_page() -> str:
    """Return the page of refusals by dialect: what each dialect really answers."""
    spoken = dialects()
    parts = [
        "# Refusals",
        "Every named reason for which the core says no ([`core/refusals.py`](../../src/dragoman/core/refusals.py)), and how"
        " each dialect says it on an operation that asks for a token: status and error body. The tables are each dialect's"
        " `errors.py`; tests fail while one is not total. Faults of HTTP (404, 405, 413 ...) have a second table there.",
        table(
            ("refusal", "meaning"),
            ((f"[`{kind.__name__}`](#{kind.__name__.lower()})", _first_line(kind)) for kind in _in_order()),
        ),
    ]
    for kind in _in_order():
        rows = ((dialect.title, *_answered(dialect, kind)) for dialect in spoken)
        parts += [f"## {kind.__name__}", _first_line(kind), table(("dialect", "status", "body", "headers"), rows)]
    return "\n\n".join(parts)


def _in_order() -> list[type[Refusal]]:
    order = [name for name, _ in inspect.getmembers(refusals, inspect.isclass)]
    source = inspect.getsource(refusals)
    return sorted(
        refusals.catalogue(), key=lambda kind: (source.find(f"class {kind.__name__}("), order.index(kind.__name__))
    )


def _answered(dialect: Dialect, kind: type[Refusal]) -> tuple[str, str, str]:
    refusal = _MADE.get(kind, kind)()
    answer = dialect.refuse(refusal, _call_to(dialect))
    if answer.status == 503 and isinstance(refusal, refusals.Waiting):  # what the gateway adds
        answer = Answer(answer.status, answer.body, (*answer.headers, ("retry-after", str(refusal.retry_after))))
    headers = ", ".join(f"`{name}: {value}`" for name, value in dict(answer.headers).items())
    return str(answer.status), f"`{msgspec.json.encode(answer.body).decode()}`", headers


def _call_to(dialect: Dialect) -> Call:
    """Return a call to the dialect's first operation that asks for a token."""
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "scheme": "http", "headers": [], "query_string": b"", "client": None,
        "server": None, "path": dialect.prefixes[0],
    }  # fmt: skip
    call = Call(cast(Core, None), scope, dialect, "0", Proxies())
    call.operation = next(each for each in dialect.operations if each.access != "open")
    return call


def _first_line(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


# ---------------------------------------------------------------- events

_KIND = re.compile(r'^    "(?P<kind>\w+)",(?:\s+# (?P<note>.*))?$', re.MULTILINE)


def events_page() -> str:
    """Return the page of the audit trail's kinds, with the comments that stand beside them."""
    source = inspect.getsource(events)
    listed = source[source.index("Kind = Literal[") : source.index("\n]")]
    found = {match["kind"]: match["note"] or "" for match in _KIND.finditer(listed)}
    if set(found) != events.KINDS:
        raise SystemExit(f"events: not found in the source: {sorted(events.KINDS ^ set(found))}")
    return "\n\n".join(
        [
            "# Events",
            "The kinds of lines in the audit trail (`dragoman events`, table `event`). Each names when, what, and where known"
            " the account, the session, the door and the client's address; details never hold a secret.",
            table(("kind", "meaning and details"), ((f"`{kind}`", note) for kind, note in found.items())),
        ]
    )


# ---------------------------------------------------------------- tables


def tables_page() -> str:
    """Return the page of all tables with their retention."""
    said = _docstrings(inspect.getsource(schema))
    parts = [
        "# Tables",
        "The schema, once for SQLite and PostgreSQL ([`storage/schema.py`](../../src/dragoman/storage/schema.py)). Times are"
        " milliseconds since 1970, booleans are integers, ids are UUIDv7 in 16 bytes. Retention is applied by"
        " [`core/retention.py`](../../src/dragoman/core/retention.py).",
    ]
    for made in schema.metadata.sorted_tables:
        kept = schema.RETENTION[made.name]
        retention = (
            "for as long as what it belongs to"
            if kept is None
            else f"{kept // schema.DAY} day{'s' if kept > schema.DAY else ''}"
        )
        columns = ", ".join(_column(column) for column in made.columns)
        indexes = ", ".join(
            sorted(
                f"{'unique ' if i.unique else ''}({', '.join(str(c.name) for c in i.columns)})" for i in made.indexes
            )
        )
        parts += [
            f"## {made.name}",
            *([said[made.name]] if made.name in said else []),
            f"Kept: {retention}.",
            f"Columns: {columns}.",
            *([f"Indexes besides the key: {indexes}."] if indexes else []),
        ]
    return "\n\n".join(parts)


def _column(column: Any) -> str:
    points = f" → {next(iter(column.foreign_keys)).target_fullname}" if column.foreign_keys else ""
    marks = ("*key*",) if column.primary_key else ("may be null",) if column.nullable else ()
    kind = {"BIGINT": "integer", "BLOB": "bytes", "TEXT": "text"}.get(str(column.type), str(column.type).lower())
    return f"`{column.name}` ({', '.join((kind + points, *marks))})"


def _docstrings(source: str) -> dict[str, str]:
    """Return the text that stands below each table, by the table's variable."""
    body = ast.parse(source).body
    return {
        made.targets[0].id: " ".join(text.value.value.split())
        for made, text in pairwise(body)
        if isinstance(made, ast.Assign) and isinstance(made.targets[0], ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }  # fmt: skip


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "operations.md": operations_page,
    "refusals.md": refusals_page,
    "events.md": events_page,
    "tables.md": tables_page,
}


def written() -> dict[Path, str]:
    """Return every generated page as it should be, by its path."""
    return {REFERENCE / name: f"{_NOTE}\n\n{page()}\n" for name, page in PAGES.items()}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name the stale ones; return the exit code."""
    stale = [path for path, text in written().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.name} is stale; run: make docs")
        else:
            path.write_text(written()[path], encoding="utf-8")
            print(f"wrote {path.relative_to(REFERENCE.parents[1])}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
