"""How many methods may be called in how much time (contract section 13.6)."""

from __future__ import annotations

from collections.abc import Iterator

from dragoman.http.rates import Rate, Windows

OFTEN_GUESSED = frozenset({"login", "createUser", "resetPassword", "forgotPassword"})
"""Methods that Meteor limits by themselves."""

_ADDRESS, _CONNECTION = Rate(120_000, 60), Rate(600, 60)
_USER, _USER_METHOD = Rate(1_200, 60), Rate(20, 10)
_METHOD, _GUESSED_METHOD = Rate(10, 10), Rate(5, 10)


def _rates(method: str, address: str, user: str, connection: str) -> Iterator[tuple[tuple[str, ...], Rate]]:
    if address:
        yield ("address", address), _ADDRESS
    if user:
        yield ("user", user), _USER
        yield ("user method", user, method), _USER_METHOD
    if connection:
        yield ("connection", connection), _CONNECTION
        yield ("connection method", connection, method), _GUESSED_METHOD if method in OFTEN_GUESSED else _METHOD


def wait(windows: Windows, seconds: float, method: str, *, address: str, user: str, connection: str) -> int:
    """Count one call; return in how many milliseconds it would be let through, 0 for at once.

    :param seconds: on a clock that does not go back.
    :param address: where the call comes from; this, `user` and `connection` are empty for what is not known or there.
    """
    now = round(seconds * 1000)
    counted = [windows.count(now, key, rate) for key, rate in _rates(method, address, user, connection)]
    return max((max(1, each.ends_at - now) for each in counted if not each.fits), default=0)
