"""Events and hold-outs, made by hand or at random."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from scipy.sparse import csr_array

from contracts.affinities import DECAY_STARTS_MS
from contracts.event_types import BUILT_IN, TRADE
from contracts.times import DAY_MS
from tests.oracles.gram import gram_matrix
from trainer.counts.derived import Histories
from trainer.evaluation.interactions import Interactions
from trainer.judging.holdout import Holdout

Event = tuple[str, int, int, str, float]
"""User, item, time, type, value."""


def interactions(events: Sequence[tuple[str, int, int] | Event]) -> Interactions:
    """Return events as columns; those of three columns are trades without a value."""
    whole = [event if len(event) > 3 else (*event, TRADE, np.nan) for event in events]
    return Interactions(
        ts_ms=np.array([event[2] for event in whole], np.int64),
        users=np.array([event[0] for event in whole], object),
        items=np.array([event[1] for event in whole], np.int64),
        events=np.array([event[3] for event in whole], object),
        weights=np.array([BUILT_IN[event[3]] for event in whole]),
        values=np.array([event[4] for event in whole], np.float64),
    )


def events_in_time_order(users: str = "ab", items: int = 10) -> st.SearchStrategy[list[Event]]:
    """Return a strategy of events, some of one time, with and without a value.

    Time 0 is so long before the decay starts that an event of it may weigh nothing.
    """
    event = st.tuples(
        st.sampled_from(users),
        st.integers(0, items - 1),
        st.integers(0, 20).map(lambda days: DECAY_STARTS_MS + days * DAY_MS) | st.just(0),
        st.sampled_from(list(BUILT_IN)),
        st.sampled_from([np.nan, 1e-9, 0.5, 20.0, 1e9]),
    )
    events = st.lists(event, min_size=1, max_size=60)
    return events.map(lambda found: sorted(found, key=lambda one: one[2]))


def holdout_of(train: npt.ArrayLike, test: npt.ArrayLike) -> Holdout:
    """Return the hold-out of two dense matrices, all events of one time."""
    had = csr_array(np.asarray(train, np.float64))
    histories = Histories(had, np.zeros(had.nnz, np.int64))
    wanted = csr_array(np.asarray(test, np.float64))
    return Holdout(
        histories, had.data, csr_array(gram_matrix(had)), wanted, csr_array(wanted.shape)
    )
