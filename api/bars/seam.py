"""Finds where the complete bars in Redis begin: earlier ones may be incomplete.

Redis retains the minutes of an instrument that are less than `BARS_RETENTION_MINUTES` before its
newest one, by event time. The setting is a worker's; it is stored in the position of a partition,
next to the time since which the partition's bars are complete: that is later if Redis was rebuilt
from a log that had already dropped records, or if records were lost.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from api.bars.aggregation import Window
from api.bars.answers import Gap
from api.bars.archive.ranges import Range
from api.bars.minutes import Held
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import FOLDING_FIELD, LINEAGE_FIELD, WHOLE_FIELD
from contracts.times import MINUTE_MS
from contracts.topics import QUOTES

_AGAIN_MS: Final = 10_000
"""Age at which a position is read again: Redis may have been flushed and refilled."""


class _Folding(msgspec.Struct):
    bars_retention_minutes: int


_folding = msgspec.json.Decoder(_Folding)


def retained_before_newest_ms(folding: bytes) -> int:
    """Return how far back from an instrument's newest minute minutes are retained.

    Args:
        folding: of the position of the instrument's partition.
    """
    return (_folding.decode(folding).bars_retention_minutes - 1) * MINUTE_MS


@dataclass(frozen=True, slots=True)
class _Partition:
    """A position; as long as there is none, Redis is assumed to have everything."""

    before_newest_ms: float = math.inf
    """how far back from an instrument's newest minute minutes are retained"""
    whole_ms: int = 0
    """event time since when no quote is missing"""
    begun_ms: float = math.inf
    """when its state was created from nothing: an archive may have bars of an earlier log"""
    good_until_ms: int = 0


_UNKNOWN: Final = _Partition()


class Seam:
    """The seam of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int], *, has_archive: bool) -> None:
        """Read from a store; with an archive, a missing position is read each time."""
        self._store = store
        self._now_ms = now_ms
        self._has_archive = has_archive
        self._partitions: dict[int, _Partition] = {}

    def retains(self, first_ms: int, held: Held, now_ms: int) -> bool:
        """Whether Redis is known to have all minutes from `first_ms` on."""
        newest_ms = held.newest_ms
        known = self._partitions.get(held.partition, _UNKNOWN)
        return (
            newest_ms is not None
            and now_ms < known.good_until_ms
            and first_ms >= newest_ms - known.before_newest_ms
            and first_ms >= known.whole_ms
            and (not self._has_archive or first_ms >= known.begun_ms)
        )

    def read(self, partitions: Collection[int]) -> Read[None]:
        """Read the positions of partitions, unless they were read a moment ago."""
        now_ms = self._now_ms()
        known = self._partitions
        due = [p for p in set(partitions) if now_ms >= known.get(p, _UNKNOWN).good_until_ms]
        if not due:
            return
        fields = (FOLDING_FIELD, WHOLE_FIELD, LINEAGE_FIELD)
        keys = [self._store.keys.position(QUOTES, p) for p in due]
        answers = yield [("HMGET", key, *fields) for key in keys]
        for partition, (folding, whole, lineage) in zip(due, answers, strict=True):
            if folding is None:
                again_ms = 0 if self._has_archive else now_ms + _AGAIN_MS
                known[partition] = _Partition(good_until_ms=again_ms)
                continue
            known[partition] = _Partition(
                before_newest_ms=retained_before_newest_ms(folding),
                whole_ms=1000 * int(whole or 0),
                begun_ms=int(lineage or 0) // 1000,
                good_until_ms=now_ms + _AGAIN_MS,
            )

    def missing(self, window: Window, held: Held) -> Gap | None:
        """Return the minutes of a window that Redis may have only in part; after `read`."""
        whole_ms = self._whole_from_ms(held)
        return Gap(window.first_ms, whole_ms) if window.first_ms < whole_ms else None

    def older(self, instrument_id: int, window: Window, held: Held) -> Range | None:
        """Return the minutes of which an archive may have more than Redis; after `read`.

        Args:
            instrument_id: whose minutes these are.
            window: that is requested, or the part of it that is on the page.
            held: what Redis holds of it.
        """
        end_ms = int(min(window.end_ms, self._archive_until_ms(held)))
        if end_ms <= window.first_ms:
            return None
        whole_ms = self._whole_from_ms(held)
        return Range(instrument_id, window.first_ms, end_ms, window.interval, whole_ms)

    def _whole_from_ms(self, held: Held) -> int:
        """Return the time from which Redis has all minutes, epoch ms."""
        known = self._partitions.get(held.partition, _UNKNOWN)
        if held.newest_ms is None:
            return known.whole_ms
        return max(known.whole_ms, int(max(held.newest_ms - known.before_newest_ms, 0)))

    def _archive_until_ms(self, held: Held) -> float:
        """Return the time up to which an archive may have more than Redis, epoch ms, or infinity.

        If Redis was created from nothing after the requested minutes, its log may have been a new
        one: the minutes before its first one may be in the archive.
        """
        if held.newest_ms is None:
            return math.inf
        begun_ms = self._partitions.get(held.partition, _UNKNOWN).begun_ms
        first_ms = held.minutes[0][0] if held.minutes else math.inf
        return max(self._whole_from_ms(held), min(begun_ms, first_ms))
