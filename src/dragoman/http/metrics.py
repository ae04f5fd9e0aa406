"""Counters of requests by operation, shaped for Prometheus. Cheap: an observation touches one small object."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

log = structlog.get_logger("dragoman.metrics")
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally:
    """What happened to one operation of one dialect. Belongs to the event loop's thread."""

    __slots__ = ("buckets", "labels", "seconds", "statuses")

    def __init__(self, dialect: str, method: str, path: str) -> None:
        self.labels = (dialect, method, path)
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Count one answer; `seconds` from the head of the request to the last byte handed over."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1
        self.seconds += seconds


class Reading(Struct, frozen=True):
    """One number that another part of the program tells when it is asked."""

    name: str
    help: str
    value: float
    counts: bool = False
    """Whether it only ever grows."""


Source = Callable[[], Awaitable[Iterable[Reading]]]
"""Returns its readings as they are now. Whatever it raises leaves them out."""


class Metrics:
    """All tallies of a process. The library is imported when somebody first asks: a start should not wait for it."""

    def __init__(self) -> None:
        self._tallies: list[Tally] = []
        self.sockets: Mapping[str, int] = {}
        """Open sockets by dialect; the gateway's own count."""
        self._sources: list[Source] = []
        self._readings: list[Reading] = []

    @cached_property
    def registry(self) -> CollectorRegistry:
        """What `text` prints. Other parts may add collectors of their own."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.registry import Collector

        metrics = self

        class Requests(Collector):
            """Our tallies as the library wants them."""

            def collect(self) -> Iterator[Metric]:
                """Yield the families."""
                return metrics.collect()

        registry = CollectorRegistry()
        registry.register(Requests())
        return registry

    def tally(self, dialect: str, method: str, path: str) -> Tally:
        """Return a new tally; `path` is the template, never what a client typed."""
        tally = Tally(dialect, method, path)
        self._tallies.append(tally)
        return tally

    def watch(self, source: Source) -> None:
        """Ask this source, too, whenever somebody reads the counters."""
        self._sources.append(source)

    async def refresh(self) -> None:
        """Ask every source, for the next `text`. One that cannot tell is left out."""
        readings: list[Reading] = []
        for source in self._sources:
            try:
                readings += await source()
            except Exception as fault:
                log.warning("metrics left out", fault=type(fault).__name__)
        self._readings = readings

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families; called by the registry."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        labels = ["dialect", "method", "path"]
        requests = CounterMetricFamily(
            "dragoman_http_requests", "Answers by operation and status.", labels=[*labels, "status"]
        )
        seconds = HistogramMetricFamily("dragoman_http_request_seconds", "Time to answer, by operation.", labels=labels)
        for tally in self._tallies:
            if not tally.statuses:
                continue
            for status, count in sorted(tally.statuses.items()):
                requests.add_metric([*tally.labels, str(status)], count)
            running, buckets = 0, []
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), tally.buckets, strict=True):
                running += count
                buckets.append((bound, float(running)))
            seconds.add_metric(list(tally.labels), buckets, tally.seconds)
        sockets = GaugeMetricFamily("dragoman_open_sockets", "Open WebSockets by dialect.", labels=["dialect"])
        for dialect, number in sorted(self.sockets.items()):
            sockets.add_metric([dialect], number)
        yield requests
        yield seconds
        yield sockets
        for each in self._readings:
            family = CounterMetricFamily if each.counts else GaugeMetricFamily
            yield family(each.name, each.help, value=each.value)
