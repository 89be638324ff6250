"""What is expected of the archive's rows: it follows from what a topic may contain. Pure.

Existence and types of columns are not covered: a table without a required one is not opened at all.
"""

from typing import Any

import pandas as pd
from great_expectations import expectations
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column

from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    PLACE,
    QUOTES_TABLE,
    ArchiveTable,
)
from contracts.bars import FIELDS, GREATEST
from contracts.decoding import MAX_AHEAD_MS
from contracts.event_types import MAX_NAME_CHARACTERS
from contracts.feedback import FEEDBACK_TYPES, MAX_POSITION
from contracts.messages import MAX_AMOUNT, MAX_USER_ID_BYTES, MIN_AMOUNT, QUOTE_COLUMNS
from runtime.archive.quality.rows import BYTES, PLACE_IS_COVERED, PLACE_IS_NEW

gxe: Any = expectations  # it does not declare what it exports


def expectations_of(table: ArchiveTable, now_ms: int) -> list[Expectation]:
    """Return what is expected of the rows of a table, with the columns that `rows` adds.

    Args:
        table: whose rows they are.
        now_ms: the clock, epoch ms; times are up to `MAX_AHEAD_MS` after it.
    """
    latest = pd.Timestamp(now_ms + MAX_AHEAD_MS, unit="ms", tz="UTC")
    user = _within(f"user_id{BYTES}", 1, MAX_USER_ID_BYTES)
    instrument = _within("instrument_id", 0)
    ts = _within("ts", pd.Timestamp(0, tz="UTC"), latest)
    of_bars: dict[str, dict[str, Any]] = {
        "price": {"least": 0, "most": GREATEST, "strict_min": True},
        "amount": {"least": 0, "most": GREATEST},
        "count": {"least": 1},
        "time": {"least": pd.Timestamp(0, tz="UTC"), "most": latest},
    }
    own: dict[str, list[Expectation]] = {
        QUOTES_TABLE.name: [
            instrument,
            *(_within(c.name, c.bounds.ge, c.bounds.le) for c in QUOTE_COLUMNS if c.kind is float),
            ts,
        ],
        INTERACTIONS_TABLE.name: [
            user,
            gxe.ExpectColumnValuesToNotBeNull(
                column="instrument_id",
                row_condition=Column("event") != ERASED,
                description=f"not null unless event is {ERASED}",
            ),
            instrument,
            _within(f"event{BYTES}", 1, MAX_NAME_CHARACTERS),
            _within("price", MIN_AMOUNT, MAX_AMOUNT),
            _within("quantity", MIN_AMOUNT, MAX_AMOUNT),
            ts,
        ],
        FEEDBACK_TABLE.name: [
            gxe.ExpectColumnValuesToBeInSet(column="type", value_set=list(FEEDBACK_TYPES)),
            user,
            instrument,
            _within("position", 1, MAX_POSITION),
            ts,
        ],
        BARS_TABLE.name: [
            instrument,
            *(_within(field.name, **of_bars[field.kind]) for field in FIELDS.values()),
            *(_not_above("low", column) for column in ("open", "close")),
            *(_not_above(column, "high") for column in ("open", "close")),
            _within("revision", 0),
            _not_above("minute", "open_ts"),
            _not_above("open_ts", "close_ts"),
            _within("minute", **of_bars["time"]),
        ],
    }
    place = ", ".join(PLACE)
    return [
        *(gxe.ExpectColumnValuesToNotBeNull(column=c.name) for c in table.columns if c.is_required),
        *(_within(column, 0) for column in PLACE),
        # Within a partition, offsets may be missing: invalid records have no rows, and neither have
        # removed users.
        _true(PLACE_IS_COVERED, f"{place} before the positions of the snapshot"),
        _true(PLACE_IS_NEW, f"no other row has the same {place}"),
        *own[table.name],
    ]


def _within(column: str, least: Any, most: Any = None, *, strict_min: bool = False) -> Any:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=least, max_value=most, strict_min=strict_min
    )


def _not_above(lower: str, upper: str) -> Any:
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=upper, column_B=lower, or_equal=True
    )


def _true(column: str, description: str) -> Any:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], description=description)
