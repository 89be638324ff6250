"""A real store for claims, as a single node and as a cluster."""

from collections.abc import AsyncIterator

import pytest

from contracts.keyspace import Keyspace
from contracts.topics import QUOTES, Topic
from runtime.redis.stores import connect_async
from stream_processors.store.chunks import Unwritten
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from tests.stream_processors.in_memory import indexes


@pytest.fixture(params=["store_url", "cluster_url"], ids=["single node", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def store(url: str, namespace: str) -> AsyncIterator[Store]:
    client = await connect_async(url, "tests")
    yield Store(client, Keyspace(namespace))
    await client.aclose()


async def claimed(
    store: Store, topic: Topic = QUOTES, next_offset: int = 0, folding: str = "{}"
) -> Claim:
    """Claim partition 0 of a topic, and note where it resumes."""
    position = await store.fence(topic, 0, folding)
    claim = Claim(
        store, topic, 0, position,
        next_offset=int(position.get("next", next_offset)), incarnation=0, topic_id="one",
        folding=folding, index=indexes(store.keyspace)[topic](0),
    )  # fmt: skip
    await claim.write(Unwritten(), claim.next_offset)
    return claim
