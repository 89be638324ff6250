"""Whole runs, on a real store."""

import threading
from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from contracts.generations import PopularList, UserList
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from contracts.log_position import LogPosition
from contracts.topics import COOCCURRENCES, INTERACTIONS
from tests.oracles.gram import gram_matrix
from tests.trainer.setup import Affinities, Setup
from trainer.generations.publication import read_current
from trainer.run.runs import Runs
from trainer.settings_file import changed


@pytest.fixture
def affinities(setup: Setup) -> Affinities:
    random = np.random.default_rng(0)
    made = (random.random((50, 30)) < 0.2) * 1.0
    made[:, 0], made[0, 1] = 0, 1  # nobody has item 100, u0 has something
    return setup.fill(made)


def test_user_lists_carry_the_offset_of_their_history_and_reasons_that_the_user_has(
    setup: Setup, affinities: Affinities
) -> None:
    assert setup.run() == "trained"
    generation = setup.served().generation
    for u in range(50):
        found = setup.read(setup.keys.model_user(generation, f"u{u}"), UserList)
        has = {str(100 + i) for i in np.flatnonzero(affinities[u])}
        assert (found.model, found.off) == ("user-knn", LogPosition(0, 9))
        assert found.items
        for recommended in found.items:
            assert recommended.item not in has
            assert recommended.because
            assert has.issuperset(recommended.because)


def test_the_popular_list_counts_users(setup: Setup, affinities: Affinities) -> None:
    assert setup.run() == "trained"
    found = setup.read(setup.keys.model_popular(setup.served().generation), PopularList)
    had = affinities.sum(axis=0)
    expected = sorted((-had[i], 100 + i) for i in np.flatnonzero(had))
    assert [(-p.score, int(p.item)) for p in found.items] == expected
    # However long nobody took an item: users still have it, and the list says that it has all.
    for cut, length in ({}, len(expected)), ({"popular_items": 3}, 3):
        assert setup.run(popular_half_life_days=1e-11, **cut) == "trained"
        found = setup.read(setup.keys.model_popular(setup.served().generation), PopularList)
        assert (len(found.items), found.is_whole) == (length, not cut)


def test_the_report_says_what_the_generation_was_made_from(
    setup: Setup, affinities: Affinities
) -> None:
    assert setup.run() == "trained"
    generation, report = setup.served().generation, setup.report()
    counts = gram_matrix(affinities)
    assert (report.generation, report.fence) == (generation, 1)
    assert report.inputs.positions == {
        "interactions": [LogPosition(0, 10)] * 3,
        "cooccurrences": [LogPosition(0, 10)] * 3,
    }
    assert report.inputs.settings["neighbors_per_item"] == 200
    assert report.inputs.settings == setup.settings.of_generation()
    made_with = changed(setup.settings, {"popular_half_life_days": 0, "repeats": 0})
    assert report.settings == made_with.of_generation()
    assert report.data.items == report.lists.similar == 29
    assert report.data.users == report.lists.user == 50
    assert report.data.pairs == np.count_nonzero(np.triu(counts, 1))
    assert report.lists.similar_entries == 2 * report.data.pairs
    assert report.data.affinities == affinities.sum()
    assert report.data.items_of_one_user == (counts.diagonal() == 1).sum()
    assert datetime.fromisoformat(report.started) <= datetime.fromisoformat(report.finished)
    assert {"read counts", "rank item lists", "write user lists"} <= report.seconds.keys()


def test_a_run_is_skipped_until_counts_histories_or_settings_change(
    setup: Setup, affinities: Affinities
) -> None:
    assert [setup.run() for _ in range(3)] == ["trained", "unchanged", "unchanged"]
    for topic in (INTERACTIONS, COOCCURRENCES):
        setup.store.hincrby(setup.keys.position(topic, 2), "next", 1)
        assert [setup.run() for _ in range(2)] == ["trained", "unchanged"]
    setup.store.hincrby(setup.keys.position(INTERACTIONS, 0), "incarnation", 1)
    assert [setup.run() for _ in range(2)] == ["trained", "unchanged"]
    assert [setup.run(cosine_shrinkage=3.0) for _ in range(2)] == ["trained", "unchanged"]
    assert setup.run(cosine_shrinkage=3.0, asked=True) == "trained"


