"""Nearest items by others: `python -m benchmarks.train_peers NAME FOLDER N`.

Reads the user-item matrix R from FOLDER, and finds the N most similar items of each item by the
cosine of their columns, best first, with `NAME`. Says in a line of JSON how long it took from R in
memory to lists in memory, and how much memory it had at most.
"""

# Most of its packages are in environments of their own, where mypy does not see them.
# mypy: ignore-errors

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, load_npz

from benchmarks.harness.memory import peak_bytes

ROWS_AT_A_TIME = 1_000
"""A dense block of 50,000 columns has 400 MB."""


def by_scikit_learn(user_items, n):
    """Chunks of rows, dense, the best of each by argpartition."""
    from sklearn.metrics.pairwise import cosine_similarity

    item_users = user_items.T.tocsr()
    every = []
    for start in range(0, item_users.shape[0], ROWS_AT_A_TIME):
        block = cosine_similarity(item_users[start : start + ROWS_AT_A_TIME], item_users)
        rows = np.arange(len(block))
        block[rows, start + rows] = 0  # itself
        best = np.argpartition(block, -n, axis=1)[:, -n:]
        scores = np.take_along_axis(block, best, axis=1)
        order = np.argsort(-scores, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
        every.append((np.take_along_axis(best, order, axis=1), scores))
    _, scores = (np.concatenate(part) for part in zip(*every, strict=True))
    return csr_matrix(scores)


def by_implicit(user_items, n):
    """All cores; it counts an item among its own neighbors."""
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=n + 1)
    model.fit(user_items, show_progress=False)
    return model.similarity


def by_sparse_dot_topn(user_items, n):
    """All cores; an item is among its own neighbors here, too."""
    from sparse_dot_topn import sp_matmul_topn

    norms = np.sqrt(np.asarray(user_items.multiply(user_items).sum(axis=0)).ravel())
    unit = csr_matrix(user_items.multiply(1 / norms))
    return sp_matmul_topn(unit.T.tocsr(), unit, n + 1, sort=True, n_threads=os.cpu_count())


PEERS = {
    "scikit-learn": by_scikit_learn,
    "implicit": by_implicit,
    "sparse-dot-topn": by_sparse_dot_topn,
}


def without_itself(lists):
    """Return the scores of the neighbors alone, (n_items, n_items)."""
    lists = lists.tocoo()
    others = (lists.row != lists.col) & (lists.data > 0)
    return csr_matrix(
        (lists.data[others], (lists.row[others], lists.col[others])), shape=lists.shape
    )


def main():
    """Read, measure, say."""
    name, folder, n = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    user_items = csr_matrix(load_npz(folder / "user_items.npz"))
    started = time.perf_counter()
    lists = PEERS[name](user_items, n)
    seconds, peak = time.perf_counter() - started, peak_bytes()
    if name != "scikit-learn":  # which has left them out
        lists = without_itself(lists)
    result = {
        "seconds": seconds,
        "peak_bytes": peak,
        "entries": int((lists.data > 0).sum()),
        "score": float(lists.data.sum()),
        "version": version(name),
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
