"""One SQL text, written once, in the numbering that each engine's driver reads."""

from __future__ import annotations

import re
import sys
from typing import Any

STATEMENTS: list[Statement] = []
"""Every statement of the program, in order of import: the conformance suite runs each on both engines."""

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*' | "(?:[^"]|"")*"        # literals and quoted names stay as they are
    | --[^\n]* | /\*.*?\*/                   # so do comments
    | (?P<foreign> :: | [?$] )               # one engine's own syntax
    | :(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_NOT_A_STATEMENT = re.compile(
    r"abort|attach|begin|commit|detach|end|pragma|release|rollback|savepoint|set|start|vacuum", re.IGNORECASE
)
_OR_ROLLBACK = re.compile(r"\bor\s+rollback\b", re.IGNORECASE)


class UnstorableValue(ValueError):
    """A parameter that no engine keeps: an integer beyond 64 bits, text with a NUL or a lone surrogate.

    The message names the parameter, never its value.
    """


class Statement:
    """One SQL text with named parameters (`:name`), written in the portable subset (decision 34).

    Parameters are int, str, bytes or None; times are integers in milliseconds since 1970, booleans 0 or 1.
    Types are written as `cast(:x as bigint)`; `sum()` is a numeric on PostgreSQL and wants a cast to be an int.

    `hot` marks a statement of the sign-in, authenticate or refresh path: a test demands that it uses an index.
    `origin` is the module that wrote it. Transactions are the engine's affair: their words, and `OR ROLLBACK`
    (decision 31), are refused with ValueError when the module is imported.
    """

    __slots__ = ("dollar", "first_word", "hot", "names", "origin", "question", "sql")

    def __init__(self, sql: str, *, hot: bool = False) -> None:
        first = _FIRST_WORD.match(sql)
        self.first_word = first[1].lower() if first else ""
        if _NOT_A_STATEMENT.fullmatch(self.first_word or "end") or _OR_ROLLBACK.search(sql):
            raise ValueError(f"transactions and settings belong to the engine, not to a statement: {sql!r}")
        self.sql = sql
        self.hot = hot
        self.origin = str(sys._getframe(1).f_globals.get("__name__", ""))
        self.names = _names(sql)
        self.question = _numbered(sql, "?", self.names)
        self.dollar = _numbered(sql, "$", self.names)
        STATEMENTS.append(self)

    def bind(self, args: dict[str, Any]) -> list[Any]:
        """Return the values of `args` in the order of `names`.

        Raises TypeError when a parameter is missing or unknown, UnstorableValue for text with a NUL (SQLite would
        keep it, PostgreSQL would not).
        """
        try:
            values = [args[name] for name in self.names]
        except KeyError as missing:
            raise TypeError(f"the statement needs a parameter {missing}: {self.sql!r}") from None
        if len(values) != len(args):
            raise TypeError(f"the statement has no parameter {sorted(args.keys() - set(self.names))}: {self.sql!r}")
        for value in values:
            if type(value) is str and "\0" in value:
                raise UnstorableValue(f"parameter {self.names[values.index(value)]!r} holds a NUL")
        return values

    def __repr__(self) -> str:
        return f"<Statement of {self.origin}: {' '.join(self.sql.split())[:80]}>"


def _names(sql: str) -> tuple[str, ...]:
    """Return the parameters of `sql`, each once, in order of first use."""
    names: dict[str, None] = {}
    for token in _TOKEN.finditer(sql):
        if token["foreign"]:
            raise ValueError(f"{token['foreign']!r} is read by one engine only (decision 34): {sql!r}")
        if token["name"]:
            names[token["name"]] = None
    return tuple(names)


def _numbered(sql: str, mark: str, names: tuple[str, ...]) -> str:
    """Return `sql` with each `:name` as `mark` and its place in `names`; a repeated name keeps its number."""
    return _TOKEN.sub(
        lambda token: f"{mark}{names.index(token['name']) + 1}" if token["name"] else token[0],
        sql,
    )
