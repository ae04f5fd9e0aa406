"""One gate: who may make a session is a rule of the source, checked here (threats 1 and 2, decisions 1 and 5)."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dragoman.app import mounts
from dragoman.settings import load
from dragoman.storage.engine import STATEMENTS
from kit.source import ROOT, Source, dotted, read, sources

GATE = "core/signin.py"
STORE = "storage/sessions.py"
DIALECTS = tuple(mount.dialect.name for mount in mounts(load(None, {}, {})))
Rule = Callable[[Source], Iterable[str]]

# ---------------------------------------------------------------- the rules, each as what it finds


def grants_elsewhere(source: Source) -> Iterable[str]:
    """Only the gate makes a Grant; storage names the class in one annotation."""
    if source.name in ("model.py", GATE):
        return
    annotations = {id(a.annotation) for f in source.functions() for a in f.args.args if a.annotation is not None}
    for module, name, alias in source.imports():
        if name == "Grant" and (source.name != STORE or alias != "Grant"):
            yield f"imports Grant from {module}"
    for node in source.walk():
        if dotted(node).rpartition(".")[2] == "Grant" and id(node) not in annotations:
            yield f"line {node.lineno}: names Grant outside an annotation"  # type: ignore[attr-defined]


def copies_of_values_in_storage(source: Source) -> Iterable[str]:
    """A value that storage gets is stored as it is: `replace` would make another Grant."""
    if source.of("storage"):
        for module, name, _ in source.imports():
            if name in ("replace", "copy", "deepcopy", "convert") and source.name != "storage/events.py":
                yield f"imports {module}.{name}"


def inserts_elsewhere(source: Source) -> Iterable[str]:
    """The function that inserts sessions is called by the gate alone, under its own name."""
    for module, name, alias in source.imports():
        if module == "dragoman.storage.sessions" and name == "insert":
            yield "imports sessions.insert by itself"
        if module == "dragoman.storage" and name == "sessions" and alias != "sessions":
            yield f"gives storage.sessions another name, {alias}"
        if module == "dragoman.storage.sessions" and not name:
            yield "imports storage.sessions whole"
    if source.name != GATE:
        for node in source.walk():
            if dotted(node).endswith("sessions.insert"):
                yield f"line {node.lineno}: sessions.insert"  # type: ignore[attr-defined]


_INTO_SESSION = re.compile(
    r"(?:\binto|\bcopy|\breplace)\s+[\"\[`]?session[\"\]`]?\s*(?:\(|select\b|values\b|from\b|$)", re.I
)


def sql_into_session(source: Source) -> Iterable[str]:
    """SQL that adds rows to `session` is one statement."""
    for text in source.strings():
        if _INTO_SESSION.search(text):
            yield f"SQL into session: {' '.join(text.split())[:60]}"


_VERDICT = re.compile(r"_*(?:verify|accept|prove|check|authenticate)")
_JUDGES = ("core/credentials/", "core/signin.py", "core/second_factor.py", "core/mailed_codes.py", "core/hashing.py",
           "core/tokens.py", "core/sessions.py", "core/proving.py")  # fmt: skip


def verdicts_as_bool(source: Source) -> Iterable[str]:
    """What verifies returns a proof or raises: a bool is always right somewhere (threat 2)."""
    if not source.name.startswith(_JUDGES):
        return
    for function in source.functions():
        if not _VERDICT.match(function.name):
            continue
        if function.returns is None or re.search(r"\b(?:bool|Any|object|int)\b", ast.unparse(function.returns)):
            yield f"{function.name} returns {ast.unparse(function.returns) if function.returns else 'anything'}"
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Return)
                and isinstance(node.value, ast.Constant)
                and node.value.value in (True, False)
            ):
                yield f"{function.name} returns {node.value.value}"


def names_of_dialects(source: Source) -> Iterable[str]:
    """The core compares no dialect's name; the aliases by which an account is known are data (decision 16)."""
    if source.of("core", "storage") or source.name == "model.py":
        for text in source.strings():
            found = [name for name in DIALECTS if name in text]
            if found and not (source.name in ("core/accounts.py", "core/newcomers.py") and text in DIALECTS):
                yield f"holds {text!r}"


_OF_CORE = frozenset(
    {
        "access_keys",
        "accounts",
        "activation",
        "addresses",
        "administration",
        "captchas",
        "clock",
        "devices",
        "directory",
        "documents",
        "doors",
        "factors",
        "family",
        "feed",
        "jwks",
        "life",
        "enrolment",
        "members",
        "on_behalf",
        "own_factors",
        "passkeys",
        "pictures",
        "preferences",
        "proving",
        "random",
        "ready",
        "recovery",
        "registration",
        "sessions",
        "settings",
        "signin",
        "tokens",
        "upstream",
    }
)


