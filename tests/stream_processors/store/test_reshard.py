"""A slot moves from one node of a cluster to another, key by key, while a worker uses it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from redis.crc import key_slot

from contracts.topics import INTERACTIONS
from stream_processors.store.chunks import ON_INDEX, Group, Unwritten, command
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from tests.api.test_cluster import Cluster, cluster  # noqa: F401 (a fixture)
from tests.patience import until
from tests.stream_processors.claimed import claimed, connected


class Moving:
    """The slot of partition 0 of interactions, moving between two masters."""

    def __init__(self, its_cluster: Cluster, key: str) -> None:
        self.slot = key_slot(key.encode())
        self._cluster = its_cluster
        count = ("CLUSTER COUNTKEYSINSLOT", self.slot)
        self._source = 0 if its_cluster.clients[0].execute_command(*count) else 1
        self._target = 1 - self._source

    def begin(self) -> None:
        source, target = self._cluster.ids()[self._source], self._cluster.ids()[self._target]
        clients = self._cluster.clients
        clients[self._target].execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", source)
        clients[self._source].execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", target)

    def move(self, *keys: str) -> None:
        port = self._cluster.ports()[self._target]
        client = self._cluster.clients[self._source]
        client.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5_000, "KEYS", *keys)

    def end(self) -> None:
        self._cluster.hand_over(self.slot, self._source, self._target)


@pytest.fixture
async def store(cluster: Cluster, namespace: str) -> AsyncIterator[Store]:  # noqa: F811
    async with connected(cluster.servers[0].address, namespace) as store:
        yield store
    for master in cluster.clients[:2]:  # else the slot keeps keys that do not move with the next
        master.flushall()


@pytest.fixture
async def claim(store: Store) -> Claim:
    """A partition with two histories in Redis."""
    mine = await claimed(store, INTERACTIONS)
    keys = [store.keyspace.history(0, user) for user in ("A", "B")]
    groups = [
        Group(key, [*command("ZADD", ["1", key], ON_INDEX), *command("HSET", ["1", "{}"])])
        for key in keys
    ]
    await mine.write(Unwritten(groups), 10)
    return mine


@pytest.mark.parametrize("moved", ["the position", "both"])
async def test_keys_that_have_not_moved_yet_are_waited_for_and_never_taken_for_empty(
    cluster: Cluster,  # noqa: F811
    store: Store,
    claim: Claim,
    moved: str,
) -> None:
    position = store.keyspace.position(INTERACTIONS, 0)
    a, b, active = *(store.keyspace.history(0, u) for u in "AB"), store.keyspace.active(0)
    moving = Moving(cluster, position)
    moving.begin()
    first = [position] if moved == "the position" else [position, a]
    moving.move(*first)
    with structlog.testing.capture_logs() as logs:
        reading = asyncio.create_task(
            claim.read([Group(key, command("HGETALL", [])) for key in (a, b)])
        )
        await until(lambda: logs or reading.done(), "it waits")
        assert not reading.done(), "what has not moved yet was read"
        rest = {position, a, b, active} - set(first)
        await asyncio.to_thread(moving.move, *rest)
        moving.end()
        assert await reading == [["1", "{}"], ["1", "{}"]]
        await claim.write(Unwritten([Group(b, command("HSET", ["2", "{}"]))]), 20)
    assert await store.hash_of(b) == {"1": "{}", "2": "{}"}
    assert (await store.position(INTERACTIONS, 0))["next"] == "20"
