"""The endpoints of the pipeline: current and past progress, and rejected records."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.parameters import one_of, whole_number
from api.http.problems import (
    INVALID_REQUEST,
    OVERLOADED,
    READING,
    STORE_UNAVAILABLE,
    TOPICS_UNKNOWN,
    ProblemType,
)
from api.http.replies import respond
from api.pipeline.answers import (
    DeadLetter,
    DeadLetters,
    LetterReason,
    PartitionState,
    Pipeline,
    PipelineHistory,
    TopicHistory,
    TopicState,
)
from api.pipeline.dead_letters import NEWEST, NewestDeadLetters
from api.pipeline.history import MINUTES_KEPT, SAMPLE_EVERY_S, History
from api.pipeline.progress import Progress
from contracts.topics import STREAMED

MAX_DEAD_LETTERS: Final = 100
_DEAD_LETTERS: Final = 20
_ALL: Final = "all"
_TOPICS: Final = [topic.name for topic in STREAMED]

_READING: Final[Mapping[ProblemType, str]] = {
    kind: READING[kind] for kind in (OVERLOADED, STORE_UNAVAILABLE, TOPICS_UNKNOWN)
}
_REASON: Final = "Expected `float` >= 1e-18 - at `$.price`"
_REJECTED: Final = DeadLetter(
    "quotes", 0, 41, 1629061628123, _REASON, "4", '{"instrument_id":4,"price":0}', 29
)
_PARTITION: Final = PartitionState(0, "behind", 71208, 0, 71220, 12, 310)
_PIPELINE: Final = Pipeline(
    "ok",
    [TopicState("quotes", 12, 498.5, 1, [LetterReason(_REASON, 1, 1629061628123)], [_PARTITION])],
)
_HISTORY: Final = PipelineHistory(
    1629060000000,
    10_000,
    [1629061620000, 1629061630000],
    [TopicHistory("quotes", [12, 0], [498.5, 501.0], [310, 0], [0.1, 0.0])],
)


def endpoints(progress: Progress, rejected: NewestDeadLetters, history: History) -> Table:
    """Return the endpoints of the pipeline."""

    async def pipeline(_: Request) -> Response:
        found, logs = await progress.look()
        unread = await rejected.refresh(logs.dead)
        topics = [
            msgspec.structs.replace(of, reasons=rejected.reasons(of.topic)) for of in found.topics
        ]
        return respond(Pipeline(logs.failure or unread or "ok", topics))

    async def lately(_: Request, minutes: int) -> Response:
        return respond(history.last(minutes))

    async def dead_letters(_: Request, topic: str, limit: int) -> Response:
        logs = await progress.logs()
        unread = await rejected.refresh(logs.dead)
        letters = rejected.newest(None if topic == _ALL else topic, limit)
        return respond(DeadLetters(logs.failure or unread or "ok", letters))

    return (
        ActionEndpoint(
            name="pipeline",
            path="/v1/pipeline",
            tag="health",
            summary="The workers' progress",
            description=f"""\
Each partition's position, the end of its log and the lag between them, the rate of incoming
records, the number of dead letters, and the reasons for the newest {NEWEST} of a topic.

`state`: `new` (nothing has been folded yet), `current` (no lag), `behind`, `held back` (everything
is folded except records behind an open transaction), `stalled` (behind, and nothing was folded for
30 s), `unknown` (the end of the log is not known: Kafka did not answer within a second, and `kafka`
says why).""",
            act=pipeline,
            scope="read:pipeline",
            success=Success(kind=Pipeline, example=_PIPELINE),
            problems=_READING,
        ),
        ActionEndpoint(
            name="pipeline_history",
            path="/v1/pipeline/history",
            tag="health",
            summary="The workers' progress over the last minutes",
            description=f"""\
Lag, rate, age and rejected records of each topic, sampled by this process every
{SAMPLE_EVERY_S:g} s since its start. Each process has its own samples; null if a value was
unknown.""",
            parameters=(
                whole_number("minutes", MINUTES_KEPT, MINUTES_KEPT, "how far to look back"),
            ),
            act=lately,
            scope="read:pipeline",
            success=Success(kind=PipelineHistory, example=_HISTORY),
            problems={
                INVALID_REQUEST: "minutes: must be a whole number from 1 to 60, not '0'",
                OVERLOADED: READING[OVERLOADED],
            },
        ),
        ActionEndpoint(
            name="dead_letters",
            path="/v1/pipeline/dead_letters",
            tag="health",
            summary="The newest records that workers rejected",
            description="""\
Keys and values are truncated. They may be personal data, so the scope is `admin`. `kafka` says why
the newest may be missing.""",
            parameters=(
                one_of("topic", [_ALL, *_TOPICS], _ALL, "the topic of the records"),
                whole_number("limit", MAX_DEAD_LETTERS, _DEAD_LETTERS, "maximum number"),
            ),
            act=dead_letters,
            scope="admin",
            cost=20,
            success=Success(kind=DeadLetters, example=DeadLetters("ok", [_REJECTED])),
            problems={
                INVALID_REQUEST: "limit: must be a whole number from 1 to 100, not '0'",
                **_READING,
            },
        ),
    )
