"""The endpoint of the pipeline: the workers' progress."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.problems import OVERLOADED, READING, STORE_UNAVAILABLE, TOPICS_UNKNOWN
from api.http.replies import respond
from api.pipeline.answers import PartitionState, Pipeline, TopicState
from api.pipeline.progress import Progress

_PARTITION: Final = PartitionState(0, "behind", 71208, 0, 71220, 12, 310)
_PIPELINE: Final = Pipeline("ok", [TopicState("quotes", 12, 498.5, 1, [_PARTITION])])


def endpoints(progress: Progress) -> Table:
    """Return the endpoint of the pipeline."""

    async def pipeline(_: Request) -> Response:
        return respond(await progress.look())

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
    )
