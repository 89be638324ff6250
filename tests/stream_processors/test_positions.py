from hypothesis import given
from hypothesis import strategies as st

from stream_processors.positions import Resume, epoch_of, sources_of, where_to_resume
from stream_processors.transport import LogBounds

offsets = st.integers(0, 2**47)
incarnations = st.integers(0, 1_000)
ids = st.sampled_from(["one", "another"])
bounds = st.tuples(offsets, offsets).map(lambda both: LogBounds(min(both), max(both)))


def position(next_offset: int, incarnation: int = 0, topic_id: str = "one") -> dict[str, str]:
    return {
        "epoch": "5",
        "next": str(next_offset),
        "incarnation": str(incarnation),
        "topic_id": topic_id,
        "updated_at_ms": "1",
        "source:0": "0:7",
        "source:12": "1:3",
    }


def test_without_a_position_it_starts_at_the_logs_beginning() -> None:
    assert where_to_resume({"epoch": "1"}, LogBounds(3, 9), "one") == Resume(
        3, 0, started_over="redis was empty"
    )


def test_between_the_logs_ends_it_goes_on_at_the_position() -> None:
    for at in (3, 5, 9):
        assert where_to_resume(position(at, 2), LogBounds(3, 9), "one") == Resume(at, 2)


def test_beyond_the_logs_end_the_topic_was_made_anew() -> None:
    assert where_to_resume(position(10, 2), LogBounds(3, 9), "one") == Resume(
        3, 3, started_over="topic was made anew"
    )


def test_with_another_id_the_topic_was_made_anew_wherever_the_position_is() -> None:
    for at in (0, 5, 10):
        assert where_to_resume(position(at, 2), LogBounds(3, 9), "another") == Resume(
            3, 3, started_over="topic was made anew"
        )


def test_before_the_logs_beginning_records_are_missing() -> None:
    assert where_to_resume(position(1, 2), LogBounds(3, 9), "one") == Resume(3, 2, missing=2)


@given(at=offsets, incarnation=incarnations, noted=ids, seen=ids, log=bounds)
def test_it_always_resumes_inside_the_log_and_says_why_if_not_at_the_position(
    at: int, incarnation: int, noted: str, seen: str, log: LogBounds
) -> None:
    resume = where_to_resume(position(at, incarnation, noted), log, seen)
    assert log.earliest <= resume.next_offset <= log.end
    assert resume.next_offset == at + resume.missing or resume.started_over is not None
    assert (resume.incarnation > incarnation) == (resume.started_over is not None)
    assert not (resume.missing and resume.started_over)


@given(at=offsets, incarnation=incarnations, log=bounds)
def test_what_was_resumed_once_is_resumed_the_same_way_again(
    at: int, incarnation: int, log: LogBounds
) -> None:
    once = where_to_resume(position(at, incarnation, "one"), log, "another")
    again = where_to_resume(position(once.next_offset, once.incarnation, "another"), log, "another")
    assert again == Resume(once.next_offset, once.incarnation)


def test_a_position_tells_what_is_applied_of_each_source() -> None:
    assert sources_of(position(1)) == {0: "0:7", 12: "1:3"}


def test_a_position_tells_its_epoch() -> None:
    assert epoch_of(position(1)) == 5
