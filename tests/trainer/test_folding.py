"""Events of users to histories: what the stream folds, however many users at once."""

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.affinities import DECAY_STARTS_MS, AffinityName, affinity_of
from contracts.archive import ERASED
from contracts.event_types import BUILT_IN
from contracts.log_position import LogPosition
from contracts.times import DAY_MS
from contracts.tombstones import NEVER_MS
from runtime.settings import FoldingSettings
from stream_processors.histories.history import History
from stream_processors.histories.rules import HistoryRules
from stream_processors.histories.scaled_fold import InverseDegree, MeanValue
from tests.trainer.spark.logs import Record, folded
from trainer.folding.histories import Events, Folded, fold
from trainer.folding.running_history import UNCONDITIONAL_MS

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
events = st.tuples(
    st.sampled_from(list(BUILT_IN)), st.integers(0, 5), times, values, st.just(NEVER_MS)
)
tombstones = st.tuples(
    st.just(ERASED),
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
    ints = np.array([(r[0], r[2], r[3], r[5]) for r in rows], np.int64).reshape(-1, 4)
    made = Events(
        log=np.full(len(rows), 3),
        offset=ints[:, 0],
        item=ints[:, 1],
        weight=np.array([BUILT_IN.get(r[1], math.nan) for r in rows], np.float64),
        ts_ms=ints[:, 2],
        value=np.array([r[4] for r in rows], np.float64),
        last_event_before_ms=ints[:, 2],
        erased_at_ms=ints[:, 3],
    )
    return made, np.bincount([user for user, _ in log], minlength=USERS).astype(np.int64)


def as_record(offset: int, user: int, event: tuple[str, int, int, float, int]) -> Record:
    kind, item, ts_ms, value, erased_at_ms = event
    if kind != ERASED:
        price = None if math.isnan(value) else value
        return Record(0, offset, str(user), item, kind, ts_ms, price)
    bound_ms = None if ts_ms == UNCONDITIONAL_MS else ts_ms
    return Record(
        *(0, offset, str(user), None, ERASED, ts_ms),
        last_event_before_ms=bound_ms,
        erased_at_ms=erased_at_ms or None,
    )


def streamed(log: list[Any], rules: HistoryRules) -> dict[int, tuple[int, History]]:
    """Return the last offset and the history of each user, as a worker folds them."""
    records = [as_record(offset, *entry) for offset, entry in enumerate(log)]
    of_users = folded(records, rules).items()
    return {int(user): (last.offset, history) for user, (last, history) in of_users}


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
                part.first_ms[its].tolist(),
            )
    return found


@pytest.mark.parametrize(
    ("weight", "its"),
    [("none", None), ("inverse-degree", InverseDegree(0.5)), ("value", MeanValue(0.5, 3.0))],
)
@given(log=logs, affinity=affinities, cap=st.integers(1, 7))
def test_histories_are_those_of_the_stream_and_a_users_scale_is_that_of_the_end(
    weight: Any, its: Any, log: list[Any], affinity: AffinityName, cap: int
) -> None:
    rules = FoldingSettings(
        affinity=affinity,
        half_life_days=HALF_LIFE_DAYS,
        history_cap=cap,
        user_weight=weight,
        typical_value=3.0,
    )
    found = by_user(fold(*columns(log), rules))
    expected = streamed(log, HistoryRules(affinity_of(affinity, HALF_LIFE_DAYS), cap, its))
    assert found.keys() == expected.keys()
    for user, (offset, history) in expected.items():
        entries = np.sort(history.entries, order="item")
        place, last_ts_ms, scale, items, unscaled, ts_ms, first_ms = found[user]
        assert (place, last_ts_ms) == ((3, offset), history.last_ts_ms())
        assert (items, ts_ms) == (entries["item"].tolist(), entries["ts_ms"].tolist())
        assert first_ms == entries["first_ms"].tolist()
        if its is None:
            assert (scale, unscaled) == (1, entries["affinity"].tolist())
        else:
            assert scale == pytest.approx(its.scale(history), rel=1e-12)
            assert unscaled == pytest.approx((entries["affinity"] / entries["scale"]).tolist())


def test_a_user_who_does_the_same_again_and_again_takes_no_more_memory() -> None:
    from trainer.folding.running_history import RunningHistory

    history = RunningHistory(FoldingSettings(history_cap=3))
    for n in range(1_000):
        item = n % 4 if n < 8 else 1 + n % 3
        history.add(LogPosition(0, n), item, BUILT_IN["view"], n, math.nan)
    assert len(history.entries) == 3
    assert len(history._by_age) <= 12
