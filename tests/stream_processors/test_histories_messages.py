"""Changes are cut into messages that Kafka takes, and never within an event."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Changes, encode_changes
from stream_processors import publisher
from stream_processors.histories import agent, fold, scaled_fold

_OF_A_RECORD = 100
"""Bytes that Kafka's format adds to a record."""


@pytest.mark.parametrize("cap", [1, 500, 5_000])
@pytest.mark.parametrize("changes", [fold.CHANGES_AN_EVENT, scaled_fold.CHANGES_AN_EVENT])
def test_a_message_of_the_widest_rows_is_below_the_limit(cap: int, changes: int) -> None:
    greatest_event = changes * (2 * cap + 1)
    n = max(agent._ROWS_A_MESSAGE - 1, greatest_event)
    wide = np.full(n, 2**62)
    offset = np.arange(n) << 34
    message = encode_changes(Changes(7, 9, 2**52, offset, wide, wide, np.full(n, 0.1)))
    assert len(message) + _OF_A_RECORD < publisher._MAX_REQUEST_BYTES


@given(
    sizes=st.lists(st.integers(1, 9), max_size=30),
    enough=st.integers(1, 20),
)
def test_messages_are_cut_between_events_once_they_have_enough_rows(
    sizes: list[int], enough: int
) -> None:
    offset = np.repeat(np.arange(len(sizes)), sizes)
    cuts = agent._cuts(offset, enough)
    messages = np.split(offset, cuts)
    assert np.concatenate(messages).tolist() == offset.tolist()
    for before, after in itertools.pairwise(messages):
        assert before[-1] < after[0]
        assert len(before) >= enough
        assert len(before) < enough + sizes[before[-1]]
