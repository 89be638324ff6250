"""Reads bars from Redis: the newest ones, and those that a client missed."""

from collections.abc import Sequence
from typing import Final

from api.redis.reading import Read
from api.redis.store import Store
from contracts.changed_bars import ChangedBar
from contracts.keyspace import NEWEST_FIELD
from contracts.partitioning import instrument_partition

INSTRUMENTS_A_READ: Final = 500
"""Few enough for a read's deadline, even if Redis and this process are busy."""


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
    store: Store, instruments: Sequence[int], minutes_s: Sequence[int]
) -> Read[list[ChangedBar]]:
    """Return the bars of these minutes, given by their start in epoch s, oldest first."""
    topology = yield from store.topology()
    keys = [store.keys.bars(instrument_partition(i, topology.quotes), i) for i in instruments]
    found = yield [("HMGET", key, *map(str, minutes_s)) for key in keys]
    return [
        ChangedBar(instrument_id, minute_s, value.decode())
        for instrument_id, values in zip(instruments, found, strict=True)
        for minute_s, value in zip(minutes_s, values, strict=True)
        if value is not None
    ]
