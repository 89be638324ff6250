"""The endpoints of the pipeline: how far the workers are, how far they were, what they rejected."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.http.cases import READING
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.parameters import one_of, whole_number
from api.http.problems import (
    INVALID_REQUEST,
    OVERLOADED,
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
            path="/v1/pipeline",
            tag="health",
            summary="How far the workers are",
            description=f"""\
Each partition's position, the end of its log and the lag between them, the rate at which records
come in, how many dead letters there are, and for which reasons the newest {NEWEST} of a topic were
rejected.

`state`: `new` (nothing was folded yet), `current` (no lag), `behind`, `held back` (all is
folded that an open transaction does not keep from being read), `stalled` (behind, and for 30 s
nothing was folded), `unknown` (Kafka does not say where the log ends: it is asked for a second
at most, and `kafka` says why).""",
            act=pipeline,
            scope="read",
            success=Success(kind=Pipeline, example=_PIPELINE),
            problems=_READING,
        ),
        ActionEndpoint(
            path="/v1/pipeline/history",
            tag="health",
            summary="How far the workers were in the last minutes",
            description=f"""\
Lag, rate, age and rejected records of each topic, as this process saw it every
{SAMPLE_EVERY_S:g} s since its start. Each process has its own; null where it did not know.""",
            parameters=(
                whole_number("minutes", MINUTES_KEPT, MINUTES_KEPT, "how far to look back"),
            ),
            act=lately,
            scope="read",
            success=Success(kind=PipelineHistory, example=_HISTORY),
            problems={
                INVALID_REQUEST: "minutes: must be a whole number from 1 to 60, not '0'",
                OVERLOADED: READING[OVERLOADED],
            },
        ),
        ActionEndpoint(
            path="/v1/pipeline/dead_letters",
            tag="health",
            summary="The newest records that workers rejected",
            description="""\
With the beginnings of their keys and values: they may be about people, hence the scope. `kafka`
says why what is newest may be missing.""",
            parameters=(
                one_of("topic", [_ALL, *_TOPICS], _ALL, "where the records stood"),
                whole_number("limit", MAX_DEAD_LETTERS, _DEAD_LETTERS, "how many at most"),
            ),
            act=dead_letters,
            scope="admin",
            success=Success(kind=DeadLetters, example=DeadLetters("ok", [_REJECTED])),
            problems={
                INVALID_REQUEST: "limit: must be a whole number from 1 to 100, not '0'",
                **_READING,
            },
        ),
    )
