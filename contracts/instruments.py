r"""The messages on `instruments`: what an instrument is called, and whether it is listed.

The topic is compacted: the newest record of a key is the instrument, and a record without a value,
a tombstone, takes it out. So its key matters as much as its value, and both must name the same
instrument.

A symbol may consist of digits only, as an exchange's code may. Where a path or a parameter takes
either a symbol or an id, a text of digits only is always the id.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from contracts.input_rules import ANY, InputRules, strict, unknown_field
from contracts.messages import MAX_INSTRUMENT_ID, InstrumentId, decode_alone

MAX_INSTRUMENT_BYTES: Final = 8 * 1024
"""Of a record value."""
MAX_CATEGORIES: Final = 20
MAX_ATTRIBUTES: Final = 50

# In Python `$` also matches before a line's end that is the last character.
SYMBOL_PATTERN: Final = "[A-Za-z0-9._:/-]"
"""A character of a symbol."""
MAX_SYMBOL: Final = 32
SYMBOL_RULE: Final = (
    r"^(?!(.*/)?\.{0,2}(/|$))(?!.*/([Bb][Aa][Rr][Ss]|[Ss][Ii][Mm][Ii][Ll][Aa][Rr])$)"
    rf"{SYMBOL_PATTERN}+$(?!\n)"
)
"""Each symbol is one that a path can name: no part between slashes is empty, `.` or `..`, which
those who pass a request on change, and the last one is no resource of an instrument's in the API.
"""
Symbol = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_SYMBOL,
        pattern=SYMBOL_RULE,
        examples=["AAPL"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=200, examples=["Apple Inc."])]
Category = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$(?!\n)", examples=["tech"])
]
AttributeName = Annotated[str, Meta(min_length=1, max_length=64)]
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class InstrumentDescription(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """What is told of an instrument, beside its id."""

    symbol: Symbol
    name: Name
    categories: Annotated[tuple[Category, ...], Meta(max_length=MAX_CATEGORIES)] = ()
    listed: bool = True
    """whether it can be traded now"""
    attributes: Annotated[
        dict[AttributeName, bool | Integer | float | str], Meta(max_length=MAX_ATTRIBUTES)
    ] = {}
    """whatever else its readers want to know"""


class Instrument(InstrumentDescription, gc=False, frozen=True):
    """An instrument of the catalog."""

    instrument_id: InstrumentId


class Delisting(msgspec.Struct, frozen=True, gc=False):
    """Takes an instrument out of the catalog: as a record it has a key and no value."""

    instrument_id: InstrumentId


class CatalogEntry(Instrument, frozen=True, gc=False, kw_only=True):
    """An instrument as its newest record describes it."""

    symbol: str
    """by the rules of its time"""
    off: tuple[int, int]
    """incarnation and offset of that record"""


_instrument = msgspec.json.Decoder(Instrument)
_strict = msgspec.json.Decoder(strict(Instrument))
_encoder = msgspec.json.Encoder()


def encode_instrument(instrument: Instrument) -> bytes:
    """Return the record value of an instrument; its key is `instrument_key`.

    >>> encode_instrument(Instrument(4, symbol="AAPL", name="Apple Inc."))
    b'{"instrument_id":4,"symbol":"AAPL","name":"Apple Inc.","categories":[],"listed":true,\
"attributes":{}}'

    Raises:
        ValueError: it would be too large.
    """
    value = _encoder.encode(instrument)
    _check_size(value)
    return value


def instrument_key(instrument_id: int) -> bytes:
    """Return the record key of an instrument, or of its tombstone: its id in ASCII decimal."""
    return b"%d" % instrument_id


def decode_instrument(value: bytes, rules: InputRules = ANY) -> Instrument:
    """Decode a record value.

    Raises:
        ValueError: it breaks a rule; the text is the reason.
    """
    _check_size(value)
    instrument = decode_alone(_instrument.decode, value)
    if rules.refuses_unknown_fields:
        decode_alone(_strict.decode, value)
    return instrument


def unknown_field_in(value: bytes | None) -> str | None:
    """Return the first field of a good record value that an instrument does not have, if any."""
    try:
        _strict.decode(value or b"")
    except msgspec.MsgspecError as error:
        return unknown_field(error)
    return None


def decode_instrument_record(
    key: bytes | None, value: bytes | None, rules: InputRules = ANY
) -> tuple[int, Instrument | None]:
    """Return the id of a record's instrument, and the instrument unless it is taken out.

    >>> decode_instrument_record(b"4", None)
    (4, None)

    Raises:
        ValueError: key or value breaks a rule, or they disagree; the text is the reason.
    """
    if value is None:
        return _id_in(key), None
    instrument = decode_instrument(value, rules)
    if key != instrument_key(instrument.instrument_id):
        raise ValueError(
            f"the key {key!r:.60} is not that of instrument_id {instrument.instrument_id}: "
            "produce with the id in ASCII decimal as the key"
        )
    return instrument.instrument_id, instrument


def _id_in(key: bytes | None) -> int:
    """Return the id that a key names.

    Raises:
        ValueError: it names none.
    """
    text = key or b""
    if not text.isdigit() or text != b"%d" % int(text[:20]) or int(text) > MAX_INSTRUMENT_ID:
        raise ValueError(
            f"the key {key!r:.60} of a tombstone is no instrument id from 0 to {MAX_INSTRUMENT_ID} "
            "in ASCII decimal"
        )
    return int(text)


def _check_size(value: bytes) -> None:
    """Judge a record value by its size.

    Raises:
        ValueError: it is too large.
    """
    if len(value) > MAX_INSTRUMENT_BYTES:
        raise ValueError(
            f"the instrument has {len(value)} bytes of JSON, at most {MAX_INSTRUMENT_BYTES} are "
            "allowed"
        )
