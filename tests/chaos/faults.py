"""What goes wrong: each fault begins, yields how many seconds it lasts, and ends.

A fault that waits for something yields short waits until it has come. Other faults happen in the
meantime, so nothing here may take for granted that what it began with is still there.
"""

import random
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from tests.chaos.fleet import Worker
from tests.chaos.proxy import Proxy
from tests.chaos.world import World

FEWEST_WORKERS: Final = 2
_SIGTERM_GRACE_S: Final = 30.0
# The group gives a silent worker's partitions away after 10 s.
_ZOMBIE_S: Final = (11.0, 15.0)
_MOMENT_S: Final = (0.5, 4.0)
# A worker without partitions of interactions comes to no such write.
_TO_THE_WRITE_S: Final = 5.0
# Longer than the five seconds after which the clients of the store give up on an answer.
_CUT_S: Final = (0.5, 8.0)

Seconds = Iterator[float]


def kill_worker(world: World, rng: random.Random) -> Seconds:
    """Kill a worker with -9; its supervisor starts it again."""
    worker = _one(world, rng)
    world.say(f"kill -9 {worker.name}")
    worker.signal(signal.SIGKILL)
    yield from ()


def kill_worker_at_a_write(world: World, rng: random.Random) -> Seconds:
    """Kill a worker that has published changes and waits for the store to take the histories.

    What it had sent to the store is lost, or arrives after its end.
    """
    worker = _one(world, rng)
    yield from world.until(lambda: worker.to_store.is_open)
    world.say(f"kill -9 {worker.name} at a write")
    worker.to_store.stall_at(b"EVALSHA", b":history:")
    yield from world.within(_TO_THE_WRITE_S, lambda: not worker.to_store.is_open)
    worker.signal(signal.SIGKILL)
    if rng.random() < 0.5:
        worker.to_store.cut()
    yield rng.uniform(*_MOMENT_S)
    worker.to_store.open()


def make_zombie(world: World, rng: random.Random) -> Seconds:
    """Let a worker sleep through its replacement, and wake it up."""
    worker = _one(world, rng)
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
    worker = _one(world, rng)
    world.say(f"SIGTERM {worker.name}")
    worker.is_wanted = False
    worker.signal(signal.SIGTERM)
    yield from world.within(_SIGTERM_GRACE_S, lambda: not worker.runs())
    if worker.runs():
        world.note(f"{worker.name} did not end within {_SIGTERM_GRACE_S:.0f} s of SIGTERM")
        worker.signal(signal.SIGKILL)


def restart_broker(world: World, rng: random.Random) -> Seconds:
    """Kill the broker with -9 and start it again on its data."""
    world.say("kill -9 the broker")
    world.broker.kill()
    yield rng.uniform(*_MOMENT_S)
    world.say("start the broker")
    world.broker.start()
    yield from world.until(world.broker.answers)
    world.say("the broker answers")


def pause_broker(world: World, rng: random.Random) -> Seconds:
    """Let the broker stand still for all."""
    seconds = rng.uniform(*_CUT_S)
    world.say(f"SIGSTOP the broker for {seconds:.1f} s")
    world.broker.signal(signal.SIGSTOP)
    yield seconds
    world.say("SIGCONT the broker")
    world.broker.signal(signal.SIGCONT)


def restart_store(world: World, rng: random.Random) -> Seconds:
    """Kill the store with -9 and start it again on what it had acknowledged."""
    world.say("kill -9 the store")
    world.store.kill()
    yield rng.uniform(*_MOMENT_S)
    world.say("start the store")
    world.store.start()
    yield from world.until(world.store.answers)


def lose_store(world: World, rng: random.Random) -> Seconds:
    """Kill the store with -9 and start it empty; the operator notes the topics again."""
    world.say("kill -9 the store, everything in it is lost")
    world.store.kill()
    world.forget_store()
    yield rng.uniform(*_MOMENT_S)
    world.store.start()
    yield from world.until(world.store.answers)
    world.note_topics()
    world.say("the store runs, empty")


def cut_from_store(world: World, rng: random.Random) -> Seconds:
    """Cut a worker off from the store, or hold back all that they say to each other."""
    worker = _one(world, rng)
    yield from _cut(world, rng, worker.name, worker.to_store, "the store")


def cut_from_broker(world: World, rng: random.Random) -> Seconds:
    """Cut a worker off from the broker, or hold back all that they say to each other."""
    worker = _one(world, rng)
    assert worker.to_broker is not None
    yield from _cut(world, rng, worker.name, worker.to_broker, "the broker")


def _cut(world: World, rng: random.Random, worker: str, proxy: Proxy, server: str) -> Seconds:
    yield from world.until(lambda: proxy.is_open)
    seconds = rng.uniform(*_CUT_S)
    is_cut = rng.random() < 0.5
    world.say(f"{'cut' if is_cut else 'stall'} {worker} from {server} for {seconds:.1f} s")
    (proxy.cut if is_cut else proxy.stall)()
    yield seconds
    world.say(f"{worker} reaches {server} again")
    proxy.open()


def _one(world: World, rng: random.Random) -> Worker:
    return rng.choice(world.fleet.wanted())


class Kind(NamedTuple):
    """A kind of fault."""

    begin: Callable[[World, random.Random], Seconds]
    weight: int
    """how often, to the others"""
    holds: str | None = None
    """what no other fault may touch until this one has ended"""


KINDS: Final[Mapping[str, Kind]] = {
    "kill a worker": Kind(kill_worker, 6),
    "kill a worker at a write": Kind(kill_worker_at_a_write, 6),
    "zombie": Kind(make_zombie, 5),
    "add or remove a worker": Kind(add_or_remove_worker, 8, "fleet"),
    "restart the broker": Kind(restart_broker, 4, "broker"),
    "pause the broker": Kind(pause_broker, 3, "broker"),
    "restart the store": Kind(restart_store, 7, "store"),
    "cut from the store": Kind(cut_from_store, 7),
    "cut from the broker": Kind(cut_from_broker, 4),
    "lose the store": Kind(lose_store, 0, "store"),
}
"""The last one happens once a run."""


def plan(seed: int, n: int) -> list[str]:
    """Return the kinds of the faults of a run, in order; everything is lost once, if n > 10."""
    rng = random.Random(seed)
    kinds = rng.choices(list(KINDS), [kind.weight for kind in KINDS.values()], k=n)
    if n > 10:
        kinds[rng.randrange(n // 3, n)] = "lose the store"
    return kinds
