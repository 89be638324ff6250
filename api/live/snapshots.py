"""Reads bars for listeners: the newest ones, and those that a client that returns has missed.

They come as workers publish them, with minutes in epoch s, which `api.live.board` converts.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from api.bars.answers import Gap
from api.live.cursor import Cursor
from api.live.listener import Changed
from api.redis.reading import Read
from api.redis.store import Store
from contracts.changed_bars import ChangedBar
from contracts.decoding import MAX_AHEAD_MS
from contracts.keyspace import INCARNATION_FIELD, NEWEST_FIELD, NEXT_FIELD
from contracts.log_position import LogPosition, next_position
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS, minute_field, minute_start
from contracts.topics import QUOTES

INSTRUMENTS_A_READ: Final = 500
"""Few enough for a read's deadline, even if Redis and this process are busy."""
MINUTES_MOST: Final = 60
BARS_MOST: Final = 3_000
"""For all instruments of a client: some 60 ms of this process's time to send."""
INSTRUMENTS_CAUGHT_UP: Final = 10
"""Per read."""


class _Off(msgspec.Struct, frozen=True, gc=False):
    """The field of a `BarValue` that shows whether it has changed."""

    off: LogPosition


_decode_off: Final = msgspec.json.Decoder(_Off).decode


def off_of(value: str | bytes) -> LogPosition:
    """Return the place of a bar's last quote, from the bar as it is stored."""
    return _decode_off(value).off


def stored_positions(store: Store) -> Read[list[int]]:
    """Return the mark of each partition's position, 0 of one that has none."""
    topology = yield from store.topology()
    keys = [store.keys.position(QUOTES, p) for p in range(topology.quotes)]
    found = yield [("HMGET", key, INCARNATION_FIELD, NEXT_FIELD) for key in keys]
    positions = [next_position(*fields) for fields in found]
    return [0 if position is None else position.mark for position in positions]


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


class Stored(NamedTuple):
    """A bar that may have to be sent again."""

    partition: int
    bar: ChangedBar


def bars_since(
    store: Store, instruments: Sequence[int], minutes_ms: range, since: Cursor
) -> Read[list[Stored]]:
    """Return the bars of these minutes that have changed since then, oldest first of each."""
    topology = yield from store.topology()
    partitions = [instrument_partition(i, topology.quotes) for i in instruments]
    fields = list(map(minute_field, minutes_ms))
    found = yield [
        ("HMGET", store.keys.bars(partition, i), *fields)
        for i, partition in zip(instruments, partitions, strict=True)
    ]
    return [
        Stored(partition, ChangedBar(instrument_id, int(field), value.decode()))
        for instrument_id, partition, values in zip(instruments, partitions, found, strict=True)
        for field, value in zip(fields, values, strict=True)
        if value is not None and off_of(value).mark >= since.marks[partition]
    ]


def minutes_read(now_ms: int) -> range:
    """Return the minutes in which changes are looked for, by their start in epoch ms.

    >>> minutes = minutes_read(1629061628123)
    >>> (1629061620000 - minutes[0]) // 60000, (minutes[-1] - 1629061620000) // 60000
    (59, 5)
    """
    last_ms = minute_start(now_ms)
    return range(last_ms - (MINUTES_MOST - 1) * MINUTE_MS, last_ms + MAX_AHEAD_MS + 1, MINUTE_MS)


def missed_by(
    changed: Iterable[Changed], since: Cursor, minutes_ms: range
) -> tuple[list[Changed], Gap | None]:
    """Return what a client has missed, and the minutes for which that is not known or too much.

    Args:
        changed: bars of its instruments, oldest first of each.
        since: what it has.
        minutes_ms: those that were read.

    Returns:
        Of more than `BARS_MOST` bars, those of the newest minutes that are complete.
    """
    missed = [each for each in changed if each.bar.mark >= since.marks[each.partition]]
    first_ms = minutes_ms[0]
    # A bar of the minute before may have changed at the same time.
    gap_from_ms = max(minute_start(since.at_ms) - MINUTE_MS, 0)
    if len(missed) > BARS_MOST:
        newest_first = sorted((each.bar.at[1] for each in missed), reverse=True)
        first_ms = newest_first[BARS_MOST] + MINUTE_MS
        gap_from_ms = min(gap_from_ms, newest_first[-1])
        missed = [each for each in missed if each.bar.at[1] >= first_ms]
    return missed, Gap(gap_from_ms, first_ms) if gap_from_ms < first_ms else None
