"""What aiokafka's fetcher has received, taken a Kafka batch at a time.

aiokafka wraps each record in a dataclass of eleven fields and hands it through two generators: half
of what a quote would cost. Here its own code for corrupt, aborted and control batches goes through
whole batches instead of records. The records are those of its C parser, which have all that is
asked of them. What that one cannot read, `salvage` does.

It keeps one response for each partition until it is taken, and fetches no more for that partition
meanwhile: whoever does not ask for a partition holds back that one and no other.
"""

import asyncio
import struct
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka.consumer import fetcher as aiokafka
from aiokafka.errors import UnsupportedCodecError
from faust.types import TP

from stream_processors.transport import salvage, unpacking
from stream_processors.transport.batches import UNKNOWN_EPOCH, BadRecord, RecordBatch, size_of

TAKE_BYTES: Final = 6 << 20
"""Of one partition and at a time: no more Kafka batches follow once there are so many bytes."""

RECORDS_MAX: Final = 1_000_000
"""Of a Kafka batch, as librdkafka's `batch.num.messages` allows: parsed they take 270 MB."""

_Records = list[Any]
_LENGTH: Final = struct.Struct(">8xi")
"""The length of a Kafka batch without the first 12 bytes, which this reads."""
_LEADER_EPOCH: Final = struct.Struct(">12xib")
"""Of a Kafka batch, and its format; those of before the second one have none."""
_FORMAT_WITH_EPOCH: Final = 2


class CorruptLogError(RuntimeError):
    """What the broker has at an offset is not what a producer wrote."""


def _corrupt(tp: TP, offset: int, error: Exception) -> CorruptLogError:
    return CorruptLogError(
        f"the log of {tp.topic}/{tp.partition} cannot be read at offset {offset}: {error!r}. Let "
        "another replica lead the partition, or delete its records up to the next good one "
        "(kafka-delete-records), and start the worker again"
    )


