"""`dragoman outbox`, `dragoman mail`, `dragoman worker`: letters as an operator meets them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Desk
from dragoman.app import opened
from dragoman.core import Core
from dragoman.core.accounts import NewAccount
from dragoman.core.ports import Refused, Unreachable
from dragoman.settings import load
from kit.command import announced, dragoman, environment, serving
from kit.mailing import put
from kit.post import Post

pytestmark = pytest.mark.slow

LINK = "https://id.example.com/reset-password/abcdefghijklmnopqrstuvwxyz"
TO = "canary@example.com"


@pytest.fixture
def post() -> Iterator[Post]:
    """A mail server."""
    with Post() as there:
        yield there


def through(post: Post) -> dict[str, str]:
    """Return the variables that send mail to this post office."""
    return {
        "DRAGOMAN_MAIL_TRANSPORT": "smtp", "DRAGOMAN_MAIL_HOST": "127.0.0.1", "DRAGOMAN_MAIL_PORT": str(post.port),
        "DRAGOMAN_MAIL_SECURITY": "none", "DRAGOMAN_MAIL_SENDER": "Example <id@example.com>",
        "DRAGOMAN_MAIL_TIMEOUT_SECONDS": "5", "DRAGOMAN_SERVER_PUBLIC_URL": "https://id.example.com",
    }  # fmt: skip


def on(data: Path, work: Callable[[Core], Awaitable[Any]]) -> Any:
    """Do something to an installation as the server would."""

    async def run() -> Any:
        overrides = {
            "storage.data": str(data), "mail.transport": "console", "passwords.memory_kib": 8192,
        }  # fmt: skip
        async with opened(load(None, {}, overrides)) as core:
            return await work(core)

    return asyncio.run(run())


async def three_letters(core: Core) -> list[bytes]:
    """Leave a letter that waits, one that was put off and one that is dead; return their ids."""
    ada = await core.accounts.add(NewAccount(email="ada@example.com", username="ada", verified=True), None)
    ids = [await put(core, ada, "reset", TO, link=LINK, hours="1") for _ in range(3)]
    for leased in await core.outbox.lease(20, 60):
        if leased.letter.id == ids[1]:
            await core.outbox.failed(leased, Unreachable("RCPT: 451"))
        elif leased.letter.id == ids[2]:
            await core.outbox.failed(leased, Refused("RCPT: 550"))
        else:
            await core.outbox.give_back([leased])
    return ids


def test_letters_are_listed_retried_and_dropped_without_a_word_of_them(desk: Desk) -> None:
    on(desk.data, three_letters)
    listed = desk.json("outbox", "list")
    assert [(one["state"], one["tries"], one["fault"]) for one in listed] == [
        ("waiting", 0, None), ("waiting", 1, "RCPT: 451"), ("dead", 1, "RCPT: 550"),
    ]  # fmt: skip
    assert {one["kind"] for one in listed} == {"reset"}
    assert [one["id"] for one in desk.json("outbox", "list", "--dead")] == [listed[2]["id"]]
    assert len(desk.json("outbox", "list", "--limit", "2")) == 2
    plain = desk.done("outbox", "list")
    assert len(plain.splitlines()) == 3
    for said in (plain, json.dumps(listed), desk.done("events")):
        assert TO not in said
        assert "abcdefgh" not in said
    assert "1 letter will be tried" in desk.done("outbox", "retry", listed[2]["id"])
    assert desk.json("outbox", "list", "--dead") == []
    assert "1 letter will be tried" in desk.done("outbox", "retry", "--all")
    assert {(one["state"], one["tries"]) for one in desk.json("outbox", "list")} == {("waiting", 0)}
    for one in listed:
        assert "dropped" in desk.done("outbox", "drop", one["id"])
    assert desk.json("outbox", "list") == []
    assert len([one for one in desk.json_lines("events") if one["kind"] == "message_dropped"]) == 3


def test_what_is_not_there_is_said_in_one_line(desk: Desk) -> None:
    nobody = "00000000-0000-7000-8000-000000000000"
    assert nobody in desk.refused("outbox", "retry", nobody)
    assert nobody in desk.refused("outbox", "drop", nobody)
    for words in (("outbox", "retry"), ("outbox", "retry", "--all", nobody), ("outbox", "drop", "nonsense")):
        desk.refused(*words, code=2)
    assert desk.done("outbox", "retry", "--all").startswith("0 letters")


# ---------------------------------------------------------------- mail test


def test_a_letter_to_try_the_settings_out(desk: Desk, post: Post) -> None:
    desk.env |= through(post)
    assert f"127.0.0.1 (mail.host) took the letter to {TO}" in desk.done("mail", "test", TO)
    (letter,) = post.wait()
    assert (letter.to, letter.subject) == (TO, "Mail from Dragoman works")
    desk.env["DRAGOMAN_MAIL_LANGUAGE"] = "de"
    desk.done("mail", "test", TO)
    assert post.wait(2)[1].subject == "E-Mails von Dragoman kommen an"


def test_what_became_of_it_is_told(desk: Desk, post: Post) -> None:
    desk.env |= through(post)
    post.refuse(550, times=1)
    assert "refused the letter: RCPT: 550" in desk.refused("mail", "test", TO)
    post.refuse(451, times=1)
    assert "did not take the letter: RCPT: 451" in desk.refused("mail", "test", TO)
    assert "refused the letter" in desk.refused("mail", "test", "no address")
    with post.down():
        assert "did not take the letter: connect: ECONNREFUSED" in desk.refused("mail", "test", TO)
    desk.env["DRAGOMAN_MAIL_SENDER"] = "not@an@address@"
    assert "mail.sender" in desk.refused("mail", "test", TO)
    desk.env["DRAGOMAN_MAIL_TRANSPORT"] = "off"
    assert "mail.transport is off" in desk.refused("mail", "test", TO)
    assert post.letters == []


def test_on_the_console_it_is_printed(desk: Desk) -> None:
    desk.env["DRAGOMAN_MAIL_TRANSPORT"] = "console"
    result = desk.run("mail", "test", TO)
    assert result.exit_code == 0
    assert "Mail from Dragoman works" in result.stderr
    assert result.stdout.startswith("the console took the letter")


# ---------------------------------------------------------------- the worker and the server


@contextlib.contextmanager
def working(data: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run `dragoman worker` over an installation; it must stop well when it is told to."""
    log = data.with_name("worker.log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "dragoman", "worker", "--data", str(data)], env=environment(**env), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    try:
        assert announced(process, log) == {"event": "delivering", "pid": process.pid}
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()
        assert "Traceback" not in log.read_text()


async def one_letter(core: Core) -> bytes:
    """Put a letter into the outbox, as a request would."""
    return await put(core, await core.accounts.person(await core.accounts.named("admin")), "password_changed", TO)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_delivers_and_does_not_load_a_mail_library_before(tmp_path: Path, post: Post, workers: str) -> None:
    data = tmp_path / "data"
    flags = ("-X", "importtime") if workers == "1" else ()
    with serving(data, "--workers", workers, env=through(post), flags=flags) as server:
        before = server.log.read_text()
        on(data, one_letter)
        (letter,) = post.wait(timeout=20)
        assert server.stop() == 0
        after = server.log.read_text()
    assert letter.to == TO
    assert on(data, lambda core: core.outbox.listed()) == []
    if flags:
        mail = re.compile(r"\| +(aiosmtplib|dragoman\.adapters\.mail\.smtp)$", re.MULTILINE)
        assert not mail.search(before)
        assert mail.search(after)


def test_a_server_that_is_told_not_to_leaves_delivery_to_the_worker(tmp_path: Path, post: Post) -> None:
    data = tmp_path / "data"
    with serving(data, env={**through(post), "DRAGOMAN_MAIL_IN_SERVE": "false"}):
        on(data, one_letter)
        with pytest.raises(AssertionError):
            post.wait(timeout=1.5)
        with working(data, through(post)):
            post.wait(timeout=20)
    assert len(post.letters) == 1


def test_a_worker_without_mail_or_database_says_so(tmp_path: Path, post: Post) -> None:
    data = tmp_path / "data"
    refused = dragoman("worker", "--data", str(data))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "mail.transport is off" in refused.stderr
    refused = dragoman("worker", "--data", str(data), env=through(post))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "dragoman migrate" in refused.stderr


def test_a_worker_finishes_what_it_has_begun(tmp_path: Path, post: Post) -> None:
    data = tmp_path / "data"
    assert dragoman("migrate", "--data", str(data)).returncode == 0
    ids = on(data, three_letters)
    post.delay = 1.0
    with working(data, through(post)):
        while post.tried < 1:
            post.wait(0, timeout=0.05)
    assert len(post.letters) == 1
    left = on(data, lambda core: core.outbox.listed())
    assert {one.id for one in left} == set(ids[1:])
    assert {one.lease for one in left} == {None}
