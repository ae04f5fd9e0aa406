"""A plain JavaScript client over real sockets, sending what the TypeScript client sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn

from dragoman.http.serving import serve_config
from kit.house import PASSWORD, House

SCRIPT = Path(__file__).with_name("conformance.mjs")


@contextlib.asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    """Serve a house on a free loopback port, in the event loop that its database belongs to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(serve_config(house.app, options={"lifespan": "off"}))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def test_a_javascript_client(house: House) -> None:
    node = shutil.which("node")
    assert node is not None, "node is missing; tests/components.sh installs it"
    await house.ada()
    async with served(house) as base:
        for address in (base, base + "/"):
            run = await asyncio.create_subprocess_exec(
                node, str(SCRIPT), address, "ada@example.com", PASSWORD,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, faults = await asyncio.wait_for(run.communicate(), 60)
            assert run.returncode == 0, faults.decode()
            assert len(json.loads(output)) == 10
