"""Reads of bars: each returns its whole answer."""

from collections.abc import Callable, Sequence
from typing import Final

from api.bars.aggregation import (
    Interval,
    MinuteBars,
    Window,
    fill_previous,
    legacy_bars,
    minute_bars,
    minute_field,
    roll_up,
)
from api.bars.answers import Bars
from api.http.problems import UNKNOWN_INSTRUMENT, Problem
from api.http.replies import NOW, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition

LEGACY_MINUTES: Final = 5
WHOLE_HASH_ABOVE_MINUTES: Final = 1000
"""Above it, reading the whole hash is cheaper: it holds no more minutes than are retained."""


class BarReader:
    """Reads the bars of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    def bars(
        self, instrument_id: int, limit: int, end: int | None, interval: Interval, fill: str
    ) -> Read[Reply]:
        """Answer with bars of any interval."""
        now_ms = self._now_ms()
        window = Window.before(now_ms if end is None else end, interval, limit)
        minutes = yield from self._minutes(instrument_id, window)
        found = roll_up(minutes, window, now_ms)
        if fill == "previous":
            found = fill_previous(found, window, now_ms)
        return reply(Bars(instrument_id, interval, found), NOW)

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the last minutes in the first version's form."""
        window = Window.before(self._now_ms(), "1m", LEGACY_MINUTES)
        minutes = yield from self._minutes(instrument_id, window)
        return reply(legacy_bars(instrument_id, minutes), NOW)

    def _minutes(self, instrument_id: int, window: Window) -> Read[MinuteBars]:
        """Return the minute bars of a window, oldest first; Problem if there never was a quote."""
        topology = yield from self._store.topology()
        partition = instrument_partition(instrument_id, topology.quotes)
        key = self._store.keys.bars(partition, instrument_id)
        minutes = window.minutes()
        values: Sequence[bytes | None]
        if len(minutes) > WHOLE_HASH_ABOVE_MINUTES:
            (flat,) = yield [("HGETALL", key)]
            stored = dict(zip(flat[::2], flat[1::2], strict=True))
            known = NEWEST_FIELD.encode() in stored
            values = [stored.get(minute_field(minute).encode()) for minute in minutes]
        else:
            fields = [minute_field(minute) for minute in minutes]
            ((known, *values),) = yield [("HMGET", key, NEWEST_FIELD, *fields)]
        if not known:
            raise Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument_id} has no quotes")
        return minute_bars(minutes, values)
