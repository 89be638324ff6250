"""Fixtures of workers' parts."""

from collections.abc import Iterator

import pytest

from stream_processors.compiled import CODE
from tests.stream_processors.simulation import small_steps


@pytest.fixture(scope="session")
def compiled_code() -> None:
    """Loads it, as a worker does soon; without it Python finds and parses records."""
    CODE.load()
    assert CODE.ordinary_quotes is not None


@pytest.fixture(scope="module")
def in_small_steps() -> Iterator[None]:
    with small_steps():
        yield
