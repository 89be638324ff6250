"""The hold-out: what is learned from is what the stream's fold makes; splits part cleanly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.histories.affinities import binary
from stream_processors.histories.fold import fold_event
from stream_processors.histories.history import History
from stream_processors.settings import Settings
from trainer.evaluation import holdout
from trainer.evaluation.holdout import HISTORY_CAP, prepare
from trainer.evaluation.interactions import Interactions, Split
from trainer.evaluation.splits import SplitError, per_user, temporal

CAP = 5


def interactions(events: list[tuple[str, int, int]]) -> Interactions:
    """User, item, time."""
    return Interactions(
        ts_ms=np.array([ts for _, _, ts in events], np.int64),
        users=np.array([user for user, _, _ in events], object),
        items=np.array([item for _, item, _ in events], np.int64),
    )


events_in_time_order = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=60
).map(lambda events: sorted(events, key=lambda event: event[2]))


@given(events=events_in_time_order)
def test_the_matrix_is_the_one_that_the_fold_makes(events: list[tuple[str, int, int]]) -> None:
    histories: dict[str, History] = {}
    for offset, (user, item, ts) in enumerate(events):
        history = histories.setdefault(user, History.empty(scaled=False))
        fold_event(history, offset, item, 0, ts, CAP, binary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holdout, "HISTORY_CAP", CAP)
        made = prepare(Split(interactions(events), interactions(events)))
    for u, user in enumerate(made.users):
        items = made.items[np.flatnonzero(made.holdout.train.toarray()[u])]
        assert items.tolist() == sorted(histories[user].items().tolist())


def test_a_history_keeps_as_many_items_as_the_stream_processors_do() -> None:
    assert Settings.model_fields["history_cap"].default == HISTORY_CAP


def test_what_cannot_be_found_is_counted_and_not_asked_for() -> None:
    train = interactions([("a", 1, 0), ("a", 2, 1), ("b", 3, 2)])
    test = interactions(
        [("a", 1, 5), ("a", 3, 5), ("a", 3, 6), ("a", 99, 5), ("new", 1, 5), ("new", 2, 5)]
    )
    made = prepare(Split(train, test))
    assert made.items.tolist() == [1, 2, 3]
    assert made.holdout.test.toarray().tolist() == [[0, 0, 1], [0, 0, 0]]
    assert made.holdout.judged.tolist() == [0]
    left_out = made.left_out
    assert left_out.pairs_seen_before == 1
    assert left_out.pairs_of_unknown_items == 1
    assert (left_out.unknown_users, left_out.pairs_of_unknown_users) == (1, 2)


@given(events=events_in_time_order, share=st.floats(0.1, 0.9))
def test_a_temporal_split_learns_from_nothing_that_comes_later(
    events: list[tuple[str, int, int]], share: float
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


@given(events=events_in_time_order, seed=st.integers(0, 9))
def test_a_per_user_split_hides_whole_items_of_those_who_keep_some(
    events: list[tuple[str, int, int]], seed: int
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


def test_a_seed_makes_the_same_split_again() -> None:
    events = interactions([("a", item, 0) for item in range(40)])
    one, other = (per_user(events, 0.25, seed).test.items.tolist() for seed in (1, 2))
    assert one == per_user(events, 0.25, 1).test.items.tolist()
    assert one != other
    assert len(one) == 10


def test_a_split_that_hides_nothing_says_so() -> None:
    with pytest.raises(SplitError, match="greater --test-share"):
        per_user(interactions([("a", 1, 0), ("b", 1, 0)]), 0.25, 1)
