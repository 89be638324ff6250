"""Claims on a real store."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from contracts.keyspace import Keyspace
from contracts.topics import QUOTES, Topic
from runtime.redis.stores import connect_async
from stream_processors.store.chunks import Unwritten
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from tests.stream_processors.in_memory import index_of


@contextlib.asynccontextmanager
async def connected(url: str, namespace: str, **options: Any) -> AsyncIterator[Store]:
    """Yield the store at a URL, as workers use it."""
    client = await connect_async(url, "tests", **options)
    yield Store(client, Keyspace(namespace))
    await client.aclose()


async def claimed(
    store: Store,
    topic: Topic = QUOTES,
    partition: int = 0,
    next_offset: int = 0,
    folding: str = "{}",
) -> Claim:
    """Claim a partition of a topic, and note where it resumes."""
    position = await store.fence(topic, partition, folding)
    claim = Claim(
        store, topic, partition, position,
        next_offset=int(position.get("next", next_offset)), incarnation=0, topic_id="one",
        folding=folding, index=index_of(store.keyspace, topic, partition),
    )  # fmt: skip
    await claim.write(Unwritten(), claim.next_offset)
    return claim
