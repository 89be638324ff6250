"""The progress of each topic: positions from Redis compared with the ends of Kafka's logs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from api.health.answers import PartitionState, Pipeline, State, TopicState
from api.health.log_ends import LogEnds, LogWatch
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import INCARNATION_FIELD, LATE_FIELD, NEXT_FIELD, UPDATED_AT_FIELD
from contracts.log_position import next_position
from contracts.topics import QUOTES, STREAMED
from runtime.topology import Topology

STALLED_AFTER_MS: Final = 30_000
"""The same as for the workers' `/health`."""

Position = Sequence[bytes | None]
"""`_FIELDS` of a partition; None if nothing has been folded yet."""

_FIELDS: Final = (NEXT_FIELD, INCARNATION_FIELD, UPDATED_AT_FIELD, LATE_FIELD)


class Progress:
    """Measures the workers' progress."""

    def __init__(self, store: Store, logs: LogWatch, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._logs = logs
        self._now_ms = now_ms

    async def look(self) -> Pipeline:
        """Return the progress.

        Raises:
            StoreUnavailableError, TopologyError: Redis does not answer, or has no topology.
        """
        topology = await self._store.answer(self._store.topology())
        positions = await self._store.answer(_positions(self._store, topology))
        return pipeline_answer(positions, await self._logs.ends(topology), self._now_ms())


def pipeline_answer(
    positions: Mapping[str, Sequence[Position]], logs: LogEnds, now_ms: int
) -> Pipeline:
    """Return the workers' progress; `positions` are by topic, in the order of partitions."""
    topics = []
    for topic, of_topic in positions.items():
        partitions = [
            _partition(
                number,
                position,
                logs.ends.get((topic, number)),
                logs.held_back.get((topic, number), 0),
                now_ms,
            )
            for number, position in enumerate(of_topic)
        ]
        lags = [partition.lag for partition in partitions if partition.lag is not None]
        topics.append(
            TopicState(
                topic,
                sum(lags) if len(lags) == len(partitions) else None,
                logs.rates.get(topic),
                logs.dead_letters.get(topic),
                sum(int(late or 0) for *_, late in of_topic) if topic == QUOTES.name else None,
                partitions,
            )
        )
    return Pipeline(logs.failure or "ok", topics)


def _positions(store: Store, topology: Topology) -> Read[dict[str, Sequence[Position]]]:
    numbered = [(topic, range(topology.of(topic))) for topic in STREAMED]
    found = yield [
        ("HMGET", store.keys.position(topic, number), *_FIELDS)
        for topic, numbers in numbered
        for number in numbers
    ]
    each = iter(found)
    return {topic.name: [next(each) for _ in numbers] for topic, numbers in numbered}


def _partition(
    number: int, position: Position, end: int | None, held_back: int, now_ms: int
) -> PartitionState:
    next_value, incarnation_value, updated_at, _ = position
    at = next_position(incarnation_value, next_value)
    next_offset, incarnation = (at.offset, at.incarnation) if at else (None, None)
    # A log that was truncated or recreated may end before the position.
    lag = None if end is None else max(0, end - (next_offset or 0))
    age_ms = None if updated_at is None else max(0, now_ms - int(updated_at))
    is_held_back = 0 < (lag or 0) <= held_back
    state = "held back" if is_held_back else _state(next_offset, lag, age_ms)
    return PartitionState(number, state, next_offset, incarnation, end, lag, age_ms)


def _state(next_offset: int | None, lag: int | None, age_ms: int | None) -> State:
    if next_offset is None:
        return "new"
    if lag is None:
        return "unknown"
    if lag == 0:
        return "current"
    return "stalled" if age_ms is None or age_ms > STALLED_AFTER_MS else "behind"
