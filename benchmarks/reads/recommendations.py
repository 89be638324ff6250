"""Recommendations: ours against the baseline, which does the same work, and its GET of one key.

What a server has kept decides how fast it is, so each situation stands alone, and says how many of
ours' answers, and of the lists that others were folded into, were kept from before:

- fresh: every request is for another user, so no answer is kept. Lists are, after a few seconds.
- changing: users are asked for by Zipf's law while events change their histories by the same law.
- own lists: users for whom the trainer made a list, by Zipf's law; nothing is folded.
- long: users with 500 instruments, each without one, so that no answer is kept either.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Say
from benchmarks.reads import paths
from benchmarks.reads.changing import changing
from benchmarks.reads.contests import CONNECTIONS, NAIVE, TICKREC, Both, Turn, answered
from benchmarks.reads.data import Size
from benchmarks.reads.measured import Pair, measured
from benchmarks.reads.same import check_same
from benchmarks.reads.scene import Asked, Scene
from benchmarks.reads.wrk import Load
from infra.local.process import LOOPBACK

_PLAIN: Final = "naive, a plain GET"
_PLAIN_BAR: Final = 2.0
_EVENTS_A_SECOND: Final = 1_000
_FRESH_A_SECOND: Final = 12_000
"""more than are answered"""
_WARM_UP_S: Final = 5
"""long enough for most lists to be read"""
_LONG_CONNECTIONS: Final = 2
_LONG_FOR_S: Final = 5
"""at least: the baseline takes about a second for each answer"""


@dataclass(frozen=True, slots=True)
class Situation:
    """Whose recommendations are requested, and what happens during that."""

    name: str
    paths: Callable[[], Sequence[str]]
    """returns those of the next turn"""
    bar: float | None = None
    """of the ratio to a plain GET"""
    connections: int = CONNECTIONS
    at_least_s: int = 1
    events_a_second: int = 0


def situations(size: Size, seconds: int) -> list[Situation]:
    """Return all four, for turns of so many seconds."""
    by_zipf, own, long = paths.recommendations(size), paths.own_lists(size), paths.long(size)
    a_turn = _FRESH_A_SECOND * max(seconds, _WARM_UP_S)
    fresh = itertools.cycle(paths.batches(size, a_turn))
    return [
        Situation("fresh", lambda: next(fresh), _PLAIN_BAR),
        Situation("changing", lambda: by_zipf, events_a_second=_EVENTS_A_SECOND),
        Situation("own lists", lambda: own),
        Situation("long", lambda: long, connections=_LONG_CONNECTIONS, at_least_s=_LONG_FOR_S),
    ]


def recommend(
    scene: Scene, servers: Both, chosen: Iterable[Situation], rounds: int, seconds: int, say: Say
) -> Iterator[Report]:
    """Measure situations; yield each as soon as it is done.

    Raises:
        ContenderError: the two do not say the same, or one does not answer.
    """
    for situation in chosen:
        asked = situation.paths()
        check_same(asked, *servers)
        turns = {
            TICKREC: _turn(scene, situation, servers.ours),
            NAIVE: _turn(scene, situation, servers.naive),
            _PLAIN: _plain(scene, situation, servers.naive),
        }
        before = _kept(servers.ours)
        with changing(scene, situation.events_a_second):
            long_s = max(seconds, situation.at_least_s)
            runs = answered(turns, rounds, long_s, say, _WARM_UP_S)
        kept = _shares(before, _kept(servers.ours))
        yield measured(
            f"recommendations, {situation.name}",
            f"GET {asked[0]} and the like: {situation.name}, {kept}; "
            f"{situation.connections} connections, one core for the server; {scene}",
            runs,
            [Pair(TICKREC, _PLAIN, situation.bar, by_p99=False), Pair(TICKREC, NAIVE)],
            scene.store.product,
        )


def _turn(scene: Scene, situation: Situation, server: Asked) -> Turn:
    return lambda seconds: scene.ask(
        Load(situation.paths(), situation.connections, seconds), server
    )


def _plain(scene: Scene, situation: Situation, server: Asked) -> Turn:
    asked = paths.plain(scene.size)
    return lambda seconds: scene.ask(Load(asked, situation.connections, seconds), server)


def _kept(server: Asked) -> dict[tuple[str, str], float]:
    """Return how many answers and lists were kept or not, since our server's start."""
    text = httpx.get(f"http://{LOOPBACK}:{server.port}/metrics").text
    return {
        (family.name, sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name in ("api_choices", "api_lists")
        for sample in family.samples
    }


def _shares(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> str:
    """Return in words which share of answers and of lists was kept, warming up included."""
    since = {key: value - before.get(key, 0) for key, value in after.items()}

    def share(of: str) -> str:
        all_ = sum(value for (name, _), value in since.items() if name == of)
        return f"{since.get((of, 'kept'), 0) / all_:.1%}" if all_ else "none"

    return f"kept of the answers {share('api_choices')}, of the lists {share('api_lists')}"
