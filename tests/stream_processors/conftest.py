"""Fixtures of workers' parts.

- `compiled_code` (session): it is loaded, as some seconds after a worker's start; without it,
  records are found in Python, and quotes parsed one by one.
- `in_small_steps` (module): `small_steps` of the simulation.
"""

from collections.abc import Iterator

import pytest

from stream_processors.compiled import CODE
from tests.stream_processors.simulation import small_steps


@pytest.fixture(scope="session")
def compiled_code() -> None:
    CODE.load()
    assert CODE.ordinary_quotes is not None


@pytest.fixture(scope="module")
def in_small_steps() -> Iterator[None]:
    with small_steps():
        yield
