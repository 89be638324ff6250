"""Events counted by item and time: the buckets that workers fill, and the windows made of them.

Each event counts 1, whatever its kind, in one bucket of each length. A bucket's counts stand in
`PAGES` hashes, as what is written to one is written at once, and must not take Redis long.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

TrendingWindow = Literal["1h", "6h", "24h", "7d"]
TRENDING_WINDOWS: Final[tuple[TrendingWindow, ...]] = get_args(TrendingWindow)


class Span(NamedTuple):
    """A window's length, and that of the buckets that it is made of, seconds each."""

    window_s: int
    bucket_s: int


_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S
SPANS: Final[Mapping[TrendingWindow, Span]] = {
    "1h": Span(_HOUR_S, 600),
    "6h": Span(6 * _HOUR_S, _HOUR_S),
    "24h": Span(_DAY_S, _HOUR_S),
    "7d": Span(7 * _DAY_S, _DAY_S),
}
BUCKETS_S: Final[Mapping[int, int]] = {
    span.bucket_s: span.window_s for span in sorted(SPANS.values())
}
"""Length of a bucket -> the longest window that is made of such ones, seconds."""

PAGES: Final = 7
"""A prime, so that ids with a step between them spread, too."""


class Bucket(NamedTuple):
    """Event times from `start_s`, a multiple of the length, until the next one's start."""

    length_s: int
    start_s: int

    @property
    def expires_at_s(self) -> int:
        """When no window has any of it left."""
        return self.start_s + self.length_s + BUCKETS_S[self.length_s]


def buckets_of(window: TrendingWindow, now_s: int) -> list[Bucket]:
    """Return the buckets of the window that ends now, oldest first.

    The first one began at least as long ago as the window is, by up to its length longer.

    >>> [bucket.start_s for bucket in buckets_of("1h", 4_200)]
    [600, 1200, 1800, 2400, 3000, 3600, 4200]
    """
    window_s, bucket_s = SPANS[window]
    first = (now_s - window_s) // bucket_s * bucket_s
    return [Bucket(bucket_s, start) for start in range(first, now_s + 1, bucket_s)]
