"""A small HTTP client for measuring: keep-alive connections over asyncio, one request at a time on each."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Ask = Callable[[int], bytes]
"""Returns the next request of a connection, by its number."""
Answered = Callable[[int, int, bytes], None]
"""Takes the number of the connection, the status and the body."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Result:
    """What one run of a load gave."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    """Seconds each answer took, in order of arrival."""
    cpu: float = 0.0
    """Seconds of processor time the server's processes used."""

    @property
    def good(self) -> int:
        """Return the number of 2xx answers."""
        return sum(n for status, n in self.statuses.items() if 200 <= status < 300)

    @property
    def per_second(self) -> float:
        """Return good answers per second."""
        return self.good / self.seconds

    @property
    def cpu_us(self) -> float:
        """Return microseconds of the server's processor time per answer."""
        return 1e6 * self.cpu / max(1, sum(self.statuses.values()))

    def percentile(self, share: float) -> float:
        """Return the time in milliseconds below which this share of the answers stayed."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of a request; underscores in header names become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines += [f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, number: int, ask: Ask, answered: Answered, result: Result, until: float) -> None:
        self.number, self.ask, self.answered, self.result, self.until = number, ask, answered, result, until
        self.buffer = b""
        self.sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        if self.sent >= self.until:
            self.transport.close()
            return
        self.transport.write(self.ask(self.number))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else None]) if at > 0 else 0
        whole = head_end + 4 + length
        if len(self.buffer) < whole:
            return
        body, self.buffer = self.buffer[head_end + 4 : whole], self.buffer[whole:]
        status = int(head[9:12])
        self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
        self.result.times.append(time.perf_counter() - self.sent)
        self.answered(self.number, status, body)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _ignore(number: int, status: int, body: bytes) -> None:
    return None


async def hammer(
    port: int, ask: Ask, *, connections: int, seconds: float, answered: Answered = _ignore, pids: tuple[int, ...] = ()
) -> Result:
    """Keep `connections` busy for `seconds` and return what came back."""
    loop, result = asyncio.get_running_loop(), Result()
    started, before = time.perf_counter(), cpu_of(pids)
    until = started + seconds
    held = [
        (await loop.create_connection(
            lambda n=n: _Connection(n, ask, answered, result, until), "127.0.0.1", port  # type: ignore[misc]
        ))[1]
        for n in range(connections)
    ]  # fmt: skip
    await asyncio.wait_for(asyncio.gather(*(c.done for c in held)), seconds + 60)
    result.seconds = time.perf_counter() - started
    result.cpu = cpu_of(pids) - before
    return result


def cpu_of(pids: tuple[int, ...]) -> float:
    """Return the seconds of processor time these processes have used."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def anonymous_mib(pid: int) -> float:
    """Return the anonymous memory of a process in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024
