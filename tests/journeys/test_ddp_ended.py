"""A session that a whole other process ends closes its sockets within a second."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import pytest

from kit.command import dragoman, serving
from kit.ddp import PATIENCE, dialled
from kit.house import PASSWORD

pytestmark = pytest.mark.slow

COMMANDS = (("suspend", "ada"), ("set-password", "ada", "--password-stdin", "--allow-weak"), ("delete", "ada", "--yes"))


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
async def test_the_command_line_closes_sockets(tmp_path: Path, words: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    env = {"DRAGOMAN_ADMIN_PASSWORD": "root's own password"}
    with serving(data, env=env) as server:
        await _command(
            data, "add", "--username", "ada", "--email", "ada@example.com", "--password-stdin", "--allow-weak"
        )
        base = server.address.replace("http://", "ws://")
        async with dialled(base) as ddp, dialled(base) as root:
            await ddp.sign_in()
            await root.sign_in("admin", "root's own password")
            closing = asyncio.create_task(ddp.closed(60))
            await _command(data, *words)
            began = time.monotonic()
            assert await asyncio.wait_for(closing, PATIENCE) == 1000
            assert time.monotonic() - began < 1
            assert await root.ask(msg="ping") == {"msg": "pong"}


async def test_there_is_room_for_the_sockets(tmp_path: Path) -> None:
    """Though a shell allows a thousand files, the server makes room for what it may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        with serving(tmp_path / "data", env={"DRAGOMAN_SERVER_SOCKETS": "3000"}) as server:
            limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(allowed) == min(4024, hard)


async def _command(data: Path, *words: str) -> None:
    done = await asyncio.to_thread(dragoman, "account", *words, "--data", str(data), given=PASSWORD)
    assert done.returncode == 0, done.stderr
