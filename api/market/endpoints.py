"""The endpoints for many instruments at once: latest quotes, snapshots, movers."""

from typing import Final

from api.bars.answers import Bar, LatestQuote
from api.bars.seam import ARCHIVE_READING
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.filters import Check, filter_parameters
from api.http.instrument_refs import NAMES
from api.http.openapi_schemas import KEPT
from api.http.parameters import DEFAULT_ITEMS, instruments_parameter, one_of, whole_number
from api.http.parsing import Resolve
from api.http.problems import INVALID_REQUEST, READING
from api.market.answers import LatestQuotes, Mover, Movers, Snapshot, Snapshots
from api.market.movers import DIRECTIONS, WINDOWS, MoverRanking
from api.market.reading import LatestReader

MAX_QUOTES: Final = 500
MAX_SNAPSHOTS: Final = 100
MAX_MOVERS: Final = 100

_QUOTE: Final = LatestQuote(price=30.81, ts=1629061688123)
_SNAPSHOT: Final = Snapshot(
    quote=_QUOTE,
    minute=Bar(1629061680000, 30.85, 30.85, 30.8, 30.81, 300, 3, 30.82, closed=False),
    previous_minute=Bar(1629061620000, 30.72, 30.9, 30.71, 30.85, 1200, 14, 30.8, closed=True),
    day=Bar(1628985600000, 30.1, 30.9, 30.02, 30.81, 52100, 803, 30.44, closed=False),
    previous_day=None,
)
_MOVERS: Final = Movers(
    window="1h",
    direction="up",
    as_of=1629061680000,
    movers=[Mover(instrument_id=4, change=0.25, open=24.0, close=30.0)],
)


def endpoints(latest: LatestReader, movers: MoverRanking, resolve: Resolve, check: Check) -> Table:
    """Return these endpoints.

    Args:
        latest: reads the newest bars.
        movers: ranks the instruments that moved most.
        resolve: finds instruments by their symbols.
        check: checks conditions on attributes.
    """
    return (
        ReadEndpoint(
            name="latest_quotes",
            path="/v1/quotes/latest",
            tag="instruments",
            summary="The latest quotes of several instruments",
            description="For each instrument, the newest quote by event time: its price and "
            "that time. `unknown` lists those that never had one.",
            parameters=(instruments_parameter(resolve, MAX_QUOTES, "instruments to read"),),
            read=latest.quotes,
            hot=True,
            success=Success(
                kind=LatestQuotes,
                example=LatestQuotes(quotes={"4": _QUOTE}, unknown=["XYZ"]),
                headers=KEPT,
            ),
            problems=READING,
        ),
        ReadEndpoint(
            name="snapshots",
            path="/v1/snapshots",
            tag="instruments",
            summary="Snapshots of several instruments",
            description="""\
For each instrument, the latest quote, the bars of the current and the previous minute, and those of
today and yesterday (UTC); a bar that may be missing minutes is marked `partial`. A bar is null if
its period has no quotes. `unknown` lists the instruments that never had a quote.

A day's bar is made of its minutes: if more than a day is retained, one answer can have about 20
instruments, or 31 if the archive is read for them; more are an `invalid-request`.""",
            parameters=(instruments_parameter(resolve, MAX_SNAPSHOTS, "instruments to read"),),
            read=latest.snapshots,
            success=Success(
                kind=Snapshots,
                example=Snapshots(snapshots={"4": _SNAPSHOT}, unknown=["XYZ"]),
                headers=KEPT,
            ),
            problems={**READING, **ARCHIVE_READING},
        ),
        ReadEndpoint(
            name="market_movers",
            path="/v1/movers",
            tag="instruments",
            summary="The instruments whose prices changed most",
            description="""\
Only listed instruments of the catalog. The change is from the first price of the window to the last
price of the last complete minute, which ends at `as_of`. An instrument without quotes in the first
three or in the last three minutes of a window is left out.""",
            parameters=(
                one_of("window", WINDOWS, "1h", "the time over which prices are compared"),
                one_of("direction", DIRECTIONS, "up", "gains or losses"),
                whole_number("n", MAX_MOVERS, DEFAULT_ITEMS, "maximum number"),
                *filter_parameters(check),
                NAMES,
            ),
            read=movers.movers,
            hot=True,
            success=Success(kind=Movers, example=_MOVERS, headers=KEPT),
            problems={**READING, INVALID_REQUEST: "window: must be 5m, 15m, 1h, not '2h'"},
        ),
    )
