"""The answers, as types: the only definition of their JSON, for routes and documentation alike."""

from typing import Literal

import msgspec
from fastapi import Response

from contracts.messages import InstrumentId

Source = Literal["model", "history", "popular"]


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A bar of any interval, in the letters that Alpaca and Polygon use."""

    t: int
    """start of the bar, epoch ms"""
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    """volume: the sum of sizes"""
    n: int
    """number of quotes; 0 in a bar that `fill` made"""
    vw: float | None
    """volume-weighted average price; null without volume"""
    closed: bool
    """whether the bar's time is over; a late quote may still revise it"""


class Bars(msgspec.Struct, frozen=True):
    """Bars of an instrument, oldest first."""

    instrument_id: int
    interval: str
    bars: list[Bar]


class SimilarInstrument(msgspec.Struct, frozen=True, gc=False):
    """A neighbor; `support` is how many users have both, in binary mode."""

    instrument_id: int
    score: float
    support: float


class Similar(msgspec.Struct, frozen=True):
    """The instruments most similar to one, most similar first."""

    instrument_id: int
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]


class Recommended(msgspec.Struct, frozen=True, gc=False):
    """A recommended instrument; `because` holds the instruments that speak for it."""

    instrument_id: int
    score: float
    because: list[int]


class Recommendations(msgspec.Struct, frozen=True):
    """Instruments for a user, best first, and where they come from.

    `request_id` says which answer feedback is about (`POST /v1/feedback`). `source` is `model` (the
    user's own list, made from exactly what the user has now), `history` (worked out now, from what
    the user has and the instruments' lists) or `popular`. Scores of different sources do not
    compare.
    """

    user_id: str
    request_id: str
    source: Source
    model: str
    variant: str
    generation: str
    items: list[Recommended]


class Held(msgspec.Struct, frozen=True, gc=False):
    """An instrument that a user has."""

    instrument_id: int
    affinity: float
    last_event_ts: int
    """epoch ms"""


class History(msgspec.Struct, frozen=True):
    """What the system knows of a user, latest first."""

    user_id: str
    items: list[Held]


class Accepted(msgspec.Struct, frozen=True):
    """How many messages Kafka has acknowledged."""

    quotes: int
    interactions: int


class FeedbackAccepted(msgspec.Struct, frozen=True):
    """How many messages of feedback Kafka has acknowledged."""

    impressions: int
    clicks: int


class LegacyBar(msgspec.Struct, frozen=True, gc=False):
    """A minute bar in the first version's names."""

    instrid: int
    price_close: float
    price_high: float
    price_low: float
    price_open: float


class PredictedItems(msgspec.Struct, frozen=True):
    """Instrument ids, best first."""

    predicted_items: list[str]


class LegacyEvent(msgspec.Struct, frozen=True):
    """A trade in the first version's names; `timestamp` in epoch seconds."""

    userid: str
    price: str | int | float
    timestamp: str | int | float
    instrid: InstrumentId


class LegacyAdded(msgspec.Struct, frozen=True):
    """The trade as it came."""

    resp: LegacyEvent


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Readiness(msgspec.Struct, frozen=True):
    """Reads can be served; `kafka` says whether writes can, too."""

    status: Literal["ready"]
    redis: str
    kafka: str


Answer = (
    Bars
    | Similar
    | Recommendations
    | History
    | Accepted
    | FeedbackAccepted
    | dict[str, LegacyBar]
    | PredictedItems
    | LegacyAdded
    | Liveness
    | Readiness
)

_encoder = msgspec.json.Encoder()


def encode(answer: Answer) -> bytes:
    """Return the body of an answer: the same bytes, whichever path serves it."""
    return _encoder.encode(answer)


def respond(answer: Answer, status_code: int = 200) -> Response:
    """Return the response that carries an answer."""
    headers = {"Cache-Control": "no-store"}
    return Response(encode(answer), status_code, headers, "application/json")
