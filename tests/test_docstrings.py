"""The examples in the docstrings hold."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

import pytest

PACKAGES: Final = (
    *("api", "archive", "contracts", "producers", "runtime", "stream_processors", "trainer"),
    "tickrec_client",
)
ELSEWHERE: Final = ("runtime.archive.quality.", "trainer.spark.checking")
"""Great Expectations takes seconds to import: tests that need it anyway check these."""


def modules() -> Iterator[str]:
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.endswith("__main__") and not module.name.startswith(ELSEWHERE):
                yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    if name.startswith("trainer.spark") and find_spec("pyspark") is None:
        pytest.importorskip(name, exc_type=ModuleNotFoundError)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    modules_with_examples = ("contracts.bars", "trainer.spark.running_history")
    found = [doctest.testmod(importlib.import_module(name)) for name in modules_with_examples]
    assert all(each.attempted for each in found)
