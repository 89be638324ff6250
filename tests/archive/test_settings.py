"""The archive's settings: read by their names, refused by their bounds."""

from itertools import zip_longest
from typing import Final

import pytest
from typer.testing import CliRunner

from archive.__main__ import app
from archive.settings import ArchiveSettings
from runtime.archive.config import ArchiveConfig
from runtime.settings import InputSettings, MetricsSettings, SettingsError, read_settings
from tests.settings.wrong_values import wrong_values_of
from trainer.settings_file import flat_fields

OWN: Final = {
    name.upper(): field
    for name, field in flat_fields(ArchiveSettings).items()
    if name not in flat_fields(MetricsSettings) | flat_fields(InputSettings)
    and name != "metrics_port"
}
OTHERS: Final = {
    "ARCHIVE_CATALOG": "rest",
    "ARCHIVE_WAREHOUSE": "elsewhere",
    "ARCHIVE_CATALOG_URI": "http://127.0.0.1:9",
    "ARCHIVE_NAMESPACE": "shop",
    "ARCHIVE_S3_ENDPOINT": "http://127.0.0.1:10",
    "ARCHIVE_S3_REGION": "eu-central-1",
    "ARCHIVE_FLUSH_INTERVAL_S": "0.5",
    "ARCHIVE_BUFFER_MB": "7",
    "ARCHIVE_FILE_MB": "8",
    "ARCHIVE_ERASE_WITHIN_HOURS": "9",
}
WRONG_WAREHOUSE: Final = ("gs://bucket", "name a path, or s3://bucket/folder")
WRONG_URI: Final = ("http://there", "no path of a file")
"""Right for a REST catalog, but not for a catalog in a file."""


def test_each_setting_is_read_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(ArchiveSettings)
    read = {f"archive_{name}": value for name, value in settings.archive}
    read |= {name: value for name, value in settings if name.startswith("archive_")}
    assert {name.upper(): str(value).removesuffix(".0") for name, value in read.items()} == OTHERS
    assert OTHERS.keys() == OWN.keys()


def test_each_wrong_value_is_named_with_its_setting_and_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = OWN | {"METRICS_PORT": ArchiveSettings.model_fields["metrics_port"]}
    wrong = {name: list(wrong_values_of(field)) for name, field in fields.items()}
    wrong["ARCHIVE_WAREHOUSE"].append(WRONG_WAREHOUSE)
    rounds = zip_longest(*([(name, *one) for one in values] for name, values in wrong.items()))
    for given in (*rounds, [("ARCHIVE_CATALOG_URI", *WRONG_URI)]):
        with monkeypatch.context() as patch:
            for name, value, _ in filter(None, given):
                patch.setenv(name, value)
            with pytest.raises(SettingsError) as refused:
                read_settings(ArchiveSettings)
        said = str(refused.value).splitlines()
        for name, value, reason in filter(None, given):
            (line,) = [line for line in said if f"{name}=" in line]
            assert repr(value) in line
            assert reason in line
    unruled = {name for name, values in wrong.items() if not values}
    assert unruled == {"ARCHIVE_CATALOG_URI", "ARCHIVE_S3_REGION"}


def test_a_wrong_value_ends_it() -> None:
    done = CliRunner().invoke(app, ["run"], env={"ARCHIVE_BUFFER_MB": "0"})
    assert done.exit_code == 2
    assert "ARCHIVE_BUFFER_MB='0'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_it_promises_of_erasure_leaves_time_for_each_step() -> None:
    settings = ArchiveSettings(archive_erase_within_hours=24, archive=ArchiveConfig())
    noticed = rewritten = settings.maintenance_interval_s
    assert noticed + settings.times.keep_replaced_s + rewritten <= 24 * 3_600
    assert settings.times.unreferenced_after_s <= settings.times.keep_replaced_s
