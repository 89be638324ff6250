"""Faults in the middle of a flush: some chunks are written, the next ones are held back."""

import random
from collections.abc import Callable, Generator
from typing import Final

from tests.chaos.faults.workers import one
from tests.chaos.link import Link
from tests.chaos.servers.store import Node
from tests.chaos.world import World

_VALUES: Final = (b":bars:", b":history:", b":cooc:")
# A worker without partitions of the topic does no such write.
_TO_THE_WRITE_S: Final = 5.0


def in_a_flush(
    world: World, rng: random.Random, begin: Callable[[Node], object]
) -> Generator[float, None, tuple[Link, Node]]:
    """Stop a worker in the middle of a flush.

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
    words = b"EVALSHA", rng.choice(_VALUES)
    yield from world.until(lambda: way.is_open)
    way.stall_at(*words)
    yield from world.within(_TO_THE_WRITE_S, lambda: not way.is_open)
    place = way.held_back()
    node = rng.choice(world.store.masters()) if place is None else world.store.nodes[place]
    begin(node)
    way.open(*words)
    yield from world.within(_TO_THE_WRITE_S, lambda: not way.is_open)
    return way, node
