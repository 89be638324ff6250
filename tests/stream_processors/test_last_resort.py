"""A worker ends itself only if a partition has been stalled for minutes without a reason."""

import pytest
from faust.types import TP

from stream_processors.last_resort import END_AFTER_S, Stuck, StuckError

A, B = TP("quotes", 0), TP("quotes", 1)


def test_a_partition_that_could_progress_and_has_not_for_long_ends_the_worker() -> None:
    stuck = Stuck()
    stuck.check({A}, 0.0)
    stuck.check({A, B}, END_AFTER_S)
    with pytest.raises(StuckError, match=r"^quotes/0: no progress in 180 s, though Kafka and"):
        stuck.check({A, B}, END_AFTER_S + 1)


def test_one_that_progressed_or_could_not_in_the_meantime_does_not_end_it() -> None:
    stuck = Stuck()
    for n in range(10):
        stuck.check({A}, n * END_AFTER_S)
        stuck.check(set(), n * END_AFTER_S + 1)


def test_one_partition_after_the_other_does_not_end_it() -> None:
    stuck = Stuck()
    for n in range(10):
        stuck.check({TP("quotes", n)}, n * END_AFTER_S)