def storage_from_outside(source: Source) -> Iterable[str]:
    """Dialects and pages speak to the core, never to storage, not even through it."""
    if not source.of("dialects", "web", "http"):
        return
    for module, name, _ in source.imports():
        if module.startswith("dragoman.storage") or (module == "dragoman" and name == "storage"):
            yield f"imports {module} {name}"
    for node in source.walk():
        chain = dotted(node)
        inside = re.search(r"(?:^|\.)(?:call|self)\.(?:_)?core\.(\w+)", chain)
        if inside and inside[1] not in _OF_CORE:
            yield f"line {node.lineno}: {chain}"  # type: ignore[attr-defined]
        if re.search(
            rf"\.(?:{'|'.join(sorted(_OF_CORE))})\._",
            chain,
        ):
            yield f"line {node.lineno}: {chain}"  # type: ignore[attr-defined]


_SHAPES_MAY_IMPORT = ("dragoman.model", "dragoman.http", "dragoman.core.identifiers", "dragoman.dialects.")


def judging_shapes(source: Source) -> Iterable[str]:
    """Classes of what arrives and goes out know shape only: no core, no waiting, no caller."""
    if not re.fullmatch(r"dialects/\w+/(?:wire|forms)\.py", source.name):
        return
    for module, name, _ in source.imports():
        if module.startswith("dragoman") and not f"{module}.{name}".startswith(_SHAPES_MAY_IMPORT):
            yield f"imports {module} {name}"
        if module.partition(".")[0] in ("hashlib", "hmac", "bcrypt", "nacl", "argon2", "passlib", "pyotp", "joserfc"):
            yield f"imports {module}"
    for node in source.walk():
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await)):
            yield f"line {node.lineno}: waits"
        if dotted(node).startswith("call.core"):
            yield f"line {node.lineno}: {dotted(node)}"  # type: ignore[attr-defined]


_BANNED = re.compile(
    r"time\.(?:time|time_ns|gmtime|localtime|strftime|ctime)"
    r"|(?:datetime\.)?(?:datetime|date)\.(?:now|utcnow|today)"
    r"|(?:secrets|random)\.\w+|os\.(?:urandom|getrandom)|uuid\.uuid[1-8]"
)
_BANNED_MODULES = frozenset({"secrets", "random"})


def own_time_and_chance(source: Source) -> Iterable[str]:
    """Time and randomness come from core/ports.py, so that tests can move and fix them."""
    if source.name == "core/ports.py":
        return
    modules = {alias: module for module, name, alias in source.imports() if not name}
    for module, name, _ in source.imports():
        if module in _BANNED_MODULES or (name and _BANNED.fullmatch(f"{module}.{name}")):
            yield f"imports {module} {name}"
    for node in source.walk():
        chain = dotted(node)
        first, _, rest = chain.partition(".")
        whole = f"{modules.get(first, first)}.{rest}"
        if _BANNED.fullmatch(whole) and (first in modules or first in ("datetime", "date")):
            yield f"line {node.lineno}: {chain}"  # type: ignore[attr-defined]


