"""A verifier of captchas on loopback, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from kit.directory import free_port

SERVER = Path(__file__).parent / "captcha_peer" / "server.py"
SECRET = "the secret of the captcha site"


@dataclass
class CaptchaPeer:
    """The verifier: what was solved, what it gets wrong, what it was asked."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/siteverify"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a house that asks it."""
        given = {"captcha_url": self.url, "captcha_secret": SECRET, "captcha_seconds": 2.0, **more}
        return {f"dialects__probe__{name}": value for name, value in given.items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-I", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"port": self.port, "secret": SECRET}).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == b"ready"

    def stop(self) -> None:
        """End it: connections are refused from then on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it stand still: connections are taken by the system, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def solved(self, answer: str, **said: Any) -> str:
        """Let an answer be good, once; `said` is what comes with it: `hostname`, `action`, `score`."""
        self._control("solved", {answer: said})
        return answer

    def trouble(self, **how: Any) -> None:
        """Let it get answers wrong: `status`, `body`, `bytes`, `seconds`, `location`."""
        self._control("trouble", how)

    def seen(self) -> list[dict[str, str]]:
        """Return what it was asked."""
        return list(self._control("seen", {}))

    def _control(self, what: str, body: Any) -> Any:
        return httpx2.post(f"http://127.0.0.1:{self.port}/test/{what}", json=body, timeout=10).json()
