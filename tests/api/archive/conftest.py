"""An archive of three days, and an application that reads it behind what Redis retains."""

from collections.abc import AsyncIterator

import httpx
import pytest

from runtime.archive.config import ArchiveConfig
from tests.api.conftest import Filled, Serve

from .market import ARCHIVED_ONLY, DAY_MS, RUNNING_MS, Market, Quote, append, row, table_of


@pytest.fixture(scope="session")
def market() -> Market:
    return Market.drawn(seed=1, days=3)


@pytest.fixture(scope="session")
def archive(market: Market, tmp_path_factory: pytest.TempPathFactory) -> ArchiveConfig:
    """The table: each minute twice or more, the earlier revision in another file."""
    config = ArchiveConfig(warehouse=str(tmp_path_factory.mktemp("archive")))
    table = table_of(config)
    append(table, market.rows(RUNNING_MS, late=True))
    append(table, market.rows(RUNNING_MS, late=False))
    append(table, list(market.rows(RUNNING_MS, late=False))[:100])
    append(table, [row(ARCHIVED_ONLY, RUNNING_MS - DAY_MS, [Quote(1, 2, 3)], 1)])
    return config


@pytest.fixture
async def client(serve: Serve, archive: ArchiveConfig) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has the archive, and Redis what a test writes."""
    async with serve(archive=archive) as serving:
        yield serving


@pytest.fixture
async def archived(client: httpx.AsyncClient, filled: Filled, market: Market) -> httpx.AsyncClient:
    """A client of an application whose Redis has the last hour."""
    market.held(filled)
    return client
