"""The bars of one partition in memory: a cache of Redis that tracks what must be read and written.

An instrument gets a small number at its first quote, and a bar the key `number << 32 | minute`, so
that a batch is folded on plain integers. What the table does not hold is either in Redis, and
`missing` names it, or does not exist: a minute after an instrument's newest has no bar yet.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from contracts.batches import QuoteColumns
from contracts.messages import Ints
from contracts.times import HOUR_MS, MINUTE_MS
from stream_processors.bars.fold import BAR, Bars, bars_without_quotes, fold_quotes
from stream_processors.ids import NONE, Growable, IdIndex, distinct

_MINUTE_BITS: Final = 32
_MINUTE_MASK: Final = (1 << _MINUTE_BITS) - 1
_HOUR_MINUTES: Final = HOUR_MS // MINUTE_MS
NO_MINUTE: Final = -1
"""The newest minute of an instrument that Redis does not hold."""
_UNREAD: Final = -2
# Clean bars older than this behind their instrument's newest are dropped from memory.
_CACHED_MINUTES: Final = 3
# Some 400 bytes each, with their recent bars. What is forgotten is read again.
_INSTRUMENTS_AT_MOST: Final = 100_000
# Searching for droppable bars takes a pass over all of them.
_EVICT_AT_LEAST: Final = 20_000


class Missing(NamedTuple):
    """Minutes of an instrument to read before its quotes can be folded."""

    number: int
    instrument_id: int
    minutes: list[int]


class Changed(NamedTuple):
    """Bars that must be written, columns of one length n, those of an instrument together."""

    instrument_id: list[int]
    minute: list[int]
    bars: Bars
    newest: dict[int, int]
    """place in these columns -> newest minute of its instrument, at the first bar of each
    instrument whose newest minute in Redis is different or missing, or whose key's expiry must be
    renewed"""
    expired: dict[int, range]
    """place, of those in `newest` -> minutes of its instrument that are no longer retained"""
    revises: bool
    """whether a bar is of an earlier hour than the newest one of its instrument"""


class Due(NamedTuple):
    """Bars that must be published, columns of one length n."""

    instrument_id: Ints
    minute: Ints
    bars: Bars


class BarTable:
    """Bars of one partition: those that changed since the last `take_changed`, and recent ones.

    A bar also stays until it is published, `take_due`, even if Redis has or had it.

    A batch of 10,000 quotes touches up to as many bars, so what is done for each bar is done by
    NumPy: an instrument's latest bar is found by its number, and only other bars by their keys.
    """

    def __init__(
        self, retention_minutes: int, renew_after_s: float, closed_minute: int = NO_MINUTE
    ) -> None:
        """Take how long bars live, and up to which minute those in Redis are published.

        Args:
            retention_minutes: of event time.
            renew_after_s: an instrument's key expiry is renewed by the first write after this time.
            closed_minute: the newest closed one.
        """
        self._retention = retention_minutes
        self._renew_after_s = renew_after_s
        self._closed = closed_minute
        self._instruments = IdIndex()
        # By the instrument's number.
        self._newest = Growable(np.empty(0, np.int64))
        self._written_newest = Growable(np.empty(0, np.int64))
        self._latest_row = Growable(np.empty(0, np.int64))
        self._renew_at_s = Growable(np.empty(0, np.float64))
        self._touched = Growable(np.empty(0, np.int64))
        # By row.
        self._keys = IdIndex()
        self._bars = Growable(np.empty(0, BAR))
        self._changed = Growable(np.empty(0, dtype=bool))
        self._unpublished = Growable(np.empty(0, dtype=bool))
        self._evict_at = _EVICT_AT_LEAST
        self._forget_at = _INSTRUMENTS_AT_MOST
        self._adds = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def changed(self) -> int:
        """How many bars `take_changed` would return."""
        return int(np.count_nonzero(self._changed.values))

    @property
    def open_minutes(self) -> tuple[int, int] | None:
        """The first and the last minute with a bar still to be published."""
        keys = self._bars.values["key"][self._unpublished.values]
        if not len(keys):
            return None
        minute = keys & _MINUTE_MASK
        return int(minute.min()), int(minute.max())

    def keys(self, instrument_id: Ints, ts_ms: Ints) -> Ints:
        """Return the key of each quote's bar, (n,); new instruments get a number."""
        return self.number(instrument_id) << _MINUTE_BITS | ts_ms // MINUTE_MS

    def number(self, instrument_id: Ints) -> Ints:
        """Return the number of each instrument, (n,); new ones get one."""
        numbers = self._instruments.add_unknown(instrument_id)
        if more := len(self._instruments) - len(self._newest):
            self._newest.grow(more)[:] = _UNREAD
            self._written_newest.grow(more)[:] = _UNREAD
            self._latest_row.grow(more)[:] = NONE
            self._renew_at_s.grow(more)[:] = -np.inf
            self._touched.grow(more)[:] = self._adds
        return numbers

    def missing(self, keys: Ints) -> list[Missing]:
        """Bars of `keys` that may be in Redis: read and `insert` them before `add`."""
        newest = self._newest.values[keys >> _MINUTE_BITS]
        minute = keys & _MINUTE_MASK
        may_exist = (newest == _UNREAD) | ((minute <= newest) & (minute > newest - self._retention))
        asked = keys[may_exist]
        found: dict[int, list[int]] = {}
        for key in distinct(asked[self._rows(asked) < 0]).tolist():
            found.setdefault(key >> _MINUTE_BITS, []).append(key & _MINUTE_MASK)
        ids = self._instruments.ids
        return [Missing(n, int(ids[n]), minutes) for n, minutes in found.items()]

    def insert(self, missing: Sequence[Missing], newest_minute: Sequence[int], bars: Bars) -> None:
        """Insert what Redis holds of instruments.

        Args:
            missing: the request, as `missing` returned it.
            newest_minute: of each, `NO_MINUTE` if it has none.
            bars: all that were found, by ascending key.
        """
        number = np.array([m.number for m in missing], np.int64)
        is_unread = self._newest.values[number] == _UNREAD
        newest = np.array(newest_minute, np.int64)[is_unread]
        self._newest.values[number[is_unread]] = newest
        self._written_newest.values[number[is_unread]] = newest
        rows = self._append(bars)
        self._changed.values[rows] = False
        self._unpublished.values[rows] = (bars["key"] & _MINUTE_MASK) > self._closed

    def add(self, keys: Ints, quotes: QuoteColumns, mark: Ints) -> tuple[int, int]:
        """Fold quotes in. Returns how many were late and how many were replays.

        A quote is late if its bar was no longer retained before this call, and a replay if its
        mark is not above its bar's.

        Args:
            keys: (n,) of the quotes' bars.
            quotes: n.
            mark: (n,) places in the log, ascending.
        """
        newest = self._newest.values[keys >> _MINUTE_BITS]
        late = (keys & _MINUTE_MASK) <= newest - self._retention
        rows = self._rows(keys)
        known = rows >= 0
        replayed = np.zeros(len(keys), dtype=bool)
        replayed[known] = mark[known] <= self._bars.values["mark"][rows[known]]
        replayed &= ~late
        fresh = ~(late | replayed)
        if not fresh.all():
            keys, rows, quotes, mark = keys[fresh], rows[fresh], quotes.take(fresh), mark[fresh]
        new = distinct(keys[rows < 0])
        if len(new):
            self._append(bars_without_quotes(new))
            rows = self._rows(keys)
        fold_quotes(self._bars.values, rows, quotes, mark)
        self._changed.values[rows] = True
        self._unpublished.values[rows] = True
        number = keys >> _MINUTE_BITS
        np.maximum.at(self._newest.values, number, keys & _MINUTE_MASK)
        self._adds += 1
        self._touched.values[number] = self._adds
        return int(np.count_nonzero(late)), int(np.count_nonzero(replayed))

    def take_due(self, closed_minute: int) -> Due:
        """Return what must be published once the minutes up to that one are closed.

        Bars that are no longer retained are due as well: nothing changes them any more. All
        returned bars then count as published.
        """
        self._closed = closed_minute
        rows = np.flatnonzero(self._unpublished.values)
        number, minute = _number_and_minute(self._bars.values["key"][rows])
        due = (minute <= closed_minute) | (minute <= self._newest.values[number] - self._retention)
        rows, number, minute = rows[due], number[due], minute[due]
        self._unpublished.values[rows] = False
        return Due(self._instruments.ids[number], minute, self._bars.values[rows])

    def take_changed(self, now_s: float) -> Changed:
        """Return what must be written at a time; it then counts as unchanged.

        An instrument's bars may expire in Redis while no new minute arrives. Rewritten, they need
        their newest minute and an expiry again, so both are written with them once half of their
        lifetime has passed, or if a previous worker wrote them.
        """
        rows = np.flatnonzero(self._changed.values)
        self._changed.values[rows] = False
        number, minute = _number_and_minute(self._bars.values["key"][rows])
        kept = np.flatnonzero(minute > self._newest.values[number] - self._retention)
        kept = kept[np.argsort(number[kept], kind="stable")]
        rows, number, minute = rows[kept], number[kept], minute[kept]
        is_first = np.diff(number, prepend=-1) > 0
        newest_minute = self._newest.values[number]
        is_moved = newest_minute != self._written_newest.values[number]
        moved = np.flatnonzero(is_first & (is_moved | (self._renew_at_s.values[number] <= now_s)))
        self._renew_at_s.values[number[moved]] = now_s + self._renew_after_s
        newest, expired = newest_minute[moved].tolist(), self._expired(number[moved])
        self._written_newest.values[number[moved]] = newest
        places = moved.tolist()
        return Changed(
            self._instruments.ids[number].tolist(),
            minute.tolist(),
            self._bars.values[rows],
            dict(zip(places, newest, strict=True)),
            {places[at]: minutes for at, minutes in expired.items()},
            bool((minute // _HOUR_MINUTES < newest_minute // _HOUR_MINUTES).any()),
        )

    def _expired(self, number: Ints) -> dict[int, range]:
        """Return which minutes expire when the newest are written, by place in `number`, (n,)."""
        newest, written = self._newest.values[number], self._written_newest.values[number]
        first = written - self._retention + 1
        end = np.minimum(newest - self._retention, written) + 1
        some = np.flatnonzero((written >= 0) & (end > first))
        return {
            place: range(low, high)
            for place, low, high in zip(
                some.tolist(), first[some].tolist(), end[some].tolist(), strict=True
            )
        }

    def evict(self) -> None:
        """Forget old bars and instruments, when there are many.

        Call it when all that was taken is in Redis. Instruments are renumbered.
        """
        if len(self) < self._evict_at and len(self._instruments) <= self._forget_at:
            return
        bars, changed, unpublished = (
            column.values for column in (self._bars, self._changed, self._unpublished)
        )
        newest = self._newest.values[bars["key"] >> _MINUTE_BITS]
        is_recent = (bars["key"] & _MINUTE_MASK) > newest - _CACHED_MINUTES
        kept = np.flatnonzero(changed | unpublished | is_recent)
        kept = kept[np.argsort(bars["key"][kept])]
        if len(self._instruments) > self._forget_at:
            pinned = bars["key"][changed | unpublished] >> _MINUTE_BITS
            number_of = self._forget_instruments(pinned)
            number, minute = _number_and_minute(bars["key"])
            bars["key"] = number_of[number] << _MINUTE_BITS | minute
            kept = kept[number_of[number[kept]] != NONE]
        bars, changed, unpublished = bars[kept], changed[kept], unpublished[kept]
        self._keys = IdIndex()
        for column in (self._bars, self._changed, self._unpublished):
            column.cut(0)
        self._latest_row.values[:] = NONE
        rows = self._append(bars)
        self._changed.values[rows], self._unpublished.values[rows] = changed, unpublished
        self._evict_at = max(_EVICT_AT_LEAST, 2 * len(bars))

    def _forget_instruments(self, pinned: Ints) -> Ints:
        """Forget the least recently touched; return the new number by the old one.

        Args:
            pinned: numbers of those that must stay.
        """
        touched = self._touched.values
        half = len(touched) - _INSTRUMENTS_AT_MOST // 2
        is_kept = touched > np.partition(touched, half - 1)[half - 1]
        is_kept[pinned] = True
        for column in (self._newest, self._written_newest, self._renew_at_s, self._touched):
            column.keep(is_kept)
        self._latest_row.keep(is_kept)
        number_of = self._instruments.keep(is_kept)
        self._forget_at = max(_INSTRUMENTS_AT_MOST, 2 * len(self._instruments))
        return number_of

    def key(self, number: int, minute: int) -> int:
        """Return the key of an instrument's bar."""
        return number << _MINUTE_BITS | minute

    def _rows(self, keys: Ints) -> Ints:
        """Return the row of each key, (n,), `NONE` if it has none."""
        if not len(self):
            return np.full(len(keys), NONE, np.int64)
        rows: Ints = self._latest_row.values[keys >> _MINUTE_BITS]
        other = np.flatnonzero((rows < 0) | (self._keys.ids[rows] != keys))
        rows[other] = self._keys.rows(keys[other])
        return rows

    def _append(self, bars: Bars) -> Ints:
        """Add bars, by ascending key, that have no row yet; return their rows."""
        rows = np.arange(len(self), len(self) + len(bars))
        keys = bars["key"]
        self._keys.add(keys)
        self._bars.grow(len(bars))[:] = bars
        self._changed.grow(len(bars))[:] = False
        self._unpublished.grow(len(bars))[:] = False
        number = keys >> _MINUTE_BITS
        latest = self._latest_row.values[number]
        later = (latest < 0) | (self._keys.ids[latest] < keys)
        self._latest_row.values[number[later]] = rows[later]
        return rows


def _number_and_minute(keys: Ints) -> tuple[Ints, Ints]:
    return keys >> _MINUTE_BITS, keys & _MINUTE_MASK
