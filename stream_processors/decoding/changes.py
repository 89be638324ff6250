"""What the folds of `cooccurrences` take."""

from typing import NamedTuple

from contracts.changes import Changes, decode_changes
from contracts.messages import Rejection
from stream_processors.transport.batches import RecordBatch


class ChangesRecord(NamedTuple):
    """A valid record."""

    offset: int
    changes: Changes


def decode(batch: RecordBatch) -> tuple[list[ChangesRecord], list[Rejection]]:
    """Return the valid records of a batch, in log order, and its invalid ones.

    A record names its partition's rows itself, and has no key.

    Raises:
        contracts.changes.UnknownVersionError: a later version of this program wrote one.
    """
    records: list[ChangesRecord] = []
    rejections: list[Rejection] = []
    for place, record in enumerate(batch.records):
        try:
            changes = decode_changes(record.value)
        except ValueError as error:
            rejections.append(Rejection(place, str(error)))
        else:
            records.append(ChangesRecord(record.offset, changes))
    return records, rejections
