"""Terminal output is complete, and shows problems first."""

import dataclasses
import io
import json
import math
import time
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from rich.console import Console

from infra.local import show
from infra.local.asking import Answer
from infra.local.metrics import Rates, Reading, Samples, parse, rates, read
from infra.local.requests import Request
from infra.local.run import Report
from infra.local.supervisor import State, Status

READING = Reading(0, 0, 0, rejected=0, lag_records=12, freshness_s=0.4)
RATES = Rates(quotes_per_s=1234, interactions_per_s=5)


def status(name: str = "api", state: State = State.RUNNING, restarts: int = 0) -> Status:
    pid = 7 if state is State.RUNNING else None
    return Status(
        name,
        state,
        pid,
        restarts,
        exit_code=-9,
        reason="exit code -9",
        since_s=100,
        log=f"/logs/{name}.log",
    )


def printed(show_it: Any) -> str:
    out = io.StringIO()
    show_it(Console(file=out, width=110))
    return out.getvalue()


def test_an_answer_comes_with_the_command_that_asks_for_it_and_what_is_wrong_with_it() -> None:
    bad = Answer(Request("/health/live"), {"status": "dead"}, "status 500")
    text = printed(lambda c: show.answer(c, "http://api", bad))
    assert text.startswith("\n$ curl http://api/health/live\n")
    assert "! status 500" in text


def test_a_quiet_status_line_says_how_fast_how_far_behind_and_which_model() -> None:
    line = show.status_line(READING, RATES, "20261124T235020Z-3", [status()]).plain
    assert line == ("1,234 quotes/s  5 events/s  lag 12  bars 0.4 s old  model 20261124T235020Z-3")


def test_what_is_wrong_comes_first() -> None:
    reading = Reading(0, 0, 0, rejected=3, lag_records=0, freshness_s=float("nan"))
    away = [status("trainer", State.WAITING, restarts=2), status(state=State.SILENT)]
    line = show.status_line(reading, RATES, None, away).plain
    assert line.startswith("restarting trainer  no answer from api  2 restarts  3 rejected  ")
    assert line.endswith("bars - old  model -")


def test_the_table_has_a_line_for_every_process() -> None:
    processes = [status("store"), status("topics", State.DONE), status("api", State.WAITING, 3)]
    report = Report({"store": "redis://127.0.0.1:1/0"}, processes, at_s=160)
    lines = printed(lambda c: c.print(show.processes(report, now_s=161))).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["store", "topics", "api"]
    assert lines[1].split()[1:] == [
        *("7", "running", "1", "min", "1", "s", "0", "store.log", "redis://127.0.0.1:1/0"),
    ]
    assert "restarting: exit code -9" in lines[3]


def test_what_ended_says_with_what_error_and_what_programs_warn_of_is_shown(tmp_path: Path) -> None:
    log, line = tmp_path / "api.log", {"message": "cannot start", "tickrec": {"error": "no REDIS"}}
    levels = [{"log": {"level": level}} for level in ("error", "warning", "info")]
    entries = [line | levels[0], {"message": "old setting"} | levels[1], line | levels[0]]
    log.write_text("\n".join(map(json.dumps, [*entries, {"message": "quiet"} | levels[2]])))
    logged = dataclasses.replace(status(), log=str(log))
    report = Report({}, [logged, status("store")], at_s=time.monotonic())
    (tmp_path / "state.json").write_bytes(msgspec.json.encode(report))
    ended = "api ended, exit code -9; its log says: cannot start: error no REDIS"
    shown = printed(lambda c: show.stack(c, tmp_path)).splitlines()
    assert {ended, "store ended, exit code -9"} <= {*shown}
    warned = printed(lambda c: show.warned(c, tmp_path)).splitlines()
    assert warned == ["api: cannot start: error no REDIS", "api: old setting"]


def test_a_report_that_should_be_newer_says_how_old_it_is() -> None:
    report = Report({}, [], at_s=100)
    assert show.age(report, now_s=109) is None
    assert str(show.age(report, now_s=165)).startswith(
        "That was 1 min 5 s ago: its supervisor hangs"
    )


def worker(*, quotes: float, lag: float, freshness_s: float | None) -> Samples:
    """What a worker's /metrics says."""
    registry = CollectorRegistry()
    records = Counter("records", "", ["topic"], registry=registry)
    records.labels("quotes").inc(quotes)
    records.labels("interactions").inc(1)
    Counter("records_rejected", "", ["topic"], registry=registry).labels("quotes").inc(2)
    lags = Gauge("lag_records", "", ["topic"], registry=registry)
    lags.labels("quotes").set(lag)
    lags.labels("interactions").set(1)
    if freshness_s is not None:
        Gauge("freshness_seconds", "", ["topic"], registry=registry).labels("quotes").set(
            freshness_s
        )
    return parse(generate_latest(registry).decode())


def test_records_add_up_and_the_worker_that_is_furthest_behind_sets_the_freshness() -> None:
    workers = [
        worker(quotes=10, lag=3, freshness_s=0.5),
        worker(quotes=20, lag=4, freshness_s=2.5),
        worker(quotes=0, lag=0, freshness_s=None),
    ]
    assert read(workers, at_s=7) == Reading(
        at_s=7, quotes=30, interactions=3, rejected=6, lag_records=10, freshness_s=2.5
    )


def test_without_an_answer_nothing_is_claimed() -> None:
    reading = read([], at_s=7)
    assert (reading.quotes, reading.lag_records) == (0, 0)
    assert math.isnan(reading.freshness_s)


def test_a_worker_that_was_restarted_does_not_make_a_rate_negative() -> None:
    before = read([worker(quotes=100, lag=0, freshness_s=1)], at_s=0)
    after = read([worker(quotes=5, lag=0, freshness_s=1)], at_s=1)
    assert rates(before, after) == Rates(quotes_per_s=0, interactions_per_s=0)
