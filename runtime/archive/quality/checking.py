"""Checks a snapshot of a table against the expectations of its rows, and writes pages of that.

Great Expectations checks a batch at a time; the results of all batches are summed up here. It
stores nothing, and sends no usage data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import great_expectations as gx
from great_expectations.core import (
    ExpectationSuite,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.data_context.ephemeral_data_context import (
    EphemeralDataContext,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from contracts.archive import PLACE, ArchiveTable
from runtime.archive.quality.expectations import expectations_of
from runtime.archive.quality.rows import PLACE_IS_COVERED, PLACE_IS_NEW, batches

EXAMPLES: Final = 3
_RESULT_FORMAT: Final[dict[str, Any]] = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": EXAMPLES,
    "unexpected_index_column_names": list(PLACE),
}
_SUMMED: Final = ("element_count", "missing_count", "unexpected_count")
_LISTED: Final = ("partial_unexpected_list", "partial_unexpected_index_list")
_SITE: Final = "archive"


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
    results: list[ExpectationValidationResult]
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
    context, rows = _context(), 0
    suite = context.suites.add(gx.ExpectationSuite(table.name, expectations_of(table, now_ms)))
    asset = context.data_sources.add_pandas("archive").add_dataframe_asset(table.name)
    definition = asset.add_batch_definition_whole_dataframe("batch")
    sums: dict[str | None, ExpectationValidationResult] = {}
    for frame in batches(found, table, snapshot):
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
        for result in batch.validate(suite, result_format=_RESULT_FORMAT).results:
            config: Any = result.expectation_config
            if "unexpected_count" not in result.result:
                raise RuntimeError(f"{_described(result)} has no result: {result.exception_info}")
            before = sums.setdefault(config.id, result)
            if before is not result:
                _add(before, result)
        rows += len(frame)
    results = [sums[each.id] for each in suite.expectations if rows]
    return Checked(table.name, snapshot.snapshot_id, rows, suite, results)


def write_docs(folder: Path, checked: Iterable[Checked], now_ms: int) -> None:
    """Write pages to a folder, created if missing: the data docs of Great Expectations.

    Args:
        folder: the results of an earlier check there are overwritten.
        checked: the tables; those without rows have no page of results.
        now_ms: the clock, epoch ms.

    Raises:
        OSError: they cannot be written there.
    """
    context, at = _context(), datetime.fromtimestamp(now_ms / 1_000, UTC)
    store = {
        "class_name": "TupleFilesystemStoreBackend",
        "base_directory": str(folder.resolve()),
    }
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site: Any = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
    context.add_data_docs_site(_SITE, site)
    for each in checked:
        context.suites.add(each.suite)
        suite = ExpectationSuiteIdentifier(each.table)
        run = RunIdentifier(run_name=f"snapshot-{each.snapshot_id}", run_time=at)
        key = ValidationResultIdentifier(suite, run, batch_identifier=each.table)
        n, failed = len(each.results), len(each.failed)
        result = ExpectationSuiteValidationResult(
            success=not failed,
            results=each.results,
            suite_name=each.table,
            statistics={
                "evaluated_expectations": n,
                "successful_expectations": n - failed,
                "unsuccessful_expectations": failed,
                "success_percent": 100 * (n - failed) / n if n else None,
            },
            meta={
                "run_id": run.to_json_dict(),
                "active_batch_definition": {"data_asset_name": each.table},
            },
        )
        context.validation_results_store.store_validation_results(result, key, suite)
    context.build_data_docs([_SITE])


def _context() -> EphemeralDataContext:
    """Return a context in memory, without progress bars, analytics, and pages of its own."""
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _add(total: ExpectationValidationResult, result: ExpectationValidationResult) -> None:
    """Add what a batch violates to what those before it do."""
    both, more = total.result, result.result
    for name in _SUMMED:
        if name in both:
            both[name] += more[name]
    for name in _LISTED:
        both[name] = [*both.get(name, ()), *more.get(name, ())][:EXAMPLES]
    both["unexpected_percent"] = 100 * both["unexpected_count"] / both["element_count"]
    total.success = bool(total.success and result.success)


def _failed(result: ExpectationValidationResult) -> Failed:
    found = result.result
    examples = map(_example, found.get("partial_unexpected_index_list", ()))
    return Failed(_described(result), int(found["unexpected_count"]), tuple(examples))


def _described(result: ExpectationValidationResult) -> str:
    """Return an expectation's name, its columns, and what is expected of them."""
    config: Any = result.expectation_config
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
    others = [name for name in row if name not in (*PLACE, PLACE_IS_NEW, PLACE_IS_COVERED)]
    # pandas has NaN where there is no value.
    values = [f"{n} {'null' if row[n] is None or row[n] != row[n] else row[n]}" for n in others]
    return f"{place} ({', '.join(values)})" if values else place
