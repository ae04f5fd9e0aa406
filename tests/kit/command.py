"""The command line as people run it: programs of their own, and a server that is started and stopped by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"
FAST = {
    "DRAGOMAN_PASSWORDS_MEMORY_KIB": "8192",
    "DRAGOMAN_PASSWORDS_PASSES": "1",
    "DRAGOMAN_DIALECTS_ROCKETCHAT_RATE_LIMIT": "false",
    # Without its bytecode kept, each of hundreds of programs would compile all of it anew: a second of work.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(__file__).parents[2] / ".components" / "bytecode"),
}
START_SECONDS = 60.0


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a command: this machine's, less what configures Dragoman, plus cheap hashes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}
    return kept | FAST | {"PYTHONPATH": str(SOURCE)} | more


def dragoman(
    *words: str,
    given: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    flags: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; `given` is its standard input, `flags` are Python's."""
    return subprocess.run(
        [sys.executable, *flags, "-m", "dragoman", *words],
        input=given, env=environment(**(env or {})), cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


class Serving:
    """A server process."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: Path) -> None:
        self.process, self.address, self.log = process, address, log

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(
    data: Path, *words: str, env: Mapping[str, str] | None = None, flags: tuple[str, ...] = ()
) -> Iterator[Serving]:
    """Serve `data` on a free port with `dragoman serve`; yield it once it answers, and stop it at the end."""
    log = data.with_name(f"{data.name}.log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *flags, "-m", "dragoman", "serve", "--data", str(data), "--port", "0", *words],
            env=environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        yield Serving(process, announced(process, log)["address"], log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.stdout is not None
        process.stdout.close()


def announced(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """Return the line with which a server says that it answers."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server ended without answering:\n{log.read_text()}"
    said: dict[str, Any] = json.loads(line)
    return said


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Wait until a process has ended; tell whether it did in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
