"""Why a value breaks the rules of its type: the field, the rule, the value, and the remedy."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec

from contracts.times import MAX_TS_MS, parse_time

_EXPECTED: Final = re.compile(
    r"Expected `(?P<types>[^`]+)`"
    r"(?: (?P<comparison>[<>]=?) (?P<bound>\S+)| of length (?P<size>[<>]=) (?P<length>\d+)"
    r"|(?P<pattern> matching regex .*)|(?P<other> that's .*))?(?:, got `(?P<got>.*)`)?",
    re.DOTALL,
)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`(?: - at `.*)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_PATH: Final = re.compile(r"(.*?)(?: - at (?:`key` in )?`\$(.*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_TYPES: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_COMPARISONS: Final[Mapping[str, str]] = {
    ">=": "of at least",
    "<=": "of at most",
    ">": "above",
    "<": "below",
}
_SYMBOL: Final = "a symbol of letters, digits and . _ : / -, with no part `.`, `..` or empty"
_PATTERNS: Final[Mapping[str, str]] = {
    "symbol": _SYMBOL,
    "instrument_id": _SYMBOL,
    "categories": "text of letters, digits and . _ -",
    "attributes": "a name without an operator, such as `:eq:`",
}
"""What a field's pattern means."""
_BY_FIELD: Final[Mapping[str, str]] = {
    "ts": "epoch milliseconds, a whole number",
    "ts_ms": "epoch milliseconds, a whole number",
}
_VALUE_CHARACTERS: Final = 60
_TIME_DIGITS: Final = 20
"""Of a time in nanoseconds, with some to spare."""
_PERSONAL: Final = "user_id"
"""Its value is not shown: reasons are logged."""
_ABSENT: Final = object()


class Violation(NamedTuple):
    """A broken rule."""

    field: str
    """path of the field, "" if it is the value as a whole"""
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}" if self.field else self.rule


def violation(error: Exception, content: object, kind: Any = None) -> Violation:
    """Return what msgspec found wrong with a value.

    >>> str(violation(ValueError("Expected `float`, got `str` - at `$.price`"), {"price": "15,47"}))
    'price: must be a number, got "15,47": write 15.47, without quotes'

    Args:
        error: msgspec's.
        content: the value, or JSON of it as bytes or text.
        kind: the struct that it should be, whose fields are named if one is unknown.
    """
    reason, path = _PATH.fullmatch(str(error)).groups("")  # type: ignore[union-attr]
    if (name := unknown_field(error)) is not None:
        known = _known(kind, name) if not path else ""
        return Violation(_joined(path, name), f"unknown field{known}")
    if found := _MISSING.fullmatch(reason):
        return Violation(_joined(path, found[1]), "is required")
    value, field = _at(content, path), path.removeprefix(".")
    if (choices := _choices(kind, field)) and reason.startswith("Invalid"):
        reason = f"must be {' or '.join(choices)}"
    remedy = ""
    if found := _EXPECTED.fullmatch(reason):
        name = field.rpartition(".")[2].partition("[")[0]
        reason = f"must be {_described(found, name)}"
        remedy = _remedy(name, value, is_text=found["got"] == "str")
    shown = "" if value is _ABSENT or field == _PERSONAL else f", got {_shown(value)}"
    return Violation(field, f"{reason}{shown}{remedy}")


def unknown_field(error: Exception) -> str | None:
    """Return the field that a type does not have, None for any other error of msgspec.

    >>> unknown_field(ValueError("Object contains unknown field `qty`"))
    'qty'
    """
    found = _UNKNOWN.fullmatch(str(error))
    return found[1][:_VALUE_CHARACTERS] if found else None


def _joined(path: str, field: str) -> str:
    return f"{path}.{field}".removeprefix(".")


def _known(kind: Any, field: str) -> str:
    if kind is None:
        return ""
    config = kind.__struct_config__
    names = [*([config.tag_field] if config.tag_field else []), *kind.__struct_encode_fields__]
    nearest = get_close_matches(field, names, 1)
    meant = f", did you mean {nearest[0]}?" if nearest else ","
    return f"{meant} known: {', '.join(names)}"


def _choices(kind: Any, field: str) -> tuple[str, ...]:
    """Return the texts that a field of a struct may have, none if any."""
    return get_args(get_type_hints(kind).get(field)) if kind is not None else ()


def _at(content: object, path: str) -> object:
    """Return the value at a path, `_ABSENT` if it cannot be found."""
    try:
        value = msgspec.json.decode(content) if isinstance(content, bytes | str) else content
        for name, index in _STEP.findall(path):
            value = value[int(index)] if index else value[name]  # type: ignore[index]
    except (ValueError, LookupError, TypeError, RecursionError):
        return _ABSENT
    return value


def _described(found: re.Match[str], field: str) -> str:
    """Return what is expected, in words."""
    types = " or ".join(_TYPES.get(name, name) for name in found["types"].split(" | "))
    if found["pattern"] is not None:
        return _PATTERNS.get(field, types + found["pattern"])
    types = _BY_FIELD.get(field, types)
    if found["comparison"]:
        return f"{types} {_COMPARISONS[found['comparison']]} {found['bound']}"
    if found["size"]:
        unit = "character" if "str" in found["types"] else "item"
        plural = "" if found["length"] == "1" else "s"
        return f"{types} {_COMPARISONS[found['size']]} {found['length']} {unit}{plural}"
    return types + (found["other"] or "")


def _shown(value: object) -> str:
    try:
        text = repr(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}..."


def _remedy(field: str, value: object, *, is_text: bool) -> str:
    """Return how to correct a value, which may be text instead of a number; "" if unknown."""
    if field in _BY_FIELD:
        ts_ms = _epoch_ms(value)
        return "" if ts_ms is None else f": write {ts_ms}"
    if not isinstance(value, str) or len(value) > _VALUE_CHARACTERS:
        return ""
    if is_text:
        number = _number(value)
        return "" if number is None else f": write {number}, without quotes"
    if field in ("symbol", "instrument_id"):
        plain = re.sub(r"[^A-Za-z0-9._:/-]+", ".", value.strip())
        return f": write {plain}" if plain not in (value, "", ".") else ""
    return ""


def _epoch_ms(value: object) -> int | None:
    """Return the epoch milliseconds that a text, or a time in smaller units, stands for."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            ts_ms = parse_time(value)
            return ts_ms if ts_ms is not None and 0 <= ts_ms <= MAX_TS_MS else None
        if len(value) > _TIME_DIGITS:  # Python does not parse numbers of any length
            return None
        value = int(value)
        if value <= MAX_TS_MS:
            return value
    if not isinstance(value, int):
        return None
    return next((v for v in (value // 10**3, value // 10**6) if v <= MAX_TS_MS < value), None)


def _number(text: str) -> str | None:
    """Return a number that was written as a text, None for one such as 1,234, which may be two."""
    if not re.fullmatch(r"[+-]?\d+(\.\d+|,(?!\d{3}$)\d+)?", text, re.ASCII):
        return None
    return text.replace(",", ".").removeprefix("+")
