"""Where a partition resumes, decided from Redis and the log, and what is logged of it."""

import pytest
import structlog
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.partition.resume import Resume, report, where_to_resume
from stream_processors.transport.log import LogBounds

offsets = st.integers(0, 2**47)
incarnations = st.integers(0, 1_000)
ids = st.sampled_from(["one", "another"])
bounds = st.builds(
    lambda topic_id, a, b: LogBounds(topic_id, min(a, b), max(a, b)), ids, offsets, offsets
)
LOG = LogBounds("one", 3, 9)


def position(next_offset: int, incarnation: int = 0, topic_id: str = "one") -> dict[str, str]:
    return {
        "epoch": "5",
        "next": str(next_offset),
        "incarnation": str(incarnation),
        "topic_id": topic_id,
    }


GROWN = LogBounds("one", 3, 20)
WHOLE = LogBounds("one", 0, 9)
NEW, EMPTY, RECREATED = {"epoch": "1"}, "redis was empty", "topic was recreated"


@pytest.mark.parametrize(
    ("stored", "log", "is_refused", "epoch_end", "resume", "may_miss_records", "logged"),
    [
        (NEW, LogBounds("one", 0, 0), False, None, Resume(0, 0, EMPTY), False, None),
        (NEW, WHOLE, False, None, Resume(0, 0, EMPTY), False, "info"),
        (NEW, LOG, False, None, Resume(3, 0, EMPTY), True, "warning"),
        *((position(at, 2), LOG, False, None, Resume(at, 2), False, None) for at in (3, 5, 9)),
        *(
            (position(at, 2, "another"), log, False, None, Resume(log.earliest, 3, RECREATED), True,
             "warning")
            for at in (0, 5, 10)
            for log in (LOG, WHOLE)
        ),
        # The broker that was asked may be behind.
        (position(10, 2), LOG, False, None, Resume(10, 2), False, None),
        (position(7, 2), LOG, True, None, Resume(7, 2), False, None),
        (position(12, 2), LOG, True, 12, Resume(12, 2), False, None),
        (position(12, 2), LOG, True, None, Resume(9, 3, "log lost its end"), False, "error"),
        (position(12, 2), GROWN, False, 7, Resume(7, 3, "log lost its end"), False, "error"),
        (position(12, 2), GROWN, False, 1, Resume(3, 3, "log lost its end"), False, "error"),
        (position(1, 2), LOG, True, None, Resume(3, 2, "log was cut", missing=2), True, "error"),
    ],
)  # fmt: skip
def test_a_partition_resumes_by_its_position_and_the_bounds_of_its_log(
    stored: dict[str, str],
    log: LogBounds,
    epoch_end: int | None,
    resume: Resume,
    logged: str | None,
    *,
    is_refused: bool,
    may_miss_records: bool,
) -> None:
    found = where_to_resume(stored, log, is_refused=is_refused, epoch_end=epoch_end)
    assert (found, found.may_miss_records) == (resume, may_miss_records)
    with structlog.testing.capture_logs() as logs:
        report(TP("quotes", 3), resume, log.end)
    assert [line["log_level"] for line in logs] == ([logged] if logged else [])
    if logged in ("warning", "error"):
        assert [line["why"] for line in logs] == [resume.incident]


@given(at=offsets, incarnation=incarnations, noted=ids, log=bounds, is_refused=st.booleans())
def test_it_never_goes_back_in_a_log_and_gives_a_reason_if_not_at_the_position(
    *, at: int, incarnation: int, noted: str, log: LogBounds, is_refused: bool
) -> None:
    resume = where_to_resume(position(at, incarnation, noted), log, is_refused=is_refused)
    assert (resume.incarnation, resume.next_offset) >= (incarnation, at)
    assert (resume.next_offset == at and resume.incarnation == incarnation) or resume.incident
    assert resume.missing == 0 or resume.incident == "log was cut"
