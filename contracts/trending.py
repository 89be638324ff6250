"""Event counts by item and time: the buckets that workers fill, and the windows made of them.

Each event counts 1, unless it rejects its item, in one bucket of each length. A bucket's counts are
spread over `PAGES` hashes, as a write to a hash is atomic and must not block Redis for long.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from contracts.times import DAY_S, HOUR_S

TrendingWindow = Literal["1h", "6h", "24h", "7d"]
TRENDING_WINDOWS: Final[tuple[TrendingWindow, ...]] = get_args(TrendingWindow)


class Span(NamedTuple):
    """The lengths of a window and of its buckets, in seconds."""

    window_s: int
    bucket_s: int


SPANS: Final[Mapping[TrendingWindow, Span]] = {
    "1h": Span(HOUR_S, 600),
    "6h": Span(6 * HOUR_S, HOUR_S),
    "24h": Span(DAY_S, HOUR_S),
    "7d": Span(7 * DAY_S, DAY_S),
}
BUCKETS_S: Final[Mapping[int, int]] = {
    span.bucket_s: span.window_s for span in sorted(SPANS.values())
}
"""Length of a bucket -> the longest window made of such buckets, seconds."""

PAGES: Final = 7
"""A prime, so that ids with a constant stride are spread, too."""


class Bucket(NamedTuple):
    """Event times from `start_s`, a multiple of the length, to the start of the next bucket."""

    length_s: int
    start_s: int

    @property
    def expires_at_s(self) -> int:
        """When no window includes it any more."""
        return self.start_s + self.length_s + BUCKETS_S[self.length_s]


def buckets_of(window: TrendingWindow, now_s: int) -> list[Bucket]:
    """Return the buckets of the window that ends now, oldest first.

    They cover the window's length, plus up to the length of a bucket.

    >>> [bucket.start_s for bucket in buckets_of("1h", 4_200)]
    [600, 1200, 1800, 2400, 3000, 3600, 4200]
    """
    window_s, bucket_s = SPANS[window]
    first = (now_s - window_s) // bucket_s * bucket_s
    return [Bucket(bucket_s, start) for start in range(first, now_s + 1, bucket_s)]