class _KeptRecords(aiokafka.MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """The batches of a response, with the bytes that they are parsed from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


# The fetcher makes these, and its parser keeps the bytes to itself.
aiokafka.MemoryRecords = _KeptRecords


class FetchFailure(NamedTuple):
    """Why nothing more comes of a partition until it is sought again."""

    tp: TP
    life: object
    """of the partition that asked for it, as in a batch"""
    error: Exception


class Fetched:
    """The fetcher's responses for partitions that were sought. For the consumer's thread only."""

    def __init__(self, fetcher: Any) -> None:
        unpacking.bound()
        self._fetcher = fetcher
        self._assignment: Any = None
        self._lives: dict[TP, object] = {}

    def seek(self, tp: TP, offset: int, life: object) -> None:
        """Read on at an offset, for a life of the partition; nothing if it is no longer assigned.

        What was received for another life is dropped.
        """
        if not self._fetcher._subscriptions.is_assigned(tp):  # noqa: SLF001
            return
        self._fetcher.seek_to(tp, offset)
        self._current_lives()[tp] = life

    async def take(
        self, wanted: Collection[TP], timeout_s: float
    ) -> list[RecordBatch | FetchFailure]:
        """Return what there is of the wanted partitions; waits for the first of it.

        At most one for each partition; none at all once the time is up.

        Raises:
            aiokafka.errors.KafkaError: the consumer as a whole cannot go on.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._check()
            taken = [one for tp in wanted if (one := self._take(tp)) is not None]
            if taken or not await self._more(deadline - time.monotonic()):
                return taken

    def _check(self) -> None:
        """Raise what ended aiokafka's task; it tells nobody by itself."""
        task = self._fetcher._fetch_task  # noqa: SLF001
        if task.done() and not task.cancelled():
            task.result()

    async def _more(self, timeout_s: float) -> bool:
        """Wait until the fetcher received something; False if it did not in time."""
        waiter = self._fetcher._create_fetch_waiter()  # noqa: SLF001
        done, _ = await asyncio.wait([waiter], timeout=max(0.0, timeout_s))
        if not done:
            waiter.cancel()
            return False
        waiter.result()  # the group's coordinator passes on what it cannot deal with
        return not self._fetcher._closed  # noqa: SLF001

    def _current_lives(self) -> dict[TP, object]:
        """Return the lives in this assignment: positions of the one before are void."""
        subscription = self._fetcher._subscriptions.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription else None
        if assignment is not self._assignment:
            self._assignment = assignment
            self._lives = {}
        return self._lives

    def _take(self, tp: TP) -> RecordBatch | FetchFailure | None:
        """Return what there is of a partition, if it was sought."""
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
            # What is corrupt comes first in the next response.
            self._done(tp)
        if end == start:
            return None
        return RecordBatch(
            tp,
            self._lives[tp],
            start,
            end,
            taken.records,
            taken.size_bytes,
            taken.with_headers,
            taken.unreadable,
            whole.leader_epoch,
        )

    def _done(self, tp: TP) -> None:
        """Let the fetcher ask for more."""
        del self._fetcher._records[tp]  # noqa: SLF001
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def _fail(self, tp: TP, error: Exception) -> FetchFailure:
        """End the life, but leave the response: nothing more is fetched until the next seek."""
        return FetchFailure(tp, self._lives.pop(tp), error)


@dataclass(slots=True)
class _Taken:
    """What a response has of some Kafka batches."""

    records: _Records = field(default_factory=list)
    with_headers: _Records = field(default_factory=list)
    """of those batches whose first record has headers, as `RecordBatch` has them"""
    unreadable: list[BadRecord] = field(default_factory=list)
    size_bytes: int = 0
    error: Exception | None = None
    """what ended it, if the next batch is corrupt"""


class _WholeBatches(aiokafka.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """A response for one partition, which is iterated batch by batch."""

    def __init__(self, response: Any) -> None:
        """Take over a response that nobody has begun to iterate."""
        given = vars(response)
        self.__dict__.update(given)
        self._first_offset = response.next_fetch_offset
        self._records = _Batches(given["_records"])
        self._records_iterator = self._unpack_records()
        self.is_done = False

    @property
    def leader_epoch(self) -> int:
        """Of the batch that was taken last, be it a marker."""
        return self._records.leader_epoch

    def take(self, max_bytes: int) -> _Taken:
        """Return the records of the next batches."""
        taken = _Taken()
        try:
            for records, unreadable in self:
                taken.records += records
                if records and records[0].headers:
                    taken.with_headers += records
                taken.unreadable += unreadable
                taken.size_bytes += size_of(records) + size_of(unreadable)
                if taken.size_bytes >= max_bytes:
                    return taken
        except Exception as error:  # noqa: BLE001 (whatever the parser says, it goes to the partition)
            taken.error = error
            return taken
        self.is_done = True
        return taken

    def _consumer_record(self, tp: Any, whole: "_Whole") -> tuple[_Records, Sequence[BadRecord]]:  # noqa: ARG002 (aiokafka's signature)
        first, records, unreadable = self._first_offset, whole.records, whole.unreadable
        if records and records[0].offset < first:
            # A fetch from the middle of a batch brings all of it.
            records = [one for one in records if one.offset >= first]
        return records, [one for one in unreadable if one.offset >= first]


class _Batches:
    """The Kafka batches of a response."""

    def __init__(self, batches: _KeptRecords) -> None:
        self._batches = batches
        self._at = 0
        self.leader_epoch = UNKNOWN_EPOCH
        """of the batch that came last"""

    def has_next(self) -> bool:
        """Tell whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> "_Batch":
        """Return the next batch."""
        start = self._at
        (length,) = _LENGTH.unpack_from(self._batches.data, start)
        epoch, of_format = _LEADER_EPOCH.unpack_from(self._batches.data, start)
        self.leader_epoch = epoch if of_format >= _FORMAT_WITH_EPOCH else UNKNOWN_EPOCH
        self._at += _LENGTH.size + length
        return _Batch(self._batches.next_batch(), self._batches.data, start, self._at)


class _Batch:
    """A Kafka batch whose iteration yields it as if it were one record, its last."""

    def __init__(self, batch: Any, data: bytes, start: int, end: int) -> None:
        self._batch = batch
        self._data = data
        self._start = start
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator["_Whole"]:
        records: _Records = []
        unreadable: Sequence[BadRecord] = ()
        # Batches of an old format do not say how many records they have.
        n = getattr(self._batch, "last_offset_delta", 0) + 1
        try:
            if n > RECORDS_MAX:
                why = f"a batch of {n} records, more than {RECORDS_MAX}, is not parsed"
                unreadable = [BadRecord(self._batch.base_offset, None, self._raw(), why)]
            else:
                records = list(self._batch)
        except (MemoryError, UnsupportedCodecError):
            raise
        except Exception:  # noqa: BLE001 (the checksum is right: what is wrong is the producer's)
            records, unreadable = salvage.records_of(self._raw())
        if records or unreadable:
            yield _Whole(records, unreadable)

    def _raw(self) -> bytes:
        return self._data[self._start : self._end]


class _Whole:
    """What stands in for one record: aiokafka compares its offset and goes on after it."""

    def __init__(self, records: _Records, unreadable: Sequence[BadRecord]) -> None:
        self.records = records
        self.unreadable = unreadable
        self.offset = max(one[-1].offset for one in (records, unreadable) if one)


def _whole(response: Any) -> _WholeBatches:
    """Return a response's records, which from now on come in whole batches."""
    records = response._partition_records  # noqa: SLF001
    if not isinstance(records, _WholeBatches):
        records = response._partition_records = _WholeBatches(records)  # noqa: SLF001
    return records
