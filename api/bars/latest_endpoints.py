"""The endpoints of latest quotes, and of snapshots with the current and previous bars."""

from typing import Final

from api.bars.answers import Bar, LatestQuote, LatestQuotes, Snapshot, Snapshots
from api.bars.archive.reader_thread import ARCHIVE_READING
from api.bars.latest import LatestReader
from api.bars.request import instruments_parameter
from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.openapi import KEPT
from api.http.parsing import Resolve
from api.http.problems import READING

MAX_QUOTES: Final = 500
MAX_SNAPSHOTS: Final = 100

_QUOTE: Final = LatestQuote(price=30.81, ts=1629061688123)
_SNAPSHOT: Final = Snapshot(
    quote=_QUOTE,
    minute=Bar(1629061680000, 30.85, 30.85, 30.8, 30.81, 300, 3, 30.82, closed=False),
    previous_minute=Bar(1629061620000, 30.72, 30.9, 30.71, 30.85, 1200, 14, 30.8, closed=True),
    day=Bar(1628985600000, 30.1, 30.9, 30.02, 30.81, 52100, 803, 30.44, closed=False),
    previous_day=None,
)


def latest_endpoints(reader: LatestReader, resolve: Resolve) -> Table:
    """Return the endpoints; `resolve` finds instruments by their symbols."""
    return (
        ReadEndpoint(
            path="/v1/quotes/latest",
            tag="instruments",
            summary="The latest quotes of several instruments",
            description="For each instrument, the newest quote by event time: its price and "
            "that time. `unknown` lists those that never had one.",
            parameters=(instruments_parameter(resolve, MAX_QUOTES, "whose quotes"),),
            read=reader.quotes,
            hot=True,
            success=Success(
                kind=LatestQuotes,
                example=LatestQuotes(quotes={"4": _QUOTE}, unknown=["XYZ"]),
                headers=KEPT,
            ),
            problems=READING,
        ),
        ReadEndpoint(
            path="/v1/snapshots",
            tag="instruments",
            summary="Snapshots of several instruments",
            description="""\
For each instrument, the latest quote, the bars of the current and the previous minute, and those of
today and yesterday (UTC); a bar that may miss minutes is marked `partial`. A bar is null if its
period has no quotes. `unknown` lists the instruments that never had a quote.

A day's bar is made of its minutes: if more than a day is retained, one answer can have about 20
instruments, or 31 if the archive is read for them; more are an `invalid-request`.""",
            parameters=(instruments_parameter(resolve, MAX_SNAPSHOTS, "of which instruments"),),
            read=reader.snapshots,
            success=Success(
                kind=Snapshots,
                example=Snapshots(snapshots={"4": _SNAPSHOT}, unknown=["XYZ"]),
                headers=KEPT,
            ),
            problems={**READING, **ARCHIVE_READING},
        ),
    )
