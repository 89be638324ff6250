"""What `once` learns from, by its options."""

import sys
import threading

import pytest

from trainer.commands.engines import Engine, source_of
from trainer.source import SourceError

NEEDED = "--master, --snapshot and --again need --engine spark"


@pytest.mark.parametrize(
    ("engine", "options", "error"),
    [
        (Engine.REDIS, ("local[2]", None, None), NEEDED),
        (Engine.REDIS, (None, 7, None), NEEDED),
        (Engine.REDIS, (None, None, "20261126T052721Z-15"), NEEDED),
        (Engine.SPARK, (None, 7, "20261126T052721Z-15"), "--again and --snapshot both choose"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    engine: Engine, options: tuple[str | None, int | None, str | None], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        source_of(engine, *options, threading.Event())


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    for module in ("trainer.spark.checking", "runtime.archive.quality.checking"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    needed = r"needs the package great_expectations.* requirements-spark.lock"
    with pytest.raises(SourceError, match=needed):
        source_of(Engine.SPARK, None, None, None, threading.Event())
