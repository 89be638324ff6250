"""Parameters in paths and queries: their validation, schemas and description.

A parameter is declared once, in the endpoint that takes it (`api.http.endpoint`). Those that
several endpoints share are here. Descriptions state what a schema cannot express: the bytes of a
user's id, and the server's clock.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.http.parsing import (
    MAX_CATEGORIES_ASKED,
    Resolve,
    instruments_named,
    parse_instrument,
    parse_instrument_id,
    parse_time,
    parse_user_id,
)
from contracts.instruments import Category, Symbol
from contracts.messages import MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES
from contracts.times import MAX_TS_MS

Schema = dict[str, Any]

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

DEFAULT_ITEMS: Final = 10
MAX_OFFSET: Final = 900
"""With up to 100 instruments, a list can be read up to its 1,000th."""
MAX_EXCLUDED: Final = 1000

REQUIRED: Final = object()
"""Instead of a default."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an endpoint: in the path if the path names it, otherwise in the query."""

    name: str
    parse: Callable[[str], Any]
    """parses the decoded text; raises ValueError that says what it must be"""
    schema: Schema
    description: str
    default: Any = REQUIRED
    """the default"""
    may_have_slashes: bool = False
    """whether a path parameter may contain `/`, which clients encode as %2F"""
    most: int = 1
    """how often it may be given in a query; above 1, its value is the set of the parsed texts"""


@dataclass(frozen=True, slots=True)
class RequestedInstruments:
    """Instruments by ids and symbols."""

    names: dict[int, str]
    """id -> its first name in the request, in the order of ids"""
    unknown: list[str]
    """symbols that no instrument has"""

    def without(self, ids: Collection[int]) -> list[str]:
        """Return the unknown names, with those of instruments that are not among `ids`."""
        return [*self.unknown, *(name for i, name in self.names.items() if i not in ids)]


def whole_number(name: str, most: int, default: int, description: str, least: int = 1) -> Parameter:
    """Return a parameter that is a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, parse, schema, description, default)


def flag(name: str, description: str) -> Parameter:
    """Return a boolean parameter, false by default."""

    def parse(text: str) -> bool:
        if text not in _FLAGS:
            raise ValueError("must be true or false")
        return _FLAGS[text]

    return Parameter(name, parse, {"type": "boolean", "default": False}, description, default=False)


def share(name: str, description: str) -> Parameter:
    """Return a parameter that is a number from 0 to 1; None if absent."""

    def parse(text: str) -> float:
        if not DECIMAL.fullmatch(text) or not 0 <= float(text) <= 1:
            raise ValueError("must be a number from 0 to 1")
        return float(text)

    schema = {"type": "number", "minimum": 0, "maximum": 1}
    return Parameter(name, parse, schema, description, default=None)


def one_of(name: str, values: Collection[str], default: str, description: str) -> Parameter:
    """Return an enumerated parameter; empty means the default."""
    words: Mapping[str, str] = {"": default, **{value: value for value in values}}

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {', '.join(values)}")
        return words[text]

    schema = {"type": "string", "enum": [*values, ""], "default": default}
    return Parameter(name, parse, schema, description, default)


INSTRUMENT_ID: Final = Parameter(
    "instrument_id", parse_instrument_id, INSTRUMENT, "the instrument's id"
)
USER_ID: Final = Parameter(
    "user_id",
    parse_user_id,
    USER,
    f"1 to {MAX_USER_ID_BYTES} bytes of UTF-8, percent-encoded",
    may_have_slashes=True,
)
OFFSET: Final = whole_number(
    "offset", MAX_OFFSET, 0, "how many instruments to skip: those of earlier pages", least=0
)


def instrument_parameter(resolve: Resolve) -> Parameter:
    """Return the parameter `instrument`, in a path: an id or a symbol; its value is the id."""
    return Parameter(
        "instrument",
        lambda text: parse_instrument(text, resolve),
        INSTRUMENT_OR_SYMBOL,
        "all ASCII digits: the instrument's id; anything else: its symbol, in upper or lower case",
        may_have_slashes=True,
    )


def instruments_parameter(resolve: Resolve, most: int, description: str) -> Parameter:
    """Return the parameter `instruments`: 1 to `most` ids and symbols, which may be unknown."""
    return Parameter(
        "instruments",
        lambda text: _requested(instruments_named(text, 1, most, resolve)),
        instruments_schema(1, most),
        f"{description}: ids or symbols, comma-separated",
    )


def exclude_parameter(resolve: Resolve) -> Parameter:
    """Return the parameter `exclude`: ids and symbols, none if absent; its value is the ids.

    A symbol that no instrument has is ignored.
    """

    def parse(text: str) -> frozenset[int]:
        named = instruments_named(text, 0, MAX_EXCLUDED, resolve)
        return frozenset(found for found in named.values() if found is not None)

    return Parameter(
        "exclude",
        parse,
        instruments_schema(0, MAX_EXCLUDED),
        "instruments to exclude: ids or symbols, comma-separated; an unknown one excludes nothing",
        default=frozenset(),
    )


def time_or_now(name: str, description: str) -> Parameter:
    """Return a parameter that is a point in time; None, which means now, if absent or empty."""
    return Parameter(
        name, lambda text: parse_time(text) if text else None, TIME, description, default=None
    )


def instruments_schema(least: int, most: int) -> Schema:
    """Return the schema of a list of instruments; in a query it is comma-separated."""
    length = {"minItems": least, "maxItems": most}
    either = {"anyOf": [_INSTRUMENT, _SYMBOL]}
    return {"type": "array", "items": either, **length, "examples": [[4, "AAPL"]]}


def _requested(ids: dict[str, int | None]) -> RequestedInstruments:
    names = {i: text for text, i in reversed(ids.items()) if i is not None}
    return RequestedInstruments(
        dict(sorted(names.items())), [text for text, i in ids.items() if i is None]
    )
