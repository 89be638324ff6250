import json
import sys
from datetime import datetime, timedelta

import pytest

from runtime.logs import ECS_VERSION
from tests.commands import run

PROGRAM = """
import logging, warnings
import structlog
from runtime.logs import configure_logs
from runtime.settings import SharedSettings

configure_logs("some_tests", SharedSettings(log_level={level!r}))
{body}
"""

FAILING = "try: 1 / 0\nexcept ZeroDivisionError: {}.exception('failed')"
BODIES = {
    "start": "",
    "ours": 'structlog.get_logger("mine").info("flushed", bars=3, who="größer")',
    "library": 'logging.getLogger("aiokafka").warning("%s is away", "broker")',
    "our exception": FAILING.format('structlog.get_logger("x")'),
    "library's exception": FAILING.format('logging.getLogger("x")'),
    "taken names": 'structlog.get_logger("x").error("y", error="z", service=1, message=2)',
    "warning": 'warnings.warn("old", DeprecationWarning, stacklevel=1)',
    "forked": """
import os
said = structlog.get_logger("x")
said.info("y")
if os.fork() == 0:
    said.info("y")
    os._exit(0)
os.wait()""",
}
NEXT = "-- next --"
Lines = dict[str, list[dict[str, object]]]


def written(body: str, level: str = "INFO", **settings: str) -> str:
    """What a process of its own writes to standard error."""
    program = PROGRAM.format(level=level, body=body)
    done = run(sys.executable, "-c", program, **settings)
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


@pytest.fixture(scope="module")
def lines() -> Lines:
    """What one process writes for each of the bodies."""
    separate = f"\nimport sys; print({NEXT!r}, file=sys.stderr)\n"
    said = written(separate.join(BODIES.values()), REDIS_URI="redis://127.0.0.1:1/0")
    parts = said.split(f"{NEXT}\n")
    found = [[json.loads(line) for line in part.splitlines()] for part in parts]
    return dict(zip(BODIES, found, strict=True))


def test_our_logs_are_json_lines_in_the_fields_of_the_elastic_common_schema(
    lines: Lines,
) -> None:
    (line,) = lines["ours"]
    timestamp, process = str(line.pop("@timestamp")), line.pop("process")
    assert datetime.fromisoformat(timestamp).utcoffset() == timedelta(0)
    assert isinstance(process, dict)
    assert isinstance(process["pid"], int)
    assert line == {
        "message": "flushed",
        "log": {"level": "info", "logger": "mine"},
        "service": {"name": "tickrec-some-tests"},
        "ecs": {"version": ECS_VERSION},
        "tickrec": {"bars": 3, "who": "größer"},
    }


SERVICE = {"service": {"name": "tickrec-some-tests"}}


@pytest.mark.parametrize(
    ("body", "has", "has_not"),
    [
        ("library", SERVICE | {"message": "broker is away",
         "log": {"level": "warning", "logger": "aiokafka"}}, "tickrec"),
        # Elasticsearch refuses a line whose `error` is text once it has seen an object there.
        ("taken names", SERVICE | {"message": "y",
         "tickrec": {"error": "z", "service": 1, "message": 2}}, "error"),
        ("warning", SERVICE | {"log": {"level": "warning", "logger": "py.warnings"}}, "tickrec"),
        ("start", SERVICE | {"message": "no such setting: it is ignored",
         "tickrec": {"name": "REDIS_URI", "did_you_mean": "REDIS_URL"}}, "error"),
    ],
)  # fmt: skip
def test_libraries_and_warnings_log_alike_and_no_particular_overwrites_a_field_of_the_schema(
    lines: Lines, body: str, has: dict[str, object], has_not: str
) -> None:
    (line,) = lines[body]
    assert has.items() <= line.items()
    assert has_not not in line
    assert body != "warning" or "DeprecationWarning: old" in str(line["message"])


@pytest.mark.parametrize("body", ["our exception", "library's exception"])
def test_an_exception_is_part_of_its_line(lines: Lines, body: str) -> None:
    (line,) = lines[body]
    assert line["message"] == "failed"
    error = line["error"]
    assert isinstance(error, dict)
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "division by zero")
    assert error["stack_trace"].startswith("Traceback")
    assert error["stack_trace"].endswith("ZeroDivisionError: division by zero")


def test_a_forked_process_has_its_own_id(lines: Lines) -> None:
    assert len({str(line["process"]) for line in lines["forked"]}) == 2


def test_logs_are_text_for_people_on_request_and_those_below_the_level_are_left_out() -> None:
    body = """
said = structlog.get_logger("mine")
said.info("left out")
try: 1 / 0
except ZeroDivisionError: said.exception("flushed", bars=3)"""
    text = written(body, level="ERROR", LOG_FORMAT="text")
    for part in ("[error    ] flushed", "[mine] bars=3", "Traceback", "ZeroDivisionError: "):
        assert part in text
    assert "left out" not in text
