"""Which instruments a list may have: the parameters that narrow it."""

from typing import Final, NamedTuple

from api.http.parameters import CATEGORIES, Parameter
from api.http.parsing import parse_categories


class Filter(NamedTuple):
    """The conditions that an instrument must meet; each field is the parameter of its name."""

    category: frozenset[str] = frozenset()
    """in one of these; empty: in any"""
    exclude_category: frozenset[str] = frozenset()
    """in none of these"""


ALL: Final = Filter()

CATEGORY: Final = Parameter(
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
FILTERS: Final = (CATEGORY, _EXCLUDE_CATEGORY)
"""The fields of `Filter`."""
