"""A store that dies, loses data, answers slowly, or is unreachable."""

import random
from pathlib import Path
from typing import Final

from tests.chaos.faults.brokers import cut
from tests.chaos.faults.flushes import in_a_flush
from tests.chaos.faults.workers import LONG_S, MOMENT_S, Seconds, one
from tests.chaos.servers.store import Node
from tests.chaos.world import World

_SLOW_ANSWER_S: Final = 0.2
_SLOW_S: Final = (4.0, 12.0)
# What `appendfsync everysec` may lose.
_UNSYNCED_S: Final = 1.0


def restart_store(world: World, rng: random.Random) -> Seconds:
    """Kill a node of the store with -9 and restart it on what it had acknowledged.

    With `appendfsync everysec` it has lost some of the last second, as in a power failure.
    """
    node = rng.choice(world.store.masters())
    before = node.written()
    yield rng.uniform(0, _UNSYNCED_S)
    world.say("kill -9 the store" + _kill(world, rng, node, before))
    yield rng.uniform(*MOMENT_S)
    world.say("start the store")
    node.start()
    yield from world.until(world.store.answers)


def restart_store_in_a_flush(world: World, rng: random.Random) -> Seconds:
    """Kill a node of the store between two chunks of a flush, and start it again.

    With `appendfsync everysec` some of the flush's first chunks may be lost.
    """
    before: list[tuple[Path, int]] = []
    way, node = yield from in_a_flush(world, rng, lambda node: before.append(node.written()))
    world.say("kill -9 the store in a flush" + _kill(world, rng, node, before[0]))
    yield rng.uniform(*MOMENT_S)
    world.say("start the store")
    node.start()
    yield from world.until(world.store.answers)
    way.open()


def _kill(world: World, rng: random.Random, node: Node, before: tuple[Path, int]) -> str:
    """Kill a node; return what it loses of what was written after `before`."""
    node.kill()
    if world.mode.appendfsync == "always":
        return ""
    return f", {node.lose_since(before, rng)} bytes are lost"


def stop_store_for_long(world: World, rng: random.Random) -> Seconds:
    """Kill the whole store, and restart it on its data after longer than any timeout."""
    world.say(f"kill -9 the store for {LONG_S:.0f} s")
    world.store.kill()
    yield LONG_S
    world.say("start the store")
    world.store.start()
    yield from world.until(world.store.answers)


def lose_store(world: World, rng: random.Random) -> Seconds:
    """Kill the store with -9 and start it empty; the operator notes the topics again."""
    world.say("kill -9 the store, everything in it is lost")
    world.store.kill()
    world.store.lose_everything()
    world.log.begin_life()
    yield rng.uniform(*MOMENT_S)
    world.store.start()
    yield from world.until(world.store.answers)
    world.note_topics()
    world.say("the store runs, empty")


def slow_store(world: World, rng: random.Random) -> Seconds:
    """Delay every answer of the store."""
    seconds = rng.uniform(*_SLOW_S)
    world.say(f"the store answers after {_SLOW_ANSWER_S} s, for {seconds:.1f} s")
    for worker in world.fleet.workers:
        worker.to_store.slow_down(_SLOW_ANSWER_S)
    yield seconds
    world.say("the store answers quickly again")
    for worker in world.fleet.workers:
        worker.to_store.slow_down(0)


def cut_from_store(world: World, rng: random.Random) -> Seconds:
    """Disconnect a worker from the store, or stall all traffic between them."""
    worker = one(world, rng)
    yield from cut(world, rng, worker.name, worker.to_store, "the store")


def cut_from_node(world: World, rng: random.Random) -> Seconds:
    """Disconnect a worker from one node of the store that others reach."""
    worker = one(world, rng)
    n = rng.randrange(len(worker.to_store.proxies))
    yield from cut(world, rng, worker.name, worker.to_store.proxies[n], f"node {n} of the store")
