"""The examples in the docstrings hold."""

import doctest
import importlib
import pkgutil

import pytest

import trainer

MODULES = [
    module.name
    for module in pkgutil.walk_packages(trainer.__path__, "trainer.")
    if not module.name.endswith("__main__")
    and "spark" not in module.name
    and module.name != "trainer.spark.checking"
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) > 10
