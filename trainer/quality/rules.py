"""The rules, as pandera schemas: one for the table of items, two for the table with one row.

What a column is and where its limits come from is in `trainer.quality.measures` and `.settings`.
"""

from typing import Final

import pandera.pandas as pa

from trainer.quality.settings import QualityConfig

OF_A_ROW: Final = 0.1
"""A row that differs by less from the other rows may have been read a moment earlier or later. Rows
that differ by more are those of items with few counts, unless something is wrong."""
BELOW_ZERO: Final = 1e-6
"""Taking weights out of a sum again leaves 1e-16 of them; more was never put in."""

ITEMS: Final = pa.DataFrameSchema(
    {
        "own": pa.Column(float, pa.Check.gt(0)),
        "unmatched": pa.Column(float, pa.Check.in_range(0, OF_A_ROW)),
        "beyond": pa.Column(float, pa.Check.in_range(0, OF_A_ROW)),
    }
)
"""Of each item. A row that breaks one is told with the share of all counts in such rows."""

MEANINGS: Final = {
    "own": "share of the counts in rows of items without a count of their own",
    "unmatched": "share of the counts in rows that differ from their column",
    "beyond": "share of the counts in rows with counts beyond sqrt(G_ii x G_jj)",
    "below_zero": "sum of the counts below zero, for one of all others",
    "items_kept": "items for one of the served generation; at least the limit",
    "single_user": "share of the items that one user has",
    "popularity_shift": "population stability index against the served generation",
}
"""By column: what is compared with the limit; at most it, unless it says otherwise."""


def hard(settings: QualityConfig) -> pa.DataFrameSchema:
    """Return what must hold for all of the data, or nothing is published."""
    return pa.DataFrameSchema(
        {
            "below_zero": pa.Column(float, pa.Check.le(BELOW_ZERO)),
            "items_kept": pa.Column(float, pa.Check.ge(settings.items_kept_min)),
        }
    )


def soft(settings: QualityConfig) -> pa.DataFrameSchema:
    """Return what should hold for all of the data."""
    return pa.DataFrameSchema(
        {
            "single_user": pa.Column(float, pa.Check.le(settings.single_user_max)),
            "popularity_shift": pa.Column(float, pa.Check.le(settings.popularity_shift_max)),
        }
    )
