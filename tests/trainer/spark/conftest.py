"""An archive, and one Spark session for all tests: it takes longer to start than they do."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from runtime.archive.config import ArchiveConfig

SessionOf = Any
"""A function without arguments that returns a context with a Spark session."""


@pytest.fixture
def config(tmp_path: Path) -> ArchiveConfig:
    return ArchiveConfig(warehouse=str(tmp_path / "archive"))


@pytest.fixture(scope="session")
def spark() -> Iterator[SessionOf]:
    pytest.importorskip("pyspark", reason="pyspark is not installed: `make spark` runs this")
    from trainer.spark.session import session

    with session("local[2]", threading.Event()) as started:

        def of() -> AbstractContextManager[Any]:
            return nullcontext(started)

        yield of
