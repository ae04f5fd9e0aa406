"""How often one API token may call: the guide's number, over all operations together (contract section 2.6)."""

from __future__ import annotations

from dragoman.http import Call
from dragoman.http.rates import Rate, Rates

WINDOW = 60.0
"""Seconds."""


def _by_token(call: Call) -> str:
    """Return which API token calls. Whoever comes with a JWT, or with nothing, is not counted."""
    caller = call.caller
    return caller.session.id.hex() if caller is not None and caller.session.kind == "key" else ""


def of_tokens(calls: int) -> Rates | None:
    """Return the rates of the dialect; None for 0 calls a minute, which stands for as many as a client likes."""
    return Rates(usual=Rate(calls, WINDOW), by=_by_token, together=True) if calls else None
