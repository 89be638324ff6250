"""What comes in paths and queries: how it is read, its rules, and how /docs describes it."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from starlette.convertors import PathConvertor, register_url_convertor

from api.bars import Interval
from api.schemas import FILL, INSTRUMENT, INSTRUMENT_OR_USER, TIME, USER, instruments_schema
from contracts.messages import MAX_INSTRUMENT_ID, MAX_TS_MS, MAX_USER_ID_BYTES

MAX_BARS: Final = 1000
MAX_SIMILAR: Final = 200
MAX_RECOMMENDATIONS: Final = 100
MAX_EXCLUDED: Final = 1000
DEFAULT_BARS: Final = 5
DEFAULT_ITEMS: Final = 10

_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _AnyPath(PathConvertor):
    """`{user_id:path}` in a route: Starlette's own ends at a line break, which ids may have."""

    regex = r"[\s\S]*"


register_url_convertor("path", _AnyPath())


def is_instrument(text: str) -> bool:
    """Return whether the first version's path means an instrument: ASCII digits only.

    >>> is_instrument("4"), is_instrument("ABC"), is_instrument("٤")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def parse_instrument_id(text: str) -> int:
    """Return an instrument's id.

    Raises:
        ValueError: `text` is not one.
    """
    if not _DIGITS.fullmatch(text) or int(text) > MAX_INSTRUMENT_ID:
        raise ValueError(f"must be a whole number from 0 to {MAX_INSTRUMENT_ID}")
    return int(text)


def parse_user_id(text: str) -> str:
    """Return a user's id, which is `text`.

    Raises:
        ValueError: it is empty or too long, or was no UTF-8.
    """
    if "\ufffd" in text:  # which stands for what could not be decoded
        raise ValueError("must be UTF-8, percent-encoded")
    size = len(text.encode())
    if not 1 <= size <= MAX_USER_ID_BYTES:
        raise ValueError(f"must have 1 to {MAX_USER_ID_BYTES} bytes of UTF-8, this has {size}")
    return text


def parse_time(text: str) -> int:
    """Return a point in time in epoch ms, given as that or as RFC 3339; a fraction of 1 ms is cut.

    >>> parse_time("1629061628123"), parse_time("2021-08-15T23:07:08.123+02:00")
    (1629061628123, 1629061628123)

    Raises:
        ValueError: it is neither, or lies before 1970 or after 9999.
    """
    if text.isascii() and text.isdigit():
        ms = int(text) if len(text) < len(str(MAX_TS_MS)) + 1 else MAX_TS_MS + 1
    else:
        ms = _rfc3339_ms(text)
    if not 0 <= ms <= MAX_TS_MS:
        raise ValueError(f"must lie from 0 to {MAX_TS_MS} epoch ms (the years 1970 to 9999)")
    return ms


def parse_excluded(text: str) -> frozenset[int]:
    """Return the instruments of a comma-separated list.

    >>> sorted(parse_excluded("4,007"))
    [4, 7]

    Raises:
        ValueError: one is no instrument's id, or there are too many.
    """
    ids = [part for part in text.split(",") if part]
    if len(ids) > MAX_EXCLUDED:
        raise ValueError(f"must name at most {MAX_EXCLUDED} instruments, this names {len(ids)}")
    return frozenset(parse_instrument_id(part.strip()) for part in ids)


def _rfc3339_ms(text: str) -> int:
    remedy = "must be epoch milliseconds or RFC 3339, like 2021-08-15T21:07:08Z"
    # A "+" that a client did not encode arrives as a space.
    text = text.upper().replace(" ", "+")
    if not _RFC_3339.fullmatch(text):
        raise ValueError(remedy)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:  # the 30th of February
        raise ValueError(f"{remedy}: {error}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{remedy}: its offset from UTC is missing")
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


InstrumentId = Annotated[
    int,
    BeforeValidator(parse_instrument_id),
    WithJsonSchema(INSTRUMENT),
    Path(description="the instrument's id"),
]
UserId = Annotated[
    str,
    AfterValidator(parse_user_id),
    WithJsonSchema(USER),
    Path(description=f"1 to {MAX_USER_ID_BYTES} bytes of UTF-8, percent-encoded"),
]
Limit = Annotated[int, Query(ge=1, le=MAX_BARS, description="how many buckets to look at")]
End = Annotated[
    int | None,
    BeforeValidator(lambda text: parse_time(text) if text else None),
    WithJsonSchema(TIME),
    Query(description="buckets start before it: epoch ms or RFC 3339; now if absent or empty"),
]
BarInterval = Annotated[Interval, Query(description="length of a bucket")]
Fill = Annotated[
    Literal["none", "previous"],
    BeforeValidator(lambda text: text or "none"),
    WithJsonSchema(FILL),
    Query(description="previous: repeat the close in buckets without quotes; empty: none"),
]
SimilarN = Annotated[int, Query(ge=1, le=MAX_SIMILAR, description="how many at most")]
RecommendationsN = Annotated[
    int, Query(ge=1, le=MAX_RECOMMENDATIONS, description="how many at most")
]
IncludeSeen = Annotated[bool, Query(description="recommend what the user has already, too")]
SimilarTo = Annotated[
    str,
    WithJsonSchema(INSTRUMENT_OR_USER),
    Path(description="ASCII digits: an instrument's id; anything else: a user's"),
]


def _judged(text: str) -> str:
    parse_excluded(text)
    return text


async def _excluded(
    exclude: Annotated[
        str | None,
        AfterValidator(_judged),
        WithJsonSchema(instruments_schema(0, MAX_EXCLUDED)),
        Query(description="instruments to leave out, comma-separated"),
    ] = None,
) -> frozenset[int]:
    return parse_excluded(exclude or "")


Excluded = Annotated[frozenset[int], Depends(_excluded)]
"""A dependency: FastAPI takes a set in a query for one that is given as `exclude=4&exclude=7`."""
