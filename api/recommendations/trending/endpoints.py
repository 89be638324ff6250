"""The endpoint of what is trending."""

from typing import Final

from api.http.cases import READING
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parameters import CATEGORY, DEFAULT_ITEMS, EXCLUDE_CATEGORY, one_of, whole_number
from api.http.problems import INVALID_REQUEST
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
    """Return the endpoint of what is trending."""
    return (
        ReadEndpoint(
            path="/v1/trending",
            tag="recommendations",
            summary="The instruments with most events lately",
            description="""\
Every event counts 1, of whatever kind and by its event time, within seconds of its coming. A window
begins where a bucket does, at `start`, so it is longer than its name by up to a bucket: of 10
minutes for `1h`, an hour for `6h` and `24h`, a day (UTC) for `7d`. It ends at `as_of`, when the
events were counted. What the catalog says is not listed is left out.""",
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
