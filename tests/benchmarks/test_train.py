"""What `train` trains on is what the workers would have written, and its verdict is about that."""

from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.train.data import fill, make
from benchmarks.train.scenario import train_on
from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES
from runtime.redis.stores import connect
from trainer.reading import read_gram
from trainer.stages import Stages

DATA = make(1_000, 200, seed=1)


def test_the_store_is_filled_with_the_counts_that_the_trainer_reads(
    store_url: str, namespace: str
) -> None:
    fill(store_url, Keyspace(namespace), DATA)
    stages = Stages(lambda: None, Progress(disable=True))
    with connect(store_url, "tests") as store:
        gram = read_gram(store, Keyspace(namespace), COOCCURRENCES.partitions, stages)
    assert gram.items.tolist() == list(range(1_000))
    assert (gram.counts != DATA.gram).nnz == 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_each_run_trains_from_the_counts_to_published_lists(tmp_path: Path) -> None:
    first, second = train_on(DATA, tmp_path, rounds=2)[0]
    assert first.stages_s.keys() == second.stages_s.keys() >= {"read counts", "rank item lists"}
    assert min(first.peak_bytes, second.peak_bytes) > 50_000_000
    assert sum(second.stages_s.values()) < second.seconds
