import json
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

PROGRAM = """
import logging, warnings
import structlog
from runtime.logs import configure_logs

configure_logs("tests", {level!r})
{body}
"""


def logged(body: str, level: str = "INFO") -> list[dict[str, object]]:
    """What a process of its own writes to standard error, a JSON object a line."""
    program = PROGRAM.format(level=level, body=body)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_our_logs_are_json_lines_with_their_fields() -> None:
    (line,) = logged('structlog.get_logger("mine").info("flushed", bars=3, who="größer")')
    assert datetime.fromisoformat(str(line.pop("timestamp"))).utcoffset() == timedelta(0)
    assert line == {
        "event": "flushed",
        "bars": 3,
        "who": "größer",
        "level": "info",
        "logger": "mine",
        "program": "tests",
    }


def test_a_librarys_logs_are_too() -> None:
    (line,) = logged('logging.getLogger("aiokafka").warning("%s is away", "broker")')
    assert (line["event"], line["logger"], line["level"], line["program"]) == (
        "broker is away",
        "aiokafka",
        "warning",
        "tests",
    )


def test_a_librarys_extra_fields_are_kept() -> None:
    (line,) = logged('logging.getLogger("x").warning("y", extra={"data": {"stack": 1}})')
    assert line["data"] == {"stack": 1}


@pytest.mark.parametrize("logger", ['structlog.get_logger("x")', 'logging.getLogger("x")'])
def test_an_exception_is_part_of_its_line(logger: str) -> None:
    (line,) = logged(f"try: 1 / 0\nexcept ZeroDivisionError: {logger}.exception('failed')")
    assert line["event"] == "failed"
    assert "ZeroDivisionError: division by zero" in str(line["exception"])


def test_warnings_are_logged() -> None:
    (line,) = logged('warnings.warn("old", DeprecationWarning, stacklevel=1)') or [{}]
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in str(line["event"])


def test_what_is_below_the_level_is_left_out() -> None:
    both = "for say in (structlog.get_logger().info, structlog.get_logger().error): say('x')"
    assert [line["level"] for line in logged(both, level="ERROR")] == ["error"]
