"""Compiled code, as a worker uses it some seconds after its start.

- `compiled_code` (session): it is loaded; without it, records are found in Python, and quotes
  parsed one by one.
"""

import pytest

from stream_processors.compiled import CODE


@pytest.fixture(scope="session")
def compiled_code() -> None:
    CODE.load()
    assert CODE.ordinary_quotes is not None
