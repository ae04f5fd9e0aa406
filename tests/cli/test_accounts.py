"""`dragoman account`, `session`, `events` and `keys` on one installation."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import bcrypt
import pyotp
import pytest

from cli.conftest import Desk
from dragoman.app import opened
from dragoman.core import refusals
from dragoman.dialects import rocketchat
from dragoman.model import Password, SignedIn, Typed
from kit.command import dragoman, environment
from kit.house import client, fast_settings

pytestmark = pytest.mark.slow

ADA = ("--email", "ada@example.com", "--username", "ada", "--first-name", "Ada", "--last-name", "Example")


def sign_in(desk: Desk, name: str, password: str, code: str | None = None) -> SignedIn:
    """Sign in at the first door, straight at the core."""

    async def run() -> SignedIn:
        async with opened(fast_settings(desk.data.parent)) as core:
            door = rocketchat.DIALECT.door
            assert door is not None
            outcome = await core.signin.with_password(
                door, Typed("any", name), Password.from_plain(password), client(), code=code
            )
            assert isinstance(outcome, SignedIn)
            return outcome

    return asyncio.run(run())


def test_an_added_account_signs_in_and_shows_everything_but_secrets(desk: Desk) -> None:
    made = desk.add(*ADA, "--phone", "+14155550100", "--verified", "--kind", "bot")
    assert "password" not in made
    shown = desk.json("account", "show", "ada@example.com")
    assert {name: shown[name] for name in ("username", "email", "phone", "firstName", "lastName", "kind", "role")} == {
        "username": "ada", "email": "ada@example.com", "phone": "+14155550100", "firstName": "Ada",
        "lastName": "Example", "kind": "bot", "role": "user",
    }  # fmt: skip
    assert {i["kind"]: i["state"] for i in shown["identifiers"]}["email"] == "verified"
    assert shown["id"] == made["id"]
    assert shown["aliases"].keys() == {"rocketchat", "probe", "pocketm8"}
    signed_in = sign_in(desk, "ada", "correct horse battery")
    assert signed_in.person.username == "ada"
    assert desk.json("account", "show", "ada")["sessions"] == 1


def test_options_stand_before_or_after_the_command(desk: Desk, tmp_path: Path) -> None:
    desk.add(*ADA)
    del desk.env["DRAGOMAN_STORAGE_DATA"]
    file = tmp_path / "other.toml"
    file.write_text(f'[storage]\ndata = "{desk.data}"\n')
    words = ("account", "list", "--json")
    for spelled in (
        ("--data", str(desk.data), *words), (*words, "--data", str(desk.data)),
        ("account", "--data", str(desk.data), "list", "--json"),
        ("--config", str(file), *words), (*words, "--config", str(file)),
    ):  # fmt: skip
        assert [one["username"] for one in json.loads(desk.done(*spelled))] == ["ada"], spelled
    assert "dragoman migrate" in desk.refused(*words)


def test_a_generated_password_is_printed_once_and_signs_in(desk: Desk) -> None:
    made = desk.json("account", "add", "--email", "bob@example.com", "--generate-password")
    assert sign_in(desk, "bob@example.com", made["password"])
    changed = desk.json("account", "set-password", "bob", "--generate-password", "--initial")
    assert changed["password"] != made["password"]
    assert desk.json("session", "list", "bob") == []
    with pytest.raises(refusals.WrongPassword):
        sign_in(desk, "bob", made["password"])
    assert sign_in(desk, "bob", changed["password"])


def test_passwords_come_from_exactly_one_place_and_keep_the_policy(desk: Desk) -> None:
    for ways in ((), ("--password-stdin", "--generate-password")):
        said = desk.refused("account", "add", *ADA, *ways, given="x" * 20, code=2)
        assert "exactly one" in said
    assert "no password" in desk.refused("account", "add", *ADA, "--password-stdin", given="\n", code=2)
    assert "--allow-weak" in desk.refused("account", "add", *ADA, "--password-stdin", given="password\n")
    desk.done("account", "add", *ADA, "--password-stdin", "--allow-weak", given="password\n")
    assert sign_in(desk, "ada", "password")
    assert "fewer than 8" in desk.refused("account", "set-password", "ada", "--password-stdin", given="short\n")


def test_only_one_line_break_is_taken_off_a_password(desk: Desk) -> None:
    desk.add(*ADA, password="  correct horse \r\n")
    assert sign_in(desk, "ada", "  correct horse \r\n")


def test_names_that_cannot_be_or_are_taken_are_refused(desk: Desk) -> None:
    desk.add(*ADA)
    for words, said in (
        (("--email", "ADA@example.com"), "another account has this email"),
        (("--email", "other@example.com", "--username", "ADA"), "another account has this username"),
        (("--email", "nobody"), "email"),
        (("--email", "bob@example.com", "--phone", "12"), "phone"),
        (("--email", "bob@example.com", "--first-name", "\x1b[2J"), "name"),
        (("--email", "bob@example.com", "--organization", ""), "organization"),
    ):
        refused = desk.refused("account", "add", *words, "--password-stdin", given="correct horse battery\n")
        assert said in refused, words
    assert "--email" in desk.refused("account", "add", "--generate-password", code=2)
    assert len(desk.json("account", "list")) == 1


def test_a_name_that_several_answer_to_is_refused_with_the_candidates(desk: Desk) -> None:
    ada = desk.add(*ADA)
    number = ada["aliases"]["probe"]
    desk.add("--email", "bob@example.com", "--username", number)
    said = desk.refused("account", "show", number)
    assert f"username:{number}" in said
    assert f"probe:{number}" in said
    assert desk.json("account", "show", f"probe:{number}")["username"] == "ada"
    assert desk.json("account", "show", f"username:{number}")["email"] == "bob@example.com"
    assert desk.json("account", "show", ada["aliases"]["rocketchat"])["username"] == "ada"
    assert "no such account" in desk.refused("account", "show", "nobody")


def test_organizations_are_made_by_name_and_found_again(desk: Desk) -> None:
    people = [
        desk.add("--email", f"{name}@example.com", *where)
        for name, where in (
            ("ada", ()), ("bob", ("--organization", "Acme")), ("eve", ("--organization", "Acme")),
            ("joe", ("--organization", "Default")),
        )
    ]  # fmt: skip
    ada, bob, eve, joe = (person["organization"] for person in people)
    assert bob == eve
    assert ada == joe != bob


def test_rename_status_unlock_delete(desk: Desk) -> None:
    desk.add(*ADA)
    for _ in range(10):
        with pytest.raises(refusals.WrongPassword):
            sign_in(desk, "ada", "wrong wrong wrong")
    with pytest.raises(refusals.AccountLocked):
        sign_in(desk, "ada", "correct horse battery")
    desk.done("account", "unlock", "ada")
    assert sign_in(desk, "ada", "correct horse battery")
    desk.done("account", "rename", "ada", "lovelace")
    desk.done("account", "set-status", "lovelace", "suspended")
    assert desk.json("session", "list", "lovelace") == []
    with pytest.raises(refusals.NotActive):
        sign_in(desk, "lovelace", "correct horse battery")
    desk.done("account", "set-status", "lovelace", "active")
    assert sign_in(desk, "lovelace", "correct horse battery")
    desk.done("account", "delete", "lovelace")
    assert desk.json("account", "show", "lovelace")["status"] == "deleted"
    kinds = {json.loads(line)["kind"] for line in desk.done("events", "--json", "--limit", "100").splitlines()}
    assert {"account_added", "password_refused", "signed_in", "account_changed"} <= kinds


def test_totp_is_enrolled_shown_once_and_removed(desk: Desk) -> None:
    desk.add(*ADA)
    enrolled = desk.json("account", "totp", "enable", "ada")
    assert enrolled["url"].startswith("otpauth://totp/")
    assert len(set(enrolled["recoveryCodes"])) == 12
    assert desk.json("account", "show", "ada")["factors"] == ["recovery", "totp"]
    assert sign_in(desk, "ada", "correct horse battery", pyotp.TOTP(enrolled["secret"]).now())
    assert sign_in(desk, "ada", "correct horse battery", enrolled["recoveryCodes"][0])
    assert "enrolled already" in desk.refused("account", "totp", "enable", "ada")
    desk.done("account", "totp", "disable", "ada")
    assert desk.json("session", "list", "ada") == []
    assert sign_in(desk, "ada", "correct horse battery")
    assert "not enrolled" in desk.refused("account", "totp", "disable", "ada")


def test_codes_by_mail_are_enrolled_and_removed(desk: Desk) -> None:
    desk.add(*ADA)
    assert "mail.transport" in desk.refused("account", "email-code", "enable", "ada")
    desk.env["DRAGOMAN_MAIL_TRANSPORT"] = "console"
    desk.add("--username", "carol")
    assert "no e-mail address" in desk.refused("account", "email-code", "enable", "carol")
    assert "by mail" in desk.run("account", "email-code", "enable", "ada").output
    assert desk.json("account", "show", "ada")["factors"] == ["email"]
    assert "enrolled already" in desk.refused("account", "email-code", "enable", "ada")
    desk.done("account", "email-code", "disable", "ada")
    assert "not enrolled" in desk.refused("account", "email-code", "disable", "ada")
    with_codes = desk.json("account", "email-code", "enable", "ada", "--recovery-codes")["recoveryCodes"]
    assert len(set(with_codes)) == 12
    assert desk.json("account", "show", "ada")["factors"] == ["email", "recovery"]
    assert sign_in(desk, "ada", "correct horse battery", with_codes[0])
    desk.done("account", "email-code", "disable", "ada")
    assert sign_in(desk, "ada", "correct horse battery")


def test_sessions_end_one_by_one_and_all_together(desk: Desk) -> None:
    desk.add(*ADA)
    desk.add("--email", "bob@example.com")
    first, second = (sign_in(desk, "ada", "correct horse battery") for _ in range(2))
    other = sign_in(desk, "bob", "correct horse battery")
    ids = [one["id"] for one in desk.json("session", "list", "ada")]
    assert len(ids) == 2
    foreign = str(UUID(bytes=other.session.id))
    assert "no live session" in desk.refused("session", "end", "ada", "--session", foreign)
    desk.done("session", "end", "ada", "--session", ids[0])
    assert [one["id"] for one in desk.json("session", "list", "ada")] == ids[1:]
    assert "1 session of ada" in desk.done("session", "end", "ada")
    assert desk.json("session", "list", "ada") == []
    assert len(desk.json("session", "list", "bob")) == 1
    assert {first.session.account, second.session.account} == {first.session.account}


def test_keys_are_listed_rotated_and_refused_beyond_three(desk: Desk) -> None:
    before = desk.json("keys", "list")
    uses = {key["use"] for key in before}
    assert all(key["issues"] and key["believedUntil"] is None for key in before)
    desk.done("keys", "rotate", "--use", "flashback_access")
    after = [key for key in desk.json("keys", "list") if key["use"] == "flashback_access"]
    assert [(key["issues"], key["believedUntil"] is None) for key in after] == [(True, True), (False, False)]
    assert after[1]["kid"] != after[0]["kid"]
    desk.done("keys", "rotate")
    assert {key["use"] for key in desk.json("keys", "list")} == uses
    assert "--force" in desk.refused("keys", "rotate")
    desk.done("keys", "rotate", "--force")
    assert "no key for nothing" in desk.refused("keys", "rotate", "--use", "nothing")


def test_events_follow_what_other_processes_do(desk: Desk) -> None:
    desk.add(*ADA)
    words = ("events", "--follow", "--json", "--limit", "1", "--data", str(desk.data))
    following = subprocess.Popen(
        [sys.executable, "-m", "dragoman", *words], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    try:
        first = json.loads(following.stdout.readline())
        done = dragoman("account", "rename", "ada", "lovelace", "--data", str(desk.data))
        assert done.returncode == 0, done.stderr
        second = json.loads(following.stdout.readline())
    finally:
        following.terminate()
        following.wait(20)
        following.stdout.close()
    assert second["number"] > first["number"]
    assert (second["kind"], second["detail"]["what"]) == ("account_changed", "username")


def test_what_people_typed_neither_steers_the_terminal_nor_marks_it_up(desk: Desk) -> None:
    desk.add("--email", "eve@example.com", "--first-name", "[red]Eve\u202e", "--last-name", "\u2066[/]x")
    for words in (("account", "list"), ("account", "show", "eve")):
        printed = desk.done(*words)
        assert "[red]Eve\\u202e" in printed
        assert "\u202e" not in printed
        assert "\u2066" not in printed
    refused = desk.refused("account", "show", "\x1b]0;owned\x07")
    assert "\x1b" not in refused
    assert "\x1b" not in desk.refused("session", "end", "eve\x1b[2J")


@pytest.mark.parametrize("over_digest", [False, True])
def test_an_imported_hash_signs_in_once_as_it_is_and_is_rewritten(desk: Desk, over_digest: bool) -> None:
    desk.add(*ADA)
    secret = b"the old password"
    over = hashlib.sha256(secret).hexdigest().encode() if over_digest else secret
    made_elsewhere = bcrypt.hashpw(over, bcrypt.gensalt(4)).decode()
    desk.done("account", "import-hash", "ada", *(["--over-digest"] if over_digest else []), given=made_elsewhere)
    for _ in range(2):
        assert sign_in(desk, "ada", secret.decode()).person.username == "ada"
    assert '"password_set"' in desk.done("events", "--json")


def test_what_is_no_hash_is_refused(desk: Desk) -> None:
    desk.add(*ADA)
    assert "no hash of a known form" in desk.refused("account", "import-hash", "ada", given="plain", code=2)
    costly = "$2b$20$" + "a" * 53
    assert "more memory or time" in desk.refused("account", "import-hash", "ada", given=costly, code=2)
    assert sign_in(desk, "ada", "correct horse battery").person.username == "ada"


def test_an_operator_changes_address_and_phone_and_sees_what_lapses(desk: Desk) -> None:
    desk.add(*ADA, "--verified", "--phone", "+14155550100")
    desk.env["DRAGOMAN_MAIL_TRANSPORT"] = "console"
    assert desk.done("account", "set-email", "ada", "new@example.com") == "ada has the e-mail address new@example.com\n"
    shown = {one["value"]: one for one in desk.json("account", "show", "ada")["identifiers"]}
    assert (shown["new@example.com"]["state"], shown["new@example.com"]["lapsesAt"]) == ("vouched", None)
    assert shown["ada@example.com"]["lapsesAt"] is not None
    assert "ada@example.com (verified, lapses 20" in desk.done("account", "show", "ada")
    desk.done("account", "set-email", "ada", "new@example.com", "--verified")
    assert "new@example.com (verified)" in desk.done("account", "show", "ada")
    desk.done("account", "set-phone", "ada", "+1 415 555 0101")
    assert desk.json("account", "show", "ada")["phone"] == "+14155550101"
    assert desk.done("account", "set-phone", "ada", "--none") == "ada has the phone number -\n"
    desk.refused("account", "set-phone", "ada", code=2)
    desk.add("--email", "bob@example.com")
    assert "another account has" in desk.refused("account", "set-email", "ada", "BOB@example.com")
    assert "one @" in desk.refused("account", "set-email", "ada", "nowhere")


def test_an_operator_sees_what_waits_to_be_verified(desk: Desk) -> None:
    desk.add(*ADA, "--verified")

    async def claim() -> None:
        async with opened(fast_settings(desk.data.parent)) as core:
            await core.addresses.change_email(await core.accounts.named("ada"), "new@example.com")

    asyncio.run(claim())
    shown = desk.done("account", "show", "ada")
    assert "new@example.com (claimed, lapses 20" in shown
    assert "ada@example.com (verified, lapses once the new one is verified)" in shown
    by_address = {one["value"]: one["lapsesAt"] for one in desk.json("account", "show", "ada")["identifiers"]}
    assert by_address["ada@example.com"] is None
    assert str(by_address["new@example.com"]).startswith("20")