def silenced(source: Source) -> Iterable[str]:
    """No rule of the gate is silenced in place."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(r"noqa(?!:)|noqa:.*\b(?:TID|S608|S5|S3|ASYNC)", line):
            yield f"line {number}: {line.strip()}"


RULES: tuple[Rule, ...] = (
    grants_elsewhere, copies_of_values_in_storage, inserts_elsewhere, verdicts_as_bool, names_of_dialects,
    storage_from_outside, judging_shapes, own_time_and_chance, silenced,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: Rule) -> None:
    assert {s.name: found for s in sources() if (found := list(rule(s)))} == {}


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (grants_elsewhere, "core/sessions.py", "from dragoman.model import Grant"),
        (grants_elsewhere, "dialects/probe/routes.py", "from dragoman import model\nmodel.Grant()"),
        (grants_elsewhere, STORE, "from dragoman.model import Grant\ndef f(g: Grant): return Grant()"),
        (copies_of_values_in_storage, STORE, "from msgspec.structs import replace"),
        (inserts_elsewhere, "core/accounts.py", "from dragoman.storage import sessions\nsessions.insert(tx, g, b'')"),
        (inserts_elsewhere, "core/accounts.py", "from dragoman.storage import sessions as store"),
        (inserts_elsewhere, "core/accounts.py", "from dragoman.storage.sessions import insert"),
        (sql_into_session, "storage/accounts.py", "X = 'insert or ignore into session (id) values (1)'"),
        (sql_into_session, "core/accounts.py", "X = f'INSERT INTO\\n \"session\"(id) {y}'"),
        (verdicts_as_bool, "core/credentials/x.py", "def verify(a: str) -> bool: ..."),
        (verdicts_as_bool, "core/credentials/x.py", "async def _verify_it(a): ..."),
        (verdicts_as_bool, "core/signin.py", "def _check(a) -> Proof:\n    return True"),
        (names_of_dialects, "core/doors.py", "if door.name == 'probe': pass"),
        (names_of_dialects, "core/accounts.py", "x = f'rocketchat_{y}'"),
        (storage_from_outside, "dialects/probe/routes.py", "def f():\n    from dragoman.storage import sessions"),
        (storage_from_outside, "dialects/probe/routes.py", "async def f(call): await call.core.db.one(x)"),
        (storage_from_outside, "web/pages.py", "def f(call): call.core.signin._grant()"),
        (judging_shapes, "dialects/probe/wire.py", "import hmac"),
        (judging_shapes, "dialects/probe/wire.py", "from dragoman.core import signin"),
        (judging_shapes, "dialects/probe/wire.py", "class A:\n    async def b(self): ..."),
        (own_time_and_chance, "core/limits.py", "import time as t\nt.time_ns()"),
        (own_time_and_chance, "core/limits.py", "from time import time"),
        (own_time_and_chance, "cli/x.py", "from datetime import datetime\ndatetime.now()"),
        (own_time_and_chance, "core/limits.py", "from os import urandom"),
        (own_time_and_chance, "core/limits.py", "import uuid\nuuid.uuid4()"),
        (silenced, "core/limits.py", "import random  # noqa: TID251"),
        (silenced, "core/limits.py", "import random  # noqa"),
    ],
)
def test_a_breach_is_found(rule: Rule, name: str, text: str) -> None:
    assert list(rule(read(name, text)))


def test_one_statement_adds_sessions() -> None:
    found = {s.name: texts for s in sources() if (texts := list(sql_into_session(s)))}
    assert list(found) == [STORE]
    assert len(found[STORE]) == 1
    ours = [s for s in STATEMENTS if s.origin.startswith("dragoman.") and _INTO_SESSION.search(s.sql)]
    assert [s.origin for s in ours] == ["dragoman.storage.sessions"]


def test_the_statement_is_run_by_one_function() -> None:
    store = next(s for s in sources() if s.name == STORE)
    names = [
        node.targets[0].id
        for node in store.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        and "insert into session" in ast.unparse(node.value)
    ]  # fmt: skip
    assert names == ["_INSERT"]
    users = [f.name for f in store.functions() if any(dotted(n) == "_INSERT" for n in ast.walk(f))]
    assert users == ["insert"]


MAY_CHANGE = frozenset({
    "ended_at", "ended_why", "generation", "confirmed_generation", "rotated_at", "rotated_client", "odd_retries",
    "key_id", "idle_until", "seen_at", "proved_at", "proved_client",
})  # fmt: skip
"""Columns of a session that an UPDATE may set: none that says whose it is, what opens it or that it lives again."""
OF_KEYS = frozenset({"ends_at", "permissions", "updated_at"})
"""Columns that an UPDATE may set of keys besides: their owner renews them with a fresh proof (`AccessKeys.renew`)."""


def test_no_update_makes_another_session_of_one() -> None:
    seen = 0
    for statement in STATEMENTS:
        if statement.origin.startswith("dragoman.") and re.match(r"\s*update session\b", statement.sql):
            seen += 1
            assigned = re.sub(r"\s+", " ", statement.sql).partition(" set ")[2].partition(" where ")[0]
            columns = {part.partition("=")[0].strip() for part in assigned.split(",")}
            of_keys = statement.sql.rstrip().endswith("ended_at is null and kind = 'key'")
            assert columns <= MAY_CHANGE | (OF_KEYS if of_keys else frozenset()), statement
            assert "ended_at" not in columns or "ended_at = :now" in assigned, statement
            assert not columns or " where " in statement.sql
    assert seen > 5


def test_what_dialects_show_of_a_person_is_never_stale() -> None:
    """Every function of storage that writes what a Person holds raises the number under which it is remembered."""
    writes = re.compile(r"\b(?:insert into|update|delete from) (?:identifier|alias|credential|recovery_code|passkey)\b")
    harmless = {"rehash", "saw_digest", "use_step", "repeat_step", "let_lapse", "let_superseded_lapse", "signed"}
    silent, loud = [], []
    for source in sources():
        if not source.of("storage"):
            continue
        statements = {
            node.targets[0].id
            for node in source.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            and writes.search(" ".join(s for s in (c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant))
                                       if isinstance(s, str)))
        }  # fmt: skip
        for function in source.functions():
            used = {dotted(node) for node in ast.walk(function)}
            called = {dotted(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
            if used & statements:
                (loud if "changed" in called else silent).append(function.name)
    assert set(silent) == harmless
    assert len(loud) >= 6


def test_the_linter_bans_time_and_chance_too() -> None:
    settings = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    banned = settings["flake8-tidy-imports"]["banned-api"]
    assert {"time.time", "datetime.datetime.now", "secrets", "os.urandom", "random", "uuid.uuid4"} <= set(banned)
    assert all("core.ports" in entry["msg"] for entry in banned.values())
    allowed = {where for where, codes in settings["per-file-ignores"].items() if "TID251" in codes}
    assert allowed == {"tests/**", "bench/**", "src/dragoman/core/ports.py"}
    assert "TID" in settings["select"]
    assert not {"TID", "TID251"} & set(settings["ignore"])


def test_the_rules_read_the_whole_source() -> None:
    names = {s.name for s in sources()}
    assert {GATE, STORE, "model.py", "app.py", "cli/__init__.py"} <= names
    assert {s.name for s in sources() if s.of("dialects")} >= {f"dialects/{name}/routes.py" for name in DIALECTS}
    assert Path(ROOT / GATE).exists()
