"""aiokafka's fetched records, a run at a time: all that Kafka keeps as one batch.

aiokafka wraps each record in a dataclass of eleven fields and hands it through two generators: half
of what a quote would cost. Here its own code for corrupt, aborted and control batches is kept, and
given a whole batch where it asks for a record. The records are those of its C parser, which have
all that is asked of them.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher

Run = list[Any]
"""Records of one Kafka batch, at least one, in offset order."""


class _WholeBatch:
    """A Kafka batch whose iteration yields it as if it were one record, its last."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator["_Whole"]:
        records = list(self._batch)
        if records:
            yield _Whole(records)


class _Whole:
    """What stands in for one record: aiokafka compares its offset and goes on after it."""

    def __init__(self, records: Run) -> None:
        self.records = records
        self.offset = records[-1].offset


class _WholeBatches:
    """The batches of one fetch and partition."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def has_next(self) -> bool:
        """Tell whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> _WholeBatch:
        """Return the next batch."""
        return _WholeBatch(self._batches.next_batch())


class _PartitionRuns(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """Iterates over runs where aiokafka's own class iterates over records."""

    def __init__(self, tp: Any, records: Any, *args: Any) -> None:
        super().__init__(tp, _WholeBatches(records), *args)

    def _consumer_record(self, tp: Any, record: _Whole) -> Run:  # noqa: ARG002 (aiokafka's signature)
        run = record.records
        if run[0].offset < self.next_fetch_offset:
            # A fetch from the middle of a batch brings all of it.
            return [one for one in run if one.offset >= self.next_fetch_offset]
        return run


_partition_records = fetcher.PartitionRecords


def _records_or_runs(
    tp: Any, records: Any, aborted: Any, offset: int, key: Any, value: Any, *args: Any
) -> Any:
    make = _PartitionRuns if value is as_runs else _partition_records
    return make(tp, records, aborted, offset, key, value, *args)


def as_runs(value: Any) -> Any:
    """Be the `value_deserializer` of a consumer that is to return runs: it is never called."""
    return value


fetcher.PartitionRecords = _records_or_runs
