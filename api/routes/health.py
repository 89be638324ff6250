"""For what watches the service: liveness, readiness, metrics."""

from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api import examples
from api.answers import Liveness, Readiness, respond
from api.hot.protocol import DRAINING
from api.openapi import answered, failed
from api.problems import NOT_READY, Problem
from api.services import Services, ServicesDep
from api.store import StoreUnavailableError
from runtime.topology import Topology, TopologyError

router = APIRouter(tags=["health"])

_METRICS: Final = (
    'api_requests_total{method="GET",route="/instruments/{instrument_id}",status="200"} 1.0\n'
)


@router.get(
    "/health/live", summary="The process answers", responses=answered(Liveness, examples.ALIVE)
)
async def live() -> Response:
    """Nothing else is asked: a process whose Redis is away must not be restarted."""
    return respond(Liveness("alive"))


@router.get(
    "/health/ready",
    summary="Reads can be served",
    responses={
        **answered(Readiness, examples.READY),
        **failed({NOT_READY: "Redis: no answer in 0.2 s"}),
    },
)
async def ready(request: Request, services: ServicesDep) -> Response:
    """Redis answers and knows the topics. `kafka` is told apart: reads do not need it.

    Not ready is also a server that is about to end.
    """
    if hasattr(request.state, DRAINING):
        raise Problem(NOT_READY, "The server is about to end")
    topology = await _topology(services)
    return respond(Readiness("ready", "ok", await services.publisher.check(topology)))


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Success",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}},
        }
    },
)
async def metrics(services: ServicesDep) -> Response:
    """In Prometheus's text format."""
    body = generate_latest(services.metrics.registry)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _topology(services: Services) -> Topology:
    try:
        return await services.store.answer(services.store.read_topology())
    except (StoreUnavailableError, TopologyError) as error:
        raise Problem(NOT_READY, f"Redis: {error}") from error
