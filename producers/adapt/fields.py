"""Reads the fields of a message from a decoded record, by the rules of a mapping. Pure."""

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.messages import QUOTE_COLUMNS
from producers.adapt.mapping import Field, Others, Unit

Find = Callable[[str], int | None]
"""the symbol of an instrument of the catalog -> its id"""
_PER_MS: Final[Mapping[Unit, int]] = {"us": 1_000, "ns": 1_000_000}
_MS_PER_S: Final = 1_000
_MOST_MS: Final = 2**63
_LEAST_INEXACT: Final = 2**53
"""From here on, a float stands for several integers."""
_DIGITS_MOST: Final = 128
"""Of a decimal that becomes an integer: it may have a million."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_OF_JSON: Final = frozenset((str, int, float))
_AMOUNTS: Final = frozenset(("quantity", *(c.name for c in QUOTE_COLUMNS if c.kind is float)))
_BASE64: Final = re.compile("[0-9A-Za-z+/]+={0,2}")


class UnmappableError(ValueError):
    """A record cannot be mapped; the text is the reason."""


class UnknownSymbolError(UnmappableError):
    """The catalog has no instrument of that symbol."""


class EpochMs(int):
    """A time whose type in the record says its unit."""


class LeftOutError(Exception):
    """The mapping leaves out records with such a value."""


class Row(NamedTuple):
    """A decoded record: what paths start from."""

    value: Any
    """without its envelope"""
    key: Any = None
    timestamp: int | None = None
    """Kafka's, epoch ms"""
    envelope: Any = None


Read = Callable[[Row], Any]

_ROOTS: Final[Mapping[str, Read]] = {
    f"${name}": itemgetter(Row._fields.index(name)) for name in ("key", "timestamp", "envelope")
}
"""The first name of a path that does not start from the value."""


def at_path(path: str) -> Read:
    """Return a function from a record to what is at a path, None if nothing is."""
    first, *rest = path.split(".")
    root = _ROOTS.get(first)
    if root is not None:
        return lambda row: _walk(root(row), rest)
    if rest:
        return lambda row: _walk(row.value, [first, *rest])

    def top(row: Row) -> Any:
        value = row[0]
        return value.get(first) if type(value) is dict else _walk(value, [first])

    return top


def _amount_at(path: str) -> Read:
    """As `at_path`, of a number in JSON of Debezium's, which may write a decimal's bytes as base64.

    The function raises `UnmappableError` for text that is base64: numbers may look like it.
    """

    def checked(value: Any) -> Any:
        if type(value) is str and len(value) % 4 == 0 and _BASE64.fullmatch(value):
            raise UnmappableError(
                f"{value!r:.60} may be base64: set decimal.handling.mode=double for such a column"
            )
        return value

    return _then(at_path(path), checked)


def reader(name: str, rule: Field, find: Find, *, is_ambiguous: bool = False) -> Read:
    """Return a function from a record to the value of a field, None if it has none.

    The function raises `UnmappableError` if there is a value that cannot be converted, and
    `LeftOutError` if the rule skips it. If it is ambiguous, text in an amount may be a decimal's
    bytes.
    """
    if rule.constant is not None:
        return lambda _: rule.constant
    at = _amount_at if is_ambiguous and name in _AMOUNTS else at_path
    read = _unconverted(rule, find, at)
    if name == "ts":
        read = _then(read, _to_ms(rule.unit))
    if rule.values:
        read = _then(read, _chosen(rule.values, rule.others))
    if rule.default is not None:
        return lambda row: rule.default if (value := read(row)) is None else value
    return read


def _unconverted(rule: Field, find: Find, at: Callable[[str], Read]) -> Read:
    if rule.mean is not None:
        return _mean(*map(at, rule.mean))
    if rule.symbol is not None:
        return _then(at_path(rule.symbol), lambda symbol: _id_of(symbol, find))
    return at(rule.path or "")


