"""The examples in the docstrings hold."""

import doctest
import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

import pytest

from tests.commands import ROOT

FOLDERS: Final = (
    *("api", "archive", "benchmarks", "contracts", "infra", "operations", "producers", "runtime"),
    *("stream_processors", "trainer", "clients/python/src/tickrec_client"),
)
ELSEWHERE: Final = "runtime.archive.quality."
"""Great Expectations takes seconds to import: tests that need it anyway check these."""


def modules_with_examples() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(file.relative_to((ROOT / folder).parent).with_suffix("").parts)
            if ">>>" in file.read_text() and not name.startswith(ELSEWHERE):
                yield name.removesuffix(".__init__")


@pytest.mark.parametrize("name", [*modules_with_examples()])
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    if name.startswith("trainer.spark") and find_spec("pyspark") is None:
        pytest.importorskip(name, exc_type=ModuleNotFoundError)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert found.failed == 0
