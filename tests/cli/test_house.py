"""`dragoman config`, `doctor`, `migrate`, `--help`: what an operator asks about the house itself."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from cli.conftest import Desk
from dragoman.cli.show import plain
from kit.command import dragoman
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

COMMANDS = (
    ("serve",), ("account",), ("account", "add"), ("account", "list"), ("account", "show"), ("account", "rename"),
    ("account", "set-password"), ("account", "set-status"), ("account", "unlock"), ("account", "delete"),
    *(("account", word) for word in ("deactivate", "suspend", "activate", "restore", "erase", "export")),
    ("account", "set-role"), ("account", "set-language"),
    ("account", "totp", "enable"), ("account", "totp", "disable"), ("session", "list"), ("session", "end"), ("events",),
    ("worker",), ("outbox", "list"), ("outbox", "retry"), ("outbox", "drop"), ("mail", "test"),
    ("keys", "list"), ("keys", "rotate"), ("doctor",), ("migrate",), ("config", "show"), ("config", "check"),
    ("config", "set"), ("config", "unset"),
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_takes_config_and_data(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.done(*words, "--help")
    assert "--config" in said
    assert "--data" in said


def test_help_imports_nothing_heavy() -> None:
    said = dragoman("--help", flags=("-X", "importtime"))
    imported = set(re.findall(r"\| +([\w.]+)$", said.stderr, re.MULTILINE))
    assert "click" in imported
    heavy = {"asyncio", "rich", "structlog", "msgspec", "cryptography", "dragoman.app", "dragoman.core"}
    assert not imported & heavy


def test_config_show_says_where_each_value_comes_from_and_hides_secrets(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[server]\nport = 8123\nworkers = 3\n[storage]\npostgres = "postgresql://u:hush@db/x"\n')
    desk.env["DRAGOMAN_SERVER_WORKERS"] = "2"
    printed = desk.done("config", "show", "--json", "--data", "elsewhere")
    assert "hush" not in printed
    shown = {one["name"]: one for one in json.loads(printed)}
    said = {name: (shown[name]["value"], shown[name]["source"]) for name in ("server.port", "server.workers")}
    assert said == {"server.port": (8123, "dragoman.toml"), "server.workers": (2, "DRAGOMAN_SERVER_WORKERS")}
    assert (shown["storage.data"]["value"], shown["storage.data"]["source"]) == ("elsewhere", "command line")
    assert shown["server.host"]["source"] == "default"
    assert all(one["description"] for one in shown.values())
    assert "hush" not in desk.done("config", "show")


def test_config_check_tells_everything_at_once(desk: Desk, tmp_path: Path) -> None:
    assert desk.json("config", "check") == {"ok": True, "faults": []}
    file = tmp_path / "bad.toml"
    file.write_text('[server]\nport = 99999\n[dialects.flashback]\nprefix = "x/"\n[nonsense]\na = 1\n')
    desk.env["DRAGOMAN_SERVER_PROT"] = "1"
    result = desk.run("config", "check", "--json", "--config", str(file))
    assert result.exit_code == 1
    faults = "\n".join(json.loads(result.stdout)["faults"])
    for name in ("server.port", "dialects.flashback.prefix", "nonsense", "DRAGOMAN_SERVER_PROT"):
        assert name in faults, faults
    exposed = desk.run("config", "check", "--config", str(tmp_path / "missing.toml"))
    assert exposed.exit_code == 1
    assert "missing.toml" in exposed.stderr


def test_doctor_names_setting_and_remedy(desk: Desk) -> None:
    desk.add("--email", "ada@example.com")
    ring = desk.data.parent / "data.keys"
    healthy = desk.json("doctor")
    assert "error" not in {one["level"] for one in healthy}
    assert {"accounts.conceal", "dialects.rocketchat.digest", "server.trusted_proxies", "server.tls_cert"} <= {
        one["setting"] for one in healthy
    }
    assert all(one["text"] and one["remedy"] for one in healthy)
    desk.data.chmod(0o755)
    desk.env["DRAGOMAN_SERVER_INSECURE"] = "true"
    desk.env["DRAGOMAN_ACCOUNTS_CONCEAL"] = "true"
    found = {(one["setting"], one["level"]) for one in desk.json("doctor")}
    assert {("server.insecure", "warning"), ("storage.data", "warning")} <= found
    assert "accounts.conceal" not in {setting for setting, _ in found}
    ring.chmod(0o644)
    result = desk.run("doctor", "--json")
    assert result.exit_code == 1
    assert {"storage", "storage.key_ring"} <= {one["setting"] for one in json.loads(result.stdout)}


def test_doctor_notices_foreign_hashes_and_a_clock_that_went_back(desk: Desk) -> None:
    desk.add("--email", "ada@example.com")
    with sqlite3.connect(desk.data / "dragoman.db") as db:
        db.execute("update credential set scheme = 'bcrypt:rounds=12'")
        db.execute("update event set at = at + 3600000")
    db.close()
    result = desk.run("doctor", "--json")
    said = {one["setting"]: one["text"] for one in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert "1 bcrypt" in said["accounts"]
    assert "ahead" in said["clock"]


def test_migrate_makes_and_keeps_a_database_and_refuses_a_newer_one(desk: Desk) -> None:
    fresh = ("--data", str(desk.data.parent / "fresh" / "data"))
    assert dragoman("migrate", *fresh).returncode == 0
    assert dragoman("migrate", *fresh).returncode == 0
    database = desk.data.parent / "fresh" / "data" / "dragoman.db"
    with sqlite3.connect(database) as db:
        db.execute("update alembic_version set version_num = '9999'")
    db.close()
    for words in (("migrate",), ("serve", "--port", "0")):
        refused = dragoman(*words, *fresh)
        assert refused.returncode == 1
        assert "newer Dragoman" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, refused.stderr


def test_everything_works_on_postgresql(desk: Desk, postgres_dsn: str) -> None:
    env = {"DRAGOMAN_STORAGE_POSTGRES": postgres_dsn, "DRAGOMAN_STORAGE_KEY_RING": str(desk.data.parent / "pg.keys")}
    desk.env |= env
    assert "dragoman migrate" in desk.refused("account", "list")
    migrated = dragoman("migrate", env=env)
    assert migrated.returncode == 0, migrated.stderr
    desk.add("--email", "ada@example.com", "--organization", "Acme")
    desk.done("account", "rename", "ada", "lovelace")
    assert [one["username"] for one in desk.json("account", "list")] == ["lovelace"]
    assert [json.loads(line)["kind"] for line in desk.done("events", "--json").splitlines()][-1] == "account_changed"
    desk.done("session", "end", "lovelace")
    assert "clock" not in {one["setting"] for one in desk.json("doctor")}


def test_a_postgresql_that_is_not_there_is_told_in_one_line(postgres_cluster: Cluster, tmp_path: Path) -> None:
    for dsn in (postgres_cluster.dsn("nobody_made_this"), "postgresql://u:hush@127.0.0.1:1/x"):
        env = {"DRAGOMAN_STORAGE_POSTGRES": dsn, "DRAGOMAN_STORAGE_KEY_RING": str(tmp_path / "pg.keys")}
        for words in (("migrate",), ("account", "list"), ("serve", "--port", "0")):
            refused = dragoman(*words, env=env)
            assert refused.returncode == 1, words
            assert len(refused.stderr.splitlines()) == 1, refused.stderr
            assert "hush" not in refused.stderr


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("Ada Example", "Ada Example"),
        ("Jos\u00e9 \u732b", "Jos\u00e9 \u732b"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\x9b\ud800", "\\x9b\\ud800"),
    ],
)
def test_plain(given: str, printed: str) -> None:
    assert plain(given) == printed
