"""On Redis Cluster, all of it goes as on a single node."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis
from rich.progress import Progress

from infra.local.process import LOOPBACK, free_port, running
from infra.local.store import valkey
from tests.oracles.gram import gram_matrix
from tests.patience import eventually
from tests.trainer.setup import PARTITIONS, Setup
from trainer.reading import hashes, read_gram, read_user_items
from trainer.stages import Stages


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[redis.Redis]]:
    """The nodes of a cluster of two, with half of the slots each."""
    folder = tmp_path_factory.mktemp("nodes")
    with contextlib.ExitStack() as stack:
        nodes, buses = [], [free_port(), free_port()]
        for bus in buses:
            server = valkey(free_port(), folder / str(bus))
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            clustered = replace(server.command, argv=(*server.command.argv, *options))
            stack.enter_context(running(replace(server, command=clustered)))
            node = redis.Redis.from_url(server.address, decode_responses=True)
            nodes.append(stack.enter_context(node))
        for node, slots in zip(nodes, ((0, 8191), (8192, 16383)), strict=True):
            node.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
        nodes[0].execute_command("CLUSTER MEET", LOOPBACK, _port(nodes[1]), buses[1])
        for node in nodes:
            eventually(lambda node=node: is_whole(node), "a whole cluster")
        yield nodes


@pytest.fixture(scope="module")
def store_url(nodes: list[redis.Redis]) -> str:
    return f"redis://{LOOPBACK}:{_port(nodes[0])}"


def is_whole(node: redis.Redis) -> bool:
    return bool(node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def _port(node: redis.Redis) -> int:
    return int(node.connection_pool.connection_kwargs["port"])


def _move(nodes: list[redis.Redis], key: str) -> None:
    """Move the slot of a key, with all keys in it, to the other node."""
    slot = nodes[0].execute_command("CLUSTER KEYSLOT", key)
    target, source = sorted(
        nodes, key=lambda node: node.execute_command("CLUSTER COUNTKEYSINSLOT", slot)
    )
    its_id, other_id = (node.execute_command("CLUSTER MYID") for node in (source, target))
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", its_id)
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", other_id)
    keys = source.execute_command("CLUSTER GETKEYSINSLOT", slot, 1_000)
    source.execute_command("MIGRATE", LOOPBACK, _port(target), "", 0, 5_000, "KEYS", *keys)
    for node in (target, source):
        node.execute_command("CLUSTER SETSLOT", slot, "NODE", other_id)


def test_counts_and_histories_are_read_from_all_nodes_and_followed_to_where_they_move(
    nodes: list[redis.Redis], setup: Setup, long_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "FIELDS_PER_BLOCK", 300)
    affinities, before = setup.fill(np.random.default_rng(0).random((40, 30))), _redirected(nodes)
    gram = read_gram(setup.store, setup.keys, PARTITIONS, _moving(nodes, setup.keys.items(0)))
    assert (gram.counts.toarray() == gram_matrix(affinities)).all()
    users = read_user_items(
        setup.store, setup.keys, PARTITIONS, 100, _moving(nodes, setup.keys.active(0))
    )
    assert users.users == [f"u{u}" for u in reversed(range(40))]
    assert (users.affinities.toarray() == affinities[::-1]).all()
    assert _redirected(nodes) > before


def _redirected(nodes: list[redis.Redis]) -> int:
    """Return how many commands came to the wrong node so far."""
    errors = [node.info("errorstats") for node in nodes]
    return sum(its.get("errorstat_MOVED", {"count": 0})["count"] for its in errors)


def _moving(nodes: list[redis.Redis], index: str) -> Stages:
    """Return stages, in the first of which the keys of a partition move to the other node."""
    remaining = [index]
    return Stages(
        lambda: _move(nodes, remaining.pop()) if remaining else None, Progress(disable=True)
    )


def test_a_generation_is_published_and_replaced(setup: Setup) -> None:
    assert isinstance(setup.store, redis.RedisCluster)
    setup.fill(np.random.default_rng(0).integers(0, 2, (40, 30)) * 1.0)
    assert [setup.run(), setup.run(), setup.run(asked=True)] == ["trained", "unchanged", "trained"]
    generation = setup.served().generation
    assert setup.store.zrange(setup.keys.model_generations(), 0, -1) == [generation]
    keys = setup.store.smembers(setup.keys.model_keys(generation))
    assert len(keys) == 30 + 40 + 3
    assert {setup.store.ttl(key) for key in keys} == {-1}
    assert not setup.store.exists(setup.keys.model_lock())
