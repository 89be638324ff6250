"""A dead, silent or full shard of a cluster stops only its own partitions; and one that moves."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
import structlog
from redis.crc import key_slot

from contracts.topics import INTERACTIONS, QUOTES, Topic
from infra.local.process import LOOPBACK
from runtime.redis.stores import check_kept_async
from runtime.topology import Topology
from stream_processors.__main__ import check_memory, check_state
from stream_processors.health import answers_soon
from stream_processors.patience import STORE, WAITS, Waits
from stream_processors.settings import Settings
from stream_processors.store.chunks import ON_INDEX, Group, Unwritten, command
from stream_processors.store.store import FoldingError, Store
from tests.chaos.servers.cluster import Cluster, id_of, partial_cluster
from tests.patience import PATIENCE_S, until
from tests.stream_processors.folding import claimed, connected

TOPOLOGY = Topology(16, 16, 16)
SETTINGS = Settings()
AILING, WELL = 0, 1
"""Masters; clients of the cluster ask the first one for the list of commands."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with partial_cluster(tmp_path_factory.mktemp("cluster"), "everysec") as cluster:
        yield cluster


@pytest.fixture
async def store(cluster: Cluster, namespace: str) -> AsyncIterator[Store]:
    async with connected(cluster.nodes[WELL].address, namespace, timeout_s=1) as store:
        yield store


def partition_on(cluster: Cluster, store: Store, master: int, topic: Topic = QUOTES) -> int:
    """A partition whose keys are on that master."""
    keys = {p: store.keyspace.position(topic, p) for p in range(TOPOLOGY.quotes)}
    return next(
        p
        for p, key in keys.items()
        if cluster.owner_of(key_slot(key.encode())) is cluster.nodes[master]
    )


async def fence(store: Store, partition: int, waits: Waits) -> dict[str, str]:
    """Claim a partition in a task that is tracked as waiting, like a partition's own."""
    WAITS.set(waits)
    return await store.fence(QUOTES, partition, SETTINGS.folding_of_bars())


async def test_a_worker_starts_without_a_dead_shard_and_only_the_partitions_of_that_wait(
    cluster: Cluster, store: Store
) -> None:
    ailing, well = (partition_on(cluster, store, master) for master in (AILING, WELL))
    cluster.nodes[AILING].kill()
    of_ailing, of_well = Waits(), Waits()
    with structlog.testing.capture_logs() as logs:
        address, namespace = cluster.nodes[WELL].address, store.keyspace.namespace
        async with asyncio.timeout(PATIENCE_S), connected(address, namespace, timeout_s=1) as its:
            await check_kept_async(its.client)
            await check_state(SETTINGS, its, TOPOLOGY)
            waiting = asyncio.create_task(fence(its, ailing, of_ailing))
            await until(lambda: of_ailing, "it waits")
            assert (await asyncio.create_task(fence(its, well, of_well)))["epoch"]
            assert (list(of_ailing), list(of_well), waiting.done()) == ([STORE], [], False)
            assert not await answers_soon(its.answers)
            cluster.nodes[AILING].start()
            assert (await waiting)["epoch"]
    assert not of_ailing
    assert any("unreachable" in entry["event"] for entry in logs)


@pytest.mark.parametrize("setting", ["maxmemory", "min-replicas-to-write"])
async def test_a_partition_of_a_shard_that_rejects_writes_waits_and_goes_on_when_it_takes_them(
    cluster: Cluster, store: Store, setting: str
) -> None:
    waits, full = Waits(), cluster.nodes[AILING]
    partition = partition_on(cluster, store, AILING)
    full.call("CONFIG SET", setting, 9)
    with structlog.testing.capture_logs():
        waiting = asyncio.create_task(fence(store, partition, waits))
        await until(lambda: waits, "it waits")
        assert await store.answers()
        assert waits.over_for_s(STORE) == 0
        full.call("CONFIG SET", setting, 0)
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting)["epoch"]
    assert not waits
    assert waits.over_for_s(STORE) < PATIENCE_S


async def test_a_silent_shard_does_not_answer_and_the_others_do(
    cluster: Cluster, store: Store
) -> None:
    partitions = [partition_on(cluster, store, master) for master in (AILING, WELL)]
    cluster.nodes[AILING].signal(signal.SIGSTOP)
    try:
        said = [await answers_soon(partial(store.shard_answers, QUOTES, p)) for p in partitions]
        assert said == [False, True]
    finally:
        cluster.nodes[AILING].signal(signal.SIGCONT)


@pytest.mark.parametrize("moved", [1, 2])
async def test_keys_that_have_not_moved_yet_are_waited_for_and_never_taken_for_empty(
    cluster: Cluster, store: Store, moved: int
) -> None:
    """A slot goes to another node, key by key, while a worker uses it."""
    claim = await claimed(store, INTERACTIONS)
    position, active = store.keyspace.position(INTERACTIONS, 0), store.keyspace.active(0)
    a, b = (store.keyspace.history(0, user) for user in "AB")
    values = [
        Group(key, [*command("ZADD", ["1", key], ON_INDEX), *command("HSET", ["1", "{}"])])
        for key in (a, b)
    ]
    await claim.write(Unwritten(values), 10)
    slot = key_slot(position.encode())
    source = cluster.owner_of(slot)
    target = next(node for node in cluster.masters() if node is not source)
    target.call("CLUSTER SETSLOT", slot, "IMPORTING", id_of(source))
    source.call("CLUSTER SETSLOT", slot, "MIGRATING", id_of(target))
    keys = [position, a, b, active]
    migrate = ("MIGRATE", LOOPBACK, target.port, "", 0, 5_000, "KEYS")
    source.call(*migrate, *keys[:moved])
    with structlog.testing.capture_logs() as logs:
        questions = [Group(key, command("HGETALL", [])) for key in (a, b)]
        reading = asyncio.create_task(claim.read(questions))
        await until(lambda: logs or reading.done(), "it waits")
        assert not reading.done(), "what has not moved yet was read"
        await asyncio.to_thread(source.call, *migrate, *keys[moved:])
        for node in (target, *cluster.masters()):
            node.call("CLUSTER SETSLOT", slot, "NODE", id_of(target))
        assert await reading == [["1", "{}"], ["1", "{}"]]
        await claim.write(Unwritten([Group(b, command("HSET", ["2", "{}"]))]), 20)
    assert await store.hash_of(b) == {"1": "{}", "2": "{}"}
    assert (await store.position(INTERACTIONS, 0))["next"] == "20"


async def test_a_reachable_shard_folded_with_other_settings_is_still_refused_at_the_start(
    cluster: Cluster, namespace: str
) -> None:
    # A busy machine may keep the reachable shard from answering within a second, too.
    async with connected(cluster.nodes[WELL].address, namespace, timeout_s=PATIENCE_S) as store:
        partition = partition_on(cluster, store, WELL, INTERACTIONS)
        key = store.keyspace.position(INTERACTIONS, partition)
        await store.client.hset(key, "folding", '{"history_cap":50}')
        cluster.nodes[AILING].kill()  # it stays so: this is the last test
        with structlog.testing.capture_logs():
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(FoldingError, match="HISTORY_CAP was 50 and is 500"):
                    await check_state(SETTINGS, store, TOPOLOGY)
                await check_memory(SETTINGS, store, TOPOLOGY)  # at once, and without an error
