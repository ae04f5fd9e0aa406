"""The page about this dialect names every operation and every method, and none that there is not."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import dragoman.dialects.rocketchat as rocketchat
from dragoman.dialects.rocketchat.ddp.methods import METHODS

PAGE = (Path(rocketchat.__file__).parent / "README.md").read_text("utf-8")
TABLES = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| "))
"""The first columns of all tables."""


def test_it_lists_every_operation_once_and_no_other() -> None:
    listed = Counter(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", TABLES))
    declared = Counter(f"{operation.method} {operation.path}" for operation in rocketchat.DIALECT.operations)
    assert listed == declared


def test_it_lists_every_method_once_and_no_other() -> None:
    table = PAGE.partition("| method | params | result |")[2].partition("\n\n")[0]
    first = "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    listed = Counter(re.findall(r"`([^`]+)`", first))
    assert listed == Counter(list(METHODS))


def test_it_has_the_parts_that_every_dialect_s_page_has() -> None:
    parts = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    wanted = ["Endpoint", "Authentication", "Operations", "Errors", "Settings", "Differences from the original"]
    assert [part for part in parts if part in wanted] == wanted
