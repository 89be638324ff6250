"""Pages of expectations and results: the data docs of Great Expectations."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from runtime.archive.quality.checking import Checked
from runtime.archive.quality.contexts import context

_SITE: Final = "archive"


def write_docs(folder: Path, checked: Iterable[Checked], now_ms: int) -> Path:
    """Write pages to a folder, created if missing, and return the first one to read.

    Args:
        folder: the results of an earlier check there are overwritten.
        checked: the tables; those without rows have no page of results.
        now_ms: the clock, epoch ms.

    Raises:
        OSError: they cannot be written there.
    """
    of_run = context()
    of_run.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(folder.resolve()),
            },
        },
    )
    at = datetime.fromtimestamp(now_ms / 1_000, UTC)
    for each in checked:
        of_run.suites.add(each.suite)
        suite = ExpectationSuiteIdentifier(each.table)
        run = RunIdentifier(run_name=f"snapshot-{each.snapshot_id}", run_time=at)
        key = ValidationResultIdentifier(suite, run, batch_identifier=each.table)
        of_run.validation_results_store.store_validation_results(_result(each, run), key, suite)
    of_run.build_data_docs([_SITE])
    return folder / "index.html"


def _result(checked: Checked, run: RunIdentifier) -> ExpectationSuiteValidationResult:
    n, failed = len(checked.results), len(checked.failed)
    return ExpectationSuiteValidationResult(
        success=not failed,
        results=list(checked.results),
        suite_name=checked.table,
        statistics={
            "evaluated_expectations": n,
            "successful_expectations": n - failed,
            "unsuccessful_expectations": failed,
            "success_percent": 100 * (n - failed) / n if n else None,
        },
        meta={
            "run_id": run.to_json_dict(),
            "active_batch_definition": {"data_asset_name": checked.table},
        },
    )
