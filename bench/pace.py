"""Refresh at a steady pace: `pace.py PORT PER_SECOND SECONDS TOKEN...`, one client per token."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from load import request


async def client(port: int, token: str, pause: float, until: float) -> int:
    """Rotate one chain every `pause` seconds and return how often."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number, due = 0, time.perf_counter()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += pause
        writer.write(request("POST", "/user/refresh", b'{"refreshToken":"' + token.encode() + b'"}',
                             Content_Type="application/json"))  # fmt: skip
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        token = json.loads(body)["refreshToken"]
        number += 1
    writer.close()
    return number


async def main() -> None:
    """Run every client and say what was reached."""
    port, rate, seconds, tokens = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    until = time.perf_counter() + seconds
    done = await asyncio.gather(*(client(port, token, len(tokens) / rate, until) for token in tokens))
    print(f"pace: {sum(done) / seconds:.0f} refreshes/s", flush=True)


asyncio.run(main())
