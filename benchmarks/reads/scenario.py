"""The command `reads`: in each situation ours against the baselines, in turn in every round."""

import contextlib
import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Final, NamedTuple

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Say, interleaved
from benchmarks.reads import cores, paths
from benchmarks.reads.changing import changing
from benchmarks.reads.data import Size
from benchmarks.reads.measured import Answered, Pair, measured
from benchmarks.reads.same import check_same
from benchmarks.reads.scene import Asked, Scene, set_up
from benchmarks.reads.situations import Situation, endpoints, recommendations
from benchmarks.reads.wrk import Load
from infra.local.process import LOOPBACK

TICKREC: Final = "tickrec"
NAIVE: Final = "naive"
PLAIN: Final = "naive, a plain GET"

Turn = Callable[[int], Answered]
"""Asks one server for so many seconds."""
Kept = Mapping[tuple[str, str], float]
"""How many answers and lists were kept or not, by metric and outcome."""


class Both(NamedTuple):
    """Two servers that run."""

    ours: Asked
    naive: Asked


class Part(enum.StrEnum):
    """What `reads` can measure."""

    ENDPOINTS = "endpoints"
    RECOMMENDATIONS = "recommendations"


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
        both(scene) as servers,
    ):
        chosen = [] if part is Part.RECOMMENDATIONS else endpoints(size)
        chosen += [] if part is Part.ENDPOINTS else recommendations(size, seconds)
        for found in contest(scene, servers, chosen, rounds, seconds, session.say):
            session.present(found, json=json)


@contextlib.contextmanager
def both(scene: Scene) -> Iterator[Both]:
    """Run ours and the baseline for the block on the server's core, and this on the other one."""
    with contextlib.ExitStack() as stack:
        with cores.on(scene.server_core):
            ours = stack.enter_context(scene.serving(TICKREC, "api"))
            naive = stack.enter_context(scene.serving(NAIVE, "benchmarks.naive"))
        stack.enter_context(cores.on(scene.load_core))
        yield Both(ours, naive)


def contest(
    scene: Scene, servers: Both, chosen: Iterable[Situation], rounds: int, seconds: int, say: Say
) -> Iterator[Report]:
    """Measure situations; yield each as soon as it is done.

    Raises:
        ContenderError: the two do not say the same, or one does not answer.
    """
    for situation in chosen:
        asked = situation.paths()
        check_same(asked, *servers)
        turns = _turns(scene, situation, servers)
        before = _kept(servers.ours)
        with changing(scene, situation.events_a_second):
            runs = _answered(turns, rounds, situation, max(seconds, situation.at_least_s), say)
        kept = _shares(before, _kept(servers.ours))
        pairs = [Pair(TICKREC, NAIVE, situation.bar)]
        if situation.is_recommending:
            plain = Pair(TICKREC, PLAIN, situation.bar, by_p99=False)
            pairs = [plain, Pair(TICKREC, NAIVE)]
        yield measured(
            situation.name,
            f"GET {asked[0]} and the like, {kept}{situation.connections} connections, "
            f"one core for the server; {scene}",
            runs,
            pairs,
            scene.store.product,
        )


def _turns(scene: Scene, situation: Situation, servers: Both) -> dict[str, Turn]:
    def turn(server: Asked, its_paths: Callable[[], list[str]]) -> Turn:
        return lambda seconds: scene.ask(Load(its_paths(), situation.connections, seconds), server)

    turns = {server.name: turn(server, situation.paths) for server in servers}
    if situation.is_recommending:
        plain = paths.plain(scene.size)
        turns[PLAIN] = turn(servers.naive, lambda: plain)
    return turns


def _answered(
    turns: Mapping[str, Turn], rounds: int, situation: Situation, seconds: int, say: Say
) -> dict[str, list[Answered]]:
    """Let each take its turn once for warming up, and then in every round.

    Raises:
        ContenderError: one answered nothing in its turn.
    """
    for one in turns.values():
        one(situation.warm_up_s)
    runs = interleaved({name: partial(one, seconds) for name, one in turns.items()}, rounds, say)
    for name, its in runs.items():
        if not all(run.records for run in its):
            raise ContenderError(f"{name} answered nothing in {seconds} s: is the machine busy?")
    return runs


def _kept(server: Asked) -> Kept:
    """Return how many answers and lists were kept or not, since our server's start."""
    text = httpx.get(f"http://{LOOPBACK}:{server.port}/metrics").text
    return {
        (family.name, sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name in ("api_choices", "api_lists")
        for sample in family.samples
    }


def _shares(before: Kept, after: Kept) -> str:
    """Return in words which share of answers and lists was kept, warming up included, if any."""
    since = {key: value - before.get(key, 0) for key, value in after.items()}

    def share(of: str) -> str:
        all_ = sum(value for (name, _), value in since.items() if name == of)
        return f"{since.get((of, 'kept'), 0) / all_:.1%}" if all_ else "none"

    if not any(since.values()):
        return ""
    return f"kept of the answers {share('api_choices')}, of the lists {share('api_lists')}; "
