"""Training: `python -m benchmarks train`.

Hypothesis: counts that the stream keeps are most of a model already. To rank the neighbors of all
items from them takes a fraction of what it takes to multiply the user-item matrix with itself.

Work: a store is filled with the counts of 50,000 items and 10 million pairs, made from users with
tastes (`train_data`). Ours is a whole run of the trainer, `python -m trainer once`, without users'
lists (`ITEM_MODEL=cosine`, `USER_MODEL=none`): counts from Redis, quality checks, the hold-out of
2,000 users, ranking, lists of 200 into Redis, publication. Its times of each stage are those of its
report.

Baseline: the same neighbors from the matrix of users and items in memory to lists in memory
(`train_peers`): scikit-learn's `cosine_similarity`, dense in chunks of rows, with `argpartition`;
`CosineRecommender` of implicit; `sp_matmul_topn` of sparse_dot_topn, on all cores. What is compared
is our model alone: fitting and ranking, from counts in memory to ranked lists in memory. The
products that the counts are made of were added up when the events came; theirs multiply them.
That all found the same lists is checked by the number of entries, and by the sum of the scores.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import RenderableType

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.environments import python_of
from benchmarks.harness.report import Report, conditions, ends, rounded, table
from benchmarks.harness.rounds import Run, Spread, busy_neighbors, interleaved, ratios
from benchmarks.train_data import Items, Pairs, make
from benchmarks.train_stage import TrainingStage, set_up

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
_ENVIRONMENTS: Final = {"implicit": "implicit", "sparse-dot-topn": "topn"}
_SAME: Final = 1e-6
"""Relative difference of sums that rounding to 12 digits, and 32-bit floats, may make."""


@dataclass(frozen=True, slots=True)
class Trained(Run):
    """A contender's neighbors of all items: `seconds` is the model's, `records` are pairs."""

    peak_bytes: int
    entries: int
    """neighbors in all lists"""
    score: float
    """sum of their scores"""
    version: str = ""
    """of a peer"""
    stages: Mapping[str, float] = field(default_factory=dict)
    """of ours: stage -> seconds, the whole run at last"""


class FoundByPeer(msgspec.Struct, frozen=True):
    """What a peer says."""

    seconds: float
    peak_bytes: int
    entries: int
    score: float
    version: str


def train(
    rounds: session.Rounds = 3,
    items: Items = 50_000,
    pairs: Pairs = 10_000_000,
    *,
    json: session.Json = False,
) -> None:
    """Counts in Redis to lists that are served, against scikit-learn, implicit, sparse_dot_topn."""
    with session.folder() as path:
        for environment in _ENVIRONMENTS.values():
            python_of(environment)
        with set_up(make(items, pairs, _SEED), path) as stage:
            contenders: dict[str, Callable[[], Trained]] = {OURS: lambda: ours(stage)}
            for name in (SCIKIT_LEARN, *_ENVIRONMENTS):
                contenders[name] = lambda name=name: peer(stage, name)  # type: ignore[misc]
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
    run = stage.train(settings)
    served, made = stage.current()
    score = stage.score(served.generation)
    stage.forget(served.generation)
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


def peer(stage: TrainingStage, name: str) -> Trained:
    """Let a peer find the same neighbors.

    Raises:
        ContenderError: it failed.
    """
    environment = _ENVIRONMENTS.get(name)
    python = str(python_of(environment)) if environment else sys.executable
    module = f"{__package__}.train_peers"
    argv = (python, "-W", "ignore", "-m", module, name, str(stage.folder), str(NEIGHBORS))
    # Its makers' advice to implicit, which has threads of its own.
    run = stage.run(name, argv, {"OPENBLAS_NUM_THREADS": "1"})
    said = stage.log(name).read_bytes().splitlines()[-1]
    found = msgspec.json.decode(said, type=FoundByPeer)
    return Trained(
        stage.data.pairs,
        found.seconds,
        {"others": run.busy_other_cores * found.seconds},
        found.peak_bytes,
        found.entries,
        found.score,
        found.version,
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
    """Report rounds of ours and of the peers: a line of JSON for each peer, or tables."""
    peers = {name: its for name, its in runs.items() if name != OURS}
    faster = {name: ratios(runs[OURS], its) for name, its in peers.items()}
    seconds = {name: Spread.of([run.seconds for run in its]) for name, its in runs.items()}
    peak_mb = {name: max(run.peak_bytes for run in its) / _MB for name, its in runs.items()}
    stages = {
        name: Spread.of([run.stages[name] for run in runs[OURS]]) for name in runs[OURS][0].stages
    }
    others = busy_neighbors([run for its in runs.values() for run in its])
    reached = (
        faster[SCIKIT_LEARN].median >= BAR
        and all(ratio.median >= 1 for ratio in faster.values())
        and peak_mb[OURS] * _MB <= MOST_BYTES
    )

    def figures(name: str) -> dict[str, Any]:
        spreads = {"value": seconds[OURS], "baseline_value": seconds[name]}
        return {
            "name": "train",
            "work": work,
            "unit": "s, counts in memory to ranked lists in memory",
            "baseline": f"{name} {peers[name][0].version}",
            **{which: round(spread.median, 3) for which, spread in spreads.items()},
            "ratio": round(faster[name].median, 2),
            "spread": {
                **{which: ends(spread, 3) for which, spread in spreads.items()},
                "ratio": ends(faster[name], 2),
            },
            "rounds": len(peers[name]),
            "peak_mb": {"ours": round(peak_mb[OURS]), "baseline": round(peak_mb[name])},
            "stages_s": rounded({stage: spread.median for stage, spread in stages.items()}),
            "busy_other_cores": ends(others, 2),
            "reached": reached,
            "store": store,
        }

    bar = f"{BAR:g} times {SCIKIT_LEARN}, not behind the others, at most {MOST_BYTES / _MB:,.0f} MB"
    rows = [(name, *_cells(its), f"{peak_mb[name]:,.0f}") for name, its in seconds.items()]
    style, verdict = ("green", "reached") if reached else ("red", "not reached")
    printed: Sequence[RenderableType] = (
        table(("", "model, s", "least .. greatest", "peak MB"), rows, work),
        table(
            ("", "s", "least .. greatest"),
            [(stage, *_cells(its)) for stage, its in stages.items()],
            "from Redis to published",
        ),
        *(
            f"[bold]{ratio.median:.2f} times[/] {name} {peers[name][0].version} "
            f"({ratio:.2f} in {len(peers[name])} rounds)"
            for name, ratio in faster.items()
        ),
        f"[{style}]{verdict}[/]: {bar}",
        conditions("no broker", store, others),
    )
    return Report([figures(name) for name in peers], printed)


def _cells(seconds: Spread) -> tuple[str, str]:
    return f"{seconds.median:.2f}", f"{seconds:.2f}"
