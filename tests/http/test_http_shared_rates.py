"""Request rates that processes count together: a real server, that goes away and comes back."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from dragoman.http import shared_rates
from dragoman.http.rates import Rate
from dragoman.http.shared_rates import Shared

pytestmark = pytest.mark.slow
TWO = Rate(2, 2.0)


class Clock:
    """The machine's time, with durations that a test may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def store(folder: Path, port: int) -> Iterator[None]:
    """Run the server on this port."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    assert program is not None, "neither valkey-server nor redis-server is installed; tests/components.sh does it"
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_two_processes_count_as_one_and_each_for_itself_without_the_store(tmp_path: Path) -> None:
    port, clock = free_port(), Clock()
    one, two = (Shared(f"valkey://127.0.0.1:{port}/0", clock) for _ in range(2))
    with store(tmp_path, port):
        first = await one.count(clock.now(), "192.0.2.1/32", "x", TWO)
        assert (first.number, first.fits) == (1, True)
        assert 0 < first.ends_at - clock.now() <= 2000
        assert (await two.count(clock.now(), "192.0.2.1/32", "x", TWO)).number == 2
        assert not (await one.count(clock.now(), "192.0.2.1/32", "x", TWO)).fits
        assert (await two.count(clock.now(), "192.0.2.2/32", "x", TWO)).number == 1
        assert (await two.count(clock.now(), "192.0.2.1/32", "y", TWO)).number == 1
        await asyncio.sleep(2.1)
        assert (await one.count(clock.now(), "192.0.2.1/32", "x", TWO)).number == 1
        keys = await cast("Any", one._store.bridge).storage.keys("*")
        assert len(keys) >= 1
        assert b"192.0.2" not in b" ".join(keys)
    # Away: neither an error nor a long wait, and still a limit.
    began = time.monotonic()
    numbers = [(await one.count(clock.now(), "192.0.2.1/32", "x", TWO)).number for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert time.monotonic() - began < 2 * shared_rates.PATIENCE + 0.3
    with store(tmp_path, port):
        clock.ahead += shared_rates.REST
        assert (await one.count(clock.now(), "192.0.2.1/32", "x", TWO)).number == 1
    await one.close()
    await two.close()


async def test_a_store_that_never_answers_costs_a_bounded_time() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        clock = Clock()
        counts = Shared(f"valkey://127.0.0.1:{deaf.getsockname()[1]}/0", clock)
        began = time.monotonic()
        for number in range(1, 50):
            assert (await counts.count(clock.now(), "192.0.2.1/32", "x", TWO)).number == number
        assert time.monotonic() - began < shared_rates.PATIENCE + 0.5
        await counts.close()
