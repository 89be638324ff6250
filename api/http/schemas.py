"""JSON schemas of the API's input, made from the types that parse it.

Descriptions state what a schema cannot express: the bytes of a user's id, and the server's clock.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from contracts.instruments import Category, Symbol
from contracts.messages import MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES
from contracts.times import MAX_TS_MS

Schema = dict[str, Any]

MAX_CATEGORIES_ASKED: Final = 100
"""Per parameter."""

_REF: Final = "#/components/schemas/{name}"

_INSTRUMENT: Final[Schema] = {
    "type": "integer",
    "format": "int64",
    "minimum": 0,
    "maximum": MAX_INSTRUMENT_ID,
}
INSTRUMENT: Final[Schema] = {**_INSTRUMENT, "examples": [4]}
_SYMBOL: Final[Schema] = {
    **msgspec.json.schema(Symbol),
    "pattern": "^[A-Za-z0-9._:/-]*[A-Za-z._:/-][A-Za-z0-9._:/-]*$",  # all digits: an id
}
INSTRUMENT_OR_SYMBOL: Final[Schema] = {"anyOf": [_INSTRUMENT, _SYMBOL], "examples": [4, "AAPL"]}
CATEGORIES: Final[Schema] = {
    "type": "array",
    "items": {**msgspec.json.schema(Category), "pattern": "^[A-Za-z0-9._-]+$"},
    "maxItems": MAX_CATEGORIES_ASKED,
    "examples": [["tech"]],
}
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
            "description": "the reason for each invalid field or event",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "description": "index of the event in the body"},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
                "required": ["reason"],
            },
        },
        "acknowledged": {"type": "integer", "description": "messages that Kafka did acknowledge"},
    },
    "required": ["type", "title", "status", "detail", "instance"],
}


def schemas_of(kinds: Iterable[Any]) -> tuple[list[Schema], Schema]:
    """Return the schema of each type, and the components that they refer to."""
    found, components = msgspec.json.schema_components([*kinds], ref_template=_REF)
    return list(found), components


def schema_of(kind: Any) -> Schema:
    """Return the schema of a message."""
    ((schema,), _) = schemas_of([kind])
    return schema


def instruments_schema(least: int, most: int) -> Schema:
    """Return the schema of a list of instruments; in a query it is comma-separated."""
    length = {"minItems": least, "maxItems": most}
    either = {"anyOf": [_INSTRUMENT, _SYMBOL]}
    return {"type": "array", "items": either, **length, "examples": [[4, "AAPL"]]}
