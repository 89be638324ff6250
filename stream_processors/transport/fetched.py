"""Takes what aiokafka's fetcher has received, a Kafka batch at a time.

aiokafka wraps each record in a dataclass of eleven fields and passes it through two generators:
half the cost of a quote. Here its own code for corrupt, aborted and control batches iterates over
whole batches instead of records, and `contents` finds the records in them.

It keeps one response per partition until it is taken, and until then fetches no more for that
partition: not asking for a partition holds back only that one.
"""

import asyncio
import struct
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.consumer import fetcher as aiokafka
from faust.types import TP

from stream_processors.records import Records
from stream_processors.transport.batches import UNKNOWN_EPOCH, BadRecord, RecordBatch
from stream_processors.transport.contents import Batch, opened, read

TAKE_BYTES: Final = 6 << 20
"""Per partition and call: no more Kafka batches are added above this size."""
TAKE_ALL_BYTES: Final = 1 << 26
"""Per call: no more partitions are added above this size."""

_LENGTH: Final = struct.Struct(">8xi")
"""The length field counts a Kafka batch without the first 12 bytes."""
_LEADER_EPOCH: Final = struct.Struct(">12xib")
"""Of a Kafka batch, and its format; those before the second one have none."""
_FORMAT_WITH_EPOCH: Final = 2


class CorruptLogError(RuntimeError):
    """The log is corrupt at an offset."""


def _corrupt(tp: TP, offset: int, error: Exception) -> CorruptLogError:
    return CorruptLogError(
        f"the log of {tp.topic}/{tp.partition} cannot be read at offset {offset}: {error!r}. Make "
        "another replica lead the partition, or delete its records up to the next good one "
        "(kafka-delete-records), and restart the worker"
    )


