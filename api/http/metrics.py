"""Every metric of the API, and the middleware that times requests by their route's template.

Requests are counted and timed at the cost of a few additions each. prometheus_client's own counter
takes a lock, and its histogram searches the buckets, too: a fifth of the cost of a hot request.
What only the event loop records needs no lock; samples are computed on a scrape.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.answer_headers import STARTS

BUCKETS_S: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2.5, 5,
)  # fmt: skip
_BOUNDS: Final = (*(str(float(bound)) for bound in BUCKETS_S), "+Inf")
_OPENED: Final = 101
"""The status of a WebSocket that is accepted."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Requests()
        self.registry.register(self.requests)
        self.recommendations = Counts(
            "api_recommendations_total",
            "Recommendations by source (model, history, items, repeat, popular), variant and model",
            ("source", "variant", "model"),
        )
        self.registry.register(self.recommendations)
        self.choices = Counts(
            "api_choices_total",
            "Recommendations: computed, or cached for the same history and generation",
            ("outcome",),
        )
        self.registry.register(self.choices)
        self.lists = Counts(
            "api_lists_total",
            "Item lists used to fold in histories: read from Redis, or cached",
            ("outcome",),
        )
        self.registry.register(self.lists)
        self.store_errors = Counter(
            "api_redis_errors_total",
            "Failed reads from Redis: timeout, connection, overload, or refused",
            ["kind"],
            registry=self.registry,
        )
        self.published = Counter(
            "api_published_total",
            "Messages to Kafka: acknowledged, or failed",
            ["topic", "outcome"],
            registry=self.registry,
        )
        self.feedback = Counter(
            "api_feedback_total",
            "Feedback that Kafka acknowledged: impression or click, by the parts of its request id",
            ["kind", "variant", "source"],
            registry=self.registry,
        )


class LiveMetrics:
    """The metrics of the streams of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge("api_stream_clients", "Clients with an open stream", registry=registry)
        self.events = Counter(
            "api_stream_events_total",
            "Bars and quotes sent to clients of streams",
            registry=registry,
        )
        self.conflated = Counter(
            "api_stream_conflated_total",
            "Bars and quotes not sent, because later ones arrived before the client read them",
            registry=registry,
        )
        self.dropped = Counter(
            "api_stream_dropped_total",
            "Streams ended because their clients read nothing for too long",
            registry=registry,
        )
        self.interruptions = Counter(
            "api_stream_interruptions_total",
            "Times that the subscription was lost and clients were notified",
            registry=registry,
        )


class RequestTiming:
    """Counts and times each request to `app`, up to the start of the answer.

    A WebSocket is a GET, and its opening the start of an answer with status 101.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer has ended."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        status = 500  # what the server answers if `app` raises
        began: float | None = None

        async def noting_status(message: Message) -> None:
            nonlocal status, began
            if began is None and message["type"] in STARTS:
                status, began = message.get("status", _OPENED), perf_counter()
            await send(message)

        started = perf_counter()
        try:
            await self._app(scope, receive, noting_status)
        finally:
            route = route_of(scope)
            given = scope.get("method", "GET")
            method = given if given in _METHODS else "other"
            self._metrics.requests.note(method, route, status, (began or perf_counter()) - started)


def route_of(scope: Scope) -> str:
    """Return the path template of the endpoint that a request was routed to."""
    route: str = getattr(scope.get("route"), "path_format", "unmatched")
    return route


class Counts(Collector):
    """Counts each combination of labels, in one process."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = {}

    def note(self, *labels: str) -> None:
        """Count one; from the event loop only."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def add(self, n: int, *labels: str) -> None:
        """Count `n`; from the event loop only."""
        self._counts[labels] = self._counts.get(labels, 0) + n

    def describe(self) -> Iterable[Metric]:
        """Return the family without samples."""
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        """Yield the counts."""
        family = self._family()
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._labels)


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
