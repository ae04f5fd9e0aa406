"""House rules: sizes, docstrings, total tables, one test at least for each operation (docs of style)."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from dragoman.app import mounts
from dragoman.core import letters, notices, refusals
from dragoman.http import faults
from dragoman.http.dialect import Dialect
from dragoman.settings import load
from dragoman.web import pages
from kit.recipes import RECIPES
from kit.source import ROOT, Source, dotted, read, sources

FILE_LINES, FUNCTION_LINES, PARAMETERS, HANDLER_LINES, DIALECT_LINES = 500, 60, 5, 15, 1500
LARGER_DIALECTS = {"rocketchat": 3000, "flashback": 1800}
"""Those whose contracts are larger: Rocket.Chat's has two wires, 49 operations and 16 methods, each with its own texts;
Flashback's 57 operations in nine areas. Both only translate: what they decide is in the core."""
DIALECTS: tuple[Dialect, ...] = tuple(mount.dialect for mount in mounts(load(None, {}, {})))
Def = ast.FunctionDef | ast.AsyncFunctionDef


def _statements(function: Def) -> int:
    """Return how many lines the body of a function has, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _decorators(function: Def) -> set[str]:
    names = set()
    for each in function.decorator_list:
        call = each.func if isinstance(each, ast.Call) else each
        names.add(ast.unparse(call).rpartition(".")[2])
    return names


def _positional(function: Def) -> int:
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


def _public(tree: ast.Module) -> Iterator[ast.AST]:
    """Return the module's public classes and functions, and the public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                for each in node.body:
                    if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and not each.name.startswith("_"):
                        yield each


def test_files_are_small() -> None:
    assert {s.name: len(s.code_lines) for s in sources() if len(s.code_lines) > FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {f"{s.name}:{f.name}": n for s in sources() for f in s.functions() if (n := s.lines_of(f)) > FUNCTION_LINES}
    assert {name for name in long if not name.endswith(":upgrade")} == set()


def test_functions_take_few_values() -> None:
    """Beyond five a value of its own is due; what is passed by name is cheap (and the linter's affair)."""
    wide = {f"{s.name}:{f.name}": n for s in sources() for f in s.functions() if (n := _positional(f)) > PARAMETERS}
    assert wide == {}


def test_handlers_translate_only() -> None:
    long = {}
    for source in sources():
        if source.of("dialects", "web"):
            for function in source.functions():
                if "operation" in _decorators(function) and _statements(function) > HANDLER_LINES:
                    long[f"{source.name}:{function.name}"] = _statements(function)
    assert long == {}


@pytest.mark.parametrize("dialect", [dialect.name for dialect in DIALECTS])
def test_dialects_are_small(dialect: str) -> None:
    own = [s for s in sources() if s.name.startswith(f"dialects/{dialect}/")]
    assert 0 < sum(len(s.code_lines) for s in own) <= LARGER_DIALECTS.get(dialect, DIALECT_LINES)
    assert (ROOT / "dialects" / dialect / "README.md").exists()


def _undocumented(source: Source) -> Iterator[str]:
    if ast.get_docstring(source.tree) is None and source.text.strip():
        yield "the module"
    for node in _public(source.tree):
        named = cast("ast.ClassDef | Def", node)
        overloads = isinstance(node, Def) and _decorators(node) & {"overload", "setter"}
        if not overloads and ast.get_docstring(named) is None:
            yield named.name


def test_everything_public_says_what_it_does() -> None:
    assert {s.name: missing for s in sources() if (missing := list(_undocumented(s)))} == {}


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplementedError")
    assert {s.name: word for s in sources() for word in words if word in s.text} == {}


def test_the_rulers_measure() -> None:
    long = "\n".join(f"    x{n} = {n}" for n in range(20))
    source = read(
        "dialects/x/routes.py", f'@operation("GET", "/")\nasync def f(a, b, c, d, e, g):\n    """D."""\n{long}\n'
    )
    function = next(source.functions())
    assert (_statements(function), _positional(function), source.lines_of(function)) == (20, 6, 21)
    assert list(_undocumented(source)) == ["the module"]
    assert "operation" in _decorators(function)


# ---------------------------------------------------------------- tables and tests


def _tables(dialect: str) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    errors = importlib.import_module(f"dragoman.dialects.{dialect}.errors")
    return errors.REFUSALS, errors.FAULTS


@pytest.mark.parametrize("dialect", [dialect.name for dialect in DIALECTS])
def test_refusal_tables_are_total(dialect: str) -> None:
    """Neither a refusal of the core nor a fault of HTTP lacks a word in any dialect; no word is without a reason."""
    of_core, of_http = _tables(dialect)
    ours = {kind for kind in refusals.catalogue() if kind.__module__ == "dragoman.core.refusals"}
    assert set(of_core) == ours
    assert set(of_http) == {kind for kind in faults.catalogue() if kind.__module__ == "dragoman.http.faults"}


def test_every_operation_is_called_by_a_test() -> None:
    """By the matrix, in every form, and by name in the dialect's own tests or journeys."""
    called = {(r.dialect, r.method, r.path) for r in RECIPES}
    every = [*DIALECTS, pages(mounts(load(None, {}, {})))]
    assert {(d.name, o.method, o.path) for d in every for o in d.operations} <= called
    tests = Path(__file__).parents[1]
    for dialect in DIALECTS:
        folder = tests / "dialects" / dialect.name
        text = "".join(path.read_text() for path in folder.rglob("*.py"))
        for operation in dialect.operations:
            last = operation.path.rpartition("/{")[0] if operation.names else operation.path
            assert last.rpartition("/")[2] in text, f"{operation.method} {operation.path} is in no test of {folder}"


def test_every_operation_says_what_it_does() -> None:
    for dialect in DIALECTS:
        for operation in dialect.operations:
            assert operation.summary, operation
            assert operation.answers, operation


def test_every_notice_has_a_bound() -> None:
    """Nobody floods an owner: a kind has a daily bound or tells of an act that has one; the how-to lists them all."""
    by_act = {"password_set", "address_changed", "phone_changed", "account_deactivated", "account_deleted"}
    assert notices.A_DAY.keys() | by_act == letters.NOTICES.keys()
    assert not notices.A_DAY.keys() & by_act
    told = (ROOT.parents[1] / "docs" / "how-to" / "send-mail.md").read_text()
    assert [kind for kind in letters.NOTICES if f"`{kind}`" not in told] == []


def test_bounded_notices_are_drafted_in_one_place() -> None:
    """A letter of such a kind that is drafted elsewhere would go around its bound, and to one address alone."""
    found = {}
    for source in sources():
        for call in source.walk():
            if isinstance(call, ast.Call) and dotted(call.func).endswith("letters.draft") and call.args:
                kind = call.args[0]
                if isinstance(kind, ast.Constant) and kind.value in notices.A_DAY:
                    found[source.name] = kind.value
    assert found == {}


def test_imports_point_one_way() -> None:
    """The contracts of import-linter (design 2): cli, app, dialects, core, storage, model, in this direction only."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT.parents[1], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT.parent), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
