"""What aiokafka's fetcher has received, taken a Kafka batch at a time.

aiokafka wraps each record in a dataclass of eleven fields and hands it through two generators: half
of what a quote would cost. Here its own code for corrupt, aborted and control batches goes through
whole batches instead of records. The records are those of its C parser, which have all that is
asked of them.

It keeps one response for each partition until it is taken, and fetches no more for that partition
meanwhile: whoever does not ask for a partition holds back that one and no other.
"""

import asyncio
import time
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from aiokafka.consumer import fetcher as aiokafka
from faust.types import TP

from stream_processors.transport.batches import RecordBatch, size_of

TAKE_BYTES: Final = 6 << 20
"""Of one partition and at a time: no more Kafka batches follow once there are so many bytes."""

_Records = list[Any]


class FetchFailure(NamedTuple):
    """Why nothing more comes of a partition until it is sought again."""

    tp: TP
    life: object
    """of the partition that asked for it, as in a batch"""
    error: Exception


class Fetched:
    """The fetcher's responses for partitions that were sought. For the consumer's thread only."""

    def __init__(self, fetcher: Any) -> None:
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
        records, with_headers, size_bytes, error = whole.take(TAKE_BYTES)
        end = whole.next_fetch_offset
        response._update_position()  # noqa: SLF001
        if error is not None and end == start:
            return self._fail(tp, error)
        if error is not None or whole.is_done:
            # What is corrupt comes first in the next response.
            self._done(tp)
        if end == start:
            return None
        return RecordBatch(tp, self._lives[tp], start, end, records, size_bytes, with_headers)

    def _done(self, tp: TP) -> None:
        """Let the fetcher ask for more."""
        del self._fetcher._records[tp]  # noqa: SLF001
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def _fail(self, tp: TP, error: Exception) -> FetchFailure:
        """End the life, but leave the response: nothing more is fetched until the next seek."""
        return FetchFailure(tp, self._lives.pop(tp), error)


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

    def take(self, max_bytes: int) -> tuple[_Records, _Records, int, Exception | None]:
        """Return the records of the next batches, their size, and what ended them if corrupt.

        After all records come those that have headers, as `RecordBatch` has them.
        """
        taken: _Records = []
        with_headers: _Records = []
        size_bytes = 0
        try:
            for records in self:
                taken += records
                if records and records[0].headers:
                    with_headers += records
                size_bytes += size_of(records)
                if size_bytes >= max_bytes:
                    return taken, with_headers, size_bytes, None
        except Exception as error:  # noqa: BLE001 (whatever the parser says, it goes to the partition)
            return taken, with_headers, size_bytes, error
        self.is_done = True
        return taken, with_headers, size_bytes, None

    def _consumer_record(self, tp: Any, whole: "_Whole") -> _Records:  # noqa: ARG002 (aiokafka's signature)
        records = whole.records
        if records[0].offset < self._first_offset:
            # A fetch from the middle of a batch brings all of it.
            return [one for one in records if one.offset >= self._first_offset]
        return records


class _Batches:
    """The Kafka batches of a response."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def has_next(self) -> bool:
        """Tell whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> "_Batch":
        """Return the next batch."""
        return _Batch(self._batches.next_batch())


class _Batch:
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

    def __init__(self, records: _Records) -> None:
        self.records = records
        self.offset = records[-1].offset


def _whole(response: Any) -> _WholeBatches:
    """Return a response's records, which from now on come in whole batches."""
    records = response._partition_records  # noqa: SLF001
    if not isinstance(records, _WholeBatches):
        records = response._partition_records = _WholeBatches(records)  # noqa: SLF001
    return records
