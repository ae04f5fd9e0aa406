"""The published clients, unmodified, each in a process of its own against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.house import PASSWORD, House
from kit.served import served

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / ".components" / "clients"


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder with the installed clients."""
    done = subprocess.run(
        [HERE / "install.sh"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return CLIENTS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A house with Ada in it behind a real server."""
    with served(tmp_path_factory.mktemp("house")) as base:
        yield base


def said(clients: Path, client: str, program: str, server: str, name: str) -> list[str]:
    """Run a client's program with nothing of ours on its path; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-S", HERE / program, server, name],
        env={"PYTHONPATH": str(clients / client), "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        input=PASSWORD,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("name", ["ada", "ada@example.com"])
@pytest.mark.parametrize(
    ("client", "program"),
    [("rocketchat_api-3.7.1", "rocketchat_api_3.py"), ("rocketchat_api-1.30.0", "rocketchat_api_1.py")],
)
def test_rocketchat_api(clients: Path, server: str, client: str, program: str, name: str) -> None:
    wanted = ["refused", "ada", "8.8", "ada@example.com", "success", "ended"]
    assert said(clients, client, program, server, name) == wanted


async def with_an_administrator(house: House) -> None:
    """Add Ada as an administrator."""
    await house.ada(administrator=True)


def test_accounts_with_rocketchat_api(clients: Path, tmp_path: Path) -> None:
    with served(tmp_path, with_an_administrator) as base:
        said_of_it = said(clients, "rocketchat_api-3.7.1", "rocketchat_api_3_accounts.py", base, "ada")
    assert said_of_it == [
        "carol ['user'] [{'address': 'carol@example.com', 'verified': False}]",
        "400 True",
        "True",
        "Carol Example",
        "offline",
        "Carola Example",
        "Carola Example",
        "403",
        "False False",
        "401",
        "True True",
        "True",
        "['user']",
        "403",
        "[] False",
    ]


@pytest.mark.parametrize("name", ["ada", "ada@example.com"])
def test_rocket_python(clients: Path, server: str, name: str) -> None:
    wanted = ["refused", "ada", "ada@example.com", "success", "ended"]
    assert said(clients, "rocket-python-1.3.4", "rocket_python_1.py", server, name) == wanted


def test_rocket_python_comes_too_often(clients: Path, tmp_path: Path) -> None:
    """It signs in anew for every call: the eleventh within a minute is refused, as by the original (section 1.2)."""
    with served(tmp_path, dialects__rocketchat__rate_limit=True) as base:
        calls = said(clients, "rocket-python-1.3.4", "rocket_python_1_often.py", base, "ada")
    assert calls == [*["ada"] * 10, "429 0 None"]


def test_rocketchat_async(clients: Path, server: str) -> None:
    said_of_it = said(clients, "rocketchat_async-4.3.0", "rocketchat_async_4.py", server, "ada")
    # Of a refused resume this client says only that there is no result in the answer.
    assert said_of_it == ["refused User not found", "signed in True", "resumed True", "refused 'result'"]


def said_by_node(
    clients: Path, which: str, server: str, name: str, program: str = "rocketchat_node.cjs"
) -> list[str]:  # fmt: skip
    """Run one of npm's clients in a process of its own; return what it printed."""
    home = clients / "rocketchat-node"
    done = subprocess.run(
        ["node", HERE / program, home, server, name, which],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        input=PASSWORD,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\n")[:-1]


def test_ddp_client_with_api_client(clients: Path, server: str) -> None:
    assert said_by_node(clients, "ddp-client", server, "ada") == [
        "refused User not found", "signed in ada 43 true", "me ada true", "resumed true true", "refused User not found"
    ]  # fmt: skip


def test_sdk_alpha(clients: Path, server: str) -> None:
    assert said_by_node(clients, "sdk", server, "ada") == [
        "refused Unauthorized", "signed in ada", "resumed true true", "me ada", "signed out 401"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("which", "wanted"),
    [
        ("right", ["asked for password", "done true", "asked 1 invalid 0"]),
        ("wrong", ["asked for password", "stopped 401 ", "asked 6 invalid 5"]),
        ("empty", ["asked for password", "stopped 429 ", "asked 10 invalid 0"]),
    ],
)
def test_api_client_that_repeats_for_ever_is_stopped(clients: Path, server: str, which: str, wanted: list[str]) -> None:
    assert said_by_node(clients, which, server, "ada", "rocketchat_proof.cjs") == wanted
