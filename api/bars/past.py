"""Reads wide windows of one instrument, and keeps the buckets of hours that are over.

A bar of an earlier hour than its instrument's newest one changes only if a quote is late by as
much. The position of its partition says whether one did (`contracts.keyspace`), so that a window
read before takes two small rounds: of the position and the newest minute, and of the minutes since.

A bucket that begins before what is retained loses its minutes one by one, so it is read each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from api.bars.aggregation import MinuteBars, Window, merged
from api.bars.intervals import Interval, parse_interval
from api.bars.minutes import NARROW_MINUTES, Held, MinuteReader
from api.redis.lru import LruCache
from api.redis.reading import Read
from api.redis.store import Store
from contracts.bars import retained_before_newest_ms
from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    EPOCH_FIELD,
    FOLDING_FIELD,
    NEWEST_FIELD,
    REVISED_FIELD,
)
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS, minute_field, minute_of
from contracts.topics import QUOTES

KEPT_BYTES: Final = 50_000_000
"""At least this much of the most recently read buckets is kept, and at most twice as much: those of
a thousand instruments by the hour for a week."""
_BUCKET_BYTES: Final = 300
_OBJECTS_BYTES: Final = 500
"""The overhead of an instrument's buckets in addition to these."""

_HOUR: Final = parse_interval("1h")
_NEWEST: Final = NEWEST_FIELD.encode()
_POSITION: Final = (
    EPOCH_FIELD,
    REVISED_FIELD,
    FOLDING_FIELD,
    # One of the first two is there while a flush is unfinished: a worker has two under way.
    f"{CHUNK_FIELD_PREFIX}1",
    f"{CHUNK_FIELD_PREFIX}2",
)


class _State(NamedTuple):
    """What the bars of an instrument are as of now."""

    version: bytes
    """the same as long as all retained bars of past hours are"""
    newest_ms: int
    """start of the newest minute"""
    retained_ms: int
    """start of the first minute that is retained"""

    @classmethod
    def of(cls, position: Sequence[bytes | None], newest: bytes | None) -> "_State | None":
        """Return the state; None if there are no bars, or if it may be changing."""
        epoch, revised, folding, *unfinished = position
        if newest is None or folding is None or any(unfinished):
            return None
        if epoch is None or revised is None or not revised.startswith(epoch + b":"):
            return None  # it was claimed, and the first write after that is still to come
        newest_ms = minute_of(newest)
        before_ms = retained_before_newest_ms(folding)
        return cls(revised, newest_ms, max(newest_ms - before_ms, 0))

    def past_ms(self, interval: Interval) -> int:
        """Return the start of the first bucket with minutes of the newest hour or later."""
        return interval.start_of(_HOUR.start_of(self.newest_ms))

    def first_whole_ms(self, interval: Interval, first_ms: int) -> int:
        """Return the start of the first bucket from `first_ms` on that loses no minutes yet."""
        return max(first_ms, interval.first_from(self.retained_ms))


@dataclass(frozen=True, slots=True)
class _Kept:
    """An instrument's buckets of past hours, complete as of a version."""

    version: bytes
    last_ms: int | None
    """start of the last minute in `buckets`: if it is gone, they expired with their key"""
    first_ms: int
    """start of the first bucket"""
    end_ms: int
    buckets: MinuteBars
    """those of the buckets in `[first_ms, end_ms)` that have minutes, merged"""


def _oldest_ms(names: Sequence[bytes]) -> int:
    """Return the start of the oldest minute among the fields of an instrument's hash."""
    return min(map(minute_of, filter(_NEWEST.__ne__, names)), default=0)


def _bytes_of(kept: _Kept) -> int:
    return _OBJECTS_BYTES + _BUCKET_BYTES * len(kept.buckets)


class PastReader:
    """Reads windows of one namespace."""

    def __init__(self, store: Store, minutes: MinuteReader) -> None:
        self._store = store
        self._minutes = minutes
        self._kept = LruCache[tuple[int, Interval], _Kept](KEPT_BYTES, _bytes_of)
        """By instrument and interval."""

    def window(self, instrument_id: int, window: Window) -> Read[Held]:
        """Return the minutes of a window; those of past hours may be merged to buckets."""
        if len(window.minutes()) <= NARROW_MINUTES:
            return (yield from self._minutes.window(instrument_id, window))
        topology = yield from self._store.topology()
        partition = instrument_partition(instrument_id, topology.quotes)
        position = ("HMGET", self._store.keys.position(QUOTES, partition), *_POSITION)
        key = self._store.keys.bars(partition, instrument_id)
        known = self._kept.get((instrument_id, window.interval))
        if known is not None and known.first_ms <= window.first_ms:
            witness = NEWEST_FIELD if known.last_ms is None else minute_field(known.last_ms)
            fields, (newest, still) = yield [position, ("HMGET", key, NEWEST_FIELD, witness)]
            state = _State.of(fields, newest)
            if state is not None and state.version == known.version and still is not None:
                minutes = yield from self._since(instrument_id, window, state, known)
                return Held(True, minutes, state.newest_ms, partition)  # noqa: FBT003
        # The names come last: they have each minute that the state says is over.
        fields, newest, names = yield [position, ("HGET", key, NEWEST_FIELD), ("HKEYS", key)]
        state = _State.of(fields, newest)
        held = yield from self._minutes.named(instrument_id, names, window)
        # What earlier settings retained goes away in an order of its own.
        if state is not None and _oldest_ms(names) >= state.retained_ms:
            self._keep(instrument_id, window, state, held)
        return held

    def _since(
        self, instrument_id: int, window: Window, state: _State, known: _Kept
    ) -> Read[MinuteBars]:
        """Return the minutes of a window, reading only those that are not kept."""
        interval = window.interval
        window_end_ms = window.end_ms
        first_ms = state.first_whole_ms(interval, known.first_ms)
        losing = range(max(state.retained_ms, window.first_ms), first_ms, MINUTE_MS)
        end_ms = min(state.newest_ms + MINUTE_MS, window_end_ms)
        new = range(max(known.end_ms, first_ms), end_ms, MINUTE_MS)
        read = yield from self._minutes.at(instrument_id, interval.traded([*losing, *new]))
        buckets = [bucket for bucket in known.buckets if bucket[0] >= first_ms]
        over_ms = max(known.end_ms, min(state.past_ms(interval), window_end_ms))
        over = [one for one in read if first_ms <= one[0] < over_ms]
        buckets += merged(over, interval)
        last_ms = over[-1][0] if over else known.last_ms
        kept = _Kept(known.version, last_ms, known.first_ms, over_ms, buckets)
        self._kept.keep((instrument_id, interval), kept)
        lost = (one for one in read if one[0] < first_ms)
        running = (one for one in read if one[0] >= max(over_ms, first_ms))
        return [
            one for one in (*lost, *buckets, *running) if window.first_ms <= one[0] < window_end_ms
        ]

    def _keep(self, instrument_id: int, window: Window, state: _State, held: Held) -> None:
        """Keep the buckets of a window that are over."""
        interval = window.interval
        end_ms = min(state.past_ms(interval), window.end_ms)
        first_ms = state.first_whole_ms(interval, window.first_ms)
        over = [one for one in held.minutes if first_ms <= one[0] < end_ms]
        buckets, last_ms = merged(over, interval), over[-1][0] if over else None
        kept = _Kept(state.version, last_ms, window.first_ms, end_ms, buckets)
        self._kept.keep((instrument_id, interval), kept)
