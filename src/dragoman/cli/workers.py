"""Several processes on one listening socket, watched and replaced by one parent that serves nobody itself."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import structlog
from msgspec import Struct

log = structlog.get_logger("dragoman.workers")
STOP_SECONDS = 20.0
PAUSE_SECONDS = 1.0
"""Between the death of a worker and its successor, so that one that cannot start does not spin."""


class _Worker(Struct):
    process: subprocess.Popen[bytes]
    line: socket.socket
    """The worker writes a byte when it answers, and stops when it reads the end: our death included."""
    answers: bool = False


class Workers:
    """The workers of one listening socket."""

    def __init__(self, number: int, listener: socket.socket, command: list[str], answering: Callable[[], None]) -> None:
        self._number = number
        self._listener = listener
        self._command = command
        self._answering = answering
        self._said = False
        self._stopping = False
        self._workers: list[_Worker] = []
        self._not_before = 0.0

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        while not self._stopping:
            while len(self._workers) < self._number and time.monotonic() >= self._not_before:
                self._workers.append(self._start())
            self._listen_for(0.2)
            if self._bury() and not self._said:
                log.error("a worker ended before it answered", remedy="see its lines above")
                self._stop()
                return 1
        return self._stop()

    def _told_to_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            handed = (self._listener.fileno(), theirs.fileno())
            process = subprocess.Popen(
                [*self._command, "--inherit", f"{handed[0]}:{handed[1]}"], pass_fds=handed, stdin=subprocess.DEVNULL
            )
        return _Worker(process, ours)

    def _listen_for(self, seconds: float) -> None:
        silent = {worker.line: worker for worker in self._workers if not worker.answers}
        if not silent:
            time.sleep(seconds)
            return
        for line in select.select(list(silent), [], [], seconds)[0]:
            silent[line].answers = line.recv(1) != b""
        if not self._said and len(self._workers) == self._number and all(w.answers for w in self._workers):
            self._said = True
            self._answering()

    def _bury(self) -> bool:
        """Let go of workers that have ended; tell whether one had."""
        dead = [worker for worker in self._workers if worker.process.poll() is not None]
        for worker in dead:
            worker.line.close()
            self._workers.remove(worker)
            log.warning("worker ended", pid=worker.process.pid, code=worker.process.returncode)
            self._not_before = time.monotonic() + PAUSE_SECONDS
        return bool(dead)

    def _stop(self) -> int:
        self._listener.close()
        for worker in self._workers:
            worker.process.terminate()
        end = time.monotonic() + STOP_SECONDS
        code = 0
        for worker in self._workers:
            try:
                ended = worker.process.wait(max(0.1, end - time.monotonic()))
                if ended not in (0, -signal.SIGTERM):  # by the signal itself: it was still starting
                    code = 1
            except subprocess.TimeoutExpired:
                log.error("worker did not stop in time", pid=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
                code = 1
            worker.line.close()
        return code


def inherited(handed: str) -> tuple[socket.socket, int]:
    """Return the listening socket and the line to the parent, as a worker finds them."""
    listener, line = (int(part) for part in handed.split(":"))
    os.set_inheritable(listener, False)
    return socket.socket(fileno=listener), line


def command(arguments: list[str]) -> list[str]:
    """Return the command line of a worker: the same program with the same words."""
    return [sys.executable, "-P", "-m", "dragoman", *arguments]
