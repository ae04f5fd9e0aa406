"""Work that goes on after an answer: started here, seen to its end here, never lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger("dragoman.background")


class Background:
    """A bounded set of tasks that nobody awaits. What does not fit is left undone: each task must be optional."""

    def __init__(self, most: int = 1000) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._most = most

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` after the present answer; its failure is logged and changes nothing."""
        if len(self._tasks) >= self._most:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.warning("left undone", fault=type(fault).__name__)

    async def drain(self) -> None:
        """Wait until everything started has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
