"""The bars of one partition in memory: a cache of Redis that knows what it has to read and write.

An instrument gets a small number at its first quote, and a bar the key `number << 32 | minute`, so
that a batch is folded on plain integers. What the table does not hold is either in Redis, and
`missing` names it, or does not exist: a minute after an instrument's newest has no bar yet.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.messages import Floats, Ints
from stream_processors.bars.fold import BAR, MINUTE_MS, Bars, fold_quotes, merge

_MINUTE_BITS: Final = 32
_MINUTE_MASK: Final = (1 << _MINUTE_BITS) - 1
_NO_MINUTE: Final = -1
_UNREAD: Final = -2
# Clean bars older than this behind their instrument's newest are dropped from memory.
_CACHED_MINUTES: Final = 3
# Looking for droppable bars costs a pass over all of them.
_EVICT_AT_LEAST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Missing:
    """What must be read of an instrument before its quotes can be folded."""

    number: int
    instrument_id: int
    minutes: list[int]


@dataclass(frozen=True, slots=True)
class InstrumentWrite:
    """What must be written of an instrument."""

    instrument_id: int
    bars: Bars
    minutes: list[int]
    """(n,) of the bars"""
    newest_minute: int
    expired_minutes: range
    """whose bars may exist in Redis and are no longer retained"""


class BarTable:
    """Bars of one partition: those that changed since the last `take_changed`, and recent ones."""

    def __init__(self, retention_minutes: int) -> None:
        self._retention = retention_minutes
        self._number_of: dict[int, int] = {}
        self._instrument_id: list[int] = []
        self._newest = np.empty(0, np.int64)
        self._written_newest = np.empty(0, np.int64)
        self._row_of: dict[int, int] = {}
        self._bars = np.empty(0, BAR)
        self._changed = np.empty(0, dtype=bool)
        self._evict_at = _EVICT_AT_LEAST

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def changed(self) -> int:
        """How many bars `take_changed` would return."""
        return int(np.count_nonzero(self._changed[: len(self)]))

    def knows(self, instrument_id: int) -> bool:
        """Tell whether an instrument has a number."""
        return instrument_id in self._number_of

    def keys(self, instrument_id: Ints, ts_ms: Ints) -> Ints:
        """Return the key of each quote's bar, (n,); new instruments get a number."""
        unique, inverse = np.unique(instrument_id, return_inverse=True)
        numbers = np.array([self._number(i) for i in unique.tolist()], np.int64)
        return numbers[inverse] << _MINUTE_BITS | ts_ms // MINUTE_MS

    def missing(self, keys: Ints) -> list[Missing]:
        """Return what must be read from Redis and given to `insert` before `add` of these keys."""
        unique = np.unique(keys)
        newest = self._newest[unique >> _MINUTE_BITS]
        minute = unique & _MINUTE_MASK
        may_exist = (newest == _UNREAD) | ((minute <= newest) & (minute > newest - self._retention))
        found: dict[int, list[int]] = {}
        for key in unique[may_exist].tolist():
            if key not in self._row_of:
                found.setdefault(key >> _MINUTE_BITS, []).append(key & _MINUTE_MASK)
        return [Missing(n, self._instrument_id[n], minutes) for n, minutes in found.items()]

    def insert(self, missing: Missing, newest_minute: int | None, bars: Bars) -> None:
        """Take in what Redis holds of an instrument: its newest minute and those of its bars."""
        if self._newest[missing.number] == _UNREAD:
            newest = _NO_MINUTE if newest_minute is None else newest_minute
            self._newest[missing.number] = newest
            self._written_newest[missing.number] = newest
        rows = self._new_rows(bars["key"])
        self._bars[rows] = bars
        self._changed[rows] = False

    def add(
        self, keys: Ints, price: Floats, size: Floats, ts_ms: Ints, mark: Ints
    ) -> tuple[int, int]:
        """Fold quotes in; (n,) each. Returns how many were late and how many were replays.

        A quote is late if its bar was no longer retained before this call, and a replay if its
        mark is not above its bar's.
        """
        newest = self._newest[keys >> _MINUTE_BITS]
        late = (keys & _MINUTE_MASK) <= newest - self._retention
        rows = np.fromiter((self._row_of.get(k, -1) for k in keys.tolist()), np.int64, len(keys))
        known = rows >= 0
        replayed = np.zeros(len(keys), dtype=bool)
        replayed[known] = mark[known] <= self._bars["mark"][rows[known]]
        replayed &= ~late
        fresh = ~(late | replayed)
        bars = fold_quotes(keys[fresh], price[fresh], size[fresh], ts_ms[fresh], mark[fresh])
        self._merge(bars)
        number = bars["key"] >> _MINUTE_BITS
        np.maximum.at(self._newest, number, bars["key"] & _MINUTE_MASK)
        return int(np.count_nonzero(late)), int(np.count_nonzero(replayed))

    def take_changed(self) -> list[InstrumentWrite]:
        """Return what must be written, by instrument; it counts as unchanged from here on."""
        rows = np.flatnonzero(self._changed[: len(self)])
        if not len(rows):
            return []
        self._changed[rows] = False
        bars = self._bars[rows]
        bars = bars[np.argsort(bars["key"])]
        number = bars["key"] >> _MINUTE_BITS
        minute = bars["key"] & _MINUTE_MASK
        kept = minute > self._newest[number] - self._retention
        bars, number, minute = bars[kept], number[kept], minute[kept]
        starts = np.flatnonzero(np.diff(number, prepend=-1))
        ends = np.append(starts[1:], len(bars)) if len(starts) else starts
        return [
            self._write(int(number[start]), bars[start:end], minute[start:end].tolist())
            for start, end in zip(starts, ends, strict=True)
        ]

    def evict(self) -> None:
        """Forget old bars, when they are many; call it when all that was taken is in Redis."""
        if len(self) < self._evict_at:
            return
        bars, changed = self._bars[: len(self)], self._changed[: len(self)]
        newest = self._newest[bars["key"] >> _MINUTE_BITS]
        kept = np.flatnonzero(changed | ((bars["key"] & _MINUTE_MASK) > newest - _CACHED_MINUTES))
        self._bars, self._changed = bars[kept], changed[kept]
        self._row_of = {key: row for row, key in enumerate(self._bars["key"].tolist())}
        self._evict_at = max(_EVICT_AT_LEAST, 2 * len(kept))

    def key(self, number: int, minute: int) -> int:
        """Return the key of an instrument's bar."""
        return number << _MINUTE_BITS | minute

    def _number(self, instrument_id: int) -> int:
        number = self._number_of.setdefault(instrument_id, len(self._number_of))
        if number == len(self._instrument_id):
            self._instrument_id.append(instrument_id)
            if number >= len(self._newest):
                more = np.full(max(256, len(self._newest)), _UNREAD, np.int64)
                self._newest = np.append(self._newest, more)
                self._written_newest = np.append(self._written_newest, more)
        return number

    def _new_rows(self, keys: Ints) -> Ints:
        """Return rows for keys that have none yet."""
        first = len(self)
        self._row_of.update(zip(keys.tolist(), range(first, first + len(keys)), strict=True))
        last = len(self)
        if last > len(self._bars):
            more = max(1024, len(self._bars), last - len(self._bars))
            self._bars = np.append(self._bars, np.empty(more, BAR))
            self._changed = np.append(self._changed, np.zeros(more, dtype=bool))
        return np.arange(first, last)

    def _merge(self, bars: Bars) -> None:
        rows = np.fromiter(
            (self._row_of.get(k, -1) for k in bars["key"].tolist()), np.int64, len(bars)
        )
        known = rows >= 0
        self._bars[rows[known]] = merge(self._bars[rows[known]], bars[known])
        rows[~known] = self._new_rows(bars["key"][~known])
        self._bars[rows[~known]] = bars[~known]
        self._changed[rows] = True

    def _write(self, number: int, bars: Bars, minutes: list[int]) -> InstrumentWrite:
        newest, written = int(self._newest[number]), int(self._written_newest[number])
        self._written_newest[number] = newest
        expired = range(0)
        if written >= 0:
            oldest = written - self._retention + 1
            expired = range(oldest, min(newest - self._retention, written) + 1)
        return InstrumentWrite(self._instrument_id[number], bars, minutes, newest, expired)
