"""Publishing what happened. It needs the scope `write`."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from .connection import Connection


class Quote(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="quote"):
    """A price of an instrument at an event time, epoch ms."""

    instrument_id: int
    price: float
    size: float = 0
    ts: int


class Interaction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="interaction",
):
    """Something that a user did with an instrument at an event time, epoch ms."""

    user_id: str
    instrument_id: int
    event: Literal["view", "click", "watch", "trade"] = "trade"
    price: float | None = None
    quantity: float | None = None
    ts: int


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A recommendation, and its place in what was shown, from 1."""

    request_id: str
    user_id: str
    instrument_id: int
    position: int
    ts: int | None = None
    """event time, epoch ms; None: now"""


class Impression(Seen, frozen=True, tag="impression"):
    """It was shown."""


class Click(Seen, frozen=True, tag="click"):
    """It was clicked."""


class Accepted(msgspec.Struct, frozen=True):
    """How many events Kafka has taken."""

    quotes: int
    interactions: int


class FeedbackAccepted(msgspec.Struct, frozen=True):
    """How much feedback Kafka has taken."""

    impressions: int
    clicks: int


class Events:
    """A request is taken whole or not at all, and answered once Kafka has it."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection

    def publish(self, events: Sequence[Quote | Interaction]) -> Accepted:
        """Publish up to 1,000 quotes and interactions."""
        return self._api.post(Accepted, "/v1/events", events)

    def feedback(self, seen: Sequence[Impression | Click]) -> FeedbackAccepted:
        """Publish what became of recommendations, up to 1,000 at once."""
        return self._api.post(FeedbackAccepted, "/v1/feedback", seen)
