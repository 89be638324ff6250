"""Quotes to bars in memory, and to what Redis is to hold of them."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from contracts.keyspace import NEWEST_FIELD, BarValue
from contracts.messages import QuoteColumns, Rejection, decode_quotes
from contracts.partitioning import instrument_partitions
from contracts.topics import QUOTES
from stream_processors import metrics
from stream_processors.bars.fold import BAR, Bars
from stream_processors.bars.table import NO_MINUTE, BarTable, Changed, Missing
from stream_processors.partition.fold import Unwritten, misplaced
from stream_processors.store.chunks import Commands, Group, command
from stream_processors.store.claims import Claim
from stream_processors.store.marks import NOTHING, incarnation_and_offset, mark
from stream_processors.transport.batches import RecordBatch

MINUTE_S: Final = 60
# Quotes folded between two looks at how much is unwritten: at most as many bars.
_RECORDS_AT_ONCE: Final = 50_000
# What a partition may hold unwritten before its quotes have to wait for Redis.
_MAX_CHANGED: Final = 200_000
# The fields of dtype `BAR` in the order of `BarValue`'s, but for its last.
_IN_A_VALUE: Final = (
    "open", "high", "low", "close", "volume", "count", "notional", "open_ts_ms", "close_ts_ms",
)  # fmt: skip

_bar = msgspec.json.Decoder(BarValue)
_encode = msgspec.json.Encoder().encode


class BarsFold:
    """One partition's bars."""

    records_at_once = _RECORDS_AT_ONCE

    def __init__(
        self, claim: Claim, *, partitions: int, retention_minutes: int, expire_s: int
    ) -> None:
        """Take the partition, the topic's number of them, and how long bars live."""
        self._claim = claim
        self._partitions = partitions
        self._expire_s = str(expire_s)
        self._table = BarTable(retention_minutes)
        self._newest_ts_ms = 0
        self._n_unwritten = 0
        self._channel = claim.keyspace.bars_changed(claim.partition)
        self._prefix = claim.keyspace.bars_prefix(claim.partition)

    @property
    def is_full(self) -> bool:
        """Whether more bars are unwritten than memory should hold."""
        return self._table.changed > _MAX_CHANGED

    async def take(self, batch: RecordBatch) -> Sequence[Rejection]:
        """Fold quotes in; return those that break a rule."""
        columns, rejections = decode_quotes(batch.values(), batch.clock_ms())
        columns, elsewhere = self._in_place(columns)
        marks = mark(self._claim.incarnation, 0) + batch.offsets()[columns.index]
        keys = self._table.keys(columns.instrument_id, columns.ts_ms)
        await self._read(self._table.missing(keys))
        late, replayed = self._table.add(keys, columns.price, columns.size, columns.ts_ms, marks)
        metrics.LATE_QUOTES.inc(late)
        metrics.REPLAYED.labels(QUOTES.name).inc(replayed)
        self._newest_ts_ms = max(self._newest_ts_ms, int(columns.ts_ms.max(initial=0)))
        return [*rejections, *elsewhere]

    async def unwritten(self) -> Unwritten:
        """Return the bars that changed."""
        changed = self._table.take_changed()
        self._n_unwritten = len(changed.bars)
        return Unwritten(self._groups(changed), channel=self._channel)

    def written(self) -> None:
        """Forget old bars, when they are many."""
        self._table.evict()
        metrics.FLUSHED_VALUES.labels(QUOTES.name).inc(self._n_unwritten)
        if self._newest_ts_ms:
            metrics.FRESHNESS.labels(QUOTES.name).set(time.time() - self._newest_ts_ms / 1000)

    def _in_place(self, columns: QuoteColumns) -> tuple[QuoteColumns, list[Rejection]]:
        """Take out quotes whose instrument belongs to another partition: readers look there."""
        new = self._table.unknown(columns.instrument_id)
        if not len(new):
            return columns, []
        wrong = new[instrument_partitions(new, self._partitions) != self._claim.partition]
        if not len(wrong):
            return columns, []
        bad = np.isin(columns.instrument_id, wrong)
        rejections = [
            misplaced(int(place), self._claim.partition, f"instrument_id {instrument}")
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
        questions = (
            Group(
                f"{self._prefix}{m.instrument_id}",
                command("HMGET", [NEWEST_FIELD, *(_field(minute) for minute in m.minutes)]),
            )
            for m in missing
        )
        answers = await self._claim.read(questions)
        found, newest_minutes = [], []
        for m, (newest, *values) in zip(missing, answers, strict=True):
            newest_minutes.append(NO_MINUTE if newest is None else int(newest) // MINUTE_S)
            found += [
                _from_value(self._table.key(m.number, minute), _bar.decode(value))
                for minute, value in zip(m.minutes, values, strict=True)
                if value is not None
            ]
        self._table.insert(missing, newest_minutes, np.array(found, BAR))

    def _groups(self, changed: Changed) -> Iterator[Group]:
        """Yield what is to be written of each instrument.

        Its newest minute comes with its bars: Redis must not hold a bar that its newest denies,
        as nobody would read it, nor let it stay.
        """
        fields = {minute: _field(minute) for minute in {*changed.minute, *changed.newest.values()}}
        columns = (changed.instrument_id, changed.minute, _to_values(changed.bars))
        last_id: int | None = None
        commands: Commands = []
        published: list[tuple[int, int, str]] = []
        for place, (instrument_id, minute, value) in enumerate(zip(*columns, strict=True)):
            if instrument_id != last_id:
                if last_id is not None:
                    yield Group(f"{self._prefix}{last_id}", commands, published)
                last_id, commands, published = instrument_id, [], []
            if place in changed.expired:
                commands += command("HDEL", [_field(m) for m in changed.expired[place]])
            if place in changed.newest:
                commands += ("HSET", 1, 2, NEWEST_FIELD, fields[changed.newest[place]])
                commands += ("EXPIRE", 1, 1, self._expire_s)
            commands += ("HSET", 1, 2, fields[minute], value)
            published.append((instrument_id, minute * MINUTE_S, value))
        if last_id is not None:
            yield Group(f"{self._prefix}{last_id}", commands, published)


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
