"""Checks a snapshot of a table against the expectations of its rows, and writes pages of that.

Great Expectations checks a batch at a time; what the batches violate is summed up here. It sends no
usage data, and keeps results in memory unless pages are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import great_expectations as gx
from great_expectations.core import ExpectationSuite, ExpectationValidationResult
from great_expectations.data_context.data_context.ephemeral_data_context import (
    EphemeralDataContext as Context,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from contracts.archive import PLACE, ArchiveTable
from runtime.archive.quality.expectations import expectations_of
from runtime.archive.quality.rows import PLACE_IS_COVERED, PLACE_IS_NEW, batches

EXAMPLES: Final = 3
_RESULT_FORMAT: Final = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": EXAMPLES,
    "unexpected_index_column_names": list(PLACE),
}


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
    rows: int
    expectations: int
    failed: list[Failed]
    """the expectations that rows do not meet"""


def check_snapshot(
    found: Table, table: ArchiveTable, snapshot: Snapshot, now_ms: int, context: Context
) -> Checked:
    """Check all rows of a snapshot.

    Args:
        found: the table as it is now.
        table: as `contracts.archive` defines it.
        snapshot: of it.
        now_ms: the clock, epoch ms.
        context: keeps the results of each batch, for pages.

    Raises:
        ArchiveError: a file cannot be read.
        PositionsError: how far the snapshot goes is unknown.
    """
    suite = context.suites.add(ExpectationSuite(table.name, expectations_of(table, now_ms)))
    asset = context.data_sources.add_pandas(table.name).add_dataframe_asset(table.name)
    batch = asset.add_batch_definition_whole_dataframe(table.name)
    validation = gx.ValidationDefinition(name=table.name, data=batch, suite=suite)
    context.validation_definitions.add(validation)
    failed: dict[str, Failed] = {}
    rows = 0
    for frame in batches(found, table, snapshot):
        done = validation.run(
            batch_parameters={"dataframe": frame},
            result_format=_RESULT_FORMAT,
            run_id=gx.RunIdentifier(run_name=f"{snapshot.snapshot_id} from row {rows}"),
        )
        for result in done.results:
            name = _described(result)
            if "unexpected_count" not in result.result:
                raise RuntimeError(f"{name} has no result: {result.exception_info}")
            if not result.success:
                before = failed.get(name, Failed(name, 0, ()))
                failed[name] = _added(before, result.result)
        rows += len(frame)
    return Checked(table.name, rows, len(suite.expectations), list(failed.values()))


def context_of(docs: Path | None = None) -> Context:
    """Return a context without progress bars and analytics.

    Args:
        docs: a folder, created if missing, to which `build_data_docs` writes pages with the
            results; None: none are written.
    """
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"archive": site} if docs else {},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _added(before: Failed, result: Mapping[str, Any]) -> Failed:
    examples = map(_example, result.get("partial_unexpected_index_list", ()))
    return Failed(
        before.expectation,
        before.rows + int(result["unexpected_count"]),
        (*before.examples, *examples)[:EXAMPLES],
    )


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
