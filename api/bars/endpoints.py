"""The endpoints of bars."""

from typing import Final, get_args

from api.bars.aggregation import Interval
from api.bars.answers import Bar, Bars, LegacyBar
from api.bars.reading import BarReader
from api.http.cases import READING
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parameters import INSTRUMENT_ID, one_of, time_or_now, whole_number
from api.http.problems import UNKNOWN_INSTRUMENT, ProblemType

MAX_BARS: Final = 1000

_PROBLEMS: Final[dict[ProblemType, str]] = {
    **READING,
    UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes",
}
_BARS: Final = Bars(
    instrument_id=4,
    interval="1m",
    bars=[
        Bar(1629061620000, 30.72, 30.9, 30.71, 30.85, 1200, 14, 30.8, closed=True),
        Bar(1629061680000, 30.85, 30.85, 30.8, 30.81, 300, 3, 30.82, closed=False),
    ],
)
_LEGACY_BARS: Final = {
    "2021-08-15 21:07:00": LegacyBar(
        instrid=4, price_close=30.85, price_high=30.9, price_low=30.71, price_open=30.72
    )
}


def endpoints(reader: BarReader) -> Table:
    """Return the endpoints of bars."""
    return (
        ReadEndpoint(
            path="/v1/instruments/{instrument_id}/bars",
            tag="instruments",
            summary="Bars, oldest first",
            description="""\
Those of the `limit` buckets of `interval` that start before `end`.

Buckets are aligned to the epoch (UTC), and whole: with `end` now, the last is the running one. A
bucket without quotes has no bar, unless `fill=previous` repeats the close before it; before the
window's first quote there is nothing to repeat. `closed` goes by the server's clock.""",
            parameters=(
                INSTRUMENT_ID,
                whole_number("limit", MAX_BARS, 5, "how many buckets to look at"),
                time_or_now(
                    "end",
                    "buckets start before it: epoch ms or RFC 3339; now if absent or empty",
                ),
                one_of("interval", get_args(Interval), "1m", "length of a bucket"),
                one_of(
                    "fill",
                    ("none", "previous"),
                    "none",
                    "previous: repeat the close in buckets without quotes; empty: none",
                ),
            ),
            read=reader.bars,
            hot=True,
            success=Success(kind=Bars, example=_BARS, headers=KEPT),
            problems=_PROBLEMS,
        ),
        ReadEndpoint(
            path="/instruments/{instrument_id}",
            tag="first version",
            summary="The last 5 minutes of an instrument",
            description="Its bars by their minute (UTC), oldest first; the last is the running "
            "minute.",
            parameters=(INSTRUMENT_ID,),
            read=reader.legacy,
            hot=True,
            success=Success(kind=dict[str, LegacyBar], example=_LEGACY_BARS, headers=KEPT),
            problems=_PROBLEMS,
        ),
    )
