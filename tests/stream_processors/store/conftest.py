"""A real store for claims, as a single node and as a cluster."""

from collections.abc import AsyncIterator

import pytest

from stream_processors.store.store import Store
from tests.stream_processors.folding import connected


@pytest.fixture(params=["store_url", "cluster_url"], ids=["single node", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def store(url: str, namespace: str) -> AsyncIterator[Store]:
    async with connected(url, namespace) as store:
        yield store