def _walk(value: Any, names: list[str]) -> Any:
    for name in names:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list | tuple) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _then(read: Read, convert: Callable[[Any], Any]) -> Read:
    def converted(row: Row) -> Any:
        value = read(row)
        return None if value is None else convert(value)

    return converted


def _mean(low: Read, high: Read) -> Read:
    def mean(row: Row) -> float | None:
        pair = low(row), high(row)
        if None in pair:
            return None
        try:
            return (float(pair[0]) + float(pair[1])) / 2
        except (TypeError, ValueError, OverflowError):
            raise UnmappableError(f"no mean of {pair[0]!r:.60} and {pair[1]!r:.60}") from None

    return mean


def _id_of(symbol: Any, find: Find) -> int:
    found = find(str(symbol))
    if found is None:
        raise UnknownSymbolError(f"the catalog has no instrument with the symbol {symbol!r:.60}")
    return found


def _chosen(values: Mapping[str, Any], others: Others) -> Callable[[Any], Any]:
    def choose(value: Any) -> Any:
        try:
            return values[text_of(value)]
        except KeyError:
            if others == "skip":
                raise LeftOutError from None
            raise UnmappableError(
                f"{value!r:.60} is not among its values: add it to `values` if it has a meaning, "
                'or leave such records out with `others = "skip"`'
            ) from None

    return choose


def text_of(value: Any) -> str:
    """Return a value as text, as JSON writes it.

    >>> text_of("BUY"), text_of(1), text_of(True)
    ('BUY', '1', 'true')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_ms(unit: Unit) -> Callable[[Any], int]:
    """Return a function to epoch ms; fractions of a millisecond are cut off."""

    def convert(value: Any) -> int:
        try:
            if isinstance(value, EpochMs):
                return int(value)
            if unit == "RFC 3339":
                return _ms_of(datetime.fromisoformat(value))
            if unit == "s":
                return _whole(Decimal(str(value)) * _MS_PER_S)
            return int(value) // _PER_MS.get(unit, 1)
        except (TypeError, ValueError, ArithmeticError):
            raise UnmappableError(f"{value!r:.60} is no time in {unit}") from None

    return convert


def _whole(ms: Decimal) -> int:
    """Return a time without fractions.

    Raises:
        ValueError: no time is so long, and as an integer it could have a million digits.
    """
    if abs(ms) > _MOST_MS:
        raise ValueError
    return int(ms)


def _ms_of(at: datetime) -> int:
    """Return epoch ms.

    Raises:
        ValueError: it has no zone.
    """
    if at.tzinfo is None:
        raise ValueError
    return (at - _EPOCH) // _MS


def plain(value: Any) -> Any:
    """Return a value of one of Avro's logical types as one that JSON has."""
    if type(value) in _OF_JSON:  # nearly all
        return value
    if isinstance(value, Decimal):
        whole = _integer(value)
        return float(value) if whole is None or abs(whole) >= 2**63 else whole
    return str(value) if isinstance(value, UUID) else value


def instrument_id(value: Any) -> Any:
    """Return an id as `plain` does.

    Raises:
        UnmappableError: as a float, it would stand for several ids.
    """
    if type(value) is float or (type(value) is str and not value.isdigit()):
        number = 0.0
        with contextlib.suppress(ValueError):
            number = float(value)
        if abs(number) >= _LEAST_INEXACT:
            raise UnmappableError(f"{value!r:.60} may stand for another id: write it as an integer")
    return plain(value)


def text(value: Any) -> Any:
    """Return an id that is a number as text, and other values as `plain` does."""
    if isinstance(value, Decimal) and (whole := _integer(value)) is not None:
        return str(whole)
    return str(value) if type(value) is int else plain(value)


def _integer(value: Decimal) -> int | None:
    """Return the integer that a decimal is, None if it has a fraction or too many digits."""
    if not value.is_finite() or value.adjusted() >= _DIGITS_MOST:
        return None
    return int(value) if value == value.to_integral_value() else None
