"""Every metric of the API, and the middleware that times requests by their route's template."""

from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.counts import Counts
from api.http.request_times import Requests

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
            "Recommendations by source (model, history, items or popular), variant and model",
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


class Measured:
    """Counts and times each HTTP request to `app`, up to the start of the answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer has ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the server answers if `app` raises
        began: float | None = None

        async def noting_status(message: Message) -> None:
            nonlocal status, began
            if message["type"] == "http.response.start":
                status, began = message["status"], perf_counter()
            await send(message)

        started = perf_counter()
        try:
            await self._app(scope, receive, noting_status)
        finally:
            route = route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.note(method, route, status, (began or perf_counter()) - started)


def route_of(scope: Scope) -> str:
    """Return the path template of the endpoint that a request was routed to."""
    route: str = getattr(scope.get("route"), "path_format", "unmatched")
    return route
