"""Histories are read from Redis intact, even if too long for one call."""

from collections.abc import AsyncIterator

import pytest

from contracts.topics import INTERACTIONS
from stream_processors.histories.histories import read_histories
from stream_processors.store.chunks import Group, Unwritten, command
from stream_processors.store.claims import Claim
from tests.stream_processors.claimed import claimed, connected

LENGTHS = [2_500, 0, 1, 1_000, 1_001]


@pytest.fixture
async def claim(store_url: str, namespace: str) -> AsyncIterator[Claim]:
    async with connected(store_url, namespace) as store:
        yield await claimed(store, INTERACTIONS)


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
