"""What narrows and reorders lists of instruments: categories, and conditions on attributes. Pure.

A condition is the text `attribute:operator:value`; a boost is a condition and a factor. The catalog
decides which instruments meet a condition: `api.instruments.index`.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final, NamedTuple, cast, get_args

from api.http.parameters import CATEGORIES, DECIMAL, Parameter, Schema
from api.http.parsing import parse_categories
from contracts.instruments import OPERATORS, Operator

MAX_CONDITIONS: Final = 5
"""Of a filter; and as many boosts."""
MAX_CONDITION: Final = 500
"""Characters, of a boost with its factor."""
MIN_FACTOR, MAX_FACTOR = 0.01, 100.0

NO_SUCH_ATTRIBUTE: Final = "must name an attribute that an instrument of the catalog has"

_OPERATORS: Final = get_args(Operator)
_BETWEEN: Final = f":({OPERATORS}):"
_CONDITION: Final = re.compile(rf"(.+?){_BETWEEN}(.*)", re.DOTALL)
_CONDITION_RULE: Final = (
    f"must be attribute:operator:value, with {', '.join(_OPERATORS)} as operator"
)
_BOOST_RULE: Final = (
    f"{_CONDITION_RULE.replace('value', 'value:factor')} and a factor from {MIN_FACTOR:g} to "
    f"{MAX_FACTOR:g}"
)
_TOO_LONG: Final = f"must have at most {MAX_CONDITION} characters"
_TEXTS_KNOWN: Final = 1024


class Filter(NamedTuple):
    """The conditions that an instrument must meet; each field is the parameter of its name."""

    category: frozenset[str] = frozenset()
    """in one of these; empty: in any"""
    exclude_category: frozenset[str] = frozenset()
    """in none of these"""
    filter: frozenset[str] = frozenset()
    """conditions on attributes, as texts: it must meet all of them"""


ALL: Final = Filter()


class Condition(NamedTuple):
    """A condition on one attribute."""

    attribute: str
    operator: Operator
    values: tuple[str, ...]
    """one; of `in`, those of which one must be equal"""


Check = Callable[[Condition], None]
"""Raises a ValueError if the catalog cannot compare an attribute in this way."""


@lru_cache(_TEXTS_KNOWN)
def parse_condition(text: str) -> Condition:
    """Return the condition that a text stands for.

    >>> parse_condition("currency:in:USD,EUR")
    Condition(attribute='currency', operator='in', values=('USD', 'EUR'))

    Raises:
        ValueError: it stands for none.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(_CONDITION_RULE)
    if len(text) > MAX_CONDITION:
        raise ValueError(_TOO_LONG)
    attribute, operator, value = found.groups()
    values = tuple(value.split(",")) if operator == "in" else (value,)
    return Condition(attribute, cast("Operator", operator), values)


@lru_cache(_TEXTS_KNOWN)
def parse_boost(text: str) -> tuple[Condition, float]:
    """Return the condition and the factor of a boost.

    >>> parse_boost("lot:le:10:1.5")
    (Condition(attribute='lot', operator='le', values=('10',)), 1.5)

    Raises:
        ValueError: the text stands for none.
    """
    if len(text) > MAX_CONDITION:
        raise ValueError(_TOO_LONG)
    condition, _, factor = text.rpartition(":")
    is_factor = DECIMAL.fullmatch(factor) and MIN_FACTOR <= float(factor) <= MAX_FACTOR
    if not is_factor or not _CONDITION.fullmatch(condition):
        raise ValueError(_BOOST_RULE)
    return parse_condition(condition), float(factor)


CONDITION_IN: Final[Mapping[str, Callable[[str], Condition]]] = {
    "filter": parse_condition,
    "boost": lambda text: parse_boost(text)[0],
}
"""By the parameter or field that has the text."""


def checked(name: str, text: str, check: Check) -> str:
    """Return a text of the parameter `name` once it is checked.

    Raises:
        ValueError: it is invalid.
    """
    check(CONDITION_IN[name](text))
    return text


def filter_parameters(check: Check) -> tuple[Parameter, ...]:
    """Return the parameters that are the fields of a `Filter`."""
    return _CATEGORY, _EXCLUDE_CATEGORY, _repeated("filter", "currency:eq:USD", _FILTER, check)


def boost_parameter(check: Check) -> Parameter:
    """Return the parameter `boost`; its value is the texts."""
    return _repeated("boost", "currency:eq:USD:2", _BOOST, check)


def condition_schema(name: str) -> Schema:
    """Return the schema of a text of the parameter `name`."""
    factor = ":[0-9.eE+-]+" if name == "boost" else ""
    pattern = rf"^[\s\S]+{_BETWEEN}[\s\S]*{factor}$"
    return {"type": "string", "maxLength": MAX_CONDITION, "pattern": pattern}


def _repeated(name: str, example: str, description: str, check: Check) -> Parameter:
    schema: Schema = {
        "type": "array",
        "items": condition_schema(name),
        "maxItems": MAX_CONDITIONS,
        "examples": [[example]],
    }
    parse = partial(checked, name, check=check)
    return Parameter(name, parse, schema, description, default=frozenset(), most=MAX_CONDITIONS)


_FILTER: Final = (
    "only instruments whose attribute meets the condition `attribute:operator:value`, with "
    f"{', '.join(_OPERATORS)} as operator; if given several times, all must be met"
)
_BOOST: Final = (
    "multiplies the score of instruments that meet the condition: "
    "`attribute:operator:value:factor`, with a factor "
    f"from {MIN_FACTOR:g} to {MAX_FACTOR:g}; several are multiplied"
)
_CATEGORY: Final = Parameter(
    "category",
    parse_categories,
    CATEGORIES,
    "only instruments of one of these categories, comma-separated",
    default=ALL.category,
)
_EXCLUDE_CATEGORY: Final = Parameter(
    "exclude_category",
    parse_categories,
    CATEGORIES,
    "no instruments of any of these categories, comma-separated",
    default=ALL.exclude_category,
)
