"""The JSON of events: the answers, the first version's body, and the schemas of bodies."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from api.events.lateness import Late
from api.http.instrument_refs import as_sent
from api.http.openapi_schemas import array_of, schemas_of
from api.http.parameters import Schema
from contracts.messages import MAX_AMOUNT, MIN_AMOUNT, InstrumentId, Interaction, Quote
from contracts.times import MAX_TS_MS

_PRICE_TEXT: Final = r"^([1-9][0-9]{0,16}(\.[0-9]{1,30})?|0\.[0-9]{0,16}[1-9][0-9]{0,15})$"
"""Within the range of a number; other notations are accepted, too."""
_SECONDS_TEXT: Final = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,30})?$"
_AHEAD: Final = "at most 5 minutes ahead of the server's clock"

SENT_QUOTE: Final = as_sent(Quote)
SENT_INTERACTION: Final = as_sent(Interaction)


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many messages Kafka has acknowledged."""

    quotes: int
    interactions: int
    late: int | None
    """quotes that will make no bar, as workers no longer retain their minute; null: not known, as
    Redis did not answer"""
    why_late: str | None = None


def accepted(messages: Iterable[Quote | Interaction], late: Late) -> Accepted:
    """Return how many messages of each kind there are."""
    found = Counter(type(message) for message in messages)
    return Accepted(found[Quote], found[Interaction], late.count, late.reason)


class LegacyEvent(msgspec.Struct, frozen=True):
    """A trade in the first version's names; `timestamp` in epoch seconds."""

    userid: str
    price: str | int | float
    timestamp: str | int | float
    instrid: InstrumentId


class LegacyAdded(msgspec.Struct, frozen=True):
    """The trade as it came."""

    resp: LegacyEvent


def events_schema() -> Schema:
    """Return the schema of several events."""
    event = {
        "title": "Event",
        "oneOf": [_tagged(SENT_QUOTE, "quote"), _tagged(SENT_INTERACTION, "interaction")],
    }
    return array_of(event)


def legacy_schema() -> Schema:
    """Return the schema of a trade in the first version's form."""
    _, named = schemas_of(LegacyEvent, Interaction)
    described: Schema = named["LegacyEvent"]
    seconds = {"type": "number", "minimum": 0, "maximum": MAX_TS_MS / 1000}
    bounds: Schema = {
        "userid": named["Interaction"]["properties"]["user_id"],
        "price": {
            "anyOf": [
                {"type": "number", "minimum": MIN_AMOUNT, "maximum": MAX_AMOUNT},
                {"type": "string", "pattern": _PRICE_TEXT},
            ]
        },
        "timestamp": {
            "description": f"epoch seconds, {_AHEAD}",
            "anyOf": [seconds, {"type": "string", "pattern": _SECONDS_TEXT}],
        },
    }
    properties = {**described["properties"], **bounds}
    # A title of its own, or generators number the second type of the same name.
    return {**described, "title": "LegacyTrade", "properties": properties}


def _tagged(message: type, tag: str) -> Schema:
    """Return the schema of a message with its `type`: flat, as generators of clients expect."""
    described = schemas_of(message)[1][message.__name__]
    fields = described["properties"]
    ts = {**fields["ts"], "description": f"epoch milliseconds, {_AHEAD}"}
    return {
        **described,
        "title": f"{message.__name__}Event",
        "properties": {"type": {"type": "string", "enum": [tag]}, **fields, "ts": ts},
        "required": ["type", *described["required"]],
        "additionalProperties": False,
    }
