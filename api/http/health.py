"""For what watches the service: liveness, readiness, metrics."""

from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from api.http.answers import Liveness, Readiness
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.problems import NOT_READY, Problem
from api.http.replies import respond
from api.redis.store import Store, StoreUnavailableError
from runtime.topology import Topology, TopologyError

DRAINING: Final = "draining"
"""In the state of the lifespan once each answer is the last one on its connection."""

_METRICS: Final = (
    'api_requests_total{method="GET",route="/instruments/{instrument_id}",status="200"} 1.0\n'
)


def endpoints(
    store: Store, check_kafka: Callable[[Topology], Awaitable[str]], registry: CollectorRegistry
) -> Table:
    """Return the endpoints of what watches the service.

    Args:
        store: where the topics' partitions are.
        check_kafka: returns `ok`, or why nothing can be published.
        registry: of the metrics.
    """

    async def live(_: Request) -> Response:
        return respond(Liveness("alive"))

    async def ready(request: Request) -> Response:
        if hasattr(request.state, DRAINING):
            raise Problem(NOT_READY, "The server is about to end")
        try:
            topology = await store.answer(store.read_topology())
        except (StoreUnavailableError, TopologyError) as error:
            raise Problem(NOT_READY, f"Redis: {error}") from error
        return respond(Readiness("ready", "ok", await check_kafka(topology)))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return (
        ActionEndpoint(
            path="/health/live",
            tag="health",
            summary="The process answers",
            description="Nothing else is asked: a process whose Redis is away must not be "
            "restarted.",
            act=live,
            success=Success(kind=Liveness, example=Liveness("alive")),
            problems={},
        ),
        ActionEndpoint(
            path="/health/ready",
            tag="health",
            summary="Reads can be served",
            description="""\
Redis answers and knows the topics. `kafka` is told apart: reads do not need it.

Not ready is also a server that is about to end.""",
            act=ready,
            success=Success(kind=Readiness, example=Readiness("ready", "ok", "ok")),
            problems={NOT_READY: "Redis: no answer in 0.2 s"},
        ),
        ActionEndpoint(
            path="/metrics",
            tag="health",
            summary="Metrics for Prometheus",
            description="In Prometheus's text format.",
            act=metrics,
            success=Success(kind=None, example=_METRICS, media_type="text/plain"),
            problems={},
        ),
    )
