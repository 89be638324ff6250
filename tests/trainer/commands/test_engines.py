"""What `once` learns from, by its options."""

import sys
import threading

import pytest

from trainer.commands.engines import Engine, source_of
from trainer.source import RedisSource, SourceError


def test_without_options_it_is_what_the_workers_keep() -> None:
    assert source_of(Engine.REDIS, None, None, None, threading.Event()) is RedisSource


@pytest.mark.parametrize(
    ("master", "snapshot", "again"),
    [("local[2]", None, None), (None, 7, None), (None, None, "20261126T052721Z-15")],
)
def test_options_of_spark_need_spark(
    master: str | None, snapshot: int | None, again: str | None
) -> None:
    with pytest.raises(ValueError, match="--master, --snapshot and --again need --engine spark"):
        source_of(Engine.REDIS, master, snapshot, again, threading.Event())


def test_the_data_source_is_chosen_by_only_one_option() -> None:
    with pytest.raises(ValueError, match="--again and --snapshot both choose"):
        source_of(Engine.SPARK, None, 7, "20261126T052721Z-15", threading.Event())


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    for module in ("trainer.spark.checking", "runtime.archive.quality.checking"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    needed = r"needs the package great_expectations.* requirements-spark.lock"
    with pytest.raises(SourceError, match=needed):
        source_of(Engine.SPARK, None, None, None, threading.Event())
