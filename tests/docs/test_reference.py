"""The generated pages are what the generator writes, and say everything they should."""

import importlib.util
import re
from pathlib import Path

import pytest

from dragoman import settings
from dragoman.core import events, refusals
from dragoman.storage.schema import metadata

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"


@pytest.fixture(scope="module")
def generator():
    """The script that `make docs` runs, as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_page_is_fresh(generator):
    stale = [path.name for path, text in generator.written().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: make docs"


def test_the_check_names_stale_pages_and_writes_nothing(generator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "REFERENCE", tmp_path)
    assert generator.main(["--check"]) == 1
    assert "settings.md is stale" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_every_setting_is_documented():
    page = (REFERENCE / "settings.md").read_text()
    for known in settings.catalogue():
        assert known.description, f"{known.name} has no description"
        assert f"| `{known.variable}` |" in page, known.name
    for variable in settings.OTHER_VARIABLES:
        assert f"`{variable}`" in page


def test_every_refusal_event_table_and_operation_is_documented(generator):
    said = (REFERENCE / "refusals.md").read_text()
    assert all(f"\n## {kind.__name__}\n" in said for kind in refusals.catalogue())
    assert said.count("| Rocket.Chat |") == len(refusals.catalogue())
    kinds = (REFERENCE / "events.md").read_text()
    assert all(f"| `{kind}` |" in kinds for kind in events.KINDS)
    tables = (REFERENCE / "tables.md").read_text()
    assert all(f"\n## {table}\n" in tables for table in metadata.tables)
    operations = (REFERENCE / "operations.md").read_text()
    for dialect in generator.dialects():
        for each in dialect.operations:
            assert f"| `{each.method} {each.path}` |" in operations


def test_every_decision_threat_and_table_that_the_code_cites_can_be_looked_up():
    decisions = (REFERENCE / "decisions.md").read_text()
    threats = (REFERENCE / "threats.md").read_text()
    there = {
        "decision": set(re.findall(r"^(\d+)\. \*?", decisions, re.MULTILINE)),
        "threat": set(re.findall(r"^\| (\d+) \|", threats, re.MULTILINE)),
        "table": set(re.findall(r"^## Table ([A-E])", decisions, re.MULTILINE)),
    }
    assert (len(there["decision"]), len(there["threat"]), len(there["table"])) == (45, 50, 5)
    cited = 0
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py")]:
        text = " ".join(path.read_text(encoding="utf-8").split())
        for kind, numbers in re.findall(r"\b(decision|threat)s? ((?:\d+(?:, | and | to )?)+)", text):
            for number in re.findall(r"\d+", numbers):
                assert number in there[kind], (path.name, kind, number)
                cited += 1
        for letter in re.findall(r"\btable ([A-Z])\b", text):
            assert letter in there["table"], (path.name, letter)
    assert cited > 100
