"""Histories are read from Redis intact, even if too long for one call."""

from collections.abc import AsyncIterator

import pytest

from contracts.keyspace import Keyspace
from contracts.topics import INTERACTIONS
from runtime.redis.stores import connect_async
from stream_processors.histories.reading import read_histories
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store

pytestmark = pytest.mark.integration

LENGTHS = [2_500, 0, 1, 1_000, 1_001]


@pytest.fixture
async def claim(store_url: str, namespace: str) -> AsyncIterator[Claim]:
    client = await connect_async(store_url, "tests")
    store = Store(client, Keyspace(namespace))
    claim = Claim(
        store, INTERACTIONS, 0, await store.fence(INTERACTIONS, 0, "{}"),
        next_offset=0, incarnation=0, topic_id="an id", folding="{}",
        index=store.keyspace.active(0),
    )  # fmt: skip
    await claim.write(Unwritten(), 0)
    yield claim
    await client.aclose()


@pytest.mark.parametrize("cap", [500, 5_000])
async def test_all_items_of_all_users_come_in_their_order(claim: Claim, cap: int) -> None:
    keys = [claim.keyspace.history(0, str(user)) for user in range(len(LENGTHS))]
    stored = [{str(item): f"{{{item}}}" for item in range(length)} for length in LENGTHS]
    groups = [
        Group(key, command("HSET", [text for pair in its.items() for text in pair]))
        for key, its in zip(keys, stored, strict=True)
        if its
    ]
    await claim.write(Unwritten(groups), 1)
    read = await read_histories(claim, keys, cap)
    assert [dict(zip(its[::2], its[1::2], strict=True)) for its in read] == stored
