"""On Redis Cluster, all of it goes as on a single node."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from contracts.keyspace import Keyspace
from infra.local.process import free_port, running
from infra.local.store import valkey
from runtime.stores import Store
from trainer.generations.publication import read_current
from trainer.runs import Runs
from trainer.settings import TrainerSettings


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, which refuses whatever a larger one would refuse."""
    server = valkey(free_port(), tmp_path_factory.mktemp("cluster"))
    # The bus's port would be the other one + 10,000, which may be none.
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    clustered = replace(server.command, argv=(*server.command.argv, *options))
    with running(replace(server, command=clustered)):
        with redis.Redis.from_url(server.address, decode_responses=True) as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while node.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                pass
        yield server.address


def test_a_generation_is_published_and_replaced(
    store: Store, keyspace: Keyspace, settings: TrainerSettings, fill: Callable[..., object]
) -> None:
    assert isinstance(store, redis.RedisCluster)
    fill(np.random.default_rng(0).integers(0, 2, (40, 30)) * 1.0)
    runs = Runs(settings, threading.Event())
    for only_if_changed, expected in ((True, "trained"), (True, "unchanged"), (False, "trained")):
        outcome = runs.once(only_if_changed=only_if_changed, wait_for_lock_s=0)
        assert outcome == expected
    current = read_current(store, keyspace)
    assert current is not None
    served = current.variants["default"].generation
    assert store.zrange(keyspace.model_generations(), 0, -1) == [served]
    keys = store.smembers(keyspace.model_keys(served))
    assert len(keys) == 30 + 40 + 3
    assert {store.ttl(key) for key in keys} == {-1}
    assert not store.exists(keyspace.model_lock())
