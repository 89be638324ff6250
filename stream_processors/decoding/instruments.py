"""What the folds of `instruments` take."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from contracts.instruments import Instrument, decode_instrument_record
from contracts.messages import Rejection
from contracts.topics import INSTRUMENTS
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.transport.batches import RecordBatch


class InstrumentRecord(NamedTuple):
    """A valid record."""

    offset: int
    instrument_id: int
    instrument: Instrument | None
    """None: it is removed"""


def decode(
    batch: RecordBatch, placement: Placement, intake: Intake
) -> tuple[list[InstrumentRecord], list[Rejection]]:
    """Return the valid records of a batch, in log order, and its invalid ones."""
    records: list[InstrumentRecord] = []
    index: list[int] = []
    rejections: list[Rejection] = []
    unknown: Counter[str] = Counter()
    for place, record in enumerate(batch.records):
        try:
            decoded = decode_instrument_record(record.key, record.value, intake.rules, unknown)
        except ValueError as error:
            rejections.append(Rejection(place, str(error)))
            continue
        index.append(place)
        records.append(InstrumentRecord(record.offset, *decoded))
    intake.note(INSTRUMENTS.name, unknown)
    ids = np.fromiter((record.instrument_id for record in records), np.int64, len(records))
    is_here, misplaced = placement.of_instruments(
        batch.tp.partition, np.array(index, np.int64), ids
    )
    here = [record for record, its in zip(records, is_here.tolist(), strict=True) if its]
    return here, rejections + misplaced
