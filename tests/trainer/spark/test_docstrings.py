"""The examples in the docstrings of what runs without Spark hold."""

import doctest
from types import ModuleType

import pytest

from trainer.spark import cooccurrences, running_history


@pytest.mark.parametrize("module", [cooccurrences, running_history])
def test_examples_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted
