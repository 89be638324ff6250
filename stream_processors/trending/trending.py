"""Folds user events into counts by item and time.

Each page of counts has the offset of its last counted event, so events reread after a crash count
once. Memory is a cache of Redis: missing counts are read before they are incremented.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.keyspace import OFFSET_FIELD
from contracts.log_position import NOTHING, mark, mark_of, text_of
from contracts.messages import Ints
from stream_processors.decoding.interactions import UserEvents
from stream_processors.ids import Growable, IdIndex
from stream_processors.partition.fold import Fold
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.trending.tally import Events, Tally, bucket_and_page, tally_of

Bools = npt.NDArray[np.bool_]

# Some 24 bytes each.
_MAX_UNCOUNTED: Final = 200_000
# Those of 50,000 items in the current bucket of each length, twice over.
_MAX_KNOWN: Final = 300_000
_RECORDS_AT_ONCE: Final = 50_000


class TrendingFold(Fold[UserEvents]):
    """The events of one partition not yet counted in Redis."""

    records_at_once = _RECORDS_AT_ONCE

    def __init__(self, claim: Claim, now_s: Callable[[], float] = time.time) -> None:
        """Take the partition, and the wall clock."""
        self._claim = claim
        self._now_s = now_s
        self._parts: list[Events] = []
        self._n = 0
        self._forget()

    @property
    def is_full(self) -> bool:
        """Whether more events are waiting than memory should hold."""
        return self._n >= _MAX_UNCOUNTED

    async def take(self, records: UserEvents) -> None:
        """Add the events of a batch, but for rejections."""
        columns = records.columns
        marks = mark(self._claim.incarnation, records.offsets[columns.index])
        counts = columns.weight > 0
        self.add(Events(columns.instrument_id[counts], columns.ts_ms[counts], marks[counts]))

    def add(self, events: Events) -> None:
        """Add events, later than all before."""
        if len(events):
            self._parts.append(events)
            self._n += len(events)

    async def unwritten(self) -> Unwritten:
        """Return the writes that count the added events, and clear.

        They must be written before the next call.
        """
        if not self._n:
            return Unwritten()
        events = Events.joined(self._parts)
        self._parts, self._n = [], 0
        if len(self._known) > _MAX_KNOWN:
            self._forget()
        numbers = self._items.add_unknown(events.item)
        tally = tally_of(events, numbers, self._now_s())
        if not tally.rows:
            return Unwritten()
        fields = list(map(str, self._items.ids[tally.numbers].tolist()))
        rows = self._known.add_unknown(tally.keys)
        is_known = rows < len(self._counts)
        self._counts.grow(len(self._known) - len(self._counts))[:] = 0
        counts = self._counts.values[rows]
        await self._read(tally, fields, counts, is_known)
        marks = np.array([self._marks[row] for row in tally.rows], np.int64)
        counts += tally.added(marks)
        self._counts.values[rows] = counts
        marks = np.maximum(marks, events.mark[-1])
        self._marks.update(zip(tally.rows, marks.tolist(), strict=True))
        return Unwritten(self._groups(tally, fields, counts))

    def _forget(self) -> None:
        """Start without knowledge of what is in Redis."""
        self._items = IdIndex()
        self._known = IdIndex()
        """keys of counts"""
        self._counts = Growable(np.empty(0, np.int64))
        """by row of `_known`"""
        self._marks: dict[int, int] = {}
        """row -> mark of its last counted event, for rows that were read"""
        self._whole: set[int] = set()
        """rows that did not exist when they were read: their unknown counts are 0"""

    async def _read(
        self, tally: Tally, fields: Sequence[str], counts: Ints, is_known: Bools
    ) -> None:
        """Read what is not in memory: the marks of rows, and counts into their places."""
        missing = np.flatnonzero(~is_known)
        starts = np.searchsorted(missing, [0, *tally.ends]).tolist()
        asked = [
            (row, missing[starts[at] : starts[at + 1]].tolist())
            for at, row in enumerate(tally.rows)
            if row not in self._marks or (row not in self._whole and starts[at] < starts[at + 1])
        ]
        questions = (
            Group(self._key(row), command("HMGET", [OFFSET_FIELD, *(fields[at] for at in places)]))
            for row, places in asked
        )
        answers = await self._claim.read(questions) if asked else []
        for (row, places), (offset, *found) in zip(asked, answers, strict=True):
            self._marks[row] = mark_of(offset)
            if self._marks[row] == NOTHING:
                self._whole.add(row)
            counts[places] = [int(count or 0) for count in found]

    def _groups(self, tally: Tally, fields: Sequence[str], counts: Ints) -> Iterator[Group]:
        values = list(map(str, counts.tolist()))
        for row, start, end in tally.slices():
            offset = [OFFSET_FIELD, text_of(self._marks[row])]
            pairs = chain.from_iterable(zip(fields[start:end], values[start:end], strict=True))
            bucket, _ = bucket_and_page(row)
            commands = command("HSET", [*offset, *pairs])
            commands += command("EXPIREAT", [str(bucket.expires_at_s)])
            yield Group(self._key(row), commands)

    def _key(self, row: int) -> str:
        bucket, page = bucket_and_page(row)
        return self._claim.keyspace.trending(self._claim.partition, *bucket, page)
