"""Checks a snapshot of a table against the expectations of its rows.

Great Expectations checks a batch at a time; the violations of all batches are summed up here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import great_expectations as gx
from great_expectations.core import ExpectationSuite
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from contracts.archive import PLACE, ArchiveTable
from runtime.archive.quality.contexts import context
from runtime.archive.quality.reading import batches
from runtime.archive.quality.suite import ADDED, expectations_of

EXAMPLES: Final = 3
_RESULT_FORMAT: Final[dict[str, Any]] = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": EXAMPLES,
    "unexpected_index_column_names": list(PLACE),
}
_SUMMED: Final = ("element_count", "missing_count", "unexpected_count")
_LISTED: Final = ("partial_unexpected_list", "partial_unexpected_index_list")


class Failed(NamedTuple):
    """An expectation that rows do not meet."""

    expectation: str
    """as Great Expectations calls it, with what it is expected of"""
    rows: int
    """that do not meet it"""
    examples: tuple[str, ...]
    """places in the log of the first of them, with their values"""

    def __str__(self) -> str:
        return f"{self.expectation}: {self.rows:,} rows, such as {'; '.join(self.examples)}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a snapshot of a table."""

    table: str
    snapshot_id: int
    rows: int
    suite: ExpectationSuite
    results: tuple[ExpectationValidationResult, ...]
    """of each expectation, over all rows; none if there are no rows"""

    @property
    def failed(self) -> list[Failed]:
        """The expectations that rows do not meet."""
        return [_failed(result) for result in self.results if not result.success]


def check_snapshot(found: Table, table: ArchiveTable, snapshot: Snapshot, now_ms: int) -> Checked:
    """Check all rows of a snapshot.

    Args:
        found: the table as it is now.
        table: as `contracts.archive` defines it.
        snapshot: of it.
        now_ms: the clock, epoch ms.

    Raises:
        ArchiveError: a file cannot be read.
        PositionsError: how far the snapshot goes is unknown.
    """
    suite, definition = _suite(table, now_ms)
    rows = 0
    sums: dict[str | None, ExpectationValidationResult] = {}
    for frame in batches(found, table, snapshot):
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
        for result in batch.validate(suite, result_format=_RESULT_FORMAT).results:
            key = _config(result).id
            sums[key] = _sum(sums[key], result) if key in sums else _evaluated(result)
        rows += len(frame)
    results = tuple(sums[each.id] for each in suite.expectations if rows)
    return Checked(table.name, snapshot.snapshot_id, rows, suite, results)


def _suite(table: ArchiveTable, now_ms: int) -> tuple[ExpectationSuite, BatchDefinition[Any]]:
    of_run = context()
    suite = of_run.suites.add(gx.ExpectationSuite(table.name, expectations_of(table, now_ms)))
    asset = of_run.data_sources.add_pandas("archive").add_dataframe_asset(table.name)
    return suite, asset.add_batch_definition_whole_dataframe("batch")


def _config(result: ExpectationValidationResult) -> ExpectationConfiguration:
    if result.expectation_config is None:
        raise RuntimeError(f"a result says not of what: {result}")
    return result.expectation_config


def _evaluated(result: ExpectationValidationResult) -> ExpectationValidationResult:
    if "unexpected_count" not in result.result:
        raise RuntimeError(f"{_described(result)} cannot be evaluated: {result.exception_info}")
    return result


def _sum(
    before: ExpectationValidationResult, result: ExpectationValidationResult
) -> ExpectationValidationResult:
    """Return the violations up to and including a batch, from those before it."""
    both: dict[str, Any] = {**before.result}
    for name in _SUMMED:
        if name in both:
            both[name] += _evaluated(result).result[name]
    for name in _LISTED:
        both[name] = [*before.result.get(name, ()), *result.result.get(name, ())][:EXAMPLES]
    both["unexpected_percent"] = 100 * both["unexpected_count"] / both["element_count"]
    return ExpectationValidationResult(
        success=bool(before.success and result.success),
        expectation_config=_config(before),
        result=both,
        exception_info=before.exception_info,
    )


def _failed(result: ExpectationValidationResult) -> Failed:
    found = result.result
    examples = map(_example, found.get("partial_unexpected_index_list", ()))
    return Failed(_described(result), int(found["unexpected_count"]), tuple(examples))


def _described(result: ExpectationValidationResult) -> str:
    """Return an expectation's name, its columns, and what is expected of them."""
    config = _config(result)
    expected = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    columns = [expected.pop(n) for n in ("column", "column_A", "column_B") if n in expected]
    limits = config.description or ", ".join(f"{name} {value}" for name, value in expected.items())
    return f"{config.type} of {', '.join(columns)}" + (f" ({limits})" if limits else "")


def _example(row: Mapping[str, Any]) -> str:
    """Return a row's place, and what it has there.

    >>> _example({"price": -1.0, "log": 0, "partition": 2, "offset": 17})
    'log 0 partition 2 offset 17 (price -1.0)'
    """
    place = " ".join(f"{name} {row[name]}" for name in PLACE)
    values = [f"{name} {_value(row[name])}" for name in row if name not in (*PLACE, *ADDED)]
    return f"{place} ({', '.join(values)})" if values else place


def _value(value: object) -> object:
    # pandas has NaN where there is no value.
    return "null" if value is None or value != value else value
