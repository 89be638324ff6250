"""Cluster faults: failovers with and without loss, and moving slots."""

import random
from typing import Final

from redis.crc import key_slot
from redis.exceptions import ResponseError

from infra.local.process import LOOPBACK
from tests.chaos.faults.stores import in_a_flush
from tests.chaos.faults.workers import MOMENT_S, Seconds
from tests.chaos.messages import FOLLOWED
from tests.chaos.servers.cluster import Cluster, id_of
from tests.chaos.servers.store import Node
from tests.chaos.world import World

_LAG_S: Final = (0.1, 2.0)
_KEYS_A_STEP: Final = 2
_MIGRATE_MS: Final = 5_000


def fail_over(world: World, rng: random.Random) -> Seconds:
    """Kill a master; its replica, without the last writes, takes over."""
    master, _ = rng.choice(_cluster(world).pairs())
    _stop_replication(master)
    yield rng.uniform(*_LAG_S)
    yield from _take_over(world, rng, master)


def fail_over_in_a_flush(world: World, rng: random.Random) -> Seconds:
    """Kill a master between two chunks of a flush; its replica misses the first chunks."""
    way, master = yield from in_a_flush(world, rng, _stop_replication)
    yield from _take_over(world, rng, master)
    way.open()


def _stop_replication(master: Node) -> None:
    """Stop all replication, and have replicas notice at once."""
    master.call("ACL SETUSER", "default", "-psync", "-sync")
    master.call("CLIENT KILL", "TYPE", "replica")


def _take_over(world: World, rng: random.Random, master: Node) -> Seconds:
    (replica,) = (replica for of, replica in _cluster(world).pairs() if of is master)
    missing = (
        master.info("replication")["master_repl_offset"]
        - replica.info("replication")["slave_repl_offset"]
    )
    world.say(f"kill -9 a master whose replica is {missing} bytes behind")
    master.kill()
    yield rng.uniform(*MOMENT_S)
    replica.call("CLUSTER FAILOVER", "TAKEOVER")
    yield from world.until(lambda: replica.info("replication")["role"] == "master")
    world.say("the replica is the master")
    yield rng.uniform(*MOMENT_S)
    master.start()
    yield from world.until(world.store.answers)
    world.say("its former master follows")


def hand_over(world: World, rng: random.Random) -> Seconds:
    """Swap a master and its replica, as before maintenance: nothing is lost."""
    master, replica = rng.choice(_cluster(world).pairs())
    world.say("a master hands over to its replica")
    replica.call("CLUSTER FAILOVER")
    yield from world.until(
        lambda: (
            replica.info("replication")["role"] == "master"
            and master.info("replication")["role"] == "slave"
        )
    )
    yield from world.until(world.store.answers)


def reshard(world: World, rng: random.Random) -> Seconds:
    """Move the slot of a partition to another master, key by key, while workers write."""
    cluster = _cluster(world)
    topic = rng.choice(FOLLOWED)
    p = rng.randrange(world.partitions(topic))
    slot = key_slot(f"{topic.letter}{p}".encode())
    source = cluster.owner_of(slot)
    target = rng.choice([node for node in cluster.masters() if node is not source])
    world.say(f"move slot {slot} of {topic.name}/{p}")
    target.call("CLUSTER SETSLOT", slot, "IMPORTING", id_of(source))
    source.call("CLUSTER SETSLOT", slot, "MIGRATING", id_of(target))
    before = _redirected(source, target)
    moved = 0
    while not _is_handed_over(slot, source, target):
        keys = source.call("CLUSTER GETKEYSINSLOT", slot, _KEYS_A_STEP)
        if keys:
            # Fails with BUSYKEY if a worker has recreated a key at the target.
            source.call("MIGRATE", LOOPBACK, target.port, "", 0, _MIGRATE_MS, "KEYS", *keys)
            moved += len(keys)
        yield 0.0
    for node in cluster.masters():
        node.call("CLUSTER SETSLOT", slot, "NODE", id_of(target))
    redirected = _redirected(source, target) - before
    world.say(f"slot {slot} is moved, {moved} keys, {redirected} calls came to the wrong node")
    yield from world.until(world.store.answers)


def _is_handed_over(slot: int, source: Node, target: Node) -> bool:
    """Make the target the owner, unless the source has keys left."""
    if source.call("CLUSTER COUNTKEYSINSLOT", slot):
        return False
    try:
        for node in (target, source):
            node.call("CLUSTER SETSLOT", slot, "NODE", id_of(target))
    except ResponseError:
        return False
    return True


def _redirected(*nodes: Node) -> int:
    return sum(node.errors(error) for node in nodes for error in ("ASK", "MOVED", "TRYAGAIN"))


def _cluster(world: World) -> Cluster:
    assert isinstance(world.store, Cluster)
    return world.store
