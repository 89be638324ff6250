"""The endpoints of bars."""

from typing import Final, get_args

from api.bars.answers import Bar, Bars, BarsOfMany, LegacyBar, as_csv
from api.bars.calendars import LOADING
from api.bars.intervals import MAX_ZONE, MINUTE, PATTERN, parse_interval, parse_zone
from api.bars.pages import MAX_TOKEN_CHARACTERS, Position, Sort, parse_token
from api.bars.reading import BarReader
from api.bars.seam import ARCHIVE_READING, MOST_DAYS
from api.bars.trading_hours import Session, parse_session
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi_schemas import KEPT
from api.http.parameters import (
    INSTRUMENT_ID,
    Parameter,
    instrument_parameter,
    instruments_parameter,
    one_of,
    time_or_now,
    whole_number,
)
from api.http.parsing import Resolve
from api.http.problems import READING, UNKNOWN_INSTRUMENT, ProblemType

MAX_BARS: Final = 1000
MAX_BARS_OF_MANY: Final = 10_000
MAX_INSTRUMENTS: Final = 100

_PROBLEMS: Final[dict[ProblemType, str]] = {
    **READING,
    UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes",
}
_BEYOND_REDIS: Final = {**ARCHIVE_READING, **LOADING}
_PROBLEMS_OF_BARS: Final[dict[ProblemType, str]] = {**_PROBLEMS, **_BEYOND_REDIS}
_TWO: Final = [
    Bar(1629061620000, 30.72, 30.9, 30.71, 30.85, 1200, 14, 30.8, closed=True),
    Bar(1629061680000, 30.85, 30.85, 30.8, 30.81, 300, 3, 30.82, closed=False),
]
_BARS: Final = Bars(instrument_id=4, interval="1m", bars=_TWO, next_page_token=None)
_BARS_OF_MANY: Final = BarsOfMany(
    interval="1m",
    bars={"4": _TWO},
    unknown=["XYZ"],
    next_page_token=Position(5, 1629061620000).token(MINUTE, "asc"),
)
_LEGACY_BARS: Final = {
    "2021-08-15 21:07:00": LegacyBar(
        instrid=4, price_close=30.85, price_high=30.9, price_low=30.71, price_open=30.72
    )
}
_START: Final = time_or_now(
    "start",
    "read buckets page by page from this time on: epoch ms or RFC 3339; if absent or empty, the "
    "last buckets are read",
)
_END: Final = time_or_now(
    "end", "buckets start before it: epoch ms or RFC 3339; now if absent or empty"
)
_INTERVAL: Final = Parameter(
    "interval",
    lambda text: parse_interval(text) if text else MINUTE,
    {
        "anyOf": [{"type": "string", "pattern": f"^{PATTERN}$"}, {"const": ""}],
        "default": MINUTE.text,
        "examples": ["1d", "10m", "4h"],
    },
    "length of a bucket: a whole number of m, h, d or w, at most a week; 1m if empty",
    default=MINUTE,
)
_TIMEZONE: Final = Parameter(
    "timezone",
    parse_zone,
    {
        "type": "string",
        "maxLength": MAX_ZONE,
        "default": "UTC",
        "examples": ["America/New_York"],
    },
    "IANA name of the time zone in which daily and weekly buckets start; UTC if empty",
    default=None,
)
_SESSION: Final = Parameter(
    "session",
    parse_session,
    {"type": "string", "enum": [*get_args(Session), ""], "default": ""},
    "regular: only minutes in the trading hours of the instrument's exchange; extended: also those "
    "before and after them; empty: all minutes",
    default=None,
)
_SORT: Final = one_of("sort", get_args(Sort), "asc", "asc: oldest first; desc: newest first")
_WINDOW: Final = (_START, _END, _INTERVAL, _TIMEZONE, _SESSION, _SORT)
_PAGE_TOKEN: Final = Parameter(
    "page_token",
    lambda text: parse_token(text) if text else None,
    {
        "anyOf": [
            {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MAX_TOKEN_CHARACTERS},
            {"const": ""},
        ]
    },
    "`next_page_token` of the previous page; leave all other parameters unchanged",
    default=None,
)


