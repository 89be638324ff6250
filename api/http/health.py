"""For what watches the service: liveness, readiness, metrics."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

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
KEPT_S: Final = 1.0
"""How long a check of Kafka, which asks a broker and takes a thread, answers for later ones."""

UNAVAILABLE: Final = "unavailable: the server's log says why"
"""What everybody may read of why nothing can be published, which names addresses and users."""

CheckKafka = Callable[[Topology], Coroutine[Any, Any, str]]
"""Returns `ok`, or why nothing can be published."""

_METRICS: Final = (
    'api_requests_total{method="GET",route="/instruments/{instrument_id}",status="200"} 1.0\n'
)


_log = logging.getLogger(__name__)


class _SharedCheck:
    """One check of Kafka at a time, however many ask."""

    def __init__(self, check: CheckKafka) -> None:
        self._check = check
        self._asked: Topology | None = None
        self._began_s = 0.0
        self._found: asyncio.Task[str] | None = None
        self._logged = "ok"

    async def __call__(self, topology: Topology) -> str:
        """Return what all may read of the check under way, or of one not older than `KEPT_S`."""
        found = self._found
        if found is None or topology != self._asked or self._is_old(found):
            self._asked, self._began_s = topology, time.monotonic()
            found = self._found = asyncio.create_task(self._check(topology))
        # One who goes ends it for nobody else.
        return self._public(await asyncio.shield(found))

    def _public(self, found: str) -> str:
        """Return what a check found as all may read it; log it if it is another than before."""
        if found not in (self._logged, "ok"):
            _log.warning("nothing can be published: %s", found)
        self._logged = found
        return found if found == "ok" else UNAVAILABLE

    def _is_old(self, found: asyncio.Task[str]) -> bool:
        return found.done() and time.monotonic() >= self._began_s + KEPT_S


def endpoints(store: Store, check_kafka: CheckKafka, registry: CollectorRegistry) -> Table:
    """Return the endpoints of what watches the service.

    Args:
        store: where the topics' partitions are.
        check_kafka: the check that `/health/ready` tells of.
        registry: of the metrics.
    """
    shared_check = _SharedCheck(check_kafka)

    async def live(_: Request) -> Response:
        return respond(Liveness("alive"))

    async def ready(request: Request) -> Response:
        if hasattr(request.state, DRAINING):
            raise Problem(NOT_READY, "The server is about to end")
        try:
            topology = await store.answer(store.read_topology())
        except (StoreUnavailableError, TopologyError) as error:
            raise Problem(NOT_READY, f"Redis: {error}") from error
        return respond(Readiness("ready", "ok", await shared_check(topology)))

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
Redis answers and knows the topics. `kafka` is apart: reads do not need it. It is asked at most
once a second, and is `ok` or `unavailable`; why, the server's log says.

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
