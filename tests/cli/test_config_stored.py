"""`dragoman config set`, `unset` and what `show` says of it: settings changed while the server runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.conftest import Desk
from kit.command import dragoman, serving

pytestmark = pytest.mark.slow

HOUR = "limits.account_hour"


def shown(desk: Desk, name: str = HOUR) -> dict[str, Any]:
    return next(one for one in desk.json("config", "show") if one["name"] == name)


def test_set_and_unset_say_what_is_in_force(desk: Desk) -> None:
    assert desk.done("config", "set", HOUR, "7") == f"{HOUR} is 7 now; the configuration file says 30\n"
    one = shown(desk)
    assert (one["value"], one["source"], one["floor"], one["by"]) == (7, "stored", 30, "operator")
    assert one["at"].endswith("Z")
    (line,) = [line for line in desk.done("config", "show").splitlines() if line.startswith(HOUR)]
    assert line.startswith(f"{HOUR}\t7\tstored (by operator, 20")
    assert line.endswith("); floor 30, default")
    assert desk.done("config", "unset", HOUR) == f"{HOUR} is 30 now, as the configuration file says\n"
    assert {key: shown(desk).get(key) for key in ("value", "source", "floor", "by")} == {
        "value": 30, "source": "default", "floor": 30, "by": None,
    }  # fmt: skip
    assert "nothing is stored" in desk.refused("config", "unset", HOUR)
    told = [json.loads(line) for line in desk.done("events", "--json").splitlines()]
    assert [line["detail"]["to"] for line in told if line["kind"] == "setting_changed"] == ["7", "30"]


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("limits.account_minutes", "7.5", 7.5),
        ("limits.account_minutes", "8", 8.0),
        ("accounts.conceal", "true", True),
        ("accounts.email_codes", "false", False),
        ("accounts.registration", "disabled", "disabled"),
    ],
)
def test_values_are_typed_as_in_a_file(desk: Desk, name: str, typed: str, value: Any) -> None:
    desk.done("config", "set", name, typed)
    assert shown(desk, name)["value"] == value


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        (HOUR, "31", "31 is looser than 30, which the configuration file says"),
        (HOUR, "0", "not a value of this setting"),
        (HOUR, "-5", "not a value of this setting"),
        (HOUR, "many", "not a value of this setting"),
        (HOUR, "", "not a value of this setting"),
        (HOUR, "\udcff", "not a value of this setting"),
        ("limits.account_minutes", "4.9", "4.9 is looser than 5.0"),
        ("limits.account_minutes", "nan", "not a value of this setting"),
        ("accounts.registration", "public", '"public" is looser than "disabled"'),
        ("accounts.registration", "some", "expected one of disabled, secret, private, public"),
        ("server.port", "1", "no setting of this name can be changed while the server runs"),
        ("nothing", "1", "no setting of this name"),
    ],
)
def test_what_is_refused_is_told_in_one_line(desk: Desk, name: str, typed: str, told: str) -> None:
    said = desk.refused("config", "set", "--", name, typed)
    assert said.startswith(f"dragoman: {name}: ")
    assert told in said
    assert [one for one in desk.json("config", "show") if one["source"] == "stored"] == []


def test_the_floor_is_what_the_file_says(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "dragoman.toml").write_text("[limits]\naccount_hour = 100\n")
    desk.done("config", "set", HOUR, "90")
    one = shown(desk)
    assert (one["value"], one["floor"], one["source"]) == (90, 100, "stored")
    (tmp_path / "dragoman.toml").write_text("[limits]\naccount_hour = 12\n")
    one = shown(desk)
    assert (one["value"], one["floor"], one["source"]) == (12, 12, "dragoman.toml")
    assert "by" not in one


def test_show_works_without_a_database(desk: Desk, tmp_path: Path) -> None:
    nothing = ("--data", str(tmp_path / "none" / "data"))
    result = desk.run("config", "show", "--json", *nothing)
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(one["source"] != "stored" for one in json.loads(result.stdout))
    assert not (tmp_path / "none").exists()
    said = desk.refused("config", "set", HOUR, "5", *nothing)
    assert "dragoman migrate" in said


def test_show_says_when_the_database_cannot_be_asked(desk: Desk) -> None:
    (desk.data / "dragoman.db").write_bytes(b"")
    result = desk.run("config", "show", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert len(result.stderr.splitlines()) == 1
    assert "what is stored is not shown" in result.stderr
    assert "dragoman migrate" in result.stderr


def test_on_postgresql(desk: Desk, postgres_dsn: str) -> None:
    desk.env |= {
        "DRAGOMAN_STORAGE_POSTGRES": postgres_dsn, "DRAGOMAN_STORAGE_KEY_RING": str(desk.data.parent / "pg.keys"),
    }  # fmt: skip
    assert "dragoman migrate" in desk.run("config", "show").stderr
    desk.done("migrate")
    desk.done("config", "set", HOUR, "7")
    assert (shown(desk)["value"], shown(desk)["by"]) == (7, "operator")
    desk.env["DRAGOMAN_STORAGE_POSTGRES"] = "postgresql://u:hush@127.0.0.1:1/x"
    result = desk.run("config", "show", "--json")
    assert (result.exit_code, len(result.stderr.splitlines())) == (0, 1)
    assert "hush" not in result.stderr + result.stdout


def test_a_running_server_with_two_workers_follows_at_once(tmp_path: Path) -> None:
    """Real processes: the command line changes it, and whichever worker takes the next sign-in keeps to it."""
    data = tmp_path / "data"
    with serving(data, "--workers", "2") as running, httpx2.Client(base_url=running.address, timeout=60) as client:
        where = ("--data", str(data))
        added = ("account", "add", "--email", "ada@example.com", "--username", "ada", "--password-stdin")
        assert dragoman(*added, *where, given="correct horse battery").returncode == 0

        def answers(number: int) -> list[str]:
            sent = {"user": "ada", "password": "wrong"}
            fresh = {"connection": "close"}  # each on a connection of its own: either worker may take it
            return [client.post("/api/v1/login", json=sent, headers=fresh).json()["error"] for _ in range(number)]

        assert answers(3) == ["Unauthorized"] * 3
        locked = "error-login-blocked-for-user"
        for limit, expected in (("3", locked), ("2", locked), ("4", "Unauthorized")):
            done = dragoman("config", "set", "limits.account_5_minutes", limit, *where)
            assert done.returncode == 0, done.stderr
            assert answers(1) == [expected]
        assert answers(4) == [locked] * 4
        assert dragoman("config", "unset", "limits.account_5_minutes", *where).returncode == 0
        assert answers(1) == ["Unauthorized"]
