"""Expectations of Great Expectations, built from the rules of a table. Pure."""

from typing import Final

import pandas as pd
from great_expectations.expectations.core.expect_column_pair_values_a_to_be_greater_than_b import (
    ExpectColumnPairValuesAToBeGreaterThanB,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column

from contracts.archive import PLACE, ArchiveTable
from contracts.archive_rules import (
    BytesWithin,
    CoveredPlace,
    InThePast,
    NewPlace,
    NotAbove,
    NotNull,
    OneOf,
    Rule,
    Within,
    rules_of,
)
from contracts.messages import MAX_AHEAD_MS

PLACE_IS_NEW: Final = "place_is_new"
PLACE_IS_COVERED: Final = "place_is_covered"
ADDED: Final = (PLACE_IS_NEW, PLACE_IS_COVERED)
"""Columns that say whether a row's place is valid."""
_BYTES: Final = "_bytes"


def bytes_of(column: str) -> str:
    """Return the name of the column with the lengths of a text's UTF-8."""
    return f"{column}{_BYTES}"


def expectations_of(table: ArchiveTable, now_ms: int) -> list[Expectation]:
    """Return what is expected of the rows of a table, with the columns that reading adds.

    Args:
        table: whose rules are meant.
        now_ms: the clock, epoch ms.
    """
    return [_expectation(rule, now_ms) for rule in rules_of(table)]


def _expectation(rule: Rule, now_ms: int) -> Expectation:
    match rule:
        case NotNull(column, unless):
            if unless is None:
                return ExpectColumnValuesToNotBeNull(column=column)
            other, value = unless
            return ExpectColumnValuesToNotBeNull(
                column=column,
                row_condition=Column(other) != value,
                description=f"not null unless {other} is {value}",
            )
        case Within(column, least, most, is_above):
            return ExpectColumnValuesToBeBetween(
                column=column, min_value=least, strict_min=is_above, max_value=most
            )
        case InThePast(column):
            return ExpectColumnValuesToBeBetween(
                column=column,
                min_value=pd.Timestamp(0, tz="UTC"),
                max_value=pd.Timestamp(now_ms + MAX_AHEAD_MS, unit="ms", tz="UTC"),
            )
        case OneOf(column, values):
            return ExpectColumnValuesToBeInSet(column=column, value_set=list(values))
        case BytesWithin(column, least, most):
            return ExpectColumnValuesToBeBetween(
                column=bytes_of(column), min_value=least, max_value=most
            )
        case NotAbove(lower, upper):
            return ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=upper, column_B=lower, or_equal=True
            )
        case NewPlace():
            return ExpectColumnValuesToBeInSet(
                column=PLACE_IS_NEW,
                value_set=[True],
                description=f"no other row has the same {', '.join(PLACE)}",
            )
        case CoveredPlace():
            return ExpectColumnValuesToBeInSet(
                column=PLACE_IS_COVERED,
                value_set=[True],
                description=f"{', '.join(PLACE)} before the positions of the snapshot",
            )
