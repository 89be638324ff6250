"""How far the workers are: positions out of Redis, held against the ends of Kafka's logs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.http.cases import READING
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.problems import OVERLOADED, STORE_UNAVAILABLE, TOPICS_UNKNOWN
from api.http.replies import respond
from api.live.log_ends import LogEnds, LogWatch
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import INCARNATION_FIELD, NEXT_FIELD, UPDATED_AT_FIELD
from contracts.topics import STREAMED
from runtime.topology import Topology

STALLED_AFTER_MS: Final = 30_000
"""As the workers' `/health` takes it."""

State = Literal["new", "current", "behind", "stalled", "unknown"]
Position = Sequence[bytes | None]
"""`next`, `incarnation` and `updated_at_ms` of a partition; None where nothing was folded yet."""

_FIELDS: Final = (NEXT_FIELD, INCARNATION_FIELD, UPDATED_AT_FIELD)


class PartitionState(msgspec.Struct, frozen=True):
    """How far a partition is."""

    partition: int
    state: State
    next: int | None
    """the offset that is folded next; null: nothing was folded yet"""
    incarnation: int | None
    """how often the topic was made anew"""
    end: int | None
    """of what is committed to the log; null: Kafka does not say"""
    lag: int | None
    """records that are not folded yet"""
    age_ms: int | None
    """since the position was written; it is not while nothing comes"""


class TopicState(msgspec.Struct, frozen=True):
    """How far a topic is."""

    topic: str
    lag: int | None
    rate: float | None
    """records a second that came in lately; null: not known yet"""
    dead_letters: int | None
    """records in its topic of dead letters, of the last 30 days"""
    partitions: list[PartitionState]


class Pipeline(msgspec.Struct, frozen=True):
    """How far the workers are."""

    kafka: str
    """`ok`, or why the ends of the logs are not known"""
    topics: list[TopicState]


_EXAMPLE: Final = Pipeline(
    "ok",
    [TopicState("quotes", 12, 498.5, 0, [PartitionState(0, "behind", 71208, 0, 71220, 12, 310)])],
)


def endpoints(store: Store, logs: LogWatch, now_ms: Callable[[], int]) -> Table:
    """Return the endpoint of the pipeline."""

    async def pipeline(_: Request) -> Response:
        topology = await store.answer(store.topology())
        positions = await store.answer(_positions(store, topology))
        return respond(pipeline_answer(positions, await logs.ends(topology), now_ms()))

    return (
        ActionEndpoint(
            path="/v1/pipeline",
            tag="health",
            summary="How far the workers are",
            description="""\
Each partition's position, the end of its log and the lag between them, the rate at which records
come in, and how many dead letters there are.

`state`: `new` (nothing was folded yet), `current` (no lag), `behind`, `stalled` (behind, and for
30 s nothing was folded), `unknown` (Kafka does not say where the log ends: it is asked for a second
at most, and `kafka` says why).""",
            act=pipeline,
            scope="read",
            success=Success(kind=Pipeline, example=_EXAMPLE),
            problems={
                kind: READING[kind] for kind in (OVERLOADED, STORE_UNAVAILABLE, TOPICS_UNKNOWN)
            },
        ),
    )


def pipeline_answer(
    positions: Mapping[str, Sequence[Position]], logs: LogEnds, now_ms: int
) -> Pipeline:
    """Return how far the workers are; `positions` are by topic, in the order of partitions."""
    topics = []
    for topic, of_topic in positions.items():
        partitions = [
            _partition(number, position, logs.ends.get((topic, number)), now_ms)
            for number, position in enumerate(of_topic)
        ]
        lags = [partition.lag for partition in partitions if partition.lag is not None]
        topics.append(
            TopicState(
                topic,
                sum(lags) if len(lags) == len(partitions) else None,
                logs.rates.get(topic),
                logs.dead.get(topic),
                partitions,
            )
        )
    return Pipeline(logs.failure or "ok", topics)


def _positions(store: Store, topology: Topology) -> Read[dict[str, Sequence[Position]]]:
    numbered = [(topic, range(getattr(topology, topic.name))) for topic in STREAMED]
    found = yield [
        ("HMGET", store.keys.position(topic, number), *_FIELDS)
        for topic, numbers in numbered
        for number in numbers
    ]
    each = iter(found)
    return {topic.name: [next(each) for _ in numbers] for topic, numbers in numbered}


def _partition(number: int, position: Position, end: int | None, now_ms: int) -> PartitionState:
    next_offset, incarnation, updated_at = (
        None if value is None else int(value) for value in position
    )
    # A log that was cut, or made anew, may end before the position.
    lag = None if end is None else max(0, end - (next_offset or 0))
    age_ms = None if updated_at is None else max(0, now_ms - updated_at)
    state = _state(next_offset, lag, age_ms)
    return PartitionState(number, state, next_offset, incarnation, end, lag, age_ms)


def _state(next_offset: int | None, lag: int | None, age_ms: int | None) -> State:
    if next_offset is None:
        return "new"
    if lag is None:
        return "unknown"
    if lag == 0:
        return "current"
    return "stalled" if age_ms is None or age_ms > STALLED_AFTER_MS else "behind"