class _KeptRecords(aiokafka.MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """The batches of a response, with the bytes that they are parsed from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


# The fetcher creates these, and its parser does not expose the bytes.
aiokafka.MemoryRecords = _KeptRecords


class FetchFailure(NamedTuple):
    """Why a partition yields nothing more until the next seek."""

    tp: TP
    life: object
    """the partition's life that requested it, as in a batch"""
    error: Exception


class Fetched:
    """The fetcher's responses for partitions with a position. For the consumer's thread only."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._assignment: Any = None
        self._lives: dict[TP, object] = {}

    def seek(self, tp: TP, offset: int, life: object) -> None:
        """Fetch from an offset on, for a life of the partition, unless it is no longer assigned.

        What was received for another life is dropped.
        """
        if not self._fetcher._subscriptions.is_assigned(tp):  # noqa: SLF001
            return
        self._fetcher.seek_to(tp, offset)
        self._current_lives()[tp] = life

    async def take(
        self, wanted: Collection[TP], timeout_s: float
    ) -> list[RecordBatch | FetchFailure]:
        """Return available results of the wanted partitions; waits for the first one.

        At most one per partition; none after the timeout. Partitions that are left over have theirs
        in the next call, as those taken from have no room then.

        Raises:
            aiokafka.errors.KafkaError: the consumer as a whole cannot continue.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._check()
            taken = list(self._available(wanted))
            if taken or not await self._more(deadline - time.monotonic()):
                return taken

    def _available(self, wanted: Collection[TP]) -> Iterator[RecordBatch | FetchFailure]:
        size = 0
        for tp in wanted:
            one = self._take(tp)
            if one is None:
                continue
            yield one
            size += one.size_bytes if isinstance(one, RecordBatch) else 0
            if size >= TAKE_ALL_BYTES:
                return

    def _check(self) -> None:
        """Raise the error that ended aiokafka's task, which it does not report."""
        task = self._fetcher._fetch_task  # noqa: SLF001
        if task.done() and not task.cancelled():
            task.result()

    async def _more(self, timeout_s: float) -> bool:
        """Wait until the fetcher receives something; False after the timeout."""
        waiter = self._fetcher._create_fetch_waiter()  # noqa: SLF001
        done, _ = await asyncio.wait([waiter], timeout=max(0.0, timeout_s))
        if not done:
            waiter.cancel()
            return False
        waiter.result()  # errors that the group's coordinator cannot handle
        return not self._fetcher._closed  # noqa: SLF001

    def _current_lives(self) -> dict[TP, object]:
        """Return the lives in this assignment: earlier positions are void."""
        subscription = self._fetcher._subscriptions.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription else None
        if assignment is not self._assignment:
            self._assignment = assignment
            self._lives = {}
        return self._lives

    def _take(self, tp: TP) -> RecordBatch | FetchFailure | None:
        """Return the available result of a partition, if it has a position."""
        lives, responses = self._current_lives(), self._fetcher._records  # noqa: SLF001
        if tp not in lives or tp not in responses:
            return None
        response = responses[tp]
        if isinstance(response, aiokafka.FetchError):
            return self._fail(tp, response._error)  # noqa: SLF001
        if not response.check_assignment(tp):
            self._done(tp)
            return None
        return self._take_records(tp, response)

    def _take_records(self, tp: TP, response: Any) -> RecordBatch | FetchFailure | None:
        whole = _whole(response)
        start = whole.next_fetch_offset
        taken = whole.take(TAKE_BYTES)
        end, error = whole.next_fetch_offset, taken.error
        response._update_position()  # noqa: SLF001
        if error is not None and end == start:
            return self._fail(tp, _corrupt(tp, start, error))
        if error is not None or whole.is_done:
            # The corrupt batch comes first in the next response.
            self._done(tp)
        if end == start:
            return None
        return RecordBatch(
            tp,
            self._lives[tp],
            start,
            end,
            taken.records,
            taken.unreadable,
            whole.leader_epoch,
        )

    def _done(self, tp: TP) -> None:
        """Let the fetcher ask for more."""
        del self._fetcher._records[tp]  # noqa: SLF001
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def _fail(self, tp: TP, error: Exception) -> FetchFailure:
        """End the life, but keep the response: nothing more is fetched until the next seek."""
        return FetchFailure(tp, self._lives.pop(tp), error)


class _Taken(NamedTuple):
    """Records of some Kafka batches of a response."""

    records: Records
    unreadable: Sequence[BadRecord]
    error: Exception | None
    """the error, if the next batch is corrupt"""


class _WholeBatches(aiokafka.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """A response for one partition, iterated batch by batch."""

    def __init__(self, response: Any) -> None:
        """Wrap a response whose iteration has not begun."""
        given = vars(response)
        self.__dict__.update(given)
        self._first_offset = response.next_fetch_offset
        self._records = _Batches(given["_records"])
        self._records_iterator = self._unpack_records()
        self.is_done = False

    @property
    def leader_epoch(self) -> int:
        """Of the last batch taken, including markers."""
        return self._records.leader_epoch

    def take(self, max_bytes: int) -> _Taken:
        """Return the records of the next batches."""
        batches: list[Batch] = []
        size = 0
        error: Exception | None = None
        try:
            for batch in self:
                batches.append(batch)
                size += batch.size_bytes
                if size >= max_bytes:
                    break
            else:
                self.is_done = True
        except Exception as raised:  # noqa: BLE001 (whatever the parser says, it goes to the partition)
            error = raised
        records, unreadable = read(batches, self._first_offset)
        return _Taken(records, unreadable, error)

    def _consumer_record(self, tp: Any, batch: Batch) -> Batch:  # noqa: ARG002 (aiokafka's signature)
        return batch


class _Batches:
    """The Kafka batches of a response."""

    def __init__(self, batches: _KeptRecords) -> None:
        self._batches = batches
        self._at = 0
        self.leader_epoch = UNKNOWN_EPOCH
        """of the batch that came last"""

    def has_next(self) -> bool:
        """Return whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> "_Batch":
        """Return the next batch."""
        start = self._at
        (length,) = _LENGTH.unpack_from(self._batches.data, start)
        epoch, of_format = _LEADER_EPOCH.unpack_from(self._batches.data, start)
        self.leader_epoch = epoch if of_format >= _FORMAT_WITH_EPOCH else UNKNOWN_EPOCH
        self._at += _LENGTH.size + length
        raw = memoryview(self._batches.data)[start : self._at]
        return _Batch(self._batches.next_batch(), raw)


class _Batch:
    """A Kafka batch that is iterated as if it were one record, its last."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Batch]:
        yield opened(self._raw)


def _whole(response: Any) -> _WholeBatches:
    """Make a response's records iterate in whole batches."""
    records = response._partition_records  # noqa: SLF001
    if not isinstance(records, _WholeBatches):
        records = response._partition_records = _WholeBatches(records)  # noqa: SLF001
    return records
