"""The examples in the docstrings hold."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("api", "archive", "contracts", "producers", "runtime", "stream_processors", "trainer")
ELSEWHERE = ("runtime.archive.quality.", "trainer.spark")
"""Modules that need an extra are checked by their own tests."""
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if not module.name.endswith("__main__") and not module.name.startswith(ELSEWHERE)
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    attempted = (doctest.testmod(importlib.import_module(name)).attempted for name in MODULES)
    assert sum(attempted) > 25
