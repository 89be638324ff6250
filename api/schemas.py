"""JSON schemas of what the API takes and answers, made from the very types that do the work.

What such a schema cannot say is left to words: the bytes of a user's id, and the server's clock.
"""

from typing import Any, Final

import msgspec

from api import answers
from api.events import MAX_EVENTS
from contracts.messages import (
    MAX_INSTRUMENT_ID,
    MAX_TS_MS,
    MAX_USER_ID_BYTES,
    Interaction,
    Quote,
)

Schema = dict[str, Any]

_TYPES: Final = (
    answers.Bars,
    answers.Similar,
    answers.Recommendations,
    answers.History,
    answers.Accepted,
    dict[str, answers.LegacyBar],
    answers.PredictedItems,
    answers.LegacyAdded,
    answers.Liveness,
    answers.Readiness,
    answers.LegacyEvent,
    Quote,
    Interaction,
)
_SCHEMAS, COMPONENTS = msgspec.json.schema_components(
    _TYPES, ref_template="#/components/schemas/{name}"
)
_SCHEMA_OF: Final = dict(zip(map(str, _TYPES), _SCHEMAS, strict=True))

_PRICE_TEXT: Final = (
    r"^([1-9][0-9]{0,30}(\.[0-9]{1,30})?|0\.[0-9]{0,15}[1-9][0-9]{0,15})([eE][+-]?[0-9]{1,2})?$"
)
_SECONDS_TEXT: Final = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,30})?$"
_AHEAD: Final = "at most 5 minutes ahead of the server's clock"

_INSTRUMENT: Final[Schema] = {
    "type": "integer",
    "format": "int64",
    "minimum": 0,
    "maximum": MAX_INSTRUMENT_ID,
}
INSTRUMENT: Final[Schema] = {**_INSTRUMENT, "examples": [4]}
USER: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_USER_ID_BYTES,
    "examples": ["ABC"],
}
INSTRUMENT_OR_USER: Final[Schema] = {
    **USER,
    "pattern": r"^([0-9]{1,18}|[\s\S]*[^0-9][\s\S]*)$",
    "examples": ["4", "ABC"],
}
TIME: Final[Schema] = {
    "anyOf": [
        {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TS_MS},
        {"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-"},
        {"const": ""},
    ],
    "examples": ["2021-08-15T21:08:00Z", 1629061680000],
}
FILL: Final[Schema] = {"type": "string", "enum": ["none", "previous", ""]}
PROBLEM: Final[Schema] = {
    "title": "Problem",
    "description": "RFC 9457. Clients may branch on `type`; other members may be added.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "which rules are broken, where",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "description": "place of the event in the body"},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
                "required": ["reason"],
            },
        },
        "acknowledged": {"type": "integer", "description": "messages that Kafka has all the same"},
    },
    "required": ["type", "title", "status", "detail", "instance"],
}


def schema_of(kind: Any) -> Schema:
    """Return the schema of an answer or a message; it may refer to `COMPONENTS`."""
    schema: Schema = _SCHEMA_OF[str(kind)]
    return schema


def instruments_schema(least: int, most: int) -> Schema:
    """Return the schema of a list of instruments; in a query it is comma-separated."""
    length = {"minItems": least, "maxItems": most}
    return {"type": "array", "items": _INSTRUMENT, **length, "examples": [[4, 7]]}


def events_schema() -> Schema:
    """Return the schema of one event or several."""
    event = {"oneOf": [_tagged(Quote, "quote"), _tagged(Interaction, "interaction")]}
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    return {"oneOf": [event, several]}


def legacy_schema() -> Schema:
    """Return the schema of a trade in the first version's form."""
    described: Schema = COMPONENTS["LegacyEvent"]
    seconds = {"type": "number", "minimum": 0, "maximum": MAX_TS_MS / 1000}
    bounds: Schema = {
        "userid": COMPONENTS["Interaction"]["properties"]["user_id"],
        "price": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": _PRICE_TEXT},
            ]
        },
        "timestamp": {
            "description": f"epoch seconds, {_AHEAD}",
            "anyOf": [seconds, {"type": "string", "pattern": _SECONDS_TEXT}],
        },
    }
    return {**described, "properties": {**described["properties"], **bounds}}


def _tagged(message: type, tag: str) -> Schema:
    says = {"type": {"const": tag}, "ts": {"description": f"epoch milliseconds, {_AHEAD}"}}
    return {
        "allOf": [
            {"type": "object", "required": ["type"], "properties": says},
            schema_of(message),
        ]
    }
