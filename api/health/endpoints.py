"""The endpoints of monitoring: liveness, readiness, metrics, and the workers' progress."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from api.health.answers import Liveness, PartitionState, Pipeline, Readiness, TopicState
from api.health.kafka_check import KafkaCheck
from api.health.progress import Progress
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.problems import (
    NOT_READY,
    OVERLOADED,
    READING,
    STORE_UNAVAILABLE,
    TOPICS_UNKNOWN,
    Problem,
)
from api.http.reply import respond
from api.http.server_state import DRAINING
from api.redis.store import Store, StoreUnavailableError
from runtime.topology import TopologyError

_PARTITION: Final = PartitionState(0, "behind", 71208, 0, 71220, 12, 310)
_PIPELINE: Final = Pipeline("ok", [TopicState("quotes", 12, 498.5, 1, 0, [_PARTITION])])
_METRICS: Final = (
    'api_requests_total{method="GET",route="/instruments/{instrument_id}",status="200"} 1.0\n'
)


def endpoints(
    store: Store, kafka: KafkaCheck, progress: Progress, registry: CollectorRegistry
) -> Table:
    """Return the endpoints for monitoring.

    Args:
        store: where the topics' partitions are.
        kafka: the check that `/health/ready` reports.
        progress: the workers'.
        registry: holds the metrics.
    """

    async def live(_: Request) -> Response:
        return respond(Liveness("alive"))

    async def ready(request: Request) -> Response:
        if hasattr(request.state, DRAINING):
            raise Problem(NOT_READY, "The server is shutting down")
        try:
            topology = await store.answer(store.read_topology())
        except (StoreUnavailableError, TopologyError) as error:
            raise Problem(NOT_READY, f"Redis: {error}") from error
        return respond(Readiness("ready", "ok", await kafka.status(topology)))

    async def pipeline(_: Request) -> Response:
        return respond(await progress.look())

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return (
        ActionEndpoint(
            name="pipeline",
            path="/v1/pipeline",
            tag="health",
            summary="The workers' progress",
            description="""\
Each partition's position, the end of its log and the lag between them, the rate of incoming
records, and the number of dead letters.

`state`: `new` (nothing has been folded yet), `current` (no lag), `behind`, `held back` (everything
is folded except records behind an open transaction), `stalled` (behind, and nothing was folded for
30 s), `unknown` (the end of the log is not known: Kafka did not answer within a second, and `kafka`
says why).""",
            act=pipeline,
            scope="read:pipeline",
            success=Success(kind=Pipeline, example=_PIPELINE),
            problems={
                kind: READING[kind] for kind in (OVERLOADED, STORE_UNAVAILABLE, TOPICS_UNKNOWN)
            },
        ),
        ActionEndpoint(
            name="liveness",
            path="/health/live",
            tag="health",
            summary="Whether the process is alive",
            description="Nothing else is checked: a process whose Redis is down must not be "
            "restarted.",
            act=live,
            success=Success(kind=Liveness, example=Liveness("alive")),
            problems={},
        ),
        ActionEndpoint(
            name="readiness",
            path="/health/ready",
            tag="health",
            summary="Whether reads can be served",
            description="""\
Ready means that Redis answers and knows the topics. `kafka` is separate, as reads do not need it:
it is checked at most once a second, and is `ok` or `unavailable`, as after a message that was not
acknowledged; the server's log has the reason.

A server that is shutting down is not ready, either.""",
            act=ready,
            success=Success(kind=Readiness, example=Readiness("ready", "ok", "ok")),
            problems={NOT_READY: "Redis: no answer in 0.2 s"},
        ),
        ActionEndpoint(
            name="metrics",
            path="/metrics",
            tag="health",
            summary="Metrics for Prometheus",
            description="In Prometheus's text format.",
            act=metrics,
            success=Success(kind=None, example=_METRICS, media_type="text/plain"),
            problems={},
        ),
    )
