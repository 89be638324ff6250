"""Interactions that are not as they must be are not counted."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from runtime.archive.config import ArchiveConfig
from tests.trainer.spark.logs import Record, archive
from trainer.source import SourceError

if find_spec("great_expectations") is None:
    pytest.skip("the extra quality is not installed", allow_module_level=True)

GOOD = [Record(0, 0, "u", 1, "view", 0), Record(0, 1, "u", None, "erased", 1)]


def check_archive(config: ArchiveConfig, snapshot_id: int) -> None:
    # Great Expectations takes seconds to import.
    from trainer.spark.checking import check_archive

    check_archive(config, snapshot_id)


def test_a_snapshot_is_refused_with_reasons_and_the_one_before_is_not(tmp_path: Path) -> None:
    config = ArchiveConfig(warehouse=str(tmp_path))
    poisoned = [Record(0, 2, "u", 1, "view", 0, price=-1.0), Record(0, 1, "u", 1, "view", 0)]
    before, after = archive(config, [GOOD, poisoned])
    check_archive(config, before)
    with pytest.raises(SourceError, match="not counted") as refused:
        check_archive(config, after)
    for text in (
        "expect_column_values_to_be_between of price",
        "1 rows, such as log 0 partition 0 offset 2 (price -1.0)",
        "expect_column_values_to_be_in_set of place_is_new",
        "1 rows, such as log 0 partition 0 offset 1",
    ):
        assert text in str(refused.value)


def test_an_unreachable_archive_is_reported(tmp_path: Path) -> None:
    config = ArchiveConfig(
        catalog="rest", catalog_uri="http://127.0.0.1:9", warehouse=str(tmp_path)
    )
    with pytest.raises(SourceError, match="does not answer"):
        check_archive(config, 17)
