"""Nearest items by scikit-learn: `python -m benchmarks.peers.scikit_learn FOLDER N`.

Reads the user-item matrix R from FOLDER, and finds the N most similar items of each item by the
cosine of their columns, best first. Says in a line of JSON how long it took from R in memory to
lists in memory, and how much memory it had at most.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from scipy.sparse import csr_array, load_npz
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.harness.usage import peak_bytes
from contracts.messages import Floats

ROWS_AT_A_TIME: Final = 1_000
"""A dense block of 50,000 columns has 400 MB."""


def neighbor_scores(user_items: csr_array, n: int) -> Floats:
    """Return the scores of each item's lists, (n_items, n): chunks of rows by argpartition."""
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
    _, found = (np.concatenate(part) for part in zip(*every, strict=True))
    return found


def main() -> None:
    """Read, measure, report."""
    folder, n = Path(sys.argv[1]), int(sys.argv[2])
    user_items = csr_array(load_npz(folder / "user_items.npz"))
    started = time.perf_counter()
    scores = neighbor_scores(user_items, n)
    seconds, peak = time.perf_counter() - started, peak_bytes()
    result = {
        "seconds": seconds,
        "peak_bytes": peak,
        "entries": int((scores > 0).sum()),
        "score": float(scores.sum()),
        "version": version("scikit-learn"),
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
