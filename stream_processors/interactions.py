"""What the folds of `interactions` take: events and leaving users. Pure."""

from collections.abc import Set
from operator import itemgetter
from typing import NamedTuple

from contracts.input_rules import ANY, InputRules
from contracts.messages import InteractionColumns, Ints, Rejection, decode_interactions
from contracts.tombstones import Tombstone, decode_tombstone
from stream_processors.transport.batches import RecordBatch

Event = tuple[int, str, int, int, int, float]
"""Index in the batch, user, item, index into `EVENT_TYPES`, event time, value."""


class UserEvents(NamedTuple):
    """The valid records of a batch."""

    offsets: Ints
    """of all records of the batch"""
    events: list[Event]
    """in log order, including tombstones"""
    tombstones: dict[int, Tombstone]
    """by index"""
    columns: InteractionColumns
    """the events without tombstones"""

    def without(self, places: Set[int]) -> "UserEvents":
        """Return the events without those of some records, given by index."""
        columns = self.columns.where([place not in places for place in self.columns.index.tolist()])
        events = [event for event in self.events if event[0] not in places]
        return self._replace(events=events, columns=columns)


def decode(batch: RecordBatch, rules: InputRules = ANY) -> tuple[UserEvents, list[Rejection]]:
    """Return the events of a batch, and its invalid records."""
    values = batch.values()
    columns, rejected = decode_interactions(values, batch.clock_ms(), rules)
    events: list[Event] = list(
        zip(
            columns.index.tolist(),
            columns.user_id,
            columns.instrument_id.tolist(),
            columns.event.tolist(),
            columns.ts_ms.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    )
    tombstones: dict[int, Tombstone] = {}
    rejections: list[Rejection] = []
    for rejection in rejected:
        record = batch.records[rejection.place]
        if record.value is not None:
            rejections.append(rejection)
            continue
        try:
            tombstone = decode_tombstone(record.key, tuple(record.headers))
        except ValueError as error:
            rejections.append(Rejection(rejection.place, str(error)))
        else:
            tombstones[rejection.place] = tombstone
            events.append((rejection.place, tombstone.user_id, 0, 0, 0, 0.0))
    if tombstones:
        events.sort(key=itemgetter(0))
    return UserEvents(batch.offsets(), events, tombstones, columns), rejections
