"""`dragoman account deactivate`, `delete`, `erase`, `export` ...: words, questions, files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from cli.conftest import Desk
from cli.test_accounts import ADA, sign_in
from dragoman.core import refusals

pytestmark = pytest.mark.slow


def status(desk: Desk, name: str = "ada") -> str:
    return str(desk.json("account", "show", name)["status"])


def test_an_account_rests_is_barred_and_works_again(desk: Desk) -> None:
    desk.add(*ADA)
    for word, becomes in (("deactivate", "deactivated"), ("suspend", "suspended")):
        assert sign_in(desk, "ada", "correct horse battery")
        assert becomes in desk.done("account", word, "ada")
        assert status(desk) == becomes
        assert desk.json("session", "list", "ada") == []
        with pytest.raises(refusals.NotActive):
            sign_in(desk, "ada", "correct horse battery")
        assert "active" in desk.done("account", "activate", "ada")


def test_deleted_and_brought_back(desk: Desk) -> None:
    desk.add(*ADA)
    assert "30 days" in desk.done("account", "delete", "ada", "--yes")
    assert status(desk) == "deleted"
    assert "restore" in desk.refused("account", "activate", "ada")
    assert "restore" in desk.refused("account", "set-status", "ada", "suspended")
    assert "ada is active" in desk.done("account", "restore", "ada")
    assert "ada is active" in desk.done("account", "restore", "ada")
    assert sign_in(desk, "ada", "correct horse battery")


def test_erasing_wants_a_word_where_nobody_can_be_asked(desk: Desk) -> None:
    desk.add(*ADA)
    assert "--yes" in desk.refused("account", "erase", "ada", code=2)
    assert status(desk) == "active"
    desk.done("account", "erase", "ada", "--yes")
    assert "no such account" in desk.refused("account", "show", "ada")
    desk.add(*ADA)


@pytest.mark.parametrize("word", ["deactivate", "suspend", "delete", "erase"])
def test_the_last_administrator_stays(desk: Desk, word: str) -> None:
    desk.add(*ADA, "--role", "admin")
    words = ("account", word, "ada", *(["--yes"] if word in ("delete", "erase") else []))
    assert "set-role" in desk.refused(*words)
    assert "set-role" in desk.refused("account", "set-role", "ada", "user")
    desk.add("--email", "bob@example.com")
    desk.done("account", "set-role", "bob", "admin")
    assert desk.json("account", "show", "bob")["role"] == "admin"
    desk.done("account", "set-role", "ada", "user")
    desk.done(*words)
    assert "set-role" in desk.refused("account", "suspend", "bob")


def test_the_language_of_mail(desk: Desk) -> None:
    desk.add(*ADA, "--language", "de")
    desk.add("--email", "bob@example.com")
    assert desk.json("account", "show", "ada")["language"] == "de"
    assert desk.json("account", "show", "bob")["language"] is None
    desk.done("account", "set-language", "ada", "en")
    assert desk.json("account", "show", "ada")["language"] == "en"
    desk.done("account", "set-language", "ada", "default")
    assert desk.json("account", "show", "ada")["language"] is None
    desk.refused("account", "set-language", "ada", "fr", code=2)


def test_an_export_is_json_on_standard_output_or_in_a_file_of_ones_own(desk: Desk, tmp_path: Path) -> None:
    made = desk.add(*ADA)
    sign_in(desk, "ada", "correct horse battery")
    printed = desk.done("account", "export", "ada")
    assert printed.isascii()
    told = json.loads(printed)
    assert told["account"]["id"] == made["id"]
    assert [one["dialect"] for one in told["sessions"]] == ["rocketchat"]
    file = tmp_path / "ada.json"
    said = desk.done("account", "export", "ada", "--output", str(file))
    assert str(file) in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["account"] == told["account"]
    assert "there already" in desk.refused("account", "export", "ada", "-o", str(file))
    assert "cannot be written" in desk.refused("account", "export", "ada", "-o", str(tmp_path / "none" / "x"))
    nobody = tmp_path / "nobody.json"
    assert "no such account" in desk.refused("account", "export", "nobody", "-o", str(nobody))
    assert not nobody.exists()
    exported = [line for line in desk.done("events", "--json").splitlines() if "account_exported" in line]
    assert len(exported) == 2, "what was not handed out is not noted"


def test_what_people_typed_does_not_steer_the_terminal(desk: Desk) -> None:
    desk.add("--email", "eve@example.com", "--first-name", "Eve\u202e", "--last-name", "\u2066x")
    assert "\\u202e" in desk.done("account", "export", "eve")
