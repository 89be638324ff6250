"""The hold-out: what is learned from is what the stream's fold makes; splits part cleanly."""

from functools import reduce
from itertools import takewhile
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import Affinity, affinity_of
from contracts.event_types import BUILT_IN
from stream_processors.histories.history import History
from stream_processors.histories.rules import HistoryRules
from tests.examples import examples
from tests.oracles.gram import gram_matrix
from tests.trainer.evaluation.made import TRADE, Event, events_in_time_order, interactions
from trainer.evaluation.interactions import Split
from trainer.evaluation.preparing import prepare
from trainer.evaluation.splits import SplitError, last, per_user, temporal
from trainer.evaluation.worker import WorkerRules

CAP = 5
DEFAULT = WorkerRules()

in_time_order = events_in_time_order()
without_rejections = in_time_order.map(
    lambda events: [event for event in events if BUILT_IN[event[3]] > 0]
).filter(bool)
fewer = examples(40)  # pandas takes some milliseconds each


@fewer
@given(
    events=in_time_order, affinity=st.sampled_from(["binary", "greatest"]), cap=st.integers(1, 30)
)
def test_histories_and_counts_are_those_that_the_stream_folds(
    events: list[Event], affinity: Literal["binary", "greatest"], cap: int
) -> None:
    rules = WorkerRules(affinity=affinity, half_life_days=30, history_cap=cap)
    histories: dict[str, History] = {}
    rule = affinity_of(affinity, 30)
    evicted = False
    rejected = any(BUILT_IN[kind] <= 0 for _, _, _, kind, _ in events)
    worker = HistoryRules(rule, cap)
    for offset, (user, item, ts, kind, _) in enumerate(events):
        history = histories.setdefault(user, History.empty(scaled=False))
        worker.fold(history, offset, item, BUILT_IN[kind], ts, np.nan)
        evicted |= bool(history.removed)
    made = prepare(Split(interactions(events), interactions(events)), rules)
    dense = made.holdout.train.toarray()
    expected = np.zeros_like(dense)
    # Nor does it know what would still be there but for items that were rejected later.
    if evicted and rejected:
        return
    for u, user in enumerate(made.users):
        entries = histories[user].entries
        items = np.searchsorted(made.items, entries["item"])
        expected[u, items] = entries["affinity"]
        kept = made.holdout.histories
        start, stop = kept.affinities.indptr[u : u + 2]
        in_order = np.argsort(entries["item"])
        assert kept.ts_ms[start:stop].tolist() == entries["ts_ms"][in_order].tolist()
        first = kept.since_ms[start:stop].tolist()
        assert first == entries["first_ms"][in_order].tolist() or evicted
    # What left a capped history and came back counts with all of its events here.
    assert ((dense > 0) == (expected > 0)).all()
    assert (dense == expected).all() or (evicted and affinity == "greatest")
    assert (made.holdout.stored == made.holdout.train.data).all()
    assert np.allclose(made.holdout.streamed.toarray(), gram_matrix(dense), rtol=1e-12)


@fewer
@given(
    events=events_in_time_order("abc", 6),
    affinity=st.sampled_from(["binary", "weighted", "greatest"]),
    user_weight=st.sampled_from(["none", "inverse-degree", "value"]),
    cap=st.integers(1, 7),
)
def test_every_rule_of_the_workers_equals_a_plain_recomputation(
    events: list[Event],
    affinity: Literal["binary", "weighted", "greatest"],
    user_weight: Literal["none", "inverse-degree", "value"],
    cap: int,
) -> None:
    rules = WorkerRules(
        affinity=affinity,
        half_life_days=14,
        history_cap=cap,
        user_weight=user_weight,
        user_weight_exponent=0.75,
        typical_value=4,
    )
    made = prepare(Split(interactions(events), interactions(events)), rules)
    one_by_one = affinity_of(affinity, 14)
    scaled = np.zeros(made.holdout.train.shape)
    for u, user in enumerate(made.users):
        kept = latest_items([event for event in events if event[0] == user], cap, one_by_one)
        scale = plain_scale(kept, rules)
        for item, of_item in kept.items():
            r = added_up(of_item, one_by_one)
            place = int(np.searchsorted(made.items, item))
            assert made.items[place] == item
            assert made.holdout.train[u, place] == pytest.approx(r, rel=1e-12)
            scaled[u, place] = r * scale
    assert made.holdout.train.nnz == np.count_nonzero(scaled)
    assert made.holdout.stored == pytest.approx(scaled[scaled > 0], rel=1e-12)
    assert made.holdout.streamed.toarray() == pytest.approx(gram_matrix(scaled), rel=1e-12)


def added_up(events: list[Event], affinity: Affinity) -> float:
    def add(so_far: float, event: Event) -> float:
        return affinity(max(so_far, 0), BUILT_IN[event[3]], event[2])

    return reduce(add, events, 0.0)


def latest_items(events: list[Event], cap: int, affinity: Affinity) -> dict[int, list[Event]]:
    """Return the events of the items that a user's history keeps, by item."""
    of_items: dict[int, list[Event]] = {}
    for event in events:
        of_items.setdefault(event[1], []).append(event)
    known = [item for item, of_item in of_items.items() if added_up(of_item, affinity) > 0]
    latest = sorted(known, key=lambda item: (max(e[2] for e in of_items[item]), item))
    return {item: of_items[item] for item in latest[-cap:]}


def since_rejected(events: list[Event]) -> list[Event]:
    """Return the events of an item after the last that rejects it."""
    return [*takewhile(lambda event: BUILT_IN[event[3]] > 0, reversed(events))]


