"""Logs: facts with keys, JSON for machines, colour on a terminal. Nothing in a line steers a terminal (threat 40)."""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec

from dragoman.cli.show import plain, stamp

_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
try:
    # structlog would import rich for tracebacks that show local variables. Those hold secrets and are never printed
    # here, and the import is a tenth of a start.
    import structlog
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

if TYPE_CHECKING:
    from dragoman.core.ports import Clock
    from dragoman.settings import Settings

Line = MutableMapping[str, Any]
FLUSH_SECONDS = 0.1
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings, *, serving: bool) -> None:
    """Send every log line to stderr as the settings say; a command that does not serve tells of warnings only."""
    level = _LEVELS[settings.log.level] if serving else max(_LEVELS[settings.log.level], logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,  # the bare traceback: locals hold secrets
            *((_escaped, _Coloured()) if _on_console(settings) else (_rendered,)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=serving,
    )
    if serving:
        root = logging.getLogger()
        root.handlers = [_Forward()]
        root.setLevel(max(level, logging.WARNING))


class _Stderr:
    """Writes finished lines to standard error as it is at that moment."""

    def msg(self, line: bytes) -> None:
        """Write one line."""
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Requests:
    """Writes one JSON line a request: the same facts as the log library would, at a tenth of its cost.

    Lines are written ten times a second, together; a process that is killed loses the last of them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        atexit.register(self._flush)

    def info(self, event: str, **facts: Any) -> None:
        """Write a line. On the event loop only."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
        facts |= {"event": event, "level": "info", "at": stamp(self._clock.now())}
        self._lines.append(self._encode(facts))

    error = info

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stderr.buffer.write(b"\n".join(lines) + b"\n")
            sys.stderr.buffer.flush()


def access_log(settings: Settings, clock: Clock) -> Any:
    """Return what the gateway writes its line per request to, None for no such lines."""
    if not settings.log.access or _LEVELS[settings.log.level] > _LEVELS["info"]:
        return None
    return structlog.get_logger("dragoman.access") if _on_console(settings) else _Requests(clock)


def _on_console(settings: Settings) -> bool:
    return settings.log.format == "console" or (settings.log.format == "auto" and sys.stderr.isatty())


class _Coloured:
    """Renders a line for a terminal."""

    def __init__(self) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(
            timestamp_key="at", exception_formatter=structlog.dev.plain_traceback, pad_event_to=20
        )

    def __call__(self, logger: Any, method: str, line: Line) -> bytes:
        """Return the line, ready to be written."""
        return str(self._renderer(logger, method, line)).encode("utf-8", "backslashreplace")


def _escaped(_logger: Any, _method: str, line: Line) -> Line:
    """Escape what came from outside; the traceback keeps its line breaks."""
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = "\n".join(map(plain, value.split("\n"))) if key == "exception" else plain(value)
    return line


def _rendered(_logger: Any, _method: str, line: Line) -> bytes:
    """Render a line as JSON; what JSON does not know is named by its representation, and secrets have none."""
    return msgspec.json.encode(line, enc_hook=repr)


class _Forward(logging.Handler):
    """Hands on what libraries log in the standard way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line of a library as one of ours."""
        log = structlog.get_logger("dragoman.library")
        log.log(record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None)
