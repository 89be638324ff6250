"""Answers to the hot reads over HTTP: `python -m benchmarks reads`.

Hypothesis: reads that are answered in front of the framework, on connections that pipeline, come at
5 times the baseline's rate and at a lower p99; recommendations that are computed for the request
come at twice the rate of the baseline's plain GET of one key.

Work: one namespace of a real store, see `data`: 50,000 instruments with minute bars that keep up
with the clock, a list of 200 neighbors for each, a million users. `wrk` asks for one endpoint after
the other on 64 connections, each path as often as a Zipf law of exponent 1 says. The server that is
asked has a core to itself; wrk and the store share the other one. An answer that is no 2xx fails
the contest's verdict. For recommendations, what a server has kept decides how fast it is, so the
report says how many answers, and how many of the lists that others were folded into, were kept:

- fresh: every request is for another user, so no answer is kept. Lists are: it is asked until most
  are in memory, as they are until the next generation replaces them.
- own lists: users for whom the trainer made a list, by Zipf's law; nothing is folded.
- long: users with 500 instruments, each without one, so that no answer is kept either.

Baseline: `benchmarks.naive`, one process under uvicorn (httptools, uvloop), on the same data. Both
run all the time, so that the one that is not asked costs both the same. Before a contest on the
reads of instruments both are asked for the same paths, and must say the same.

Latencies are wrk's, which waits for an answer before it asks again on that connection, and corrects
for the requests omitted during the wait.
"""

import contextlib
import enum
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, NamedTuple

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Say, interleaved
from benchmarks.reads import data
from benchmarks.reads.answers import check_same, check_source
from benchmarks.reads.data import Size
from benchmarks.reads.results import Answered, Target, measured
from benchmarks.reads.scene import ReadServer, Scene, on_core, set_up
from benchmarks.reads.wrk import Load
from infra.local.process import LOOPBACK

TICKREC: Final = "tickrec"
NAIVE: Final = "naive"
_READS_BAR: Final = 5.0
_PLAIN_BAR: Final = 2.0
_FRESH_A_SECOND: Final = 12_000
"""more than are answered"""
_WARM_UP_S: Final = 5
_WARM_UPS: Final = 12
"""at most, until most lists are kept"""
_MOST: Final = 0.99
"""of the lists that a turn needs"""
_RECOMMENDATIONS: Final = "/v1/users/{}/recommendations"
_PLAIN: Final = "/plain/{}"
_ENDPOINTS: Final = {
    "bars": "/v1/instruments/{}/bars",
    "similar": "/v1/instruments/{}/similar",
}

Cached = Mapping[tuple[str, str], float]
"""How many answers and lists were in a cache or not, by metric and outcome."""


class Servers(NamedTuple):
    """The two that are compared."""

    ours: ReadServer
    naive: ReadServer


class Part(enum.StrEnum):
    """What `reads` can measure."""

    ENDPOINTS = "endpoints"
    RECOMMENDATIONS = "recommendations"


@dataclass(frozen=True, slots=True)
class Situation:
    """Which paths are requested of whom."""

    name: str
    paths: Callable[[], list[str]]
    """returns those of the next turn"""
    plain: list[str] | None = None
    """of recommendations: the baseline's GETs of one key; None: the baseline answers the same"""
    source: str = ""
    """of recommendations: what they come from"""
    bar: float | None = None
    """of the ratio to the baseline"""
    connections: int = 64
    warm_up_s: int = 1


def endpoints(size: Size) -> list[Situation]:
    """Return the hot reads of instruments."""
    drawn = {name: data.instrument_paths(size, path) for name, path in _ENDPOINTS.items()}
    return [
        Situation(name, partial(drawn.__getitem__, name), bar=_READS_BAR) for name in _ENDPOINTS
    ]


def recommendations(size: Size, seconds: int) -> list[Situation]:
    """Return the situations of recommendations, for turns of so many seconds."""
    a_turn = _FRESH_A_SECOND * max(seconds, _WARM_UP_S)
    fresh = itertools.cycle(data.batched_paths(size, _RECOMMENDATIONS, a_turn))
    own = data.user_paths(size.with_own_list_ids, _RECOMMENDATIONS)
    long = data.long_history_paths(size, _RECOMMENDATIONS)
    plain = data.user_paths(size.with_own_list_ids, _PLAIN)
    situation = partial(Situation, plain=plain, warm_up_s=_WARM_UP_S)
    return [
        situation("recommendations, fresh", lambda: next(fresh), source="history", bar=_PLAIN_BAR),
        situation("recommendations, own lists", lambda: own, source="model"),
        situation("recommendations, long", lambda: long, source="history", connections=2),
    ]


