"""Each partition is flushed once an interval, evenly spread, and none starves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.turns import Turns

durations = st.floats(0, 3)
sets = st.sets(st.integers(0, 7), min_size=1)


def play(turns: Turns, partitions: list[set[int]], takes_s: list[float]) -> list[tuple[int, float]]:
    """Return who began when, if the turns take so long, one after the other from second 0."""
    now_s, began = 0.0, []
    for ours, duration_s in zip(partitions, takes_s, strict=True):
        turn = turns.next(ours, now_s)
        now_s += turn.in_s
        began.append((turn.partition, now_s))
        now_s += duration_s
    return began


def test_turns_are_spread_over_the_interval_from_beginning_to_beginning() -> None:
    began = play(Turns(1.0, now_s=0.0), [{0, 1, 2, 3}] * 8, [0.2] * 8)
    assert [partition for partition, _ in began] == [0, 1, 2, 3] * 2
    assert [at_s for _, at_s in began] == pytest.approx([0.25 * n for n in range(1, 9)])


def test_after_a_slow_turn_the_next_are_due_at_once_until_the_plan_is_caught_up_with() -> None:
    began = play(Turns(1.0, now_s=0.0), [{0, 1, 2, 3}] * 6, [0.6, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert [at_s for _, at_s in began] == pytest.approx([0.25, 0.85, 0.95, 1.05, 1.25, 1.5])


def test_more_than_an_interval_is_not_made_up_for() -> None:
    turns = Turns(1.0, now_s=0.0)
    began = play(turns, [{0, 1}] * 6, [100.0, 0, 0, 0, 0, 0])
    assert [at_s for _, at_s in began] == pytest.approx([0.5, 100.5, 100.5, 100.5, 101.0, 101.5])


def test_a_new_partition_comes_first() -> None:
    turns = Turns(1.0, now_s=0.0)
    play(turns, [{0, 1}] * 3, [0.0] * 3)
    assert turns.next({0, 1, 5}, now_s=1.5).partition == 5


@given(sets, st.lists(durations, min_size=1, max_size=40))
def test_no_partition_starves_however_long_turns_take(ours: set[int], takes_s: list[float]) -> None:
    began = play(Turns(1.0, now_s=0.0), [ours] * len(takes_s), takes_s)
    for first in range(len(began) - len(ours) + 1):
        assert {partition for partition, _ in began[first : first + len(ours)]} == ours


@given(st.lists(st.tuples(sets, durations), min_size=1, max_size=40))
def test_only_partitions_of_now_have_turns_and_never_later_than_a_share(
    steps: list[tuple[set[int], float]],
) -> None:
    turns, now_s = Turns(1.0, now_s=0.0), 0.0
    for ours, duration_s in steps:
        turn = turns.next(ours, now_s)
        assert turn.partition in ours
        assert 0 <= turn.in_s <= 1 / len(ours) + 1e-9
        now_s += turn.in_s + duration_s


@given(st.floats(0.05, 60), sets)
def test_in_each_interval_each_partition_has_one_turn(interval_s: float, ours: set[int]) -> None:
    began = play(Turns(interval_s, now_s=0.0), [ours] * 5 * len(ours), [0.0] * 5 * len(ours))
    in_first_three = [who for who, at_s in began if at_s < 3 * interval_s * (1 + 1e-9)]
    assert Counter(in_first_three) == dict.fromkeys(ours, 3)
