"""Our own source as syntax trees, for the house rules."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dragoman

ROOT = Path(dragoman.__file__).parent


@dataclass(frozen=True)
class Source:
    """One file of src/dragoman; `name` is its path from there, `core/signin.py`."""

    name: str
    text: str
    tree: ast.Module

    def of(self, *parts: str) -> bool:
        """Tell whether the file lies in one of these folders."""
        return self.name.partition("/")[0] in parts

    def walk(self) -> Iterator[ast.AST]:
        """Return every node."""
        return ast.walk(self.tree)

    def imports(self) -> Iterator[tuple[str, str, str]]:
        """Return module, name and alias of every import, also of those inside functions; `import x` has no name."""
        for node in self.walk():
            if isinstance(node, ast.Import):
                for each in node.names:
                    yield each.name, "", each.asname or each.name
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    yield node.module or "", each.name, each.asname or each.name

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Return every function and method."""
        for node in self.walk():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node

    def strings(self) -> Iterator[str]:
        """Return every string of the code; docstrings are left out, the fixed parts of f-strings are not."""
        said = {
            id(node.body[0].value)
            for node in self.walk()
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        alone = {id(node.value) for node in self.walk() if isinstance(node, ast.Expr)}
        for node in self.walk():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said | alone:
                yield node.value

    @functools.cached_property
    def code_lines(self) -> frozenset[int]:
        """The numbers of the lines that hold code: no blank ones, no comments, no docstrings."""
        silent = (
            tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
            tokenize.ENDMARKER,
        )  # fmt: skip
        found: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in silent:
                found.update(range(token.start[0], token.end[0] + 1))
        for node in self.walk():
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                found.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return frozenset(found)

    def lines_of(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        """Return how many lines of code a function has."""
        return len(self.code_lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))


@functools.cache
def sources() -> tuple[Source, ...]:
    """Return every file of src/dragoman, sorted by name."""
    return tuple(read(path.relative_to(ROOT).as_posix(), path.read_text()) for path in sorted(ROOT.rglob("*.py")))


def read(name: str, text: str) -> Source:
    """Return one file's source as a tree."""
    return Source(name, text, ast.parse(text))


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a name or a chain of attributes, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
