"""The endpoints of live bars and quotes: two of server-sent events, and the WebSocket."""

from typing import Final, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from api.bars.answers import Gap
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.instrument_refs import IDS
from api.http.keys.access import Access
from api.http.parameters import RequestedInstruments, Schema, instruments_parameter
from api.http.parsing import Resolve
from api.http.problems import (
    INVALID_REQUEST,
    NOT_READY,
    OVERLOADED,
    READING,
    TOO_MANY_STREAMS,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_ORIGIN,
    UPGRADE_REQUIRED,
    Problem,
)
from api.http.server_state import BARS_PATH, QUOTES_PATH, WEBSOCKET_PATH
from api.live.answers import (
    LIVE,
    OPENING,
    SERVER_SENT,
    Frame,
    bar_frame,
    gap_frame,
    quote_frame,
    stale_frame,
    unknown_frame,
)
from api.live.commands import MAX_INSTRUMENTS, unknown_symbols
from api.live.hub import FULL, STOPPING, LiveBars
from api.live.listener import Channel, Subscription
from api.live.stream import EventStream, clients_of
from contracts.bars import BarValue
from contracts.log_position import LogPosition
from runtime.tracing import Tracing

_OWN_FULL: Final = "100 streams of 192.0.2.7 are open already: close one first"
_NONE_KNOWN: Final = "No instrument has any of these symbols: 'XYZ'"
_TOO_MANY: Final = f"instruments: must name 1 to {MAX_INSTRUMENTS} instruments, got 501"
_NO_UPGRADE: Final = "Open it as a WebSocket, with `Upgrade: websocket`; /docs has its messages"
_ORIGIN: Final = (
    "Origin 'https://shop.example': add it to API_CORS_ORIGINS to let its pages open streams"
)
_OPENING: Final = {
    **READING,
    TOO_MANY_STREAMS: _OWN_FULL,
    OVERLOADED: FULL,
    NOT_READY: STOPPING,
}
_OF_EVENTS: Final = {
    **_OPENING,
    INVALID_REQUEST: _TOO_MANY,
    UNKNOWN_INSTRUMENT: _NONE_KNOWN,
}
_value = BarValue(
    30.72, 30.9, 30.71, 30.85, 1200, 14, 36960, 1629061621500, 1629061628123, LogPosition(0, 41)
)
_BACK: Final = "A client that reconnects gets the newest state first, like any other"
_BOUNDS: Final = """\
An address may have 100 streams (`STREAMS_PER_CLIENT`), and so may a key, if one is sent.

A comment is sent every 15 s if there is nothing else. The stream ends when the server stops, or if
a client reads nothing for 30 s: reconnect to get the newest state first."""


