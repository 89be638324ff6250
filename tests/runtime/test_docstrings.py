import doctest
import importlib
import pkgutil

import pytest

import runtime

MODULES = [
    module.name
    for module in pkgutil.walk_packages(runtime.__path__, "runtime.")
    # It takes Great Expectations, and tests/archive/test_checks.py looks at its examples.
    if not module.name.startswith("runtime.archive.quality.")
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    attempted = (doctest.testmod(importlib.import_module(name)).attempted for name in MODULES)
    assert sum(attempted) > 5
