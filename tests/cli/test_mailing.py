"""`dragoman account invite` and `verify-email`: what an operator has mailed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cli.conftest import Desk
from dragoman.app import opened
from dragoman.core.ports import Letter
from dragoman.storage.engine import Statement
from kit.house import client, fast_settings

_WAITING = Statement("select id, account, kind, sealed from outbox order by created_at, id")


def letters(desk: Desk) -> list[Letter]:
    """Return what waits in the outbox."""

    async def run() -> list[Letter]:
        async with opened(fast_settings(desk.data.parent)) as core:
            rows = await core.db.scan(_WAITING)
            return [core.letters.read(id, account, kind, sealed) for id, account, kind, sealed in rows]

    return asyncio.run(run())


@pytest.fixture
def mailing(desk: Desk) -> Desk:
    """A desk of an installation that sends mail."""
    desk.env |= {"DRAGOMAN_MAIL_TRANSPORT": "console", "DRAGOMAN_SERVER_PUBLIC_URL": "https://id.example.com"}
    return desk


def test_an_invitation_adds_an_account_and_says_when_its_link_ends(mailing: Desk) -> None:
    said = mailing.done("account", "invite", "--email", "Bob@example.com", "--first-name", "Bob", "--by", "Ada Example")
    assert said.startswith("invited bob by mail to Bob@example.com; the link is good until ")
    end = datetime.fromisoformat(said.removesuffix(" UTC\n").rpartition(" until ")[2] + "+00:00")
    assert timedelta(days=6, hours=23) < end - datetime.now(end.tzinfo) <= timedelta(days=7)
    shown = mailing.json("account", "show", "bob")
    assert (shown["status"], shown["hasPassword"]) == ("invited", False)
    [letter] = letters(mailing)
    assert (letter.kind, letter.to, letter.values["by"]) == ("invite", "Bob@example.com", "Ada Example")
    assert letter.values["link"].startswith("https://id.example.com/invite/")


def test_whoever_is_invited_already_is_mailed_again(mailing: Desk) -> None:
    first = mailing.json("account", "invite", "--email", "bob@example.com")
    again = mailing.json("account", "invite", "--email", "bob@example.com")
    assert first["id"] == again["id"]
    assert again["linkEndsAt"] >= first["linkEndsAt"]
    assert len(letters(mailing)) == 2


def test_nobody_else_is_invited(mailing: Desk) -> None:
    mailing.add("--email", "ada@example.com", "--username", "ada")
    assert "another account has this email" in mailing.refused("account", "invite", "--email", "ADA@example.com")
    taken = mailing.refused("account", "invite", "--email", "bob@example.com", "--username", "ada")
    assert "another account has this username" in taken
    assert "not a usable email" in mailing.refused("account", "invite", "--email", "bob")
    assert letters(mailing) == []


def test_a_client_of_ones_own_gets_the_link(mailing: Desk) -> None:
    mailing.env["DRAGOMAN_DIALECTS_FLASHBACK_LINK_INVITE"] = "https://app.example.com/join?t={token}"
    mailing.env["DRAGOMAN_DIALECTS_PROBE_LINK_VERIFY"] = "https://front.example.com/verify/{token}"
    mailing.done("account", "invite", "--email", "bob@example.com", "--dialect", "flashback")
    mailing.add("--email", "ada@example.com")
    mailing.done("account", "verify-email", "ada@example.com", "--dialect", "probe")
    invited, verify = letters(mailing)
    assert invited.values["link"].startswith("https://app.example.com/join?t=")
    assert verify.values["link"].startswith("https://front.example.com/verify/eyJ")
    assert verify.values["link"].count(".") == 4, "Probe's token is a JWT"
    no = mailing.refused("account", "invite", "--email", "eve@example.com", "--dialect", "nothing")
    assert "flashback, pocketm8, probe, rocketchat" in no
    assert "no such account" in mailing.refused("account", "show", "eve@example.com"), "and nobody was added"


def test_an_address_is_verified_by_what_was_mailed(mailing: Desk) -> None:
    mailing.add("--email", "ada@example.com", "--username", "ada")
    said = mailing.done("account", "verify-email", "ada")
    assert said.startswith("mailed ada@example.com; the link is good until ")
    token = letters(mailing)[0].values["link"].rpartition("/")[2]

    async def follow() -> None:
        async with opened(fast_settings(mailing.data.parent)) as core:
            await core.recovery.use("verify", token, client())

    asyncio.run(follow())
    assert mailing.json("account", "verify-email", "ada") == {"to": None, "linkEndsAt": None}
    assert "nothing to verify" in mailing.done("account", "verify-email", "ada")


def test_what_cannot_be_mailed_is_said(mailing: Desk, tmp_path: Path) -> None:
    mailing.add("--username", "robot")
    assert "there is none to verify" in mailing.refused("account", "verify-email", "robot")
    mailing.add("--email", "gone@example.com")
    mailing.done("account", "set-status", "gone@example.com", "suspended")
    assert "the account is suspended" in mailing.refused("account", "verify-email", "gone@example.com")
    assert "no such account" in mailing.refused("account", "verify-email", "nobody")
    mailing.env["DRAGOMAN_MAIL_TRANSPORT"] = "off"
    for words in (("verify-email", "gone@example.com"), ("invite", "--email", "bob@example.com")):
        mailing.done("account", "set-status", "gone@example.com", "active")
        assert "sends no mail" in mailing.refused("account", *words)
    assert "no such account" in mailing.refused("account", "show", "bob@example.com")
