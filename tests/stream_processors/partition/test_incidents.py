"""What is logged of a partition that does not resume at its position."""

import structlog
from faust.types import TP
from structlog.typing import EventDict

from stream_processors.partition.resume import Resume, report, where_to_resume
from stream_processors.transport.log import LogBounds

TOPIC = TP("quotes", 3)
ALARMING = {"warning", "error"}


def logged(resume: Resume, end: int) -> list[EventDict]:
    with structlog.testing.capture_logs() as logs:
        report(TOPIC, resume, end)
    return logs


def test_a_first_start_is_no_alarm_even_with_existing_records() -> None:
    resume = where_to_resume({"epoch": "1"}, LogBounds("a", earliest=0, end=9), is_refused=False)

    (line,) = logged(resume, 9)

    assert line["log_level"] not in ALARMING
    assert "empty" not in line["event"]


def test_nothing_is_logged_about_an_empty_log_read_for_the_first_time() -> None:
    resume = where_to_resume({"epoch": "1"}, LogBounds("a", earliest=0, end=0), is_refused=False)

    assert logged(resume, 0) == []


def test_a_log_without_its_beginning_and_a_redis_without_a_position_are_an_alarm() -> None:
    resume = where_to_resume({"epoch": "1"}, LogBounds("a", earliest=4, end=9), is_refused=False)

    (line,) = logged(resume, 9)

    assert line["log_level"] in ALARMING
    assert line["why"] == "redis was empty"


def test_a_recreated_topic_is_an_alarm_even_if_complete() -> None:
    position = {"next": "7", "incarnation": "0", "topic_id": "b"}
    resume = where_to_resume(position, LogBounds("a", earliest=0, end=9), is_refused=False)

    (line,) = logged(resume, 9)

    assert line["log_level"] in ALARMING
