"""Recommendations by implicit: `python -m benchmarks.peers.implicit FOLDER`.

Waits for jobs, a line of JSON each, on standard input: a matrix of users and items in FOLDER, which
users are asked for, a model and its settings. Writes the items of each user to FOLDER, and then a
line on standard output. What a user has is left out by implicit itself.
"""

# Its packages are in an environment of their own, where mypy does not see them.
# mypy: ignore-errors

import json
import sys
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from scipy.sparse import csr_matrix, load_npz

MODELS = {
    "implicit cosine": CosineRecommender,
    "implicit BM25": BM25Recommender,
    "implicit ALS": AlternatingLeastSquares,
}


def recommend(folder: Path, job: dict) -> None:
    """Fit one model and write its lists, `items.npy` and `scores.npy`, (n_users_asked, n)."""
    user_items = csr_matrix(load_npz(folder / f"{job['matrix']}.npz"))
    users = np.load(folder / f"{job['matrix']}-users.npy")
    model = MODELS[job["model"]](**job["settings"])
    model.fit(user_items, show_progress=False)
    items, scores = model.recommend(
        users, user_items[users], N=job["n"], filter_already_liked_items=True
    )
    np.save(folder / "items.npy", items)
    np.save(folder / "scores.npy", scores)


def main() -> None:
    """Do jobs until there are no more."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        recommend(folder, json.loads(line))
        print("done", flush=True)


if __name__ == "__main__":
    main()
