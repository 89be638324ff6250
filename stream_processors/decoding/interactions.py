"""What the folds of `interactions` take: events and leaving users."""

from itertools import compress
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from contracts.batches import InteractionColumns, decode_interactions
from contracts.messages import Ints, Rejection
from contracts.tombstones import Tombstone, decode_tombstone
from contracts.topics import INTERACTIONS
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.transport.batches import RecordBatch

Event = tuple[int, str, int, float, int, float]
"""Index in the batch, user, item, weight of its type, event time, value."""


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


def decode(
    batch: RecordBatch, placement: Placement, intake: Intake
) -> tuple[UserEvents, list[Rejection]]:
    """Return the events of a batch, and its invalid records."""
    clock_ms = batch.clock_ms()
    columns, rejected = decode_interactions(batch.values(), clock_ms, intake.rules)
    intake.note(INTERACTIONS.name, columns.unknown_fields)
    events: list[Event] = list(
        zip(
            columns.index.tolist(),
            columns.user_id,
            columns.instrument_id.tolist(),
            columns.weight.tolist(),
            columns.ts_ms.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    )
    tombstones: dict[int, Tombstone] = {}
    rejections: list[Rejection] = []
    for rejection in rejected:
        record = batch.records[rejection.index]
        if record.value is not None:
            rejections.append(rejection)
            continue
        try:
            now_ms = int(clock_ms[rejection.index])
            tombstone = decode_tombstone(record.key, tuple(record.headers), now_ms)
        except ValueError as error:
            rejections.append(Rejection(rejection.index, str(error)))
        else:
            tombstones[rejection.index] = tombstone
            events.append((rejection.index, tombstone.user_id, 0, 0.0, 0, 0.0))
    if tombstones:
        events.sort(key=itemgetter(0))
    places, users = list(map(itemgetter(0), events)), list(map(itemgetter(1), events))
    is_here, misplaced = placement.of_users(batch.tp.partition, places, users)
    if misplaced:
        events = list(compress(events, is_here.tolist()))
        elsewhere = [place for place, _ in misplaced]
        columns = columns.where((~np.isin(columns.index, elsewhere)).tolist())
    decoded = UserEvents(batch.offsets(), events, tombstones, columns)
    return decoded, rejections + misplaced
