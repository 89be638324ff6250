"""Each hot read of instruments: ours against the baseline, one after the other in every round."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Say, interleaved
from benchmarks.reads import cores
from benchmarks.reads.measured import Answered, Pair, measured
from benchmarks.reads.paths import Endpoint
from benchmarks.reads.same import check_same
from benchmarks.reads.scene import Asked, Scene
from benchmarks.reads.wrk import Load

CONNECTIONS: Final = 64
TICKREC: Final = "tickrec"
_READS_BAR: Final = 5.0
NAIVE: Final = "naive"
_WARM_UP_S: Final = 1

Turn = Callable[[int], Answered]
"""Asks one server for so many seconds."""


class Both(NamedTuple):
    """Two servers that run."""

    ours: Asked
    naive: Asked


def contest(
    scene: Scene, servers: Both, chosen: Iterable[Endpoint], rounds: int, seconds: int, say: Say
) -> Iterator[Report]:
    """Measure endpoints; yield each as soon as it is done.

    Raises:
        ContenderError: the two do not say the same, or one does not answer.
    """
    for endpoint in chosen:
        check_same(endpoint.paths, *servers)
        turns = {one.name: _turn(scene, endpoint, one) for one in servers}
        yield measured(
            endpoint.name,
            f"{endpoint}, {CONNECTIONS} connections, one core for the server; {scene}",
            answered(turns, rounds, seconds, say),
            [Pair(TICKREC, NAIVE, _READS_BAR)],
            scene.store.product,
        )


@contextlib.contextmanager
def both(scene: Scene) -> Iterator[Both]:
    """Run ours and the baseline for the block on the server's core, and this on the other one."""
    with contextlib.ExitStack() as stack:
        with cores.on(scene.server_core):
            ours = stack.enter_context(scene.serving(TICKREC, "api"))
            naive = stack.enter_context(scene.serving(NAIVE, "benchmarks.naive"))
        stack.enter_context(cores.on(scene.load_core))
        yield Both(ours, naive)


def answered(
    turns: Mapping[str, Turn], rounds: int, seconds: int, say: Say, warm_up_s: int = _WARM_UP_S
) -> dict[str, list[Answered]]:
    """Let each take its turn once for warming up, and then in every round.

    Raises:
        ContenderError: one answered nothing in its turn.
    """
    for one in turns.values():
        one(warm_up_s)
    timed = {name: partial(one, seconds) for name, one in turns.items()}
    # `interleaved` returns what the turns do, but says no more than that they are runs.
    runs = interleaved(timed, rounds, say)
    for name, its in runs.items():
        if not all(run.records for run in its):
            raise ContenderError(f"{name} answered nothing in {seconds} s: is the machine busy?")
    return runs


def _turn(scene: Scene, endpoint: Endpoint, server: Asked) -> Turn:
    return lambda seconds: scene.ask(Load(endpoint.paths, CONNECTIONS, seconds), server)
