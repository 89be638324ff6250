"""The endpoint of movers."""

from typing import Final

from api.bars.movers import DIRECTIONS, WINDOWS, Mover, Movers
from api.bars.moving import Moving
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parameters import CATEGORY, DEFAULT_ITEMS, EXCLUDE_CATEGORY, one_of, whole_number
from api.http.problems import INVALID_REQUEST, READING

MAX_MOVERS: Final = 100

_MOVERS: Final = Movers(
    window="1h",
    direction="up",
    as_of=1629061680000,
    movers=[Mover(instrument_id=4, change=0.25, open=24.0, close=30.0)],
)


def endpoints(moving: Moving) -> Table:
    """Return the endpoint of movers."""
    return (
        ReadEndpoint(
            path="/v1/movers",
            tag="instruments",
            summary="The instruments whose prices changed most",
            description="""\
Among the listed instruments of the catalog, from the first price of the window to the last price of
the last complete minute, which ends at `as_of`. An instrument without quotes in the first three or
in the last three minutes of a window is left out.""",
            parameters=(
                one_of("window", WINDOWS, "1h", "over which prices are compared"),
                one_of("direction", DIRECTIONS, "up", "what rose, or what fell"),
                whole_number("n", MAX_MOVERS, DEFAULT_ITEMS, "how many at most"),
                CATEGORY,
                EXCLUDE_CATEGORY,
            ),
            read=moving.movers,
            hot=True,
            success=Success(kind=Movers, example=_MOVERS, headers=KEPT),
            problems={**READING, INVALID_REQUEST: "window: must be 5m, 15m, 1h, not '2h'"},
        ),
    )