def endpoints(live: LiveBars, resolve: Resolve, access: Access, tracing: Tracing) -> Table:
    """Return the endpoints of live bars and quotes.

    Args:
        live: the bars.
        resolve: finds instruments by their symbols.
        access: knows the keys: none is needed, but streams are counted per key.
        tracing: traces the streams.
    """

    async def stream(
        request: Request, channel: Channel, instruments: RequestedInstruments, ids: str
    ) -> Response:
        if not instruments.names:
            raise unknown_symbols(instruments.unknown)
        form, opening = SERVER_SENT[ids], OPENING
        subscribed = frozenset(Subscription(channel, i) for i in instruments.names)
        listener = await live.listen(form, subscribed, clients_of(request, access))
        if instruments.unknown:
            opening += form.message([unknown_frame(instruments.unknown)[form]])
        return EventStream(live, listener, tracing, opening)

    async def bars(request: Request, instruments: RequestedInstruments, ids: str) -> Response:
        return await stream(request, "bars", instruments, ids)

    async def quotes(request: Request, instruments: RequestedInstruments, ids: str) -> Response:
        return await stream(request, "quotes", instruments, ids)

    return (
        ActionEndpoint(
            name="stream_bars",
            path=BARS_PATH,
            tag="instruments",
            summary="Live bars",
            description=f"""\
Minute bars of up to 500 instruments, as server-sent events.

- `unknown`: symbols in the request that no instrument has, sent first; the stream has the other
  instruments, and if there are none, the answer is `unknown-instrument`.
- `bar`: a minute bar, as in `/v1/instruments/{{id}}/bars`, with its `instrument_id`. It replaces
  the one with the same `t`. The newest bar of each instrument comes first, then each bar that
  changes, about once a second. A slow client gets only the latest state of a bar, and if too many
  wait, of the two newest minutes of each instrument, with a `gap` for the others.
- `live`: the newest bars are complete; what follows are live changes.
- `stale`: the server lost Redis, so changes are missing from here on. The stream stays open; the
  newest bars and `live` follow as soon as Redis is back.
- `gap`: bars from `start` to before `end` may have changed and are not sent; `/v1/bars` has them.

{_BACK}. Bars that
it missed, also after `stale`, are in `/v1/bars` from the last `t` that it has.

{_BOUNDS}""",
            parameters=(
                instruments_parameter(resolve, MAX_INSTRUMENTS, "instruments to stream"),
                IDS,
            ),
            act=bars,
            success=_success(
                unknown_frame(["XYZ"]),
                bar_frame(4, 1629061620000, _value, 1629061629000),
                LIVE,
                stale_frame("redis-away"),
                gap_frame(Gap(1629057960000, 1629058080000)),
            ),
            problems=_OF_EVENTS,
        ),
        ActionEndpoint(
            name="stream_quotes",
            path=QUOTES_PATH,
            tag="instruments",
            summary="Live quotes",
            description=f"""\
The newest quotes of up to 500 instruments, as server-sent events: as `/v1/stream/bars`, with
`quote` instead of `bar`, and without `gap`.

- `quote`: the newest quote of an instrument by event time, as in `/v1/quotes/latest`, with its
  `instrument_id`. Not every quote is sent: each instrument has about one a second at most, and a
  slow client gets only the latest.

{_BACK}.

{_BOUNDS}""",
            parameters=(
                instruments_parameter(resolve, MAX_INSTRUMENTS, "instruments to stream"),
                IDS,
            ),
            act=quotes,
            success=_success(
                unknown_frame(["XYZ"]), quote_frame(4, _value), LIVE, stale_frame("redis-away")
            ),
            problems=_OF_EVENTS,
        ),
        ActionEndpoint(
            name="stream",
            path=WEBSOCKET_PATH,
            tag="instruments",
            summary="Live bars and quotes over a WebSocket",
            description="""\
A WebSocket, which OpenAPI cannot describe: a request without `Upgrade: websocket` gets
`upgrade-required`. The client sends commands, and the server arrays of events, each with its kind
in `T`:

- `{"action":"subscribe","bars":[4,"AAPL"],"quotes":["AAPL"]}` adds instruments, by ids or symbols,
  up to 500 in one stream, and `unsubscribe` removes them.
- `success` is the first message; `subscription`: everything subscribed, after each command;
  `error`: the `code`, `type` and detail (`msg`) of a problem with a command; the stream stays open.
- `b`, `q`, `live`, `stale`, `gap`: as `bar`, `quote`, `live`, `stale` and `gap` of
  `/v1/stream/bars` and `/v1/stream/quotes`.

No key is needed. Streams of all kinds count together for `STREAMS_PER_CLIENT`.""",
            parameters=(IDS,),
            act=_refuse,
            success=Success(kind=None, example=None, status=101, media_type=""),
            problems={
                **_OPENING,
                INVALID_REQUEST: "ids: must be number, string, not 'text'",
                UPGRADE_REQUIRED: _NO_UPGRADE,
                UNKNOWN_ORIGIN: _ORIGIN,
            },
        ),
    )


async def _refuse(_request: Request, **_values: object) -> NoReturn:
    raise Problem(UPGRADE_REQUIRED, _NO_UPGRADE)


def _success(*example: Frame) -> Success:
    """Return a stream of events."""
    form = SERVER_SENT["number"]
    text = OPENING + form.message([frame[form] for frame in example])
    return Success(
        kind=None,
        example=text.decode(),
        media_type=EventStream.media_type,
        schema=_schema({frame.kind for frame in example}),
    )


def _schema(kinds: set[str]) -> Schema:
    return {
        "type": "object",
        "description": "each event",
        "properties": {
            "event": {"enum": sorted(kinds)},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["event", "data"],
    }
