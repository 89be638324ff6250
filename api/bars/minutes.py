"""Reads of minute bars: only those that exist, in parts, so that other reads run in between."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

import numpy as np

from api.bars.aggregation import MinuteBars, Window, minute_bars
from api.bars.pages import Position, Sort, whole_buckets
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.redis.reading import Read
from api.redis.store import Store
from contracts.bars import Minute
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition
from contracts.times import minute_field, minute_of

NARROW_MINUTES: Final = 1000
"""Up to this width, a window is read by minute. In a wider one, few minutes may exist."""
MINUTES_AT_ONCE: Final = 2500
"""Requested in one round: this process decodes them in about 2 ms, while others wait."""
FIELDS_AT_ONCE: Final = 5000
"""Fields whose names are requested in one round, unless one instrument has more."""
MINUTES_A_PAGE: Final = 10_320
"""A week, the longest bucket, and what it is longer by if clocks are turned back: an hour mostly,
and never more than four. This process turns as many into bars in some 15 ms, well within a
read's deadline."""

_WINDOWS_KNOWN: Final = 64
"""Nearly all requests of a minute are for the same few windows, of whatever instrument."""

T = TypeVar("T")

_NEWEST: Final = NEWEST_FIELD.encode()


class Held(NamedTuple):
    """The minutes of an instrument that Redis holds."""

    is_known: bool
    """whether there ever was a quote"""
    minutes: MinuteBars
    """oldest first"""
    newest_ms: int | None
    """start of the newest minute, read with the others or after them; None if there is none"""
    partition: int
    """the instrument's partition"""

    def known(self, instrument_id: int) -> MinuteBars:
        """Return the minutes.

        Raises:
            Problem: there never was a quote.
        """
        if not self.is_known:
            raise unknown_instrument(instrument_id)
        return self.minutes


@dataclass(slots=True)
class Found:
    """The minutes of a page."""

    held: dict[int, Held] = field(default_factory=dict)
    """of each instrument that was read"""
    rest: Position | None = None
    """where the next page begins"""


