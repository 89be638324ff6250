"""Folds quotes into bars, and writes them to Redis and to the topic of closed bars.

Due bars go to Kafka first, then all changed bars to Redis, then the position. So any due bar in
Redis has been published, and a crash in between publishes it again. In the opposite order, a bar
could expire in Redis before it was published.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from contracts.bar_messages import encode_changed_bars, encode_closed_bars
from contracts.bars import FIELDS, BarValue
from contracts.keyspace import CLOSED_FIELD, LATE_FIELD, NOT_WHOLE_YET_S, REVISED_FIELD, WHOLE_FIELD
from contracts.log_position import mark
from contracts.messages import Ints
from contracts.times import MINUTE_MS, MINUTE_S
from contracts.topics import BARS, QUOTES
from stream_processors import metrics
from stream_processors.bars.closing import Closing
from stream_processors.bars.stored import (
    StoredBars,
    decode_bar,
    field_of,
    from_values,
    minute_in,
    minutes_of,
)
from stream_processors.bars.table import NO_MINUTE, BarTable, Due, Missing
from stream_processors.decoding.quotes import Quotes
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Channel, Unwritten
from stream_processors.store.claims import Claim
from stream_processors.transport.producer import Outgoing, Producer

# Quotes folded between two checks of how much is unwritten: at most as many bars.
_RECORDS_AT_ONCE: Final = 50_000
# Unwritten bars a partition may hold before its quotes have to wait for Redis.
_MAX_CHANGED: Final = 200_000
# Instruments with an open minute that one script call returns: half a millisecond of Redis's time.
_OPEN_AT_ONCE: Final = 1_000


class BarsFold(Fold[Quotes]):
    """One partition's bars."""

    records_at_once = _RECORDS_AT_ONCE

    def __init__(
        self,
        claim: Claim,
        producer: Producer,
        *,
        retention_minutes: int,
        expire_s: int,
        close_after_s: float,
        clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the partition, where to publish, and how long bars live and stay open.

        Args:
            claim: of the partition.
            producer: to the topic of closed bars.
            retention_minutes: of event time, for each instrument.
            expire_s: by the clock, after an instrument's last new minute.
            close_after_s: how late quotes may be without revising a closed bar.
            clock_s: the wall clock.
            monotonic_s: the clock by which bars expire.
        """
        self._claim = claim
        self._producer = producer
        self._retention = retention_minutes
        closed = claim.position.get(CLOSED_FIELD)
        self._closed_before = NO_MINUTE if closed is None else minute_in(closed)
        """the newest minute whose bars were published at the claim"""
        self._whole_s = (
            NOT_WHOLE_YET_S if claim.may_miss_records else int(claim.position.get(WHOLE_FIELD, 0))
        )
        self._late = int(claim.position.get(LATE_FIELD, 0))
        self._closing = Closing(close_after_s, self._closed_before, clock_s)
        self._monotonic_s = monotonic_s
        self._table = BarTable(retention_minutes, expire_s / 2, self._closing.minute)
        self._has_read_open = False
        self._n_unwritten = 0
        self._revisions = 0
        """flushes that changed bars of earlier hours"""
        self._channel = Channel(claim.keyspace.bars_changed(claim.partition), encode_changed_bars)
        self._stored = StoredBars(claim.keyspace, claim.partition, expire_s)

    @property
    def is_full(self) -> bool:
        """Whether more bars are unwritten than memory should hold."""
        return self._table.changed > _MAX_CHANGED

    @property
    def is_due(self) -> bool:
        """Whether bars must be published or loaded even though no quote arrived."""
        open_minutes = self._table.open_minutes
        return not self._has_read_open or (
            open_minutes is not None and self._closing.is_due(open_minutes[0])
        )

    def begun(self) -> Unwritten:
        """Return from when on bars are complete, and that none was revised since the claim."""
        return Unwritten(fields=self._fields())

    async def take(self, records: Quotes) -> None:
        """Fold quotes."""
        await self._read_open()
        columns, marks = records.columns, mark(self._claim.incarnation, records.offsets)
        keys = self._table.keys(columns.instrument_id, columns.ts_ms)
        await self._read(self._table.missing(keys))
        late, replayed = self._table.add(keys, columns, marks)
        metrics.LATE_QUOTES.inc(late)
        self._late += late
        metrics.REPLAYED.labels(QUOTES.name).inc(replayed)
        self._note_whole(columns.ts_ms)
        self._closing.note(columns.ts_ms)

    async def unwritten(self) -> Unwritten:
        """Publish the bars that are due; return those that changed."""
        await self._read_open()
        await self._publish_due()
        changed = self._table.take_changed(self._monotonic_s())
        self._n_unwritten = len(changed.bars)
        self._revisions += changed.revises
        return Unwritten(
            self._stored.groups(changed, self._closing.minute),
            {CLOSED_FIELD: field_of(self._closing.minute), **self._fields()},
            self._channel,
        )

    def written(self) -> None:
        """Forget old bars and instruments, when there are many."""
        self._table.evict()
        metrics.FLUSHED_VALUES.labels(QUOTES.name).inc(self._n_unwritten)
        if self._n_unwritten:
            freshness_s = time.time() - self._closing.newest_ts_ms / 1000
            metrics.FRESHNESS.labels(QUOTES.name).set(freshness_s)

    def _fields(self) -> dict[str, str]:
        revised = f"{self._claim.epoch}:{self._revisions}"
        return {
            WHOLE_FIELD: str(self._whole_s),
            REVISED_FIELD: revised,
            LATE_FIELD: str(self._late),
        }

    def _note_whole(self, ts_ms: Ints) -> None:
        """Record from when on bars are complete, at the first quote after records were lost.

        Lost quotes were at most as late as the limit allows, so minutes that begin after that are
        complete.
        """
        if self._whole_s == NOT_WHOLE_YET_S and len(ts_ms):
            self._whole_s = self._closing.first_minute_after(int(ts_ms[0])) * MINUTE_S

    async def _read_open(self) -> None:
        """Load, once, the bars of minutes that the previous worker had not closed."""
        if self._has_read_open:
            return
        found = await self._instruments_with_open_minutes()
        if found:
            instrument_id = np.array(found[::2]).astype(np.int64)
            newest = minutes_of(found[1::2])
            numbers = self._table.number(instrument_id)
            first = np.maximum(self._closing.minute, newest - self._retention) + 1
            columns = (numbers.tolist(), found[::2], first.tolist(), newest.tolist())
            await self._read(
                [
                    Missing(number, int(id_), list(range(first_minute, last_minute + 1)))
                    for number, id_, first_minute, last_minute in sorted(zip(*columns, strict=True))
                ]
            )
        self._has_read_open = True

    async def _instruments_with_open_minutes(self) -> list[str]:
        """Return instruments and newest minutes, alternating; the set is stable."""
        found: list[str] = []
        for first in itertools.count(0, _OPEN_AT_ONCE):
            asked = self._stored.ask_for_open(self._closed_before, first, _OPEN_AT_ONCE)
            (some,) = await self._claim.read([asked])
            found += some
            if len(some) < 2 * _OPEN_AT_ONCE:
                break
        return found

    async def _publish_due(self) -> None:
        """Close minutes; publish their bars and revised closed bars, and wait for that."""
        closed_before = self._closing.minute
        open_minutes = self._table.open_minutes
        newest = NO_MINUTE if open_minutes is None else open_minutes[1]
        due = self._table.take_due(self._closing.advance(newest))
        if not len(due.bars):
            return
        await self._producer.publish_all(BARS.name, self._claim.partition, _records_of(due))
        metrics.CLOSED_BARS.inc(len(due.bars))
        metrics.REVISED_BARS.inc(int(np.count_nonzero(due.minute <= closed_before)))

    async def _read(self, missing: Sequence[Missing]) -> None:
        """Load the bars that a batch touches and memory does not have."""
        if not missing:
            return
        answers = await self._claim.read(map(self._stored.ask_for_bars, missing))
        keys: list[int] = []
        bars: list[BarValue] = []
        newest_minutes: list[int] = []
        for m, (newest, *values) in zip(missing, answers, strict=True):
            newest_minutes.append(NO_MINUTE if newest is None else minute_in(newest))
            for minute, value in zip(m.minutes, values, strict=True):
                if value is not None:
                    keys.append(self._table.key(m.number, minute))
                    bars.append(decode_bar(value))
        self._table.insert(missing, newest_minutes, from_values(keys, bars))


def _records_of(due: Due) -> list[Outgoing]:
    """Return a record for each bar.

    The revision is the mark of the last quote in the bar. A bar at a mark holds all quotes of its
    minute up to that mark, regardless of worker and batches: so a revision of a bar has exactly one
    content, and a greater one has more quotes.
    """
    bars = due.bars
    columns = {letter: bars[field.name] for letter, field in FIELDS.items()}
    columns |= {
        "instrument_id": due.instrument_id,
        "t": due.minute * MINUTE_MS,
        "revision": bars["mark"],
    }
    values = encode_closed_bars(columns)
    no_headers: list[tuple[str, bytes]] = []
    return [
        Outgoing(b"%d" % instrument_id, value, no_headers)
        for instrument_id, value in zip(due.instrument_id.tolist(), values, strict=True)
    ]
