import doctest
import importlib

import pytest

MODULES = ["store_policy", "store_refusals", "store_url", "stores"]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"runtime.{module}"))
    assert (result.failed, result.attempted > 0) == (0, True)