class MinuteReader:
    """Reads the minute bars of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def window(self, instrument_id: int, window: Window) -> Read[Held]:
        """Return all minute bars of a window."""
        topology = yield from self._store.topology()
        partition = instrument_partition(instrument_id, topology.quotes)
        key = self._store.keys.bars(partition, instrument_id)
        minutes = window.minutes()
        if len(minutes) <= NARROW_MINUTES:
            traded = window.interval.traded(minutes)
            fields: Iterable[str] = map(minute_field, traded)
            if traded is minutes:
                fields = minute_fields(minutes)
            ((newest, *values),) = yield [("HMGET", key, NEWEST_FIELD, *fields)]
            if newest is None:
                return Held(is_known=False, minutes=(), newest_ms=None, partition=partition)
            newest_ms = minute_of(newest)
            return Held(True, minute_bars(traded, values), newest_ms, partition)  # noqa: FBT003
        (names,) = yield [("HKEYS", key)]
        return (yield from self.named(instrument_id, names, window))

    def named(self, instrument_id: int, names: Sequence[bytes], window: Window) -> Read[Held]:
        """Return all minute bars of a window, given all fields of the instrument's hash."""
        found = yield from self._held({instrument_id: _Named.of(names, window)})
        return found[instrument_id]

    def at(self, instrument_id: int, minutes: Sequence[int]) -> Read[MinuteBars]:
        """Return those of some minutes, in order, that exist."""
        found = yield from self._held({instrument_id: _Named([*minutes], None)})
        return found[instrument_id].minutes

    def page(
        self,
        windows: Mapping[int, Window],
        lengths: Sequence[int],
        limit: int,
        sort: Sort = "asc",
        minutes: int = MINUTES_A_PAGE,
    ) -> Read[Found]:
        """Return the minutes of as many complete buckets as fit on a page.

        Args:
            windows: of each instrument, in the order of the pages.
            lengths: number of fields in the hash of each.
            limit: of buckets that have minutes.
            sort: whether the page has each instrument's first buckets or its last ones.
            minutes: of minutes at most.
        """
        found, bars = Found(), limit
        for some in _groups(list(windows), lengths, FIELDS_AT_ONCE):
            keys = yield from self.keys(some)
            names = yield [("HKEYS", key) for key in keys]
            wanted: dict[int, _Named] = {}
            for instrument_id, own in zip(some, names, strict=True):
                window = windows[instrument_id]
                named = _Named.of(own, window)
                starts = named.starts if sort == "asc" else named.starts[::-1]
                interval = window.interval
                end = whole_buckets(starts, interval, bars, minutes)
                wanted[instrument_id] = named._replace(starts=sorted(starts[:end]))
                bars -= len({interval.start_of(start) for start in starts[:end]})
                minutes -= end
                if end < len(starts):
                    at_ms = interval.start_of(starts[end])
                    if sort == "desc":
                        at_ms = interval.end_of(at_ms)
                    found.rest = Position(instrument_id, at_ms)
                    break
            found.held |= yield from self._held(wanted)
            if found.rest is not None:
                break
        return found

    def lengths(self, instruments: Sequence[int]) -> Read[list[int]]:
        """Return the number of fields in each instrument's hash: 0 if there never was a quote."""
        if not instruments:
            return []
        keys = yield from self.keys(instruments)
        return list((yield [("HLEN", key) for key in keys]))

    def keys(self, instruments: Sequence[int]) -> Read[list[str]]:
        """Return the key of each instrument's bars."""
        topology = yield from self._store.topology()
        bars = self._store.keys.bars
        return [bars(instrument_partition(i, topology.quotes), i) for i in instruments]

    def _held(self, wanted: Mapping[int, "_Named"]) -> Read[dict[int, Held]]:
        """Return which of these minutes of instruments Redis holds."""
        topology = yield from self._store.topology()
        partitions = {i: instrument_partition(i, topology.quotes) for i in wanted}
        parts = [
            (i, self._store.keys.bars(partitions[i], i), starts[first : first + MINUTES_AT_ONCE])
            for i, (starts, _) in wanted.items()
            for first in range(0, len(starts), MINUTES_AT_ONCE)
        ]
        found: dict[int, list[tuple[int, Minute]]] = {}
        newest_ms = {i: named.newest_ms for i, named in wanted.items()}
        for some in _groups(parts, [len(starts) for _, _, starts in parts], MINUTES_AT_ONCE):
            answers = yield [
                ("HMGET", key, NEWEST_FIELD, *map(minute_field, starts)) for _, key, starts in some
            ]
            for (i, _, starts), (newest, *values) in zip(some, answers, strict=True):
                # A minute that is gone is no longer retained, as the newest minute now shows.
                found.setdefault(i, []).extend(minute_bars(starts, values))
                newest_ms[i] = None if newest is None else minute_of(newest)
        return {
            i: Held(named.newest_ms is not None, found.get(i, ()), newest_ms[i], partitions[i])
            for i, named in wanted.items()
        }


@lru_cache(_WINDOWS_KNOWN)
def minute_fields(minutes: range) -> tuple[str, ...]:
    """Return the field of each minute, given as epoch ms."""
    return tuple(map(minute_field, minutes))


def unknown_instrument(instrument_id: int) -> Problem:
    """Return the problem for an instrument that never had a quote."""
    return Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument_id} has no quotes")


class _Named(NamedTuple):
    """The minutes that the field names of a `bars` hash list."""

    starts: Sequence[int]
    """those of the requested minutes that exist, in order"""
    newest_ms: int | None
    """start of the newest minute of all; None if there is none"""

    @classmethod
    def of(cls, names: Sequence[bytes], window: Window) -> "_Named":
        """Parse the field names, given the window whose minutes are requested."""
        minutes = window.minutes()
        seconds = filter(_NEWEST.__ne__, names)
        starts = 1000 * np.sort(np.fromiter(map(int, seconds), np.int64))  # no bytecode per item
        first, end = np.searchsorted(starts, (minutes.start, minutes.stop)).tolist()
        wanted = window.interval.traded(starts[first:end].tolist())
        return cls(wanted, int(starts[-1]) if len(starts) else None)


def _groups(things: Sequence[T], sizes: Sequence[int], most: int) -> Iterator[list[T]]:
    """Yield the things in order, grouped while their total size is within `most`."""
    group: list[T] = []
    size = 0
    for thing, own in zip(things, sizes, strict=True):
        if group and size + own > most:
            yield group
            group, size = [], 0
        group.append(thing)
        size += own
    if group:
        yield group
