"""What the servers are asked about is what the programs would have written, and as much as said."""

import msgspec
import numpy as np

from benchmarks.reads import lists
from benchmarks.reads.data import SEED, Size, by_popularity
from contracts.generations import SimilarList

SIZE = Size(instruments=2_500, users=1_000)


def rng() -> np.random.Generator:
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def test_lists_are_encoded_as_the_trainer_does_it() -> None:
    found = dict(lists.similar_lists(by_popularity(SIZE), rng()))
    assert found.keys() == set(range(SIZE.instruments))
    for item, encoded in found.items():
        similar = msgspec.json.decode(encoded, type=SimilarList)
        assert msgspec.json.encode(similar) == encoded
        names = [neighbor.item for neighbor in similar.items]
        assert len(set(names)) == len(names) == lists.NEIGHBORS
        assert str(item) not in names
        scores = [neighbor.score for neighbor in similar.items]
        assert scores == sorted(scores, reverse=True)
