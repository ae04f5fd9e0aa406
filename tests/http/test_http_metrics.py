"""Numbers that other parts of the program tell when `/metrics` is read."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.http.metrics import Metrics, Reading


async def told() -> Iterable[Reading]:
    """Tell a gauge and a counter."""
    return [Reading("letters", "How many.", 3), Reading("sent", "How many went.", 7, counts=True)]


async def broken() -> Iterable[Reading]:
    """Tell nothing: the database is away."""
    raise OSError


async def test_sources_are_asked_at_each_refresh_and_shown() -> None:
    metrics = Metrics()
    metrics.tally("example", "GET", "/x").count(200, 0.01)
    metrics.watch(told)
    assert b"letters" not in metrics.text()
    await metrics.refresh()
    text = metrics.text().decode()
    for line in ("# TYPE letters gauge", "letters 3.0", "# TYPE sent_total counter", "sent_total 7.0"):
        assert line in text
    assert "dragoman_http_requests_total" in text


async def test_a_source_that_cannot_tell_is_left_out() -> None:
    metrics = Metrics()
    for source in (broken, told):
        metrics.watch(source)
    await metrics.refresh()
    assert "letters 3.0" in metrics.text().decode()
