"""Reads bars for listeners: the newest ones, and those that a client that reconnects has missed.

They come as workers publish them, with minutes in epoch s, which `api.live.board` converts.

The id of an event is the event time, in epoch ms, that the quotes had reached when it was sent.
Workers and partitions never progress exactly alike, so bars with a quote a little older than that
may have changed since.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from api.redis.reading import Read
from api.redis.store import Store
from contracts.changed_bars import ChangedBar
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS, minute_field, minute_start

INSTRUMENTS_A_READ: Final = 500
"""Few enough for a read's deadline, even if Redis and this process are busy."""
OVERLAP_MS: Final = 15_000
"""By how much a bar may be behind the others and still be sent again."""
MINUTES_MOST: Final = 60
BARS_MOST: Final = 3_000
"""For all instruments: some 60 ms of this process's time, in parts of `INSTRUMENTS_CAUGHT_UP`."""
INSTRUMENTS_CAUGHT_UP: Final = 10
"""Per read."""


def newest_bars(store: Store, instruments: Sequence[int]) -> Read[list[ChangedBar]]:
    """Return the newest bar of each instrument that has one."""
    topology = yield from store.topology()
    keys = [store.keys.bars(instrument_partition(i, topology.quotes), i) for i in instruments]
    newest = yield [("HGET", key, NEWEST_FIELD) for key in keys]
    known = [
        (instrument_id, key, minute)
        for instrument_id, key, minute in zip(instruments, keys, newest, strict=True)
        if minute is not None
    ]
    if not known:
        return []
    values = yield [("HGET", key, minute) for _, key, minute in known]
    return [
        ChangedBar(instrument_id, int(minute), value.decode())
        for (instrument_id, _, minute), value in zip(known, values, strict=True)
        if value is not None  # expired in between: a newer one comes with the changes
    ]


def bars_since(
    store: Store, instruments: Sequence[int], minutes_ms: Sequence[int]
) -> Read[list[ChangedBar]]:
    """Return the bars of these minutes, given by their start in epoch ms, oldest first."""
    topology = yield from store.topology()
    keys = [store.keys.bars(instrument_partition(i, topology.quotes), i) for i in instruments]
    fields = list(map(minute_field, minutes_ms))
    found = yield [("HMGET", key, *fields) for key in keys]
    return [
        ChangedBar(instrument_id, int(field), value.decode())
        for instrument_id, values in zip(instruments, found, strict=True)
        for field, value in zip(fields, values, strict=True)
        if value is not None
    ]


class Missed(NamedTuple):
    """Which bars to send again."""

    since_ms: int
    """those with a quote of this time or later"""
    minutes_ms: range
    """the minutes to read, by their start in epoch ms, oldest first"""


def missed_since(last_id: int, instruments: int, now_ms: int) -> Missed:
    """Return what to read for a client whose last event was `last_id`.

    >>> missed_since(1629061628123, instruments=4, now_ms=1629061745000)
    Missed(since_ms=1629061613123, minutes_ms=range(1629061560000, 1629061740001, 60000))
    """
    since_ms = last_id - OVERLAP_MS
    minutes = min(MINUTES_MOST, BARS_MOST // instruments)
    last_ms = minute_start(now_ms)
    first_ms = max(minute_start(since_ms), last_ms - (minutes - 1) * MINUTE_MS)
    return Missed(since_ms, range(first_ms, last_ms + 1, MINUTE_MS))


def parse_id(text: str | None) -> int | None:
    """Parse a client's `Last-Event-ID`; None if it is not one of ours.

    >>> parse_id("1629061628123"), parse_id("x"), parse_id(None)
    (1629061628123, None, None)
    """
    return int(text) if text and len(text) <= 15 and text.isascii() and text.isdigit() else None
