"""Training: `python -m benchmarks train`.

Hypothesis: counts that the stream keeps are most of a model already. To rank the neighbors of all
items from them takes a fraction of what it takes to multiply the user-item matrix with itself.

Work: a store is filled with the counts of 50,000 items, 9.8 million pairs of which 100,000 users
with tastes have both (`benchmarks.train.data`). Ours is a whole run of the trainer, `python -m
trainer once`, without users' lists (`ITEM_MODEL=cosine`, `USER_MODEL=none`): counts from Redis,
quality checks, the hold-out of 2,000 users, ranking, lists of 200 into Redis, publication. Its
times of each stage are those of its report.

Baseline: the same neighbors from the matrix of users and items in memory to lists in memory by
scikit-learn's `cosine_similarity`, dense in chunks of rows, with `argpartition`
(`benchmarks.peers.scikit_learn`). What is compared is our model alone: fitting and ranking, from
counts in memory to ranked lists in memory. The products that the counts are made of were added up
when the events came; scikit-learn multiplies them. That both found the same lists is checked by the
number of entries, and by the sum of the scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
import numpy as np
import typer

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Judged, Report, Servers, compared, met, table
from benchmarks.harness.rounds import Run, Spread, interleaved, ratios
from benchmarks.harness.stage import python
from benchmarks.train.data import make
from benchmarks.train.stage import TrainingStage, set_up

OURS: Final = "tickrec"
SCIKIT_LEARN: Final = "scikit-learn"
MODEL_STAGES: Final = ("fit item model", "rank item lists")
NEIGHBORS: Final = 200
"""Of each item: the trainer's default."""
BAR: Final = 5.0
"""How many times faster than scikit-learn ours is to be."""
MOST_BYTES: Final = 2 << 30
_MB: Final = 1_000_000
_SEED: Final = 1
_SAME: Final = 1e-6
"""Relative difference of sums that rounding to 12 digits may make."""


@dataclass(frozen=True, slots=True)
class Trained(Run):
    """A contender's neighbors of all items: `seconds` is the model's, `records` are pairs."""

    peak_bytes: int
    entries: int
    """neighbors in all lists"""
    score: float
    """sum of their scores"""
    stages: Mapping[str, float] = field(default_factory=dict)
    """of ours: stage -> seconds, the whole run at last"""


class FoundByPeer(msgspec.Struct, frozen=True):
    """What a peer says."""

    seconds: float
    peak_bytes: int
    entries: int
    score: float


def train(
    rounds: session.Rounds = 3,
    items: Annotated[int, typer.Option(min=1_000)] = 50_000,
    users: Annotated[int, typer.Option(min=100)] = 100_000,
    *,
    json: session.Json = False,
) -> None:
    """Counts in Redis to lists that are served, against scikit-learn."""
    with session.folder() as path, set_up(make(items, users, _SEED), path) as stage:
        contenders = {OURS: lambda: ours(stage), SCIKIT_LEARN: lambda: peer(stage)}
        runs = interleaved(contenders, rounds, session.say)
        check_same(runs)
        work = f"{stage.data}, {NEIGHBORS} neighbors each"
        session.present(report(work, runs, stage.store.product), json=json)


def ours(stage: TrainingStage) -> Trained:
    """Let the trainer run once, and take away what it published.

    Raises:
        ContenderError: it failed.
    """
    settings = {
        "ITEM_MODEL": "cosine",
        "USER_MODEL": "none",
        "NEIGHBORS_PER_ITEM": str(NEIGHBORS),
    }
    run = stage.run("trainer", (*python("trainer"), "once"), settings)
    generation, made = stage.current()
    score = stage.score(generation)
    stage.forget(generation)
    seconds = sum(made.seconds[name] for name in MODEL_STAGES)
    return Trained(
        stage.data.pairs,
        seconds,
        {"others": run.busy_other_cores * seconds},
        run.peak_bytes,
        made.lists.similar_entries,
        score,
        stages={**made.seconds, "whole run": run.seconds},
    )


def peer(stage: TrainingStage) -> Trained:
    """Let scikit-learn find the same neighbors.

    Raises:
        ContenderError: it failed.
    """
    argv = (*python("benchmarks.peers.scikit_learn"), str(stage.folder), str(NEIGHBORS))
    run = stage.run(SCIKIT_LEARN, argv, {})
    said = stage.log(SCIKIT_LEARN).read_bytes().splitlines()[-1]
    found = msgspec.json.decode(said, type=FoundByPeer)
    cpu_s = {"others": run.busy_other_cores * found.seconds}
    return Trained(
        stage.data.pairs, found.seconds, cpu_s, found.peak_bytes, found.entries, found.score
    )


def check_same(runs: Mapping[str, Sequence[Trained]]) -> None:
    """Compare what the contenders found.

    Raises:
        ContenderError: it is not the same.
    """
    ours = runs[OURS][0]
    for name, its in runs.items():
        for run in its:
            if run.entries != ours.entries or not np.isclose(run.score, ours.score, rtol=_SAME):
                raise ContenderError(
                    f"{name} found {run.entries:,} neighbors with a sum of scores of {run.score}, "
                    f"{OURS} {ours.entries:,} with {ours.score}"
                )


def report(work: str, runs: Mapping[str, Sequence[Trained]], store: str) -> Report:
    """Report the rate of ours and of the baseline, memory, and the stages of ours."""
    stages = {
        name: Spread.of([run.stages[name] for run in runs[OURS]]) for name in runs[OURS][0].stages
    }

    def judged(ours: str, baseline: str) -> Judged:
        peak = max(run.peak_bytes for run in runs[ours])
        reached = ratios(runs[ours], runs[baseline]).median >= BAR and peak <= MOST_BYTES
        fields = {
            "reached": reached,
            "peak_mb": {name: _peak_mb(its) for name, its in runs.items()},
            "stages_s": {name: round(spread.median, 3) for name, spread in stages.items()},
        }
        bar = f"{BAR:g} times {SCIKIT_LEARN}, at most {MOST_BYTES / _MB:,.0f} MB"
        return Judged(fields, f"{bar}: {met(reached)}")

    columns = {
        "model, s": lambda its: f"{Spread.of([run.seconds for run in its]).median:.2f}",
        "peak MB": lambda its: f"{_peak_mb(its):,}",
    }
    found = compared(
        "train", work, "pairs/s", runs, Servers("no broker", store), columns=columns, judged=judged
    )
    rows = [(name, f"{its.median:.2f}", f"{its:.2f}") for name, its in stages.items()]
    of_stages = table(("", "s", "least .. greatest"), rows, "from Redis to published")
    return Report(found.figures, [of_stages, *found.printed])


def _peak_mb(runs: Sequence[Trained]) -> int:
    return round(max(run.peak_bytes for run in runs) / _MB)
