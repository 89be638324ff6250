"""The endpoint of trending instruments."""

from typing import Final

from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parameters import CATEGORY, DEFAULT_ITEMS, EXCLUDE_CATEGORY, one_of, whole_number
from api.http.problems import INVALID_REQUEST, READING
from api.recommendations.trending.following import TrendingItems
from api.recommendations.trending.ranking import Trending, TrendingItem
from contracts.trending import TRENDING_WINDOWS

MAX_TRENDING: Final = 100

_TRENDING: Final = Trending(
    window="1h",
    start=1629058200000,
    as_of=1629061682000,
    items=[TrendingItem(instrument_id=4, events=17), TrendingItem(instrument_id=0, events=5)],
)


def endpoints(trending: TrendingItems) -> Table:
    """Return the endpoint of trending instruments."""
    return (
        ReadEndpoint(
            path="/v1/trending",
            tag="recommendations",
            summary="The instruments with the most recent events",
            description="""\
Every event of any kind counts 1, by event time, within seconds of its arrival. A window begins at
the start of a bucket, `start`, so it is up to a bucket longer than its name: 10 minutes for `1h`,
an hour for `6h` and `24h`, a day (UTC) for `7d`. It ends at `as_of`, when the events were counted.
Instruments that the catalog marks as unlisted are left out.""",
            parameters=(
                one_of("window", TRENDING_WINDOWS, "24h", "over which events are counted"),
                whole_number("n", MAX_TRENDING, DEFAULT_ITEMS, "how many at most"),
                CATEGORY,
                EXCLUDE_CATEGORY,
            ),
            read=trending.trending,
            hot=True,
            success=Success(kind=Trending, example=_TRENDING, headers=KEPT),
            problems={**READING, INVALID_REQUEST: "window: must be 1h, 6h, 24h, 7d, not '2h'"},
        ),
    )
