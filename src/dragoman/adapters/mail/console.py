"""Mail for development: letters are printed, with their live links and codes."""

from __future__ import annotations

import sys
from typing import TextIO

from dragoman.adapters.mail import render
from dragoman.core.ports import Letter, Refused

_RULE = "-" * 72


class ConsoleMailer:
    """Prints the text form of every letter. Implements `Mailer`.

    :param stream: where to; the process's standard error for None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def send(self, letter: Letter) -> None:
        """Print one letter. Raises Refused when it cannot be put into words."""
        await render.ready()
        try:
            words = render.render(letter)
        except render.Unfit as why:
            raise Refused(str(why)) from why
        head = f"mail (printed, not sent): {letter.kind} to {letter.to}"
        shown = "\n".join(
            [
                _RULE,
                escaped(head),
                escaped(f"subject: {words.subject}"),
                "",
                *map(escaped, words.text.split("\n")),
                _RULE,
                "",
            ]
        )
        stream = self._stream or sys.stderr
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))  # in one piece, not between log lines
        stream.flush()

    async def close(self) -> None:
        """Nothing is kept open."""


def escaped(line: str) -> str:
    """Return a line with everything that a terminal would obey as `\\x1b` and the like."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
