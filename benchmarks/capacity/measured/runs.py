"""What is run on this machine: runs to take costs from, and others to predict."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from benchmarks.capacity.measured.asking import (
    Offer,
    offer_bars,
    publish_trades,
    saturate,
    weigh_keys,
)
from benchmarks.capacity.measured.calibration import Runs
from benchmarks.capacity.measured.folding import Acted, Drained, act, drain, follow
from benchmarks.capacity.measured.storing import measure_store
from benchmarks.harness import session
from benchmarks.harness.report import Servers
from benchmarks.keepup.report import Trial
from benchmarks.reads import cores
from benchmarks.reads.answered import Answered
from benchmarks.reads.data import Size
from benchmarks.reads.paths import bars
from benchmarks.reads.scene import Asked, Scene, StoreProduct, set_up
from benchmarks.reads.wrk import Load

INSTRUMENTS: Final = 50_000
"""of the predicted runs; costs are taken from fewer and from more"""
QUOTES: Final = 4_000_000
FOLLOWED_PER_S: Final = (50_000, 100_000)
ITEMS: Final = 50
CONNECTIONS: Final = (16, 64)
OFFERED_PER_S: Final = (2_500, 5_000, 10_000, 15_000)
_COSTS_INSTRUMENTS: Final = (10_000, 100_000)
_COSTS_QUOTES: Final = 2_000_000
_COSTS_PER_S: Final = 25_000
_COSTS_ITEMS: Final = (10, 200)
_COSTS_CONNECTIONS: Final = 128
_SIZE: Final = Size(INSTRUMENTS, users=200_000)
_FOLLOW_S: Final = 20.0
_WARM_UP_S: Final = 10.0
_ASK_S: Final = 4
_ALONE_S: Final = 8.0
"""long enough to see it stand still several times"""

T = TypeVar("T")


class Measured(NamedTuple):
    """What is to be predicted."""

    drained: Sequence[Drained]
    followed: Sequence[Trial]
    acted: Acted
    saturated: Mapping[int, Sequence[Answered]]
    """by connections; bars"""
    offered: Mapping[int, Sequence[Offer]]
    """by requests a second"""
    servers: Servers


def measure_costs() -> Runs:
    """Run all that costs are taken from; takes minutes.

    Raises:
        typer.Exit: something failed, and it was said what.
    """
    with session.on_stage() as stage:
        follow(stage, _COSTS_PER_S, _WARM_UP_S)  # the broker's JIT compiles what it will run
        drained = [_say(drain(stage, _COSTS_QUOTES, n)) for n in _COSTS_INSTRUMENTS]
        followed = follow(stage, _COSTS_PER_S, _FOLLOW_S)
        acted = [_say(act(stage, items)) for items in _COSTS_ITEMS]
        published = _say(publish_trades(stage, _ASK_S))
    with _asked() as (scene, server):
        store = _say(measure_store(scene.store.address, scene.store_pid))
        alone = _say(offer_bars(scene, server, _ALONE_S, None))
        saturated = _say(saturate(scene, server, _COSTS_CONNECTIONS, _ASK_S))
        keys = weigh_keys(scene, statistics.mean(one.pair_bytes for one in acted))
    return Runs(drained, followed, acted, alone, saturated, published, store, keys)


def measure_predicted(rounds: int) -> Measured:
    """Run what is to be predicted; takes minutes.

    Raises:
        typer.Exit: something failed, and it was said what.
    """
    with session.on_stage() as stage:
        follow(stage, _COSTS_PER_S, _WARM_UP_S)
        drained = [_say(drain(stage, QUOTES, INSTRUMENTS)) for _ in range(rounds)]
        followed = [follow(stage, per_s, _FOLLOW_S) for per_s in FOLLOWED_PER_S]
        acted = _say(act(stage, ITEMS))
    with _asked() as (scene, server):
        saturated = {
            n: _repeat(rounds, partial(_saturate_bars, scene, server, n)) for n in CONNECTIONS
        }
        offered = {
            per_s: _repeat(rounds, partial(offer_bars, scene, server, _ASK_S, per_s))
            for per_s in OFFERED_PER_S
        }
    return Measured(drained, followed, acted, saturated, offered, stage.servers)


@contextlib.contextmanager
def _asked() -> Iterator[tuple[Scene, Asked]]:
    """Run store and API process for the block, and this process on the store's core."""
    with (
        session.folder() as path,
        set_up(path, StoreProduct.VALKEY, _SIZE, session.progress) as scene,
        contextlib.ExitStack() as stack,
    ):
        with cores.on(scene.server_core):
            server = stack.enter_context(scene.tickrec("tickrec"))
        stack.enter_context(cores.on(scene.load_core))
        saturate(scene, server, _COSTS_CONNECTIONS, 1)  # warm up
        yield scene, server


def _saturate_bars(scene: Scene, server: Asked, connections: int) -> Answered:
    return scene.ask(Load(bars(scene.size).paths, connections, _ASK_S), server)


def _repeat(rounds: int, run: Callable[[], T]) -> list[T]:
    return [_say(run()) for _ in range(rounds)]


def _say(found: T) -> T:
    session.progress.print(repr(found)[:400], style="dim", soft_wrap=True)
    return found
