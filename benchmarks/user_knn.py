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
import resource
import sys
import time
from typing import Annotated, Final

import numpy as np
import typer
from scipy.sparse import csr_array, vstack
from sklearn.neighbors import NearestNeighbors

from benchmarks.harness import session
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.report import Report, conditions, table
from benchmarks.harness.rounds import Spread
from benchmarks.harness.zipf import draw
from contracts.messages import Ints
from trainer.counts.matrices import Matrix
from trainer.generations.writing import USERS_PER_BLOCK
from trainer.models.user_knn import UserKnn, UserKnnConfig, UserKnnRanker

ITEMS: Final = 50_000
_DRAWS: Final = 34
_USERS_AT_ONCE: Final = 50_000
_SAMPLE: Final = 200
_SEED: Final = 1
_AS_NEAR: Final = 1e-6
"""Difference of distances that floating noise may make."""
_KIB: Final = 1 if sys.platform == "darwin" else 1_024
"""Bytes in the unit of `ru_maxrss`."""


def user_knn(
    users: Annotated[int, typer.Option(min=1_000)] = 1_000_000, *, json: session.Json = False
) -> None:
    """Neighbors and lists of many users, against scikit-learn's by brute force."""
    with session.folder():
        session.present(measure(users), json=json)


def measure(users: int) -> Report:
    """Report what the neighbors and lists of so many users take, in this process."""
    affinities = make(users, _SEED)
    pids, began = {"ours": os.getpid()}, time.perf_counter()
    before = read_clock(pids)
    ranker = UserKnn(UserKnnConfig()).fit(affinities)
    fit_s = time.perf_counter() - began
    for start in range(0, users, USERS_PER_BLOCK):
        ranker.rank(start, min(start + USERS_PER_BLOCK, users))
    seconds, cpu_s = time.perf_counter() - began, spent(before, read_clock(pids))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    rank_s, others = seconds - fit_s, cpu_s["others"] / seconds

    sample = np.random.default_rng(_SEED).choice(users, min(_SAMPLE, users), replace=False)
    recall, sample_s = _by_brute_force(ranker, sample)
    # If the others take as long as the sample.
    brute_force_s = sample_s * users / len(sample)
    figures = {
        "name": "user-knn",
        "work": f"{users:,} users, {ITEMS:,} items",
        "value": round(fit_s, 1),
        "unit": "s, neighbors of all users",
        "baseline": "scikit-learn",
        "baseline_value": round(brute_force_s, 1),
        "ratio": round(brute_force_s / fit_s, 2),
        "fit_s": round(fit_s, 1),
        "rank_s": round(rank_s, 1),
        "cpu_s": round(cpu_s["ours"], 1),
        "peak_bytes": peak_bytes,
        "recall": round(recall, 4),
        "busy_other_cores": round(others, 2),
    }
    seconds_of = ("neighbors, s", "by scikit-learn, s", "lists, s", "CPU s")
    row = (
        f"{users:,}",
        *(f"{figure:,.1f}" for figure in (fit_s, brute_force_s, rank_s, cpu_s["ours"])),
        f"{peak_bytes / 1e9:.2f}",
        f"{recall:.3f}",
    )
    work = f"neighbors and lists of users who have 30 of {ITEMS:,} items"
    on = conditions("no broker", "no store", Spread.of([others]))
    return Report([figures], [table(("users", *seconds_of, "peak GB", "recall"), [row], work), on])


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


def _by_brute_force(ranker: UserKnnRanker, sample: Ints) -> tuple[float, float]:
    """Return the recall of some users' neighbors, and how long finding the true ones took."""
    rows, k, began = ranker.users.rows, ranker.config.k, time.perf_counter()
    brute = NearestNeighbors(n_neighbors=k + 1, metric="euclidean", algorithm="brute").fit(rows)
    distances, _ = brute.kneighbors(rows[sample])  # among them each user itself, at 0
    seconds = time.perf_counter() - began
    of_found = np.sqrt(2 - 2 * ranker.neighbors.closeness[sample])
    return float(np.mean(of_found <= distances[:, -1:] + _AS_NEAR)), seconds
