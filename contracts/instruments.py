r"""The messages on `instruments`: an instrument's names, and whether it is listed.

The topic is compacted: the newest record of a key describes the instrument, and a tombstone, a
record without a value, removes it. So the key matters as much as the value, and both must name the
same instrument.

A symbol may be all digits, as some exchange codes are. Where a path or a parameter takes either a
symbol or an id, all digits always mean the id.
"""

from collections import Counter
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from contracts.decoding import Decoders, decode_one
from contracts.input_rules import ANY, InputRules
from contracts.log_position import LogPosition
from contracts.messages import MAX_INSTRUMENT_ID, InstrumentId

MAX_INSTRUMENT_BYTES: Final = 8 * 1024
"""Of a record value."""
MAX_CATEGORIES: Final = 20
MAX_ATTRIBUTES: Final = 50

# In Python, `$` also matches before a trailing newline.
SYMBOL_PATTERN: Final = "[A-Za-z0-9._:/-]"
"""A character of a symbol."""
MAX_SYMBOL: Final = 32
SYMBOL_RULE: Final = (
    r"^(?!(.*/)?\.{0,2}(/|$))(?!.*/([Bb][Aa][Rr][Ss]|[Ss][Ii][Mm][Ii][Ll][Aa][Rr])$)"
    rf"{SYMBOL_PATTERN}+$(?!\n)"
)
"""Each symbol must work in a path: no segment is empty, `.` or `..`, which proxies normalize, and
the last one is not the name of an instrument's resource in the API.
"""
Symbol = Annotated[
    str, Meta(min_length=1, max_length=MAX_SYMBOL, pattern=SYMBOL_RULE, examples=["AAPL"])
]
Name = Annotated[str, Meta(min_length=1, max_length=200, examples=["Apple Inc."])]
Category = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$(?!\n)", examples=["tech"])
]
Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "in"]
"""Of a condition `attribute:operator:value` on an instrument."""
OPERATORS: Final = "|".join(get_args(Operator))
AttributeName = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=rf"^(?![\s\S]+:({OPERATORS})(:|$))")
]
"""One that a condition can name: in `a:eq:b:eq:5`, the attribute would be `a`."""
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class InstrumentDescription(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """The description of an instrument, without its id."""

    symbol: Symbol
    name: Name
    categories: Annotated[tuple[Category, ...], Meta(max_length=MAX_CATEGORIES)] = ()
    listed: bool = True
    """whether it can be traded now"""
    attributes: Annotated[
        dict[AttributeName, bool | Integer | float | str], Meta(max_length=MAX_ATTRIBUTES)
    ] = {}
    """any other properties"""


class Instrument(InstrumentDescription, gc=False, frozen=True):
    """An instrument of the catalog."""

    instrument_id: InstrumentId


class Delisting(msgspec.Struct, frozen=True, gc=False):
    """Removes an instrument from the catalog: as a record, it has a key and no value."""

    instrument_id: InstrumentId


class CatalogEntry(Instrument, frozen=True, gc=False, kw_only=True):
    """An instrument as described by its newest record."""

    off: LogPosition
    """position of that record"""


class InstrumentTooLargeError(ValueError):
    """An instrument has more than `MAX_INSTRUMENT_BYTES` as a record."""


_decoders = Decoders(Instrument)
_encoder = msgspec.json.Encoder()


def encode_instrument(instrument: Instrument) -> bytes:
    """Return the record value of an instrument; its key is `instrument_key`.

    >>> encode_instrument(Instrument(4, symbol="AAPL", name="Apple Inc."))
    b'{"instrument_id":4,"symbol":"AAPL","name":"Apple Inc.","categories":[],"listed":true,\
"attributes":{}}'

    Raises:
        InstrumentTooLargeError: it is.
    """
    value = _encoder.encode(instrument)
    _check_size(value)
    return value


def instrument_key(instrument_id: int) -> bytes:
    """Return the record key of an instrument, or of its tombstone: its id in ASCII decimal."""
    return b"%d" % instrument_id


def decode_instrument(
    value: bytes, rules: InputRules = ANY, unknown_fields: Counter[str] | None = None
) -> Instrument:
    """Decode a record value; the first field that is unknown is counted, by name.

    Raises:
        ValueError: it is invalid; the text is the reason.
    """
    _check_size(value)
    return decode_one(_decoders, value, rules, unknown_fields)


def decode_instrument_record(
    key: bytes | None,
    value: bytes | None,
    rules: InputRules = ANY,
    unknown_fields: Counter[str] | None = None,
) -> tuple[int, Instrument | None]:
    """Return the id of a record's instrument, and the instrument unless it is removed.

    >>> decode_instrument_record(b"4", None)
    (4, None)

    Raises:
        ValueError: key or value is invalid, or they disagree; the text is the reason.
    """
    if value is None:
        return _id_in(key), None
    instrument = decode_instrument(value, rules, unknown_fields)
    if key != instrument_key(instrument.instrument_id):
        raise ValueError(
            f"the key {key!r:.60} is not that of instrument_id {instrument.instrument_id}: "
            "produce with the id in ASCII decimal as the key"
        )
    return instrument.instrument_id, instrument


def _id_in(key: bytes | None) -> int:
    """Return the id in a key.

    Raises:
        ValueError: it is not an id.
    """
    text = key or b""
    if not text.isdigit() or text != b"%d" % int(text[:20]) or int(text) > MAX_INSTRUMENT_ID:
        raise ValueError(
            f"the key {key!r:.60} of a tombstone is not an instrument id, 0 to {MAX_INSTRUMENT_ID} "
            "in ASCII decimal"
        )
    return int(text)


def _check_size(value: bytes) -> None:
    """Check the size of a record value.

    Raises:
        InstrumentTooLargeError: it is too large.
    """
    if len(value) > MAX_INSTRUMENT_BYTES:
        raise InstrumentTooLargeError(
            f"the instrument has {len(value)} bytes of JSON, at most {MAX_INSTRUMENT_BYTES} are "
            "allowed"
        )
