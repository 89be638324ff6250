import doctest
import importlib
import pkgutil

import pytest

import contracts

MODULES = [f"contracts.{module.name}" for module in pkgutil.iter_modules(contracts.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(module)).attempted for module in MODULES) > 2
