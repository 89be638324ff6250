"""A store that answers, but refuses writes."""

import random
from collections.abc import Callable
from typing import Final

from tests.chaos.faults.workers import CUT_S, MOMENT_S, Seconds
from tests.chaos.servers.store import Node
from tests.chaos.world import World

# More than any master has here.
_TOO_MANY_REPLICAS: Final = 5


def run_out_of_memory(world: World, rng: random.Random) -> Seconds:
    """Set a node's memory limit below its usage: OOM."""
    yield from _refuse(
        world,
        rng,
        "OOM",
        lambda node: node.call("CONFIG SET", "maxmemory", node.info("memory")["used_memory"] // 2),
        lambda node: node.call("CONFIG SET", "maxmemory", 0),
    )


def ask_for_more_replicas(world: World, rng: random.Random) -> Seconds:
    """Require more replicas than there are for writes to a node: NOREPLICAS."""
    yield from _refuse(
        world,
        rng,
        "NOREPLICAS",
        lambda node: node.call("CONFIG SET", "min-replicas-to-write", _TOO_MANY_REPLICAS),
        lambda node: node.call("CONFIG SET", "min-replicas-to-write", 0),
    )


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
    yield from world.within(CUT_S[1], lambda: not node.runs())
    world.say(f"full disk: the store {'runs' if node.runs() else 'ended'}")
    if node.runs():
        node.make_room_on_disk()
        return
    yield rng.uniform(*MOMENT_S)
    world.say("room on the disk, start the store")
    node.start()
    yield from world.until(world.store.answers)


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
