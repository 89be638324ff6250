from collections.abc import Iterator

import pytest

from stream_processors.bars import bars, table
from tests.stream_processors.simulation import small_steps


@pytest.fixture(scope="module")
def small_steps_of_bars() -> Iterator[None]:
    """More points to stop at: every bound is at a bar or two."""
    with small_steps(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(bars, "_MAX_CHANGED", 1)
        patch.setattr(bars, "_OPEN_AT_ONCE", 1)
        patch.setattr(table, "_EVICT_AT_LEAST", 1)
        patch.setattr(table, "_CACHED_MINUTES", 1)
        patch.setattr(table, "_INSTRUMENTS_AT_MOST", 2)
        yield
