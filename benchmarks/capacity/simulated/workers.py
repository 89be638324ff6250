"""Workers that fetch, fold and flush partitions, each with one interpreter. Simulated.

Quotes flow evenly, so how many there are at a moment is known without an event for each. What is
taken from `stream_processors`: one fetch in flight, answered when 128 KiB have come or after 50 ms,
of partitions that have room; a batch a partition and fetch; one thing at a time in a partition; a
flush an interval, at a moment of its own, in calls of about a millisecond, the next one on its way
while one is done. Rebalances, faults and rejections are left out.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
import simpy

from benchmarks.capacity.simulated.cores import Cores, Steps, Thread
from benchmarks.capacity.simulated.shards import Shard
from benchmarks.capacity.simulated.streams import Stream
from contracts.messages import Floats
from stream_processors.partition.flush_times import FlushTimes

_US: Final = 1e-6
_FETCH_MIN_BYTES: Final = 1 << 17
_FETCH_MAX_WAIT_S: Final = 0.05
_FETCH_BYTES_A_PARTITION: Final = 1 << 20
_HUNGRY_BELOW_BYTES: Final = 1 << 19
_ROOM_AGAIN_S: Final = 0.02
_FETCHING: Final = 0.2
"""of what a record costs the worker: the rest is decoding and folding"""
_SAMPLES_A_FLUSH: Final = 20


class Partition:
    """One partition in a worker."""

    def __init__(self, worker: "Worker", stream: Stream, number: int, shard: Shard) -> None:
        self.stream = stream
        self.number = number
        self.inbox: deque[float] = deque()
        self.fetched = 0.0
        self.folded = 0.0
        self.flushed = 0.0
        self.flushed_at_s = 0.0
        self.fresh: list[Floats] = []
        """from being published to being written, s, of some records of each flush"""
        self._worker = worker
        self._shard = shard
        self._env = worker.env
        self._due = FlushTimes(stream.flush_interval_s, number, len(stream.shares))
        self._due.written(0.0)
        self._woken = self._env.event()
        self._env.process(self._live())

    @property
    def per_s(self) -> float:
        """Records that come a second."""
        return self.stream.per_s * self.stream.shares[self.number]

    @property
    def published(self) -> float:
        """Records that are in the log by now."""
        return self.stream.backlog * self.stream.shares[self.number] + self.per_s * self._env.now

    @property
    def is_hungry(self) -> bool:
        """Whether records should be fetched for it."""
        return sum(self.inbox) * self.stream.record_bytes < _HUNGRY_BELOW_BYTES

    def hand(self, records: float) -> None:
        """Take what a fetch brought."""
        self.inbox.append(records)
        if not self._woken.triggered:
            self._woken.succeed()

    def _live(self) -> Steps:
        while True:
            wait_s = self._due.in_s(self._env.now)
            if not self.inbox and wait_s:
                self._woken = self._env.event()
                yield self._woken | self._env.timeout(wait_s)
            if self.inbox:
                yield from self._take(self.inbox.popleft())
            if not self._due.in_s(self._env.now):
                yield from self._flush()

    def _take(self, records: float) -> Steps:
        stream = self.stream
        before, after = (stream.seen(self.number, n) for n in (self.folded, self.folded + records))
        if after > before:
            yield self._worker.run((after - before) * stream.value_us)
            yield self._shard.call((after - before) * stream.store_value_us)
        folding_us = records * stream.record_us * (1 - _FETCHING)
        yield self._worker.run(stream.batch_us + folding_us)
        self.folded += records

    def _flush(self) -> Steps:
        self._due.written(self._env.now)
        first, end = self.flushed, self.folded
        if end - first < 1:
            return
        stream, left = self.stream, self.stream.changed(self.number, end - first)
        under_way: deque[simpy.Event] = deque()
        while left > 0:
            values = min(left, stream.values_a_call)
            left -= values
            yield self._worker.run(values * stream.value_us)
            if under_way:
                yield under_way.popleft()
            under_way.append(self._shard.call(values * stream.store_value_us))
        yield from under_way
        self.flushed, self.flushed_at_s = end, self._env.now
        if self.per_s:
            some = np.linspace(first, end, _SAMPLES_A_FLUSH)
            self.fresh.append(self._env.now - some / self.per_s)


class Worker:
    """A process with one interpreter, which its consumer's thread shares."""

    def __init__(self, cores: Cores, broker: Cores) -> None:
        self.env = cores.env
        self.partitions: list[Partition] = []
        self.thread = Thread(cores)
        self._broker = broker

    def assign(self, stream: Stream, numbers: Sequence[int], shards: Sequence[Shard]) -> None:
        """Fold some partitions of a stream; partition p stands in shard p modulo their number."""
        its = [Partition(self, stream, p, shards[p % len(shards)]) for p in numbers]
        self.partitions += its
        if its:
            self.env.process(self._fetch(its))

    def run(self, cost_us: float) -> simpy.Event:
        """Use the interpreter."""
        return self.thread.run(cost_us * _US)

    def _fetch(self, its: Sequence[Partition]) -> Steps:
        stream = its[0].stream
        while True:
            hungry = [one for one in its if one.is_hungry]
            if not hungry:
                yield self.env.timeout(_ROOM_AGAIN_S)
                continue
            yield self.env.timeout(self._wait_s(hungry))
            most = _FETCH_BYTES_A_PARTITION / stream.record_bytes
            taken = [(one, min(most, one.published - one.fetched)) for one in hungry]
            records = sum(n for _, n in taken)
            yield self._broker.work(records * stream.broker_us * _US)
            yield self.run(records * stream.record_us * _FETCHING)
            for one, n in taken:
                if n > 0:
                    one.fetched += n
                    one.hand(n)

    def _wait_s(self, hungry: Sequence[Partition]) -> float:
        """Return how long the broker waits for enough."""
        record_bytes = hungry[0].stream.record_bytes
        missing = _FETCH_MIN_BYTES / record_bytes - sum(p.published - p.fetched for p in hungry)
        per_s = sum(one.per_s for one in hungry)
        if missing <= 0:
            return 0.0
        return min(_FETCH_MAX_WAIT_S, missing / per_s) if per_s else _FETCH_MAX_WAIT_S
