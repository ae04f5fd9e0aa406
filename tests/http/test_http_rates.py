"""Request rates in the kit: windows, who is counted, what answers carry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragoman.http import Answer, Call, operation
from dragoman.http.openapi import document
from dragoman.http.rates import UNLIMITED, Counted, Rate, Rates, Windows
from kit import echo
from kit.clock import START, MovableClock
from kit.server import RawAnswer, ask

TWO = Rate(2, 10.0)


def test_a_window_begins_with_the_first_call_and_ends_as_a_whole() -> None:
    windows = Windows()
    first = windows.count(1_000, "ada", TWO)
    assert first == Counted(TWO, 1, 11_000)
    assert (first.fits, first.left) == (True, 1)
    assert windows.count(6_000, "ada", TWO).fits
    third = windows.count(10_999, "ada", TWO)
    assert (third.fits, third.left, third.ends_at) == (False, 0, 11_000)
    again = windows.count(11_000, "ada", TWO)
    assert (again.number, again.ends_at) == (1, 21_000)


def test_keys_and_lengths_are_counted_apart() -> None:
    windows = Windows()
    for _ in range(2):
        assert windows.count(0, "ada", TWO).fits
        assert windows.count(0, "bob", TWO).fits
        assert windows.count(0, "ada", Rate(2, 60)).fits
    assert not windows.count(0, "ada", TWO).fits
    assert windows.count(9_999, "bob", Rate(3, 10.0)).fits, "another limit for the same window counts on"


def test_a_window_outlives_the_turn_of_the_halves() -> None:
    """It is found in the older half until it ends, whenever within its half it began."""
    windows = Windows()
    windows.count(0, "early", TWO)
    for now in (9_000, 9_500):
        assert windows.count(now, "late", TWO).fits
    windows.count(10_000, "early", TWO)
    assert not windows.count(18_999, "late", TWO).fits
    assert windows.count(19_000, "late", TWO).number == 1


def test_what_is_over_is_forgotten_and_a_flood_is_bounded() -> None:
    windows = Windows(most=100)
    for n in range(10_000):
        windows.count(n, n, Rate(1, 3600))
    halves = windows._halves[3600]
    assert len(halves.newer) + len(halves.older) <= 201
    quiet = Windows()
    for n in range(50):
        quiet.count(0, n, TWO)
    quiet.count(10_000, "x", TWO)
    quiet.count(20_000, "x", TWO)
    assert len(quiet._halves[10.0].newer) + len(quiet._halves[10.0].older) == 2


# ---------------------------------------------------------------- over HTTP


@operation("GET", "/echo/usual", access="open")
async def usual(call: Call) -> None:
    """Answer."""


@operation("GET", "/echo/own", access="open")
async def own(call: Call) -> None:
    """Answer."""


@operation("GET", "/echo/free", access="open")
async def free(call: Call) -> None:
    """Answer."""


@operation("POST", "/echo/mine", body=echo.Note)
async def mine(call: Call, body: echo.Note) -> None:
    """Answer whoever is signed in."""


@operation("GET", "/echo/broken", access="open")
async def broken(call: Call) -> Answer:
    """Break."""
    call.set_header("x-lost", "1")
    raise RuntimeError


async def exempt(call: Call, rate: Rate) -> Rate | None:
    return None if call.header("x-exempt") else rate


RATES = Rates(
    usual=TWO,
    own={"/echo/own": Rate(1, 60.0), "/echo/free": UNLIMITED},
    of=exempt,
    headers=lambda counted: [(b"x-left", b"%d" % counted.left), (b"x-reset", b"%d" % counted.ends_at)],
    names=("X-Left",),
)


def app(clock: MovableClock, rates: Rates | None = RATES) -> Any:
    dialect = echo.dialect(operations=(usual, own, free, mine, broken), rates=rates)
    return echo.gateway(dialect, clock=clock)


def left(answer: RawAnswer | None) -> tuple[int, str | None]:
    assert answer is not None
    return answer.status, answer.headers.get("x-left")


async def test_answers_tell_what_is_left_until_nothing_is() -> None:
    clock = MovableClock()
    served = app(clock)
    assert left(await ask(served, "GET", "/echo/usual")) == (200, "1")
    clock.move(4)
    assert left(await ask(served, "HEAD", "/echo/usual")) in ((405, None), (200, "0"))
    assert left(await ask(served, "GET", "/echo/usual")) == (200, "0")
    no = await ask(served, "GET", "/echo/usual")
    assert (no.status, no.headers["retry-after"], no.headers["x-reset"]) == (429, "6", str(START + 10_000))
    assert msgspec.json.decode(no.body)["problem"] == "TooManyRequests"
    assert left(await ask(served, "GET", "/echo/own")) == (200, "0")
    assert left(await ask(served, "GET", "/echo/own")) == (429, "0")
    assert left(await ask(served, "GET", "/echo/usual", peer="192.0.2.7")) == (200, "1")
    clock.move(6)
    assert left(await ask(served, "GET", "/echo/usual")) == (200, "1")
    assert left(await ask(served, "GET", "/echo/own")) == (429, "0")


async def test_no_rate_no_header() -> None:
    served = app(MovableClock())
    for _ in range(5):
        assert left(await ask(served, "GET", "/echo/free")) == (200, None)
        assert left(await ask(served, "GET", "/echo/usual", headers={"X-Exempt": "1"})) == (200, None)
        assert left(await ask(served, "GET", "/echo/nothing")) == (404, None)
        assert left(await ask(app(MovableClock(), None), "GET", "/echo/usual")) == (200, None)


async def test_after_the_sign_in_check_and_before_the_parameters() -> None:
    served = app(MovableClock())
    for _ in range(5):
        assert left(await ask(served, "POST", "/echo/mine", body=b"{}")) == (401, None)
    signed_in = {"Authorization": "Bearer ada", "Content-Type": "application/json"}
    assert left(await ask(served, "POST", "/echo/mine", headers=signed_in, body=b"{}")) == (400, "1")
    assert left(await ask(served, "POST", "/echo/mine", headers=signed_in, body=b"{}")) == (400, "0")
    assert left(await ask(served, "POST", "/echo/mine", headers=signed_in, body=b"{}")) == (429, "0")


async def test_a_broken_answer_still_tells() -> None:
    answer = await ask(app(MovableClock()), "GET", "/echo/broken")
    assert left(answer) == (500, "1")
    assert "x-lost" not in answer.headers


async def test_without_an_address_accounts_are_counted_and_nobody_else() -> None:
    """An unconfigured proxy: a common count for everybody would be a way to shut everybody out (threat 34)."""
    served = app(MovableClock())
    hidden = [("X-Forwarded-For", "192.0.2.1")]
    for _ in range(5):
        assert left(await ask(served, "GET", "/echo/usual", headers=hidden)) == (200, None)
    ada = [*hidden, ("Authorization", "Bearer ada"), ("Content-Type", "application/json")]
    seen = [left(await ask(served, "POST", "/echo/mine", headers=ada, body=b"{}")) for _ in range(3)]
    assert seen == [(400, "1"), (400, "0"), (429, "0")]


@pytest.mark.parametrize(("near", "far", "alike"), [
    ("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:0:1::1", False), ("192.0.2.1", "192.0.2.2", False),
])  # fmt: skip
async def test_a_network_is_one_client(near: str, far: str, alike: bool) -> None:
    served = app(MovableClock())
    await ask(served, "GET", "/echo/usual", peer=near)
    assert left(await ask(served, "GET", "/echo/usual", peer=far)) == (200, "0" if alike else "1")


def test_documents_tell() -> None:
    dialect = echo.dialect(operations=(usual, own, free), rates=RATES)
    paths = document(dialect)["paths"]
    said = paths["/echo/own"]["get"]["responses"]["429"]
    assert said["description"].startswith("Called more than once in 60 s")
    assert said["headers"].keys() == {"X-Left", "Retry-After"}
    assert "2 times in 10 s" in paths["/echo/usual"]["get"]["responses"]["429"]["description"]
    assert "429" not in paths["/echo/free"]["get"]["responses"]
