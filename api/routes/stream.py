"""Bars as they change."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, WithJsonSchema

from api.live.bars import MAX_CLIENTS, ClosedError, TooManyClientsError
from api.live.frames import LIVE, OPENING, bar_frame, stale_frame
from api.live.stream import EventStream
from api.openapi import failed
from api.parameters import parse_instrument_id
from api.problems import INVALID_REQUEST, NOT_READY, OVERLOADED, Problem
from api.routes.cases import READING
from api.schemas import instruments_schema
from api.services import ServicesDep
from contracts.keyspace import BarValue

router = APIRouter(tags=["instruments"])

MAX_INSTRUMENTS: Final = 500

_FULL: Final = f"{MAX_CLIENTS} streams are open already: try another process, or again in a second"
_CLOSED: Final = "The server is stopping: try another one"


def parse_instruments(text: str) -> frozenset[int]:
    """Return the instruments of a comma-separated list.

    >>> sorted(parse_instruments("4,007"))
    [4, 7]

    Raises:
        ValueError: one is no instrument's id, or there are none or too many.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not 1 <= len(parts) <= MAX_INSTRUMENTS:
        raise ValueError(f"must name 1 to {MAX_INSTRUMENTS} instruments, this names {len(parts)}")
    return frozenset(map(parse_instrument_id, parts))


def _judged(text: str) -> str:
    parse_instruments(text)
    return text


async def _instruments(
    instruments: Annotated[
        str,
        AfterValidator(_judged),
        WithJsonSchema(instruments_schema(1, MAX_INSTRUMENTS)),
        Query(description="whose bars to send, comma-separated"),
    ],
) -> frozenset[int]:
    return parse_instruments(instruments)


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


@router.get(
    "/v1/stream/bars",
    summary="Bars as they change",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "Server-sent events, until either side hangs up",
            "content": {EventStream.media_type: {"schema": _EVENT, "example": _EXAMPLE}},
        },
        **failed(
            {
                **READING,
                INVALID_REQUEST: f"instruments: must name 1 to {MAX_INSTRUMENTS} instruments, "
                "this names 501",
                OVERLOADED: _FULL,
                NOT_READY: _CLOSED,
            }
        ),
    },
)
async def bars(
    services: ServicesDep, instruments: Annotated[frozenset[int], Depends(_instruments)]
) -> Response:
    """Minute bars of up to 500 instruments, as server-sent events.

    - `bar`: a minute bar, as `/v1/instruments/{id}/bars` has it, with its `instrument_id`. It takes
      the place of the one with the same `t`. First comes the newest bar of each instrument that has
      any, then each one that changes, about once a second. A client that is slow is sent the latest
      state of a bar only, of the two newest minutes of each instrument.
    - `live`: the newest bars are complete; what follows is sent as it happens.
    - `stale`: the server lost Redis, so changes may be missing from here on. The stream stays open;
      the newest bars and `live` follow as soon as Redis is back.

    A comment comes every 15 s when there is nothing to send. The stream ends when the server stops,
    or when a client takes nothing for 30 s: connect again, and the newest bars come first.
    """
    try:
        listener = await services.live.listen(instruments)
    except TooManyClientsError as error:
        raise Problem(OVERLOADED, _FULL) from error
    except ClosedError as error:
        raise Problem(NOT_READY, _CLOSED) from error
    return EventStream(services.live, listener)
