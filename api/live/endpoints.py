"""The endpoint of live bars."""

from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.keys.access import Access
from api.http.limits import client_of
from api.http.parameters import RequestedInstruments, instruments_parameter
from api.http.parsing import Resolve
from api.http.problems import (
    INVALID_REQUEST,
    NOT_READY,
    OVERLOADED,
    READING,
    TOO_MANY_STREAMS,
    UNKNOWN_INSTRUMENT,
)
from api.live.bars import FULL, STOPPING, LiveBars
from api.live.commands import MAX_INSTRUMENTS, unknown_symbols
from api.live.frames import OPENING, bar_frame, live_frame, stale_frame, unknown_frame
from api.live.snapshots import parse_id
from api.live.stream import EventStream
from contracts.bars import BarValue
from contracts.log_position import LogPosition
from runtime.tracing import Tracing

PATH: Final = "/v1/stream/bars"

_OWN_FULL: Final = "100 streams of 192.0.2.7 are open already: close one first"
_NONE_KNOWN: Final = "No instrument has any of these symbols: 'XYZ'"
_TOO_MANY: Final = f"instruments: must name 1 to {MAX_INSTRUMENTS} instruments, got 501"
_EVENT: Final = {
    "type": "object",
    "description": "each event",
    "properties": {
        "event": {"enum": ["unknown", "bar", "live", "stale"]},
        "id": {"type": "string", "description": "of `bar` and `live`"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_LAST: Final = LogPosition(0, 41)
_value = BarValue(30.72, 30.9, 30.71, 30.85, 1200, 14, 36960, 1629061621500, 1629061628123, _LAST)
_EXAMPLE: Final = b"".join(
    (
        OPENING,
        unknown_frame(["XYZ"]),
        bar_frame(4, 1629061620000, _value, 1629061629000, 1629061628123),
        live_frame(1629061628123),
        stale_frame("redis-away"),
    )
).decode()


def endpoints(live: LiveBars, resolve: Resolve, access: Access, tracing: Tracing) -> Table:
    """Return the endpoint of live bars.

    Args:
        live: the bars.
        resolve: finds instruments by their symbols.
        access: knows the keys: none is needed, but streams are counted per key.
        tracing: traces the streams.
    """

    async def bars(request: Request, instruments: RequestedInstruments) -> Response:
        ids, unknown = frozenset(instruments.names), instruments.unknown
        if not ids:
            raise unknown_symbols(unknown)
        last_id = parse_id(request.headers.get("last-event-id"))
        listener = await live.listen(ids, clients_of(request, access), last_id)
        opening = OPENING + unknown_frame(unknown) if unknown else OPENING
        return EventStream(live, listener, tracing, opening)

    return (
        ActionEndpoint(
            name="stream_bars",
            path=PATH,
            tag="instruments",
            summary="Live bars",
            description="""\
Minute bars of up to 500 instruments, as server-sent events.

- `unknown`: symbols in the request that no instrument has, sent first; the stream has the other
  instruments, and if there are none, the answer is `unknown-instrument`.
- `bar`: a minute bar, as in `/v1/instruments/{id}/bars`, with its `instrument_id`. It replaces the
  one with the same `t`. The newest bar of each instrument comes first, then each bar that changes,
  about once a second. A slow client gets only the latest state of a bar, for the two newest minutes
  of each instrument.
- `live`: the newest bars are complete; what follows are live changes.
- `stale`: the server lost Redis, so changes may be missing from here on. The stream stays open;
  the newest bars and `live` follow as soon as Redis is back.

Events `bar` and `live` have an `id`. A client that reconnects with the last one as `Last-Event-ID`,
as browsers do automatically, first gets the bars that have changed since then, of the last 60
minutes (for more than 50 instruments: 3,000 bars in total), and then the newest ones as usual.

An address may have 100 streams (`STREAMS_PER_CLIENT`), and so may a key, if one is sent.

A comment is sent every 15 s if there is nothing else. The stream ends when the server stops, or if
a client reads nothing for 30 s: reconnect to get the newest bars first.""",
            parameters=(instruments_parameter(resolve, MAX_INSTRUMENTS, "whose bars to send"),),
            act=bars,
            success=Success(
                kind=None,
                example=_EXAMPLE,
                media_type=EventStream.media_type,
                schema=_EVENT,
            ),
            problems={
                **READING,
                INVALID_REQUEST: _TOO_MANY,
                UNKNOWN_INSTRUMENT: _NONE_KNOWN,
                TOO_MANY_STREAMS: _OWN_FULL,
                OVERLOADED: FULL,
                NOT_READY: STOPPING,
            },
        ),
    )


def clients_of(request: HTTPConnection, access: Access) -> list[str]:
    """Return a client's identities: its address, and its key if it sent a valid one."""
    address = client_of(request.scope)
    key = access.valid_key(request.headers.raw)
    return [address] if key is None else [address, f"key {key.tenant}"]