def plain_scale(kept: dict[int, list[Event]], rules: WorkerRules) -> float:
    typical, exponent = rules.typical_value, rules.user_weight_exponent
    if rules.user_weight == "inverse-degree":
        return float(len(kept) ** -exponent)
    values = [
        min(max(event[4], typical / 1_000), typical * 1_000)
        for of_item in kept.values()
        for event in since_rejected(of_item)
        if not np.isnan(event[4])
    ]
    if rules.user_weight == "none" or not values:
        return 1.0
    return float((sum(values) / len(values) / typical) ** exponent)


def test_a_rejected_item_is_neither_learned_from_nor_to_be_found() -> None:
    nan = np.nan
    had = [("a", 1, 0, TRADE, nan), ("a", 2, 1, TRADE, nan), ("b", 1, 1, TRADE, nan)]
    rejected = [("b", 3, 0, TRADE, nan), ("a", 4, 2, TRADE, nan), ("a", 4, 3, "hide", nan)]
    later = [("a", 3, 5, TRADE, nan), ("a", 3, 6, "hide", nan), ("b", 2, 5, TRADE, nan)]
    made = prepare(Split(interactions([*had, *rejected]), interactions(later)), DEFAULT)
    assert made.items.tolist() == [1, 2, 3]
    assert made.holdout.train.toarray().tolist() == [[1, 1, 0], [1, 0, 1]]
    assert made.holdout.test.toarray().tolist() == [[0, 0, 0], [0, 1, 0]]


def test_only_items_that_count_are_split_off() -> None:
    nan = np.nan
    had = [("a", item, item, TRADE, nan) for item in (1, 2, 3)]
    events = interactions([*had, ("a", 3, 9, "hide", nan)])
    assert last(events).test.items.tolist() == [2]
    assert set(per_user(events, 0.99, 0).test.items.tolist()) == {1, 2}


def test_what_cannot_be_found_is_counted_and_not_asked_for() -> None:
    train = interactions([("a", 1, 0), ("a", 2, 1), ("b", 3, 2)])
    test = interactions(
        [("a", 1, 5), ("a", 3, 5), ("a", 3, 6), ("a", 99, 5), ("new", 1, 5), ("new", 2, 5)]
    )
    made = prepare(Split(train, test), DEFAULT)
    assert made.items.tolist() == [1, 2, 3]
    assert made.holdout.test.toarray().tolist() == [[0, 0, 1], [0, 0, 0]]
    assert made.holdout.judged.tolist() == [0]
    left_out = made.left_out
    assert left_out.pairs_seen_before == 1
    assert left_out.pairs_of_unknown_items == 1
    assert (left_out.unknown_users, left_out.pairs_of_unknown_users) == (1, 2)


@given(events=in_time_order, share=st.floats(0.1, 0.9))
def test_a_temporal_split_learns_from_nothing_that_comes_later(
    events: list[Event], share: float
) -> None:
    everything = interactions(events)
    if len(set(everything.ts_ms.tolist())) == 1:
        with pytest.raises(SplitError, match="no event is earlier"):
            temporal(everything, share)
        return
    try:
        parts = temporal(everything, share)
    except SplitError:
        return
    assert parts.train.ts_ms.max() < parts.test.ts_ms.min()
    assert len(parts.train) + len(parts.test) == len(events)


@given(events=without_rejections, seed=st.integers(0, 9))
def test_a_per_user_split_hides_whole_items_of_those_who_keep_some(
    events: list[Event], seed: int
) -> None:
    try:
        parts = per_user(interactions(events), 0.5, seed)
    except SplitError:
        return
    train = set(zip(parts.train.users, parts.train.items.tolist(), strict=True))
    test = set(zip(parts.test.users, parts.test.items.tolist(), strict=True))
    assert not train & test
    for user in {user for user, _ in test}:
        kept, hidden = ({i for u, i in side if u == user} for side in (train, test))
        assert len(hidden) == round((len(kept) + len(hidden)) / 2)
        assert kept
    assert len(parts.train) + len(parts.test) == len(events)


@given(events=without_rejections)
def test_the_last_split_hides_the_latest_item_of_those_who_keep_another(
    events: list[Event],
) -> None:
    of_users: dict[str, dict[int, int]] = {}
    for user, item, ts_ms, *_ in events:
        times = of_users.setdefault(user, {})
        times[item] = max(times.get(item, 0), ts_ms)
    latest = {
        (user, max(times, key=lambda item: (times[item], -item)))
        for user, times in of_users.items()
        if len(times) > 1
    }
    if not latest:
        with pytest.raises(SplitError, match="nobody has two items"):
            last(interactions(events))
        return
    parts = last(interactions(events))
    train, test = (
        list(zip(side.users, side.items.tolist(), strict=True))
        for side in (parts.train, parts.test)
    )
    assert set(test) == latest
    assert not latest & set(train)
    assert len(train) + len(test) == len(events)


def test_a_seed_makes_the_same_split_again() -> None:
    events = interactions([("a", item, 0) for item in range(40)])
    one, other = (per_user(events, 0.25, seed).test.items.tolist() for seed in (1, 2))
    assert one == per_user(events, 0.25, 1).test.items.tolist()
    assert one != other
    assert len(one) == 10


def test_a_split_that_hides_nothing_says_so() -> None:
    with pytest.raises(SplitError, match="greater --test-share"):
        per_user(interactions([("a", 1, 0), ("b", 1, 0)]), 0.25, 1)