class StopsAfter(threading.Event):
    """Set after a number of looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.parametrize("looks", range(4))
def test_a_run_that_is_stopped_between_two_blocks_gives_up_its_generation_and_the_lock(
    setup: Setup, affinities: Affinities, looks: int
) -> None:
    setup.run()
    before = setup.served()
    outcome = Runs(setup.settings, StopsAfter(looks)).once(only_if_changed=False, wait_for_lock_s=0)
    assert outcome == "stopped"
    assert setup.served() == before
    assert not setup.store.exists(setup.keys.model_lock())
    for key in setup.store.scan_iter(f"{setup.keys.namespace}:model:*-2*"):
        assert 0 < setup.store.ttl(key) <= REPLACED_GENERATION_TTL_S


def test_a_run_that_loses_its_lease_publishes_nothing(
    setup: Setup, affinities: Affinities, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody renews it, and it is over before the first block is read.
    monkeypatch.setattr("trainer.run.lock.RENEWALS_PER_LEASE", 1e-6)
    monkeypatch.setattr("trainer.run.runs.LEASE_S", 0.001)
    assert setup.run() == "failed"
    assert read_current(setup.store, setup.keys) is None


def test_a_corrupt_value_is_left_out_counted_and_logged(
    setup: Setup, affinities: Affinities
) -> None:
    row, history = setup.row_key(103), setup.history_key("u7")
    setup.store.hset(row, "7", "many")
    setup.store.hset(history, "105", "[]")
    with capture_logs() as logs:
        assert setup.run() == "trained"
    generation, report = setup.served().generation, setup.report()
    assert report.n_corrupt == len(report.corrupt) == 2
    assert {problem.split(": ")[0] for problem in report.corrupt} == {row, history}
    assert REGISTRY.get_sample_value("trainer_corrupt_values") == 2
    logged = [log["problem"] for log in logs if log["log_level"] == "warning" and "problem" in log]
    assert logged == report.corrupt
    assert not setup.store.exists(setup.keys.model_user(generation, "u7"))
    assert not setup.store.exists(setup.keys.model_similar(generation, "103"))
    assert setup.store.exists(setup.keys.model_user(generation, "u8"))


class Waits(threading.Event):
    """Records the waits, runs a callback in each, and is set after some of them."""

    def __init__(self, count: int, between: Callable[[int], object]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._count, self._between = count, between

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and timeout > 0.5:  # else the lock's or a try's
            self.seconds.append(timeout)
            self._between(len(self.seconds))
            if len(self.seconds) == self._count:
                self.set()
        return self.is_set()


def run_every(seconds: float, setup: Setup, waits: Waits) -> None:
    Runs(changed(setup.settings, {"train_every_seconds": seconds}), waits).periodically()


def test_what_is_read_while_the_first_events_are_folded_does_not_delay_the_first_lists(
    setup: Setup,
) -> None:
    setup.fill(np.zeros((0, 0)))
    counts = (np.random.default_rng(0).random((20, 10)) < 0.4) * 1.0

    def fold(n: int) -> None:
        if n > 3:
            return
        setup.fill(counts, offset=9 + n)
        for item in range(100, 110):
            row = setup.row_key(item)
            if n == 1:  # histories are folded before the counts that follow from them
                setup.store.delete(row, setup.items_key(item))
            elif n == 2:  # pairs are there and own counts are not, and the run is rejected
                setup.store.hdel(row, str(item))

    waits = Waits(5, fold)

    run_every(60, setup, waits)

    assert setup.served().generation
    assert waits.seconds == pytest.approx([5, 5, 10, 20, 40], abs=3)
