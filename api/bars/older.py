"""Bars that Redis no longer has: what the readers of bars need from an archive, and no more.

They do not know what implements it: `api.bars.archive` does, and is imported if there is one.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol

from api.bars.intervals import Interval
from api.bars.pages import Sort
from api.http.problems import ProblemType
from api.redis.reading import Handoff
from contracts.bars import Minute

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
