"""Prometheus counters and histograms of requests, at the cost of a few additions each.

prometheus_client's own counter and histogram take locks and search the buckets: a fifth of the cost
of a hot request. Here, only the event loop records requests; samples are computed on a scrape.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS_S: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2.5, 5,
)  # fmt: skip
_BOUNDS: Final = (*(str(float(bound)) for bound in BUCKETS_S), "+Inf")


class _Times:
    """How long the requests of one route took."""

    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.total_s = 0.0


class Requests(Collector):
    """All requests of one process."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, _Times] = {}

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count and time a request whose answer has ended; from the event loop only."""
        known = (method, route, status)
        self._counts[known] = self._counts.get(known, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = _Times()
        times.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        times.total_s += seconds

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples."""
        return [_counter(), _histogram()]

    def collect(self) -> Iterator[Metric]:
        """Yield the families with their samples."""
        counter, histogram = _counter(), _histogram()
        for (method, route, status), count in self._counts.items():
            counter.add_metric([method, route, str(status)], count)
        for route, times in self._times.items():
            buckets = list(zip(_BOUNDS, accumulate(times.buckets), strict=True))
            histogram.add_metric([route], buckets, times.total_s)
        yield counter
        yield histogram


def _counter() -> CounterMetricFamily:
    return CounterMetricFamily(
        "api_requests_total",
        "Requests by route template, `unmatched` for unknown paths",
        labels=["method", "route", "status"],
    )


def _histogram() -> HistogramMetricFamily:
    return HistogramMetricFamily(
        "api_request_seconds",
        "Time from the arrival of a request to the start of its answer",
        labels=["route"],
    )
