"""Workers that die, hang, join and leave, and whose clocks jump.

Each fault begins, yields how many seconds it lasts, and ends. One that waits for a condition yields
short waits until it holds. Other faults happen in between, so nothing here may assume that what it
started with still exists.
"""

import random
import signal
from collections.abc import Iterator
from typing import Final

from tests.chaos.fleet import Worker
from tests.chaos.messages import of_now
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
_VALUES: Final = (b":history:", b":bars:")
# A worker without partitions of the topic does no such write.
_TO_THE_WRITE_S: Final = 5.0
_JUMP_S: Final = 15 * 60


def kill_worker(world: World, rng: random.Random) -> Seconds:
    """Kill a worker with -9; its supervisor starts it again."""
    worker = one(world, rng)
    world.say(f"kill -9 {worker.name}")
    worker.signal(signal.SIGKILL)
    yield from ()


def kill_worker_at_a_write(world: World, rng: random.Random) -> Seconds:
    """Kill a worker that has published and is waiting for the store to write histories or bars.

    What it had sent to the store is lost, or arrives after its death.
    """
    worker = one(world, rng)
    yield from world.until(lambda: worker.to_store.is_open)
    world.say(f"kill -9 {worker.name} at a write")
    worker.to_store.stall_at(b"EVALSHA", rng.choice(_VALUES))
    yield from world.within(_TO_THE_WRITE_S, lambda: not worker.to_store.is_open)
    worker.signal(signal.SIGKILL)
    if rng.random() < 0.5:
        worker.to_store.cut()
    yield rng.uniform(*MOMENT_S)
    worker.to_store.open()


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
    idle = [w for w in world.fleet.workers if not w.is_wanted and not w.runs()]
    may_remove = len(world.fleet.wanted()) > FEWEST_WORKERS
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
    yield from world.within(_SIGTERM_GRACE_S, lambda: not worker.runs())
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
    """Return one of the workers that are wanted."""
    return rng.choice(world.fleet.wanted())
