"""What the folds of `feedback` take."""

from collections import Counter
from itertools import compress
from typing import NamedTuple

from contracts.feedback import (
    FeedbackType,
    decode_feedback,
    parse_request_id,
)
from contracts.messages import Rejection
from contracts.topics import FEEDBACK
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.transport.batches import RecordBatch


class Reacted(NamedTuple):
    """A valid record: an item was shown to a user, or clicked."""

    offset: int
    user_id: str
    item: int
    kind: FeedbackType
    token: str
    """unique to the answer that recommended it"""
    ts_ms: int


def decode(
    batch: RecordBatch, placement: Placement, intake: Intake
) -> tuple[list[Reacted], list[Rejection]]:
    """Return the valid records of a batch, in log order, and its invalid ones."""
    records: list[Reacted] = []
    places: list[int] = []
    rejections: list[Rejection] = []
    unknown: Counter[str] = Counter()
    for place, (record, clock_ms) in enumerate(
        zip(batch.records, batch.clock_ms().tolist(), strict=True)
    ):
        try:
            sent = decode_feedback(record.value or b"", clock_ms, intake.rules, unknown)
        except ValueError as error:
            rejections.append(Rejection(place, str(error)))
            continue
        places.append(place)
        token = parse_request_id(sent.request_id).token
        records.append(
            Reacted(record.offset, sent.user_id, sent.instrument_id, sent.type, token, sent.ts)
        )
    intake.note(FEEDBACK.name, unknown)
    users = [record.user_id for record in records]
    is_here, misplaced = placement.of_users(batch.tp.partition, places, users)
    return list(compress(records, is_here.tolist())), rejections + misplaced
