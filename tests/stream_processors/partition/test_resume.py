"""Where a partition resumes, decided from Redis and the log."""

from hypothesis import given
from hypothesis import strategies as st

from stream_processors.partition.resume import Resume, where_to_resume
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


def test_without_a_position_it_starts_at_the_logs_beginning() -> None:
    resume = where_to_resume({"epoch": "1"}, LOG, is_refused=False)
    assert resume == Resume(3, 0, "redis was empty")


def test_within_the_log_it_resumes_at_the_position() -> None:
    for at in (3, 5, 9):
        assert where_to_resume(position(at, 2), LOG, is_refused=False) == Resume(at, 2)


def test_another_id_means_that_the_topic_was_recreated_wherever_the_position_is() -> None:
    for at in (0, 5, 10):
        resume = where_to_resume(position(at, 2, "another"), LOG, is_refused=False)
        assert resume == Resume(3, 3, "topic was recreated")


def test_with_the_same_id_a_position_beyond_the_end_is_trusted_and_never_starts_over() -> None:
    assert where_to_resume(position(10, 2), LOG, is_refused=False) == Resume(10, 2)


def test_a_log_that_refuses_the_position_lost_its_end_and_is_resumed_there() -> None:
    resume = where_to_resume(position(12, 2), LOG, is_refused=True)
    assert resume == Resume(9, 3, "log lost its end")


def test_a_log_that_was_cut_and_grew_beyond_the_position_is_resumed_where_it_was_cut() -> None:
    log = LogBounds("one", 3, 20)
    resume = where_to_resume(position(12, 2), log, is_refused=False, epoch_end=7)
    assert resume == Resume(7, 3, "log lost its end")
    resume = where_to_resume(position(12, 2), log, is_refused=False, epoch_end=1)
    assert resume == Resume(3, 3, "log lost its end")


def test_a_position_before_its_leaders_end_is_resumed_whatever_end_is_reported() -> None:
    resume = where_to_resume(position(12, 2), LOG, is_refused=True, epoch_end=12)
    assert resume == Resume(12, 2)


def test_a_refusal_alone_proves_nothing() -> None:
    assert where_to_resume(position(7, 2), LOG, is_refused=True) == Resume(7, 2)


def test_before_the_logs_beginning_records_are_missing() -> None:
    resume = where_to_resume(position(1, 2), LOG, is_refused=True)
    assert resume == Resume(3, 2, "log was cut", missing=2)


@given(at=offsets, incarnation=incarnations, noted=ids, log=bounds, is_refused=st.booleans())
def test_it_never_goes_back_in_a_log_and_gives_a_reason_if_not_at_the_position(
    *, at: int, incarnation: int, noted: str, log: LogBounds, is_refused: bool
) -> None:
    resume = where_to_resume(position(at, incarnation, noted), log, is_refused=is_refused)
    assert (resume.incarnation, resume.next_offset) >= (incarnation, at)
    assert (resume.next_offset == at and resume.incarnation == incarnation) or resume.incident
    assert resume.missing == 0 or resume.incident == "log was cut"


@given(at=offsets, incarnation=incarnations, noted=ids, log=bounds)
def test_resuming_twice_gives_the_same_result(
    at: int, incarnation: int, noted: str, log: LogBounds
) -> None:
    once = where_to_resume(position(at, incarnation, noted), log, is_refused=False)
    stored = position(once.next_offset, once.incarnation, log.topic_id)
    again = where_to_resume(stored, log, is_refused=False)
    assert again == Resume(once.next_offset, once.incarnation)
