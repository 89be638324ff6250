"""What holds of the data and what does not. Pure.

pandera and pandas take two seconds to import: only who trains does that, when it comes to it.
"""

from typing import Any, Final

import pandas as pd
import pandera.pandas as pa

from trainer.counts.matrices import Gram
from trainer.generations.report import Checked, Level
from trainer.quality.measures import of_all, of_items
from trainer.quality.popularity import Popularity
from trainer.quality.rules import ITEMS, MEANINGS, hard, soft
from trainer.quality.settings import QualityConfig

ITEMS_NAMED: Final = 5


def check(gram: Gram, before: Popularity | None, settings: QualityConfig) -> list[Checked]:
    """Return every rule, and whether it holds.

    Args:
        gram: what is about to be trained on.
        before: what was popular in the generation that is served, None if there is none.
        settings: the limits.
    """
    of_the_whole = of_all(gram, before)
    return [
        *_of_items(of_items(gram), settings.inconsistent_max),
        *_of_one_row(of_the_whole, hard(settings), "hard"),
        *_of_one_row(of_the_whole, soft(settings), "soft"),
    ]


def _of_items(items: pd.DataFrame, limit: float) -> list[Checked]:
    """Return a rule for each column: how much of the counts the rows hold that break it."""
    failures = _failures(ITEMS, items)
    every = float(items["counts"].sum())
    checked = []
    for column in ITEMS.columns:
        ids = failures.loc[failures["column"] == column, "index"].unique().tolist()
        share = float(items["counts"].reindex(ids).sum()) / every if every else 0.0
        named = [int(item) for item in ids[:ITEMS_NAMED]]
        checked.append(
            Checked(column, "hard", share <= limit, share, limit, MEANINGS[column], named)
        )
    return checked


def _of_one_row(table: pd.DataFrame, schema: pa.DataFrameSchema, level: Level) -> list[Checked]:
    broken = set(_failures(schema, table)["column"])
    return [
        Checked(
            rule=column,
            level=level,
            holds=column not in broken,
            value=float(table[column].iloc[0]),
            limit=_limit(declared),
            meaning=MEANINGS[column],
        )
        for column, declared in schema.columns.items()
    ]


def _failures(schema: pa.DataFrameSchema, table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that break a schema: their column and index."""
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return pd.DataFrame(errors.failure_cases)
    return pd.DataFrame({"column": [], "index": []})


def _limit(column: Any) -> float:
    """Return the one number that a column's check compares with."""
    (limit,) = column.checks[0].statistics.values()
    return float(limit)
