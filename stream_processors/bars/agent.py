"""The agent of `quotes`: folds batches into a table, and writes it about once a second."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import structlog

from contracts.commands import Commands, command
from contracts.keyspace import NEWEST_FIELD, BarValue
from contracts.messages import QuoteColumns, Rejection, decode_quotes
from contracts.partitioning import instrument_partitions
from contracts.topics import QUOTES
from stream_processors import metrics
from stream_processors.bars.fold import BAR, Bars
from stream_processors.bars.table import NO_MINUTE, BarTable, Changed, Missing
from stream_processors.dead_letters import DeadLetters
from stream_processors.marks import NOTHING, incarnation_and_offset, mark
from stream_processors.positions import Claim
from stream_processors.processing import misplaced
from stream_processors.sink import Sink
from stream_processors.transport import RecordBatch

log = structlog.get_logger()

MINUTE_S: Final = 60
# What a partition may hold unwritten before its quotes have to wait for Redis.
_MAX_CHANGED: Final = 200_000
# The fields of dtype `BAR` in the order of `BarValue`'s, but for its last.
_IN_A_VALUE: Final = (
    "open", "high", "low", "close", "volume", "count", "notional", "open_ts_ms", "close_ts_ms",
)  # fmt: skip

_bar = msgspec.json.Decoder(BarValue)
_encode = msgspec.json.Encoder().encode


class BarPartition:
    """One partition's bars, position and writes."""

    def __init__(
        self, claim: Claim, sink: Sink, dead_letters: DeadLetters, partitions: int, retention: int
    ) -> None:
        self.claim = claim
        self.next_offset = claim.next_offset
        self._sink = sink
        self._dead_letters = dead_letters
        self._partitions = partitions
        self._table = BarTable(retention)
        self._newest_ts_ms = 0
        self._write_failed = False
        # What is read is merged before anything is evicted; one flush at a time.
        self._folding = asyncio.Lock()
        self._flushing = asyncio.Lock()

    async def process(self, batch: RecordBatch) -> None:
        """Fold a batch in; the position moves past it with the next flush."""
        columns, rejections = decode_quotes(batch.values(), batch.clock_ms())
        columns, elsewhere = self._in_place(columns)
        await self._dead_letters.publish(batch, [*rejections, *elsewhere])
        marks = mark(self.claim.incarnation, 0) + batch.offsets()[columns.index]
        keys = self._table.keys(columns.instrument_id, columns.ts_ms)
        async with self._folding:
            await self._read(self._table.missing(keys))
            late, replayed = self._table.add(
                keys, columns.price, columns.size, columns.ts_ms, marks
            )
            self.next_offset = batch.next_offset
        metrics.LATE_QUOTES.inc(late)
        metrics.REPLAYED.labels(QUOTES.name).inc(replayed)
        self._newest_ts_ms = max(self._newest_ts_ms, int(columns.ts_ms.max(initial=0)))
        if self._table.changed > _MAX_CHANGED:
            await self.flush()

    async def flush(self) -> None:
        """Write what changed, then the position."""
        async with self._flushing:
            if self._write_failed or self.next_offset == self.claim.next_offset:
                return
            next_offset, newest_ts_ms = self.next_offset, self._newest_ts_ms
            changed = self._table.take_changed()
            # Until they are written they stand nowhere else: no later position may cover them.
            self._write_failed = True
            await self._dead_letters.settled(QUOTES, self.claim.partition)
            with metrics.FLUSH_SECONDS.labels(QUOTES.name).time():
                await self._sink.write(self.claim, self._groups(changed), next_offset)
            self._write_failed = False
            async with self._folding:
                self._table.evict()
        metrics.FLUSHED_VALUES.labels(QUOTES.name).inc(len(changed.bars))
        if newest_ts_ms:
            metrics.FRESHNESS.labels(QUOTES.name).set(time.time() - newest_ts_ms / 1000)

    def _in_place(self, columns: QuoteColumns) -> tuple[QuoteColumns, list[Rejection]]:
        """Take out quotes whose instrument belongs to another partition: readers look there."""
        new = self._table.unknown(columns.instrument_id)
        if not len(new):
            return columns, []
        wrong = new[instrument_partitions(new, self._partitions) != self.claim.partition]
        if not len(wrong):
            return columns, []
        bad = np.isin(columns.instrument_id, wrong)
        rejections = [
            misplaced(int(place), self.claim.partition, f"instrument_id {instrument}")
            for place, instrument in zip(
                columns.index[bad], columns.instrument_id[bad], strict=True
            )
        ]
        good = ~bad
        return QuoteColumns(
            columns.index[good],
            columns.instrument_id[good],
            columns.price[good],
            columns.size[good],
            columns.ts_ms[good],
        ), rejections

    async def _read(self, missing: Sequence[Missing]) -> None:
        """Bring into the table what a batch touches and memory lacks."""
        if not missing:
            return
        prefix = self._sink.keyspace.bars_prefix(self.claim.partition)
        questions = (
            command(
                "HMGET",
                f"{prefix}{m.instrument_id}",
                [NEWEST_FIELD, *(_field(minute) for minute in m.minutes)],
            )
            for m in missing
        )
        answers = await self._sink.read(self.claim, questions)
        found, newest_minutes = [], []
        for m, (newest, *values) in zip(missing, answers, strict=True):
            newest_minutes.append(NO_MINUTE if newest is None else int(newest) // MINUTE_S)
            found += [
                _from_value(self._table.key(m.number, minute), _bar.decode(value))
                for minute, value in zip(m.minutes, values, strict=True)
                if value is not None
            ]
        self._table.insert(missing, newest_minutes, np.array(found, BAR))

    def _groups(self, changed: Changed) -> Iterator[Commands]:
        """Yield what is to be written of each instrument.

        Its newest minute comes with its bars: Redis must not hold a bar that its newest denies,
        as nobody would read it, nor let it expire.
        """
        prefix = self._sink.keyspace.bars_prefix(self.claim.partition)
        fields = {minute: _field(minute) for minute in {*changed.minute, *changed.newest.values()}}
        columns = (changed.instrument_id, changed.minute, _to_values(changed.bars))
        last_id: int | None = None
        group: Commands = []
        for place, (instrument_id, minute, value) in enumerate(zip(*columns, strict=True)):
            key = f"{prefix}{instrument_id}"
            if instrument_id != last_id:
                if group:
                    yield group
                last_id, group = instrument_id, []
            if place in changed.expired:
                group += command("HDEL", key, [_field(m) for m in changed.expired[place]])
            if place in changed.newest:
                group += ("HSET", key, 2, NEWEST_FIELD, fields[changed.newest[place]])
            group += ("HSET", key, 2, fields[minute], value)
        if group:
            yield group


def _field(minute: int) -> str:
    return str(minute * MINUTE_S)


def _to_values(bars: Bars) -> list[str]:
    # A column at a time: numbers in a list cost half of those in a tuple of each row.
    columns = (bars[name].tolist() for name in _IN_A_VALUE)
    incarnations, offsets = incarnation_and_offset(bars["mark"])
    ends = zip(incarnations.tolist(), offsets.tolist(), strict=True)
    return [_encode(value).decode() for value in map(BarValue, *columns, ends)]


def _from_value(key: int, bar: BarValue) -> tuple[float, ...]:
    """Return a row of dtype `BAR`.

    The marks of its open and close are not stored. Only later quotes are merged with it, so at a
    tie the open stays, and the close goes to the later one.
    """
    at = mark(*bar.off)
    return (
        key, bar.o, bar.h, bar.l, bar.c, bar.v, bar.pv, bar.n, bar.ot, NOTHING, bar.ct, at, at,
    )  # fmt: skip
