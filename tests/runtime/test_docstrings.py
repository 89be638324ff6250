import doctest
import importlib

import pytest

MODULES = [
    "kafka.refusals",
    "redis.policy",
    "redis.refusals",
    "redis.stores",
    "redis.url",
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"runtime.{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)
