"""A store that dies, loses data, refuses writes, answers slowly, or is unreachable."""

import random
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from tests.chaos.faults.brokers import cut
from tests.chaos.faults.workers import (
    CUT_S,
    LONG_S,
    MOMENT_S,
    TO_THE_WRITE_S,
    Seconds,
    one,
    stall_at_a_write,
)
from tests.chaos.proxy import Link
from tests.chaos.servers.store import Node, Single
from tests.chaos.world import World

_SLOW_ANSWER_S: Final = 0.2
_SLOW_S: Final = (4.0, 12.0)
# What `appendfsync everysec` may lose.
_UNSYNCED_S: Final = 1.0
# More than any master has here.
_TOO_MANY_REPLICAS: Final = 5


def in_a_flush(
    world: World, rng: random.Random, begin: Callable[[Node], object]
) -> Generator[float, None, tuple[Link, Node]]:
    """Stop a worker in the middle of a flush: some chunks are written, the next are held back.

    Args:
        world: under load.
        rng: chooses worker and topic.
        begin: called with the node that is written to, when a chunk is on its way there; what is
            written from then on belongs to the same flush, mostly.

    Returns:
        The worker's way to the store, which holds the next chunk back until it is opened; and the
        node. One of the masters, and an open way, if there was no such write.
    """
    way = one(world, rng).to_store
    words = yield from stall_at_a_write(world, rng, way)
    place = way.held_back()
    node = rng.choice(world.store.masters()) if place is None else world.store.nodes[place]
    begin(node)
    way.open(*words)
    yield from world.until(lambda: not way.is_open, TO_THE_WRITE_S)
    return way, node


def restart_store(world: World, rng: random.Random) -> Seconds:
    """Kill a node of the store with -9 and restart it on what it had acknowledged.

    With `appendfsync everysec` it has lost some of the last second, as in a power failure.
    """
    node = rng.choice(world.store.masters())
    before = node.written()
    yield rng.uniform(0, _UNSYNCED_S)
    yield from _restart(world, rng, node, before)


def restart_store_in_a_flush(world: World, rng: random.Random) -> Seconds:
    """Kill a node of the store between two chunks of a flush, and start it again.

    With `appendfsync everysec` some of the flush's first chunks may be lost.
    """
    before: list[tuple[Path, int]] = []
    way, node = yield from in_a_flush(world, rng, lambda node: before.append(node.written()))
    yield from _restart(world, rng, node, before[0])
    way.open()


def _restart(world: World, rng: random.Random, node: Node, before: tuple[Path, int]) -> Seconds:
    """Kill a node, which may lose some of what was written after `before`, and start it."""
    node.kill()
    lost = 0 if world.mode.appendfsync == "always" else node.lose_since(before, rng)
    world.say(f"kill -9 the store, {lost} bytes are lost")
    yield from _start(world, node, rng.uniform(*MOMENT_S))


def _start(world: World, store: Node | Single, after_s: float) -> Seconds:
    yield after_s
    world.say("start the store")
    store.start()
    yield from world.until(world.store.answers)


def stop_store_for_long(world: World, _: random.Random) -> Seconds:
    """Kill the whole store, and restart it on its data after longer than any timeout."""
    world.say(f"kill -9 the store for {LONG_S:.0f} s")
    world.store.kill()
    yield from _start(world, world.store, LONG_S)


def lose_store(world: World, rng: random.Random) -> Seconds:
    """Kill the store with -9 and start it empty; the operator notes the topics again."""
    world.say("kill -9 the store, everything in it is lost")
    world.store.kill()
    world.store.lose_everything()
    world.log.begin_life()
    yield from _start(world, world.store, rng.uniform(*MOMENT_S))
    world.note_topics()


def slow_store(world: World, rng: random.Random) -> Seconds:
    seconds = rng.uniform(*_SLOW_S)
    world.say(f"the store answers after {_SLOW_ANSWER_S} s, for {seconds:.1f} s")
    for worker in world.workers:
        worker.to_store.slow_down(_SLOW_ANSWER_S)
    yield seconds
    world.say("the store answers quickly again")
    for worker in world.workers:
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


def run_out_of_memory(world: World, rng: random.Random) -> Seconds:
    """Set a node's memory limit below its usage: OOM."""

    def limit(node: Node) -> None:
        node.call("CONFIG SET", "maxmemory", node.info("memory")["used_memory"] // 2)

    yield from _refuse(
        world, rng, "OOM", limit, lambda node: node.call("CONFIG SET", "maxmemory", 0)
    )


def ask_for_more_replicas(world: World, rng: random.Random) -> Seconds:
    """Require more replicas than there are for writes to a node: NOREPLICAS."""

    def require(node: Node, n: int = _TOO_MANY_REPLICAS) -> None:
        node.call("CONFIG SET", "min-replicas-to-write", n)

    yield from _refuse(world, rng, "NOREPLICAS", require, lambda node: require(node, 0))


def fill_disk(world: World, rng: random.Random) -> Seconds:
    """Fill a node's disk.

    It refuses writes, MISCONF; with `appendfsync always` it exits, as it cannot undo what it has
    done, and is restarted when there is space.
    """
    if world.mode.appendfsync == "everysec":
        yield from _refuse(world, rng, "MISCONF", Node.fill_disk, Node.make_room_on_disk)
        return
    node = rng.choice(world.store.masters())
    node.fill_disk()
    yield from world.until(lambda: not node.runs(), CUT_S[1])
    world.say(f"full disk: the store {'runs' if node.runs() else 'ended'}")
    if node.runs():
        node.make_room_on_disk()
    else:
        yield from _start(world, node, rng.uniform(*MOMENT_S))


def _refuse(
    world: World,
    rng: random.Random,
    error: str,
    begin: Callable[[Node], object],
    end: Callable[[Node], object],
) -> Seconds:
    node = rng.choice(world.store.masters())
    seconds = rng.uniform(*CUT_S)
    before = node.errors(error)
    world.say(f"{error} for {seconds:.1f} s")
    begin(node)
    yield seconds
    end(node)
    world.say(f"no {error} any longer, {node.errors(error) - before} calls were refused")
    yield from world.until(world.store.answers)
