"""`dragoman directory`, and what `config` and `doctor` say of the directory's settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Desk
from dragoman.settings import BadSettings, load
from kit.directory import BASE, READER, READER_PASSWORD, Slapd, free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd") / "d") as running:
        running.person("dora", "dora's own password", mail="dora@example.com", givenName="Dora")
        yield running


@pytest.fixture
def linked(desk: Desk, slapd: Slapd) -> Desk:
    """A desk whose installation asks the directory."""
    desk.env |= {
        "DRAGOMAN_DIRECTORY_URLS": slapd.url, "DRAGOMAN_DIRECTORY_BASE": slapd.base,
        "DRAGOMAN_DIRECTORY_BIND_NAME": READER, "DRAGOMAN_DIRECTORY_BIND_PASSWORD": READER_PASSWORD,
        "DRAGOMAN_DIRECTORY_TIMEOUT_SECONDS": "3",
    }  # fmt: skip
    return desk


def test_check_says_whether_the_directory_answers(linked: Desk) -> None:
    assert "the directory answers" in linked.done("directory", "check")
    linked.env["DRAGOMAN_DIRECTORY_BIND_PASSWORD"] = "canary-wrong"
    said = linked.refused("directory", "check")
    assert "bind to search: 49" in said
    assert "canary" not in said
    linked.env["DRAGOMAN_DIRECTORY_URLS"] = f"ldap://127.0.0.1:{free_port()}"
    assert "connect: refused" in linked.refused("directory", "check")


def test_check_proves_a_person_and_shows_what_would_be_taken_over(linked: Desk) -> None:
    shown = linked.json("directory", "check", "--name", "dora", given="dora's own password\n")
    assert (shown["username"], shown["emails"], shown["first_name"]) == ("dora", ["dora@example.com"], "Dora")
    assert "wrong" not in linked.refused("directory", "check", "--name", "dora", given="wrong\n")
    assert "search" in linked.refused("directory", "check", "--name", "nobody", given="x\n")
    assert [one["username"] for one in linked.json("account", "list")] == [], "nobody was made"


def test_check_without_a_directory_names_the_setting(desk: Desk) -> None:
    assert "directory.urls" in desk.refused("directory", "check")


def test_unlink_says_what_became_of_the_account(linked: Desk) -> None:
    linked.add("--email", "ada@example.com", "--username", "ada")
    assert "belongs to no directory" in linked.done("directory", "unlink", "ada")
    assert "no such account" in linked.refused("directory", "unlink", "nobody")


def test_config_show_hides_the_readers_password(linked: Desk) -> None:
    for words in (("config", "show"), ("config", "show", "--json")):
        printed = linked.done(*words)
        assert "directory.bind_password" in printed
        assert READER_PASSWORD not in printed


GOOD: dict[str, Any] = {"directory.urls": ["ldap://ldap.example.com"], "directory.base": BASE}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no base": ({"directory.base": ""}, "directory.base"),
    "no scheme": ({"directory.urls": ["ldap.example.com"]}, "directory.urls"),
    "other scheme": ({"directory.urls": ["http://ldap.example.com"]}, "directory.urls"),
    "a base in the address": ({"directory.urls": ["ldap://ldap.example.com/dc=example"]}, "directory.urls"),
    "a password in the address": ({"directory.urls": ["ldap://u:p@ldap.example.com"]}, "directory.urls"),
    "no port": ({"directory.urls": ["ldap://ldap.example.com:99999"]}, "directory.urls"),
    "twice encrypted": (
        {"directory.urls": ["ldaps://a.example.com"], "directory.starttls": True}, "directory.starttls",
    ),
    "no name in the filter": ({"directory.filter": "(uid=ada)"}, "directory.filter"),
    "no filter": ({"directory.filter": ""}, "directory.filter"),
    "open filter": ({"directory.filter": "(uid={name}"}, "directory.filter"),
    "group without a base": ({"directory.group_filter": "(member={dn})"}, "directory.group_base"),
    "group of nobody": (
        {"directory.group_filter": "(cn=staff)", "directory.group_base": BASE}, "directory.group_filter",
    ),
    "reader without a password": ({"directory.bind_name": "cn=reader"}, "directory.bind_name"),
    "password without a reader": ({"directory.bind_password": "hush"}, "directory.bind_name"),
    "no id": ({"directory.attribute_id": ""}, "directory.attribute_id"),
    "no username": ({"directory.attribute_username": ""}, "directory.attribute_username"),
    "odd merge": ({"directory.merge": "always"}, "directory.merge"),
    "odd fallback": ({"directory.fallback": "always"}, "directory.fallback"),
    "no time": ({"directory.timeout_seconds": 0}, "directory.timeout_seconds"),
    "for ever": ({"directory.timeout_seconds": 300}, "directory.timeout_seconds"),
    "no connections": ({"directory.connections": 0}, "directory.connections"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_work_is_named_with_its_setting(fault: str) -> None:
    changes, setting = FAULTS[fault]
    assert load(None, {}, GOOD).directory.urls
    with pytest.raises(BadSettings) as bad:
        load(None, {}, GOOD | changes)
    assert [one for one in bad.value.faults if one.startswith(setting)], bad.value.faults
    assert "hush" not in str(bad.value)


def test_settings_of_a_directory_that_is_off_are_not_judged() -> None:
    assert load(None, {}, {"directory.base": "", "directory.bind_name": "x"}).directory.urls == ()


def findings(desk: Desk, *words: str) -> dict[str, str]:
    result = desk.run("doctor", "--json", *words)
    return {one["setting"]: one["level"] for one in json.loads(result.stdout) if one["setting"].startswith("directory")}


def test_doctor_judges_how_the_directory_is_asked(linked: Desk, slapd: Slapd, tmp_path: Path) -> None:
    assert findings(linked, "--online") == {"directory.urls": "warning"}, "in clear"
    linked.env |= {"DRAGOMAN_DIRECTORY_STARTTLS": "true", "DRAGOMAN_DIRECTORY_CA_FILE": slapd.ca_file}
    assert findings(linked, "--online") == {}
    linked.env["DRAGOMAN_DIRECTORY_CA_FILE"] = str(tmp_path / "missing.pem")
    assert findings(linked) == {}, "asked only when told to"
    assert findings(linked, "--online") == {"directory.urls": "error"}
    linked.env |= {
        "DRAGOMAN_DIRECTORY_BIND_NAME": "", "DRAGOMAN_DIRECTORY_BIND_PASSWORD": "",
        "DRAGOMAN_DIRECTORY_MERGE": "same-name", "DRAGOMAN_DIRECTORY_FALLBACK": "unreachable",
    }  # fmt: skip
    assert findings(linked) == {
        "directory.bind_name": "note", "directory.merge": "note", "directory.fallback": "note",
    }  # fmt: skip