def reads(
    rounds: session.Rounds = 5,
    seconds: Annotated[int, typer.Option(min=1, help="that each is asked in a round")] = 2,
    part: Annotated[Part | None, typer.Option(help="one alone [default: all]")] = None,
    instruments: Annotated[int, typer.Option(min=300)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 1_000_000,
    *,
    json: session.Json = False,
) -> None:
    """Hot reads over HTTP, against FastAPI with redis-py on the same data."""
    size = Size(instruments, users)
    with (
        session.folder() as path,
        set_up(path, size, session.progress) as scene,
        both_servers(scene) as servers,
    ):
        chosen = [] if part is Part.RECOMMENDATIONS else endpoints(size)
        chosen += [] if part is Part.ENDPOINTS else recommendations(size, seconds)
        for found in contest(scene, servers, chosen, rounds, seconds, session.say):
            session.present(found, json=json)


@contextlib.contextmanager
def both_servers(scene: Scene) -> Iterator[Servers]:
    """Run ours and the baseline for the block on the server's core, and this on the other one."""
    with contextlib.ExitStack() as stack:
        with on_core(scene.server_core):
            ours = stack.enter_context(scene.serving(TICKREC, "api"))
            naive = stack.enter_context(scene.serving(NAIVE, "benchmarks.naive"))
        stack.enter_context(on_core(scene.load_core))
        yield Servers(ours, naive)


def contest(
    scene: Scene,
    servers: Servers,
    chosen: Iterable[Situation],
    rounds: int,
    seconds: int,
    say: Say,
) -> Iterator[Report]:
    """Measure situations; yield each as soon as it is done.

    Raises:
        ContenderError: a server answers otherwise than it is to, or not at all.
    """
    for situation in chosen:
        paths = situation.paths()
        if situation.plain is None:
            check_same(paths, *servers)
        else:
            check_source(paths, servers.ours, situation.source)
        runs, cached = _run(scene, situation, servers, rounds, seconds, say)
        target = Target(situation.bar, by_p99=situation.plain is None)
        against = "" if situation.plain is None else f", against {situation.plain[0]}"
        yield measured(
            situation.name,
            f"GET {paths[0]} and the like{against}, {cached}{situation.connections} connections, "
            f"one core for the server; {scene}",
            runs,
            target,
            scene.store.product,
        )


def _run(
    scene: Scene, situation: Situation, servers: Servers, rounds: int, seconds: int, say: Say
) -> tuple[dict[str, list[Answered]], str]:
    """Let each server take its turn for warming up, and then in every round.

    Also return in words what ours had kept in the rounds.

    Raises:
        ContenderError: one answered nothing in its turn.
    """

    def ask(server: ReadServer, its_seconds: int) -> Answered:
        plain = situation.plain if server is servers.naive else None
        return scene.ask(
            Load(plain or situation.paths(), situation.connections, its_seconds), server
        )

    for _ in range(_WARM_UPS):
        before = _cached(servers.ours)
        for server in servers:
            ask(server, situation.warm_up_s)
        kept = _share("api_lists", before, _cached(servers.ours))
        if kept is None or kept >= _MOST:
            break
    before = _cached(servers.ours)
    turns = {server.name: partial(ask, server, seconds) for server in servers}
    runs = interleaved(turns, rounds, say)
    for name, its in runs.items():
        if not all(run.records for run in its):
            raise ContenderError(f"{name} answered nothing in {seconds} s: is the machine busy?")
    return runs, _shares(before, _cached(servers.ours))


def _cached(server: ReadServer) -> Cached:
    """Return how many answers and lists were in a cache or not, since our server's start."""
    text = httpx.get(f"http://{LOOPBACK}:{server.port}/metrics").text
    return {
        (family.name, sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name in ("api_choices", "api_lists")
        for sample in family.samples
    }


def _share(of: str, before: Cached, after: Cached) -> float | None:
    """Return the share of a metric's answers or lists that was kept in between; None of none."""
    since = {
        outcome: value - before.get((name, outcome), 0)
        for (name, outcome), value in after.items()
        if name == of
    }
    return since.get("kept", 0) / all_ if (all_ := sum(since.values())) else None


def _shares(before: Cached, after: Cached) -> str:
    """Return in words which share of answers and lists was kept in between, if any was needed."""
    if before == after:
        return ""
    shares = (_share(of, before, after) for of in ("api_choices", "api_lists"))
    answers, rows = ("none" if share is None else f"{share:.1%}" for share in shares)
    return f"kept of the answers {answers}, of the lists {rows}; "
