"""Neighbors and lists of many users: `python -m benchmarks user-knn`.

Hypothesis: a million users get their 50 nearest neighbors, and lists of 50 by what these have, in
minutes on two cores and in 3 GB, though they are 10^12 pairs. As long as there are no more pairs
than the model's limit neighbors are exact; above it nine in ten of them are found.

Work: users draw 34 times from 50,000 items by Zipf's law, which are 30 different ones on average;
the affinity of each draw follows a gamma distribution (shape 1). The model is fitted, and then
ranks all users in blocks, as the trainer does. No tastes tie users together: such neighbors are
harder to find than people's are.

Baseline: `NearestNeighbors` of scikit-learn by brute force, for as long as it takes for a sample of
users. It is the truth as well: recall is the share of the sample's nearest users that were found,
or of others who are as near.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Final

import numpy as np
import typer
from scipy.sparse import csr_array, vstack
from sklearn.neighbors import NearestNeighbors

from benchmarks.harness import session
from benchmarks.harness.memory import peak_bytes
from benchmarks.harness.report import Report, conditions, ends, table
from benchmarks.harness.rounds import Run, busy_neighbors
from benchmarks.harness.timing import timed
from benchmarks.harness.zipf import draw
from trainer.counts.matrices import Matrix
from trainer.generations.writing import USERS_PER_BLOCK
from trainer.models.user_knn import UserKnn, UserKnnConfig

ITEMS: Final = 50_000
BASELINE: Final = "scikit-learn"
_DRAWS: Final = 34
_USERS_AT_ONCE: Final = 50_000
_SAMPLE: Final = 200
_SEED: Final = 1
_AS_NEAR: Final = 1e-6
"""Difference of distances that floating noise may make."""


def user_knn(
    users: Annotated[int, typer.Option(min=1_000)] = 1_000_000, *, json: session.Json = False
) -> None:
    """Neighbors and lists of many users, against scikit-learn's by brute force."""
    with session.folder():
        session.present(measure(users), json=json)


def measure(users: int) -> Report:
    """Report what the neighbors and lists of so many users take, in this process."""
    affinities, runs = make(users, _SEED), dict[str, Run]()
    pids = {"ours": os.getpid()}
    with timed(runs, "neighbors", users, pids):
        ranker = UserKnn(UserKnnConfig()).fit(affinities)
    with timed(runs, "lists", users, pids):
        for start in range(0, users, USERS_PER_BLOCK):
            ranker.rank(start, min(start + USERS_PER_BLOCK, users))
    peak, rows, k = peak_bytes(), ranker.users.rows, ranker.config.k
    sample = np.random.default_rng(_SEED).choice(users, min(_SAMPLE, users), replace=False)
    brute = NearestNeighbors(n_neighbors=k + 1, metric="euclidean", algorithm="brute").fit(rows)
    with timed(runs, BASELINE, len(sample), pids):
        distances, _ = brute.kneighbors(rows[sample])  # among them each user itself, at 0
    of_found = np.sqrt(2 - 2 * ranker.neighbors.closeness[sample])
    recall = float(np.mean(of_found <= distances[:, -1:] + _AS_NEAR))
    have = f"{affinities.nnz / users:.0f} of {ITEMS:,} items each on average"
    return report(f"neighbors and lists of {users:,} users who have {have}", runs, peak, recall)


def report(work: str, runs: Mapping[str, Run], peak: int, recall: float) -> Report:
    """Report the times: a line of JSON, or a table.

    The baseline's neighbors of all users are taken to come at the rate of the sample's.
    """
    fitted, ranked, sample = runs["neighbors"], runs["lists"], runs[BASELINE]
    baseline, baseline_s = f"{BASELINE} {version(BASELINE)}", fitted.records / sample.rate
    ratio, cpu_s = fitted.rate / sample.rate, fitted.cpu_s["ours"] + ranked.cpu_s["ours"]
    others = busy_neighbors([*runs.values()])
    figures = {
        "name": "user-knn",
        "work": work,
        "value": round(fitted.seconds, 1),
        "unit": "s, neighbors of all users",
        "baseline": baseline,
        "baseline_value": round(baseline_s, 1),
        "ratio": round(ratio, 2),
        "fit_s": round(fitted.seconds, 1),
        "rank_s": round(ranked.seconds, 1),
        "cpu_s": round(cpu_s, 1),
        "peak_bytes": peak,
        "recall": round(recall, 4),
        "busy_other_cores": ends(others, 2),
    }
    columns = ("", "neighbors, s", "lists, s", "CPU s", "peak GB", "recall")
    seconds = (f"{s:,.1f}" for s in (fitted.seconds, ranked.seconds, cpu_s))
    rows = [
        ("tickrec", *seconds, f"{peak / 1e9:.2f}", f"{recall:.3f}"),
        (baseline, f"{baseline_s:,.1f}"),
    ]
    verdict = f"neighbors: [bold]{ratio:.1f} times[/] {baseline}, by a sample of {sample.records}"
    on = conditions("no broker", "no store", others)
    return Report([figures], [table(columns, rows, work), verdict, on])


def make(users: int, seed: int) -> Matrix:
    """Return the affinities of so many users, (users, ITEMS), the same for the same seed."""
    rng = np.random.default_rng(seed)
    sizes = [min(_USERS_AT_ONCE, users - start) for start in range(0, users, _USERS_AT_ONCE)]
    made: Matrix = csr_array(vstack([_affinities(size, rng) for size in sizes], "csr"))
    return made


def _affinities(users: int, rng: np.random.Generator) -> Matrix:
    n = users * _DRAWS
    of_user, drawn = np.repeat(np.arange(users), _DRAWS), draw(n, ITEMS, rng)
    made: Matrix = csr_array((rng.gamma(1, 1, n), (of_user, drawn)), shape=(users, ITEMS))
    return made
