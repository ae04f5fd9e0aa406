"""Commands run within the test process, over one data folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from dragoman.cli import main
from kit.command import FAST
from kit.house import empty_database


class Desk:
    """An operator's desk: commands on one installation."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.env: dict[str, str | None] = {**FAST, "DRAGOMAN_STORAGE_DATA": str(data), "COLUMNS": "200"}

    def run(self, *words: str, given: str | None = None) -> Result:
        """Run a command to its end."""
        result = CliRunner(env=self.env).invoke(main, words, input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def done(self, *words: str, given: str | None = None) -> str:
        """Run a command that must succeed; return what it printed."""
        result = self.run(*words, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str, given: str | None = None) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.done(*words, "--json", given=given))

    def json_lines(self, *words: str) -> list[Any]:
        """Run a command that prints one JSON object per line and return them."""
        return [json.loads(line) for line in self.done(*words, "--json").splitlines()]

    def refused(self, *words: str, given: str | None = None, code: int = 1) -> str:
        """Run a command that must be refused in one clear line; return that line."""
        result = self.run(*words, given=given)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        if code == 1:
            assert len(result.stderr.splitlines()) == 1, result.stderr
        return result.stderr

    def add(self, *words: str, password: str = "correct horse battery") -> Any:
        """Add an account; return it as printed."""
        return self.json("account", "add", "--password-stdin", *words, given=f"{password}\n")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk over a migrated, empty database."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copy(empty_database(), data / "dragoman.db")
    yield Desk(data)
    structlog.reset_defaults()
