"""What `train` trains on is what the workers would have written, and its verdict is about that."""

from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.harness.contender import ContenderError
from benchmarks.train.data import fill, make
from benchmarks.train.scenario import Training, report, train_on
from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES
from runtime.redis.stores import connect
from tests.benchmarks.reported import shown
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


@pytest.mark.parametrize(
    ("seconds", "peak_bytes", "verdict"),
    [(9.9, 1, "reached"), (10.1, 1, "not reached"), (9.9, (2 << 30) + 1, "not reached")],
)
def test_the_bar_is_ten_seconds_within_two_gigabytes(
    seconds: float, peak_bytes: int, verdict: str
) -> None:
    found = report(DATA, [Training(seconds, peak_bytes, 0.1, {"read counts": 3.0})], "Valkey 9")
    assert {one["reached"] for one in found.figures} == {verdict == "reached"}
    assert f"at most 10 s and 2,147 MB: {verdict}" in shown(found)


def test_a_trainer_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.train.scenario.fill", lambda *_: None)
    with pytest.raises(ContenderError, match=r"trainer ended with exit code \d+: see"):
        train_on(DATA, tmp_path, rounds=1)
