from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from producers.progress import LOG_EVERY_S, Summary, progress, report

SUMMARY = Summary(delivered=300, failed=2, rejected=1, seconds=1.5, reasons={"_MSG_TIMED_OUT": 2})


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_terminal_the_progress_is_a_log_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("producers.progress.time.monotonic", clock)
    with capture_logs() as lines, progress("replaying") as show:
        for second in range(int(2 * LOG_EVERY_S) + 1):
            clock.now_s = second
            show(second * 100, second / 40)
    assert [line["delivered"] for line in lines] == [1000, 2000]
    assert {line["records_per_s"] for line in lines} == {100}
    assert [line["share_done"] for line in lines] == [0.25, 0.5]


def test_the_summary_reports_what_was_delivered_and_what_was_not() -> None:
    with capture_logs() as lines:
        report(SUMMARY)
    expected = {"delivered": 300, "failed": 2, "rejected": 1, "records_per_s": 200}
    (line,) = lines
    assert line == line | expected | {"reasons": {"_MSG_TIMED_OUT": 2}}


def test_the_summary_of_a_terminal_is_one_sentence() -> None:
    assert str(SUMMARY) == (
        "300 delivered, 2 failed, 1 rows left out in 1.5 s: 200 records/s; _MSG_TIMED_OUT x 2"
    )
    assert str(replace(SUMMARY, older=1_200)).endswith(
        "; _MSG_TIMED_OUT x 2; 1,200 of the quotes are older than BARS_RETENTION_MINUTES before "
        "the newest: Redis keeps bars that old only of instruments without newer quotes"
    )
