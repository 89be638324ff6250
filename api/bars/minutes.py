"""Reads of minute bars: only those that exist, in parts between which others have their turn."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from api.bars.aggregation import (
    Minute,
    MinuteBars,
    Window,
    bucket_start,
    minute_bars,
    minute_field,
)
from api.bars.pages import Position, whole_buckets
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition

NARROW_MINUTES: Final = 1000
"""A window of as many is asked for by its minutes. Of a wider one, few may exist."""
MINUTES_AT_ONCE: Final = 2500
"""Asked for in one round: this process decodes them in about 2 ms, and others wait for that."""
FIELDS_AT_ONCE: Final = 5000
"""Whose names are asked for in one round, unless one instrument has more."""
MINUTES_A_PAGE: Final = 10_080
"""A week, the longest bucket. Of as many this process makes bars in some 15 ms, far within a read's
deadline."""

T = TypeVar("T")

_NEWEST: Final = NEWEST_FIELD.encode()


class Held(NamedTuple):
    """What Redis holds of an instrument's minutes."""

    is_known: bool
    """whether there ever was a quote"""
    minutes: MinuteBars
    """oldest first"""
    newest: bytes | None = None
    """its field of the newest minute, where that was read with the others"""

    @property
    def newest_ms(self) -> int | None:
        """Start of the newest minute, where that was read."""
        return None if self.newest is None else 1000 * int(self.newest)

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

    minutes: dict[int, MinuteBars] = field(default_factory=dict)
    """of each instrument that has any"""
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
            fields = [minute_field(minute) for minute in minutes]
            ((newest, *values),) = yield [("HMGET", key, NEWEST_FIELD, *fields)]
            if newest is None:
                return Held(is_known=False, minutes=())
            return Held(True, minute_bars(minutes, values), newest)  # noqa: FBT003
        (names,) = yield [("HKEYS", key)]
        found = yield from self._values({instrument_id: _starts(names, minutes)})
        return Held(is_known=bool(names), minutes=found.get(instrument_id, ()))

    def newest(self, instrument_id: int) -> Read[int | None]:
        """Return the start of an instrument's newest minute; None if there never was a quote."""
        (key,) = yield from self.keys([instrument_id])
        (newest,) = yield [("HGET", key, NEWEST_FIELD)]
        return None if newest is None else 1000 * int(newest)

    def page(
        self,
        windows: Mapping[int, Window],
        lengths: Sequence[int],
        limit: int,
        minutes: int = MINUTES_A_PAGE,
    ) -> Read[Found]:
        """Return the minutes of as many whole buckets as make a page, instrument by instrument.

        Args:
            windows: of each instrument, in the order of the pages.
            lengths: how many fields the hash of each has.
            limit: of buckets that have minutes.
            minutes: how many of these at most.
        """
        found, bars = Found(), limit
        for some in _groups(list(windows), lengths, FIELDS_AT_ONCE):
            keys = yield from self.keys(some)
            names = yield [("HKEYS", key) for key in keys]
            wanted: dict[int, list[int]] = {}
            for instrument_id, own in zip(some, names, strict=True):
                window = windows[instrument_id]
                starts = _starts(own, window.minutes())
                end = whole_buckets(starts, window.interval_ms, bars, minutes)
                wanted[instrument_id] = starts[:end]
                bars -= len({bucket_start(start, window.interval_ms) for start in starts[:end]})
                minutes -= end
                if end < len(starts):
                    bucket = bucket_start(starts[end], window.interval_ms)
                    found.rest = Position(instrument_id, bucket)
                    break
            found.minutes |= yield from self._values(wanted)
            if found.rest is not None:
                break
        return found

    def lengths(self, instruments: Sequence[int]) -> Read[list[int]]:
        """Return how many fields the hash of each instrument has: 0 if there never was a quote."""
        if not instruments:
            return []
        keys = yield from self.keys(instruments)
        return list((yield [("HLEN", key) for key in keys]))

    def keys(self, instruments: Sequence[int]) -> Read[list[str]]:
        """Return the key of each instrument's bars."""
        topology = yield from self._store.topology()
        bars = self._store.keys.bars
        return [bars(instrument_partition(i, topology.quotes), i) for i in instruments]

    def _values(self, wanted: Mapping[int, Sequence[int]]) -> Read[dict[int, MinuteBars]]:
        """Return the minute bars of these minutes of instruments that have any."""
        keys = yield from self.keys(list(wanted))
        parts = [
            (instrument_id, key, starts[first : first + MINUTES_AT_ONCE])
            for (instrument_id, starts), key in zip(wanted.items(), keys, strict=True)
            for first in range(0, len(starts), MINUTES_AT_ONCE)
        ]
        found: dict[int, list[tuple[int, Minute]]] = {}
        for some in _groups(parts, [len(starts) for _, _, starts in parts], MINUTES_AT_ONCE):
            answers = yield [("HMGET", key, *map(minute_field, starts)) for _, key, starts in some]
            for (instrument_id, _, starts), values in zip(some, answers, strict=True):
                # One that is gone was retained no longer.
                found.setdefault(instrument_id, []).extend(minute_bars(starts, values))
        return {**found}


def unknown_instrument(instrument_id: int) -> Problem:
    """Return the problem of an instrument that never had a quote."""
    return Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument_id} has no quotes")


def _starts(names: Sequence[bytes], minutes: range) -> list[int]:
    """Return which of `minutes` stand in a `bars` hash with such fields, in order."""
    first_s, end_s = minutes.start // 1000, minutes.stop // 1000
    seconds = sorted(map(int, filter(_NEWEST.__ne__, names)))  # without bytecode for each
    inside = seconds[bisect_left(seconds, first_s) : bisect_left(seconds, end_s)]
    return [1000 * second for second in inside]


def _groups(things: Sequence[T], sizes: Sequence[int], most: int) -> Iterator[list[T]]:
    """Yield the things in order, together as long as their sizes are within `most`."""
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
