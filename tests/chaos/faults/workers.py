"""Workers that die, hang, join and leave, and whose clocks jump.

Each fault begins, yields how many seconds it lasts, and ends. One that waits for a condition yields
short waits until it holds. Other faults happen in between, so nothing here may assume that what it
started with still exists.
"""

import random
import signal
from collections.abc import Generator, Iterator
from typing import Final

from tests.chaos.messages import of_now
from tests.chaos.proxy import Link
from tests.chaos.worker import Worker
from tests.chaos.world import World

Seconds = Iterator[float]

FEWEST_WORKERS: Final = 2
MOMENT_S: Final = (0.5, 4.0)
# Longer than the five seconds after which the clients of the store give up on an answer.
CUT_S: Final = (0.5, 8.0)
LONG_S: Final = 100.0
_SIGTERM_GRACE_S: Final = 30.0
# The group reassigns a silent worker's partitions after 10 s.
_ZOMBIE_S: Final = (11.0, 15.0)
_VALUES: Final = (b":history:", b":bars:", b":cooc:")
# A worker without partitions of the topic does no such write.
TO_THE_WRITE_S: Final = 5.0
_JUMP_S: Final = 15 * 60


def kill_worker(world: World, rng: random.Random) -> Seconds:
    """Kill a worker with -9; its supervisor starts it again."""
    worker = one(world, rng)
    world.say(f"kill -9 {worker.name}")
    worker.signal(signal.SIGKILL)
    yield from ()


def kill_worker_at_a_write(world: World, rng: random.Random) -> Seconds:
    """Kill a worker that is waiting for the store to write, and has published what goes with it.

    What it had sent to the store is lost, or arrives after its death.
    """
    worker = one(world, rng)
    world.say(f"kill -9 {worker.name} at a write")
    yield from stall_at_a_write(world, rng, worker.to_store)
    worker.signal(signal.SIGKILL)
    if rng.random() < 0.5:
        worker.to_store.cut()
    yield rng.uniform(*MOMENT_S)
    worker.to_store.open()


def stall_at_a_write(
    world: World, rng: random.Random, way: Link
) -> Generator[float, None, tuple[bytes, bytes]]:
    """Hold back the next write of some values on a worker's way; return words that are in it."""
    words = b"EVALSHA", rng.choice(_VALUES)
    yield from world.until(lambda: way.is_open)
    way.stall_at(*words)
    yield from world.until(lambda: not way.is_open, TO_THE_WRITE_S)
    return words


def make_zombie(world: World, rng: random.Random) -> Seconds:
    """Pause a worker until it has been replaced, then resume it."""
    worker = one(world, rng)
    process = worker.process
    assert process is not None
    seconds = rng.uniform(*_ZOMBIE_S)
    world.say(f"SIGSTOP {worker.name} for {seconds:.1f} s")
    process.send_signal(signal.SIGSTOP)
    yield seconds
    world.say(f"SIGCONT {worker.name}")
    process.send_signal(signal.SIGCONT)


def add_or_remove_worker(world: World, rng: random.Random) -> Seconds:
    """Start one more worker, or end one with SIGTERM."""
    idle = [w for w in world.workers if not w.is_wanted and not w.runs()]
    may_remove = len(world.wanted()) > FEWEST_WORKERS
    if idle and not (may_remove and rng.random() < 0.5):
        world.say(f"add {idle[0].name}")
        idle[0].start()
        return
    if not may_remove:
        return
    worker = one(world, rng)
    world.say(f"SIGTERM {worker.name}")
    worker.is_wanted = False
    worker.signal(signal.SIGTERM)
    yield from world.until(lambda: not worker.runs(), _SIGTERM_GRACE_S)
    if worker.runs():
        world.note(f"{worker.name} did not end within {_SIGTERM_GRACE_S:.0f} s of SIGTERM")
        worker.signal(signal.SIGKILL)


def jump_clock(world: World, rng: random.Random) -> Seconds:
    """Shift a worker's wall clock by some minutes for good, and publish live events."""
    worker = one(world, rng)
    seconds = rng.randint(-_JUMP_S, _JUMP_S)
    world.say(f"{worker.name}'s clock is off by {seconds} s")
    worker.clock.set_off_by(seconds)
    world.feed.also(of_now(rng))
    yield from ()


def one(world: World, rng: random.Random) -> Worker:
    return rng.choice(world.wanted())
