"""Settings of the archive that do not go together are refused, with the name of the setting."""

from typing import Any

import pytest
from pydantic import ValidationError

from archive.settings import ArchiveSettings
from runtime.archive.config import ArchiveConfig

FILES = {"py-io-impl": "runtime.archive.durable_files.DurableFileIO"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"catalog": "hive"}, "'sqlite', 'rest' or 'glue'"),
        ({"catalog": "rest"}, r"name the catalog's http\(s\):// URL"),
        ({"catalog": "rest", "catalog_uri": "here"}, r"name the catalog's http\(s\):// URL"),
        ({"catalog": "glue", "catalog_uri": "http://there"}, "leave it out"),
        ({"catalog_uri": "http://there"}, "no path of a file"),
        ({"warehouse": "s3://bucket"}, "with a warehouse in S3: name a file here"),
        ({"warehouse": "gs://bucket"}, "name a path, or s3://bucket/folder"),
        ({"warehouse": ""}, "name a path, or s3://bucket/folder"),
        ({"namespace": "A b"}, r"\[a-z0-9_\]"),
        ({"s3_endpoint": "minio:9000"}, "https?://"),
    ],
)
def test_conflicting_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ArchiveConfig(**settings)


def test_in_s3_glue_needs_no_more_than_the_warehouse() -> None:
    config = ArchiveConfig(catalog="glue", warehouse="s3://bucket/folder", s3_region="eu-central-1")
    assert config.catalog_properties() == {
        "type": "glue",
        "warehouse": "s3://bucket/folder",
        "s3.region": "eu-central-1",
        **FILES,
    }


def test_what_it_promises_of_erasure_leaves_time_for_each_step() -> None:
    settings = ArchiveSettings(archive_erase_within_hours=24, archive=ArchiveConfig())
    noticed = rewritten = settings.maintenance_interval_s
    assert noticed + settings.times.keep_replaced_s + rewritten <= 24 * 3_600
    assert settings.times.unreferenced_after_s <= settings.times.keep_replaced_s
