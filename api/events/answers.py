"""The answers to events, and the first version's event: the only definition of their JSON."""

import msgspec

from contracts.messages import InstrumentId


class Accepted(msgspec.Struct, frozen=True):
    """How many messages Kafka has acknowledged."""

    quotes: int
    interactions: int


class LegacyEvent(msgspec.Struct, frozen=True):
    """A trade in the first version's names; `timestamp` in epoch seconds."""

    userid: str
    price: str | int | float
    timestamp: str | int | float
    instrid: InstrumentId


class LegacyAdded(msgspec.Struct, frozen=True):
    """The trade as it came."""

    resp: LegacyEvent
