"""What `train` trains on is what the workers would have written, and its verdict is about that."""

from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.report import Report
from benchmarks.train.data import fill, make
from benchmarks.train.scenario import (
    MODEL_STAGES,
    OURS,
    SCIKIT_LEARN,
    Trained,
    check_same,
    ours,
    peer,
    report,
)
from benchmarks.train.stage import USER_ITEMS, set_up
from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES
from runtime.redis.stores import connect
from tests.benchmarks.reported import shown
from trainer.reading import read_gram
from trainer.stages import Stages

QUIET = {"others": 0.1}
STAGES = {"read counts": 3.0, "rank item lists": 0.5, "whole run": 9.0}


def test_the_store_is_filled_with_the_counts_that_the_trainer_reads(
    store_url: str, namespace: str
) -> None:
    data = make(1_000, 200, seed=1)
    fill(store_url, Keyspace(namespace), data)
    stages = Stages(lambda: None, Progress(disable=True))
    with connect(store_url, "tests") as store:
        gram = read_gram(store, Keyspace(namespace), COOCCURRENCES.partitions, stages)
    assert gram.items.tolist() == list(range(1_000))
    assert (gram.counts != data.gram).nnz == 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_process_is_watched_to_its_end_for_the_most_memory_that_it_had(tmp_path: Path) -> None:
    data = make(1_000, 200, seed=1)
    with set_up(data, tmp_path) as stage:
        theirs, its = peer(stage), ours(stage)
    check_same({OURS: [its], SCIKIT_LEARN: [theirs]})
    assert its.stages.keys() >= set(MODEL_STAGES)
    assert min(its.peak_bytes, theirs.peak_bytes) > 50_000_000
    assert 0 < its.seconds < its.stages["whole run"]


def trained(seconds: float, *, peak_bytes: int = 1, entries: int = 3, score: float = 2) -> Trained:
    return Trained(100, seconds, QUIET, peak_bytes, entries, score, STAGES)


def training(ours: Trained, scikit_learn: float = 6.0) -> Report:
    return report("2 items", {OURS: [ours], SCIKIT_LEARN: [trained(scikit_learn)]}, "Valkey 9")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (training(trained(1.0)), "reached"),
        (training(trained(1.0), scikit_learn=4.9), "not reached"),
        (training(trained(1.0, peak_bytes=(2 << 30) + 1)), "not reached"),
    ],
)
def test_the_bar_is_five_times_scikit_learn_within_two_gigabytes(
    found: Report, verdict: str
) -> None:
    assert {one["reached"] for one in found.figures} == {verdict == "reached"}
    assert f"5 times scikit-learn, at most 2,147 MB: {verdict}" in shown(found)
    assert "read counts" in shown(found)


@pytest.mark.parametrize("other", [trained(1.0, entries=4), trained(1.0, score=2.001)])
def test_contenders_with_different_results_are_not_compared(other: Trained) -> None:
    check_same({OURS: [trained(1.0)], SCIKIT_LEARN: [trained(1.0, score=2 + 1e-7)]})
    with pytest.raises(ContenderError, match="scikit-learn found"):
        check_same({OURS: [trained(1.0)], SCIKIT_LEARN: [other]})


def test_a_failing_peer_is_reported_with_its_output(tmp_path: Path) -> None:
    with set_up(make(1_000, 200, seed=1), tmp_path) as stage:
        (stage.folder / USER_ITEMS).unlink()
        with pytest.raises(ContenderError, match=r"(?s)exit code 1: .*FileNotFoundError"):
            peer(stage)
