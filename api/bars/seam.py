"""Where the complete bars in Redis begin: earlier ones may be incomplete, and in an archive.

Redis retains the minutes of an instrument that are less than `BARS_RETENTION_MINUTES` before its
newest one, by event time. The setting is a worker's; it is stored in the position of a partition,
next to the time since which the partition's bars are complete: that is later if Redis was rebuilt
from a log that had already dropped records, or if records were lost.
"""

import math
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from api.bars.aggregation import MinuteBars, Window
from api.bars.answers import Gap
from api.bars.intervals import Interval
from api.bars.minutes import Held
from api.bars.pages import Sort
from api.http.problems import ProblemType
from api.http.reply import NOW, Reply, reply
from api.redis.reading import Handoff, Read
from api.redis.store import Store
from contracts.bars import Minute, retained_before_newest_ms
from contracts.keyspace import FOLDING_FIELD, LINEAGE_FIELD, WHOLE_FIELD
from contracts.topics import QUOTES

MOST_DAYS: Final = 62
"""That one answer may read, not counting days without files: some 25 ms each in a large archive."""
ARCHIVE_UNAVAILABLE: Final = ProblemType(
    "archive-unavailable", "The archive cannot be read", 503, retry_after_s=5
)
ARCHIVE_READING: Final[dict[ProblemType, str]] = {
    ARCHIVE_UNAVAILABLE: "no answer in 5 s: request fewer buckets, or retry later"
}
"""The problems of reads of the archive, with example details."""


class Range(NamedTuple):
    """An instrument's minutes that start in `[first_ms, end_ms)`, and their buckets."""

    instrument_id: int
    first_ms: int
    """start of a bucket"""
    end_ms: int
    interval: Interval


class Older(NamedTuple):
    """What an archive has of a range."""

    minutes: list[tuple[int, Minute]]
    """each bucket's start with its merged minutes, oldest first; one may come in several parts"""
    rest_ms: int | None
    """start of the first bucket after these that was not read; of the last ones, end of the last
    bucket before these that was not; None: all were"""
    vouched_ms: int
    """nothing is missing before this time, and everything may be from then on"""
    days: int
    """that were read"""


ReadOlder = Callable[[Range, Sort, int, int], Older]
"""Returns the first or, for `desc`, the last buckets of a range that have bars.

It takes the range, the order, how many buckets at most, and how many days of the archive to read at
most: at least a bucket's length. It blocks.
"""


class OlderBars(Protocol):
    """An archive of bars."""

    @property
    def read(self) -> ReadOlder:
        """Reads a range, off the event loop."""

    def off_loop(self, answer: Callable[[], Any]) -> Handoff:
        """Return the exception with which a read continues as `answer`, off the event loop."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Accept reads for the block."""


_AGAIN_MS: Final = 10_000
"""Age at which a position is read again: Redis may have been flushed and refilled."""


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


class Whole(NamedTuple):
    """The minutes of a part, from Redis and the archive."""

    minutes: MinuteBars
    missing: Gap | None
    """minutes of which neither has all for sure"""
    gap: Gap | None = None
    """these, if the archive was read"""
    rest_ms: int | None = None
    """as in `Older`"""
    days: int = 0
    """of the archive that were read"""


class Part(NamedTuple):
    """What Redis holds of an instrument's buckets on a page."""

    held: Held
    missing: Gap | None
    """minutes that Redis may have only in part"""
    older: Range | None
    """minutes of which the archive may have more; None if there is no archive"""

    def whole(self, read: ReadOlder | None, sort: Sort, buckets: int, days: int) -> Whole:
        """Return the minutes of the first or the last buckets that have any.

        Args:
            read: reads the archive; None: nothing is read.
            sort: as `ReadOlder` takes it, as are `buckets` and `days`.
            buckets: how many of the archive.
            days: how many of the archive.
        """
        held, missing, older = self
        if read is None or older is None:
            return Whole(held.minutes, missing)
        found = read(older, sort, buckets, days)
        archived_ms = min(max(found.vouched_ms, older.first_ms), older.end_ms)
        gap = None
        if held.is_known and missing is not None:
            end_ms = min(older.end_ms, missing.end)
            gap = Gap(archived_ms, end_ms) if archived_ms < end_ms else None
        minutes: MinuteBars = found.minutes
        if sort == "desc" or found.rest_ms is None:  # else Redis' come after those that fit
            # In a gap, Redis' are all there is, though some of their quotes may be missing.
            minutes = [*minutes, *(minute for minute in held.minutes if minute[0] >= archived_ms)]
        return Whole(minutes, gap, gap, found.rest_ms, found.days)


class Seam:
    """The seam of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int], older: OlderBars | None) -> None:
        """Read from a store; with an archive, a missing position is read each time."""
        self._store = store
        self._now_ms = now_ms
        self._older = older
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
            and (self._older is None or first_ms >= known.begun_ms)
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
                again_ms = now_ms + _AGAIN_MS if self._older is None else 0
                known[partition] = _Partition(good_until_ms=again_ms)
                continue
            known[partition] = _Partition(
                before_newest_ms=retained_before_newest_ms(folding),
                whole_ms=1000 * int(whole or 0),
                begun_ms=int(lineage or 0) // 1000,
                good_until_ms=now_ms + _AGAIN_MS,
            )

    def part(self, instrument_id: int, window: Window, held: Held) -> Part:
        """Split a window between Redis and a range to read from the archive; call after `read`."""
        known, first_ms = self._partitions.get(held.partition, _UNKNOWN), window.first_ms
        whole_ms, until_ms = known.whole_ms, math.inf
        if held.newest_ms is not None:
            whole_ms = max(whole_ms, int(max(held.newest_ms - known.before_newest_ms, 0)))
            # If Redis was created from nothing after the requested minutes, its log may have been a
            # new one: the minutes before its first one may be in the archive.
            held_ms = held.minutes[0][0] if held.minutes else math.inf
            until_ms = max(whole_ms, min(known.begun_ms, held_ms))
        missing = Gap(first_ms, whole_ms) if first_ms < whole_ms else None
        end_ms = int(min(window.end_ms, until_ms))
        if self._older is None or end_ms <= first_ms:
            return Part(held, missing, None)
        return Part(held, missing, Range(instrument_id, first_ms, end_ms, window.interval))

    def answer(
        self, parts: Collection[Part], answer: Callable[[ReadOlder | None], Any], more: bytes = b""
    ) -> Reply:
        """Reply with `answer(None)`, or with `answer(read)` off the loop if the archive is needed.

        Raises:
            Handoff: it is, so the answer is made off the event loop.
        """
        older = self._older
        if older is None or all(part.older is None for part in parts):
            return reply(answer(None), NOW, more)
        raise older.off_loop(lambda: reply(answer(older.read), NOW, more))