def endpoints(reader: BarReader, resolve: Resolve) -> Table:
    """Return the endpoints of bars; `resolve` finds instruments by their symbols."""
    return (
        ReadEndpoint(
            name="instrument_bars",
            path="/v1/instruments/{instrument}/bars",
            tag="instruments",
            summary="Bars of an instrument",
            description=f"""\
Without `start`, the bars of the last `limit` buckets of `interval` that start before `end`. With
it, the first `limit` bars of the buckets that start in `[start, end)`, or with `sort=desc` the last
ones; `next_page_token` is the `page_token` of the next page, and null on the last one.

Buckets follow one another from Monday, 5 January 1970, 00:00 UTC, and are never cut: with `end`
now, the last is the current one. With `timezone`, those of whole days start at local midnights. A
bucket without quotes has no bar, unless `fill=previous` repeats the previous close, up to now;
before the first quote there is nothing to repeat. `closed` depends on the server's clock.

Minutes that are incomplete in Redis are read from the archive, if the server has one. An
answer covers up to {MOST_DAYS} days of it. Without `start`, `continue_before` is then the `end` of
a request for earlier bars. `gap` names minutes that Redis has only in part and the archive does not
have yet. A bar that may be missing minutes is marked `partial`.

With `session`, bars are made only of the minutes in an exchange's trading hours; the attribute
`exchange` in the catalog names the exchange by its MIC, such as XNYS. Days are then those of the
exchange, unless `timezone` is given, and buckets without trading hours do not count.

With `Accept: text/csv`, the bars come as CSV, and the rest of the answer as a header.""",
            parameters=(
                instrument_parameter(resolve),
                whole_number(
                    "limit", MAX_BARS, 5, "number of buckets; with `start`, maximum number of bars"
                ),
                *_WINDOW,
                one_of(
                    "fill",
                    ("none", "previous"),
                    "none",
                    "previous: repeat the close in buckets without quotes; empty: none",
                ),
                _PAGE_TOKEN,
            ),
            read=reader.bars,
            hot=True,
            success=Success(kind=Bars, example=_BARS, headers=KEPT, to_csv=as_csv(Bars)),
            problems=_PROBLEMS_OF_BARS,
        ),
        ReadEndpoint(
            name="bars",
            path="/v1/bars",
            tag="instruments",
            summary="Bars of several instruments",
            description="""\
At most `limit` bars in total. Without `start`, each instrument gets an equal share: the last
`limit` / (number of instruments) buckets that start before `end`. With it, the buckets that start
in `[start, end)`. Pages go from instrument to instrument, by id, and within one by time as `sort`
says; `next_page_token` is null on the last one. A page may have fewer than `limit` bars if they are
made of many minutes. The bars are the same as those of a single instrument.""",
            parameters=(
                instruments_parameter(resolve, MAX_INSTRUMENTS, "instruments to read"),
                whole_number("limit", MAX_BARS_OF_MANY, MAX_BARS, "maximum number of bars"),
                *_WINDOW,
                _PAGE_TOKEN,
            ),
            read=reader.bars_of_many,
            success=Success(
                kind=BarsOfMany, example=_BARS_OF_MANY, headers=KEPT, to_csv=as_csv(BarsOfMany)
            ),
            problems={**READING, **_BEYOND_REDIS},
        ),
        ReadEndpoint(
            name="legacy_bars",
            path="/instruments/{instrument_id}",
            tag="first version",
            summary="The last 5 minutes of an instrument",
            description="Its bars by their minute (UTC), oldest first; the last is the current "
            "minute.",
            parameters=(INSTRUMENT_ID,),
            read=reader.legacy,
            hot=True,
            success=Success(kind=dict[str, LegacyBar], example=_LEGACY_BARS, headers=KEPT),
            problems=_PROBLEMS,
        ),
    )
