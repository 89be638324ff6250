"""Events of users to histories: what the stream folds, however many users at once."""

import math
from collections import defaultdict
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import DECAY_STARTS_MS, AffinityName, affinity_of
from contracts.log_position import LogPosition
from contracts.messages import EVENT_TYPES
from contracts.times import DAY_MS
from contracts.tombstones import NEVER_MS, Tombstone
from runtime.settings import FoldingSettings
from stream_processors.histories.fold import fold_leaving
from stream_processors.histories.history import History
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.user_weights import InverseDegree, MeanValue
from trainer.spark.folding import Events, Folded, fold
from trainer.spark.running_history import ERASED_KIND, UNCONDITIONAL_MS

USERS = 4
HALF_LIFE_DAYS = 14.0
ANCIENT_MS = DECAY_STARTS_MS - 18_000 * DAY_MS
"""An event then weighs nothing: 2 to the power of -1,285 is below any float."""

times = st.one_of(
    st.integers(DECAY_STARTS_MS, DECAY_STARTS_MS + 5),
    st.just(ANCIENT_MS),
    st.just(DECAY_STARTS_MS + 100 * DAY_MS),
)
values = st.one_of(st.just(math.nan), st.floats(1e-6, 1e6))
events = st.tuples(st.integers(0, 3), st.integers(0, 5), times, values, st.just(NEVER_MS))
tombstones = st.tuples(
    st.just(ERASED_KIND),
    st.just(0),
    st.one_of(st.just(UNCONDITIONAL_MS), times),
    st.just(math.nan),
    st.one_of(st.just(NEVER_MS), times),
)
logs = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.one_of(events, events, events, tombstones)), max_size=60
)
affinities = st.sampled_from(get_args(AffinityName))


def columns(log: list[Any]) -> tuple[Events, np.ndarray[Any, Any]]:
    """Return events by user, each at its place in the log, and how many each user has."""
    in_order = sorted(range(len(log)), key=lambda place: (log[place][0], place))
    rows = [(place, *log[place][1]) for place in in_order]
    ints = np.array([(*r[:4], r[5]) for r in rows], np.int64).reshape(-1, 5)
    made = Events(
        log=np.full(len(rows), 3),
        offset=ints[:, 0],
        item=ints[:, 2],
        kind=ints[:, 1],
        ts_ms=ints[:, 3],
        value=np.array([r[4] for r in rows], np.float64),
        last_event_before_ms=ints[:, 3],
        erased_at_ms=ints[:, 4],
    )
    return made, np.bincount([user for user, _ in log], minlength=USERS).astype(np.int64)


def streamed(log: list[Any], rules: HistoryRules) -> dict[int, tuple[int, History]]:
    """Return the offset and the history of each user, as a worker folds them."""
    of_user: dict[int, tuple[int, History]] = {}
    left_out_before: dict[int, int] = defaultdict(int)
    for offset, (user, (kind, item, ts_ms, value, erased_at_ms)) in enumerate(log):
        last, history = of_user.get(user, (-1, History.empty(scaled=rules.is_scaled)))
        if kind != ERASED_KIND:
            if ts_ms < left_out_before[user]:
                continue
            rules.fold(history, offset, item, kind, ts_ms, value)
            last = offset
        else:
            bound_ms = None if ts_ms == UNCONDITIONAL_MS else ts_ms
            tombstone = Tombstone("", bound_ms, erased_at_ms or None)
            if tombstone.applies_to(history.last_ts_ms()):
                before_ms = tombstone.leaves_out_before_ms(history.last_ts_ms())
                left_out_before[user] = max(left_out_before[user], before_ms)
                fold_leaving(history, offset)
                last = offset
        of_user[user] = last, history
    return {user: found for user, found in of_user.items() if len(found[1])}


def by_user(parts: list[Folded]) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for part in parts:
        stops = np.cumsum(part.lengths)
        for place, user in enumerate(part.users.tolist()):
            its = slice(stops[place] - part.lengths[place], stops[place])
            assert user not in found
            found[user] = (
                (int(part.log[place]), int(part.offset[place])),
                int(part.last_ts_ms[place]),
                float(part.scales[place]),
                part.items[its].tolist(),
                part.affinities[its].tolist(),
                part.ts_ms[its].tolist(),
            )
    return found


@given(log=logs, affinity=affinities, cap=st.integers(1, 7))
def test_histories_are_those_of_the_stream_to_the_last_bit(
    log: list[Any], affinity: AffinityName, cap: int
) -> None:
    rules = FoldingSettings(affinity=affinity, half_life_days=HALF_LIFE_DAYS, history_cap=cap)
    found = by_user(fold(*columns(log), rules))
    expected = streamed(log, HistoryRules(affinity_of(affinity, HALF_LIFE_DAYS), cap))
    assert found.keys() == expected.keys()
    for user, (offset, history) in expected.items():
        entries = np.sort(history.entries, order="item")
        assert found[user] == (
            (3, offset),
            history.last_ts_ms(),
            1.0,
            entries["item"].tolist(),
            entries["affinity"].tolist(),
            entries["ts_ms"].tolist(),
        )


@pytest.mark.parametrize("weight", ["inverse-degree", "value"])
@given(log=logs, affinity=affinities, cap=st.integers(1, 7))
def test_a_users_scale_is_that_of_the_history_as_it_ends(
    weight: Any, log: list[Any], affinity: AffinityName, cap: int
) -> None:
    rules = FoldingSettings(
        affinity=affinity,
        half_life_days=HALF_LIFE_DAYS,
        history_cap=cap,
        user_weight=weight,
        typical_value=3.0,
    )
    its = InverseDegree(0.5) if weight == "inverse-degree" else MeanValue(0.5, 3.0)
    found = by_user(fold(*columns(log), rules))
    expected = streamed(log, HistoryRules(affinity_of(affinity, HALF_LIFE_DAYS), cap, its))
    assert found.keys() == expected.keys()
    for user, (offset, history) in expected.items():
        entries = np.sort(history.entries, order="item")
        place, _, scale, items, unscaled, ts_ms = found[user]
        assert (place, items, ts_ms) == (
            (3, offset),
            entries["item"].tolist(),
            entries["ts_ms"].tolist(),
        )
        assert scale == pytest.approx(its.scale(history), rel=1e-12)
        assert unscaled == pytest.approx((entries["affinity"] / entries["scale"]).tolist())


def test_a_user_who_does_the_same_again_and_again_takes_no_more_memory() -> None:
    from trainer.spark.running_history import RunningHistory

    history = RunningHistory(FoldingSettings(history_cap=3))
    for n in range(1_000):
        item = n % 4 if n < 8 else 1 + n % 3
        history.add(LogPosition(0, n), item, EVENT_TYPES.index("view"), n, math.nan)
    assert len(history.entries) == 3
    assert len(history._by_age) <= 12
