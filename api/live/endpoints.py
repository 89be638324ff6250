"""The endpoint of bars as they change."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.http.cases import READING
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.parameters import Parameter, parse_instruments
from api.http.problems import INVALID_REQUEST, NOT_READY, OVERLOADED, Problem
from api.http.schemas import instruments_schema
from api.live.bars import MAX_CLIENTS, ClosedError, LiveBars, TooManyClientsError
from api.live.frames import LIVE, OPENING, bar_frame, stale_frame
from api.live.stream import EventStream
from contracts.keyspace import BarValue

MAX_INSTRUMENTS: Final = 500

_FULL: Final = f"{MAX_CLIENTS} streams are open already: try another process, or again in a second"
_CLOSED: Final = "The server is stopping: try another one"
_TOO_MANY: Final = f"instruments: must name 1 to {MAX_INSTRUMENTS} instruments, this names 501"
_INSTRUMENTS: Final = Parameter(
    "instruments",
    lambda text: parse_instruments(text, 1, MAX_INSTRUMENTS),
    instruments_schema(1, MAX_INSTRUMENTS),
    "whose bars to send, comma-separated",
)
_EVENT: Final = {
    "type": "object",
    "description": "each event",
    "properties": {
        "event": {"enum": ["bar", "live", "stale"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_value = BarValue(30.72, 30.9, 30.71, 30.85, 1200, 14, 36960, 1629061621500, 1629061628123, (0, 41))
_EXAMPLE: Final = b"".join(
    (
        OPENING,
        bar_frame(4, 1629061620000, _value, 1629061629000),
        LIVE,
        stale_frame("redis-away"),
    )
).decode()


def endpoints(live: LiveBars) -> Table:
    """Return the endpoint of bars as they change."""

    async def bars(_: Request, instruments: frozenset[int]) -> Response:
        try:
            listener = await live.listen(instruments)
        except TooManyClientsError as error:
            raise Problem(OVERLOADED, _FULL) from error
        except ClosedError as error:
            raise Problem(NOT_READY, _CLOSED) from error
        return EventStream(live, listener)

    return (
        ActionEndpoint(
            path="/v1/stream/bars",
            tag="instruments",
            summary="Bars as they change",
            description="""\
Minute bars of up to 500 instruments, as server-sent events.

- `bar`: a minute bar, as `/v1/instruments/{id}/bars` has it, with its `instrument_id`. It takes
  the place of the one with the same `t`. First comes the newest bar of each instrument that has
  any, then each one that changes, about once a second. A client that is slow is sent the latest
  state of a bar only, of the two newest minutes of each instrument.
- `live`: the newest bars are complete; what follows is sent as it happens.
- `stale`: the server lost Redis, so changes may be missing from here on. The stream stays open;
  the newest bars and `live` follow as soon as Redis is back.

A comment comes every 15 s when there is nothing to send. The stream ends when the server stops,
or when a client takes nothing for 30 s: connect again, and the newest bars come first.""",
            parameters=(_INSTRUMENTS,),
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
                OVERLOADED: _FULL,
                NOT_READY: _CLOSED,
            },
        ),
    )
