"""Logs: facts with keys, JSON for machines, colour on a terminal. Nothing in a line steers a terminal (threat 40)."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from dragoman.cli.show import plain

if TYPE_CHECKING:
    from dragoman.settings import Settings

Line = MutableMapping[str, Any]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings, *, serving: bool) -> None:
    """Send every log line to stderr as the settings say; a command that does not serve tells of warnings only."""
    level = _LEVELS[settings.log.level] if serving else max(_LEVELS[settings.log.level], logging.WARNING)
    console = settings.log.format == "console" or (settings.log.format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,  # the bare traceback: locals hold secrets
            *((_escaped, _Coloured()) if console else (_rendered,)),
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
