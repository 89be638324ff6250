"""infra/prometheus/alerts.yml: each alert fires when it must, with a runbook."""

import json
import re
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import ROOT, run

RULES_FILE = ROOT / "infra/prometheus/alerts.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES_FILE.read_text())["groups"]
    for rule in group["rules"]
}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: it comes with Prometheus"
)

Series = dict[str, str]
"""A sample a minute of each series, in promtool's notation: `0x5 1x5` is six 0 and six 1."""


@dataclass(frozen=True)
class Case:
    fires: Series
    quiet: Series
    labels: dict[str, str] = field(default_factory=dict)
    at: str = "10m"
    fresh: Series = field(default_factory=dict)
    """what fires where its series begin in the middle, as those of a process that has just started;
    without any, what `fires` does, three minutes later"""
    value: str = ""
    """of the expression, if the summary names it"""

    def begun_late(self) -> tuple[Series, str]:
        """Return series that begin late, and when the alert fires for them."""
        if self.fresh:
            return self.fresh, self.at
        late = {name: f"_x3 {values}" for name, values in self.fires.items()}
        return late, f"{int(self.at.removesuffix('m')) + 3}m"


def of(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def counted(name: str, labels: dict[str, str]) -> Case:
    """Return the case of a counter that fires when it grows, also if it begins with what it has."""
    series = of(name, labels)
    return Case({series: "0x8 3x9"}, {series: "7x20"}, labels, fresh={series: "_x8 3x9"})


def training(outcome: str) -> Case:
    """Return the case of runs of the trainer that end so, among others that end well."""
    trainer = {"job": "trainer", "instance": "trainer:9102"}

    def runs(values: str) -> Series:
        other = of("trainer_runs_total", trainer | {"outcome": "trained"})
        return {of("trainer_runs_total", trainer | {"outcome": outcome}): values, other: "0+1x20"}

    labels = trainer | {"outcome": outcome}
    return Case(runs("0x15 1x9"), runs("1x40"), labels, at="20m", fresh=runs("_x15 1x9"))


def decision(what: str, fires: str, fresh: str, quiet: str, at: str) -> Case:
    """Return the case of a canary that ends so, among others that are published."""

    def made(values: str) -> Series:
        other = of("trainer_decisions_total", {"what": "published"})
        return {of("trainer_decisions_total", {"what": what}): values, other: "0+1x200"}

    return Case(made(fires), made(quiet), {"what": what}, at=at, fresh=made(fresh))


def requests(failed: str, answered: str) -> Series:
    return {
        'api_requests_total{method="GET",route="/v1/movers",status="503"}': failed,
        'api_requests_total{method="GET",route="/v1/movers",status="200"}': answered,
    }


def answers(within_250_ms: str, within_500_ms: str) -> Series:
    return {
        'api_request_seconds_bucket{route="/v1/movers",le="0.25"}': within_250_ms,
        'api_request_seconds_bucket{route="/v1/movers",le="0.5"}': within_500_ms,
        'api_request_seconds_bucket{route="/v1/movers",le="+Inf"}': within_500_ms,
    }


def each(label: str, name: str, labels: dict[str, str], *values: str) -> Series:
    """Return a series of each of the values; the label that these differ by is 0, 1, ..."""
    return {of(name, labels | {label: str(n)}): some for n, some in enumerate(values)}


by_partition, by_instance = partial(each, "partition"), partial(each, "instance")

QUOTES, TABLE, TICKS = {"topic": "quotes"}, {"table": "quotes"}, {"topic": "shop.ticks"}
API = {"job": "api", "instance": "api-1:8000"}
ARCHIVE = {"job": "archive", "instance": "archive:9103"}
ADAPT = TICKS | {"instance": "adapt:9104"}
UP, ARCHIVE_UP = of("up", API), of("up", ARCHIVE)
FOLDED = of("records_total", QUOTES)
STOPPED, CLAIMING, FLUSHING, FOLDING = (
    of("partition_states", QUOTES | {"state": state})
    for state in ("stopped", "claiming", "flushing", "folding")
)
KEYS_FILE = of("api_keys_file_broken", API)
BEGAN = of("process_start_time_seconds", ARCHIVE)
BUFFERED, ROWS = of("archive_buffered_bytes", ARCHIVE), of("archive_rows_total", ARCHIVE | TABLE)
COMMITS_FAILED = of("archive_commits_failed_total", TABLE)
MAPPED = of("adapt_records_read_total", ADAPT)
UNMAPPED = of("adapt_records_rejected_total", ADAPT)

lag = partial(by_partition, "lag_records", QUOTES)
held = partial(by_partition, "records_held_back", QUOTES)
open_s = partial(by_partition, "open_transaction_seconds", QUOTES)
open_of_feedback_s = partial(
    by_partition, "archive_open_transaction_seconds", {"table": "feedback"}
)
assigned = partial(by_instance, "partitions_assigned", QUOTES)
passing_s = partial(by_instance, "partition_passing_seconds", QUOTES)
archive_lag = partial(by_partition, "archive_lag_records", TABLE)
archive_held = partial(by_partition, "archive_records_held_back", TABLE)
maintained_s = partial(by_instance, "archive_maintained_timestamp_seconds", TABLE)
adapt_lag = partial(by_partition, "adapt_lag_records", TICKS)
PARTITIONS = by_instance("topic_partitions", QUOTES, "8x20", "8x20")
NONE_HELD = held("0x40", "0x40") | archive_held("0x40", "0x40")

CASES = {
    "ProgramAbsent": Case(
        {ARCHIVE_UP: "1x8 _x30", UP: "1x40"},
        {ARCHIVE_UP: "1x8 0x30", UP: "1x40"},
        {"job": "archive"},
        at="25m",
    ),
    "ProcessDown": Case({UP: "1x8 0x9"}, {UP: "1x9 0 1x9"}, API),
    "ProcessRestarts": Case(
        {BEGAN: "0x3 200x3 400x3 800x20"}, {BEGAN: "0x3 200x3 400x20"}, ARCHIVE, at="20m"
    ),
    "FallingBehind": Case(
        NONE_HELD | {FOLDED: "0+600x20"} | lag("400x20", "300x20"),
        NONE_HELD | {FOLDED: "0+600x20"} | lag("9300x20", "200x20") | held("9000x20"),
        QUOTES,
    ),
    "TransactionOpen": Case(
        open_s("0x5 0+60x20", "0x20") | open_of_feedback_s("0x20"),
        open_s("0 60 120 0x20", "0x20") | open_of_feedback_s("0x20"),
        QUOTES,
    ),
    "PartitionsUnassigned": Case(
        assigned("4x20", "3x20") | PARTITIONS, assigned("4x20", "4x20") | PARTITIONS, QUOTES
    ),
    "PartitionStopped": Case(
        {STOPPED: "0x8 1x9", FOLDING: "8x8 7x9"}, {STOPPED: "0x20", FOLDING: "8x20"}, QUOTES
    ),
    "PartitionNotFolding": Case(
        # All are claimed, and stay so: nothing else of the worker shows it, not even its lag.
        {CLAIMING: "0x3 8x20"} | passing_s("0x3 0+60x20", "0x20"),
        {FLUSHING: "1x20"} | passing_s("0 60 120 0 30 90 0x20", "1x20"),
        QUOTES,
    ),
    "RecordsRejected": counted("records_rejected_total", QUOTES),
    "QuotesLate": counted("late_quotes_total", {}),
    "RecordsMissing": counted("records_missing_total", QUOTES),
    "TrainingFails": training("failed"),
    "DataRejected": training("rejected"),
    "ValuesCorrupt": Case(
        {"trainer_corrupt_values": "3x20"}, {"trainer_corrupt_values": "3x5 0x20"}, value="3"
    ),
    "CanaryWithdrawn": decision("withdrawn", "0x5 1x130", "_x110 1x20", "1x120", "120m"),
    "CanaryRolledBack": decision("rolled back", "0x15 1x9", "_x15 1x9", "1x40", "20m"),
    "KeysFileBroken": Case({KEYS_FILE: "0x8 1x9"}, {KEYS_FILE: "0x9 1 0x9"}, API),
    "ApiFails": Case(requests("0+2x20", "0+98x20"), requests("0+1x20", "0+199x20")),
    "ApiSlow": Case(answers("0+98x20", "0+100x20"), answers("0+100x20", "0+100x20")),
    "ArchiveReadsNothing": Case(
        {ARCHIVE_UP: "1x20"}, {ARCHIVE_UP: "1x20"} | archive_lag("0x20"), {"job": "archive"}
    ),
    "ArchiveNotCommitting": Case(
        {BUFFERED: "900x40", ROWS: "0x4 100x4 200x30"},
        {BUFFERED: "900x40", ROWS: "0x4 100x4 200x4 300x4 400x4 500x4 600x4"},
        ARCHIVE,
        at="29m",
    ),
    "ArchiveCommitsFail": Case(
        {COMMITS_FAILED: "0+3x20"}, {COMMITS_FAILED: "0x4 3 6 9 12x20"}, TABLE, at="12m"
    ),
    "ArchiveFallingBehind": Case(
        NONE_HELD | {ROWS: "0+600x40"} | archive_lag("5000x40", "4500x40"),
        NONE_HELD
        | {ROWS: "0+600x40"}
        | archive_lag("9000x40", "3500x40")
        | archive_held("4000x40"),
        TABLE,
        at="40m",
    ),
    "ArchiveNotMaintained": Case(
        maintained_s("0x800", "60x800"),
        maintained_s("0x800", "60x300 18000x500"),
        TABLE,
        at="737m",
        fresh=maintained_s("_x721 0x100"),
    ),
    "ArchiveRecordsRejected": counted("archive_records_rejected_total", TABLE),
    "ArchiveRecordsMissing": counted("archive_records_missing_total", TABLE),
    "AdaptFallingBehind": Case(
        {MAPPED: "0+600x20"} | adapt_lag("400x20", "300x20"),
        {MAPPED: "0+600x20"} | adapt_lag("300x20", "200x20"),
        TICKS,
    ),
    "AdaptNotCommitting": Case(
        {MAPPED: "0 600x30"} | adapt_lag("0x2 5x30", "0x30"),
        {MAPPED: "0 600x9 601x9 602x9"} | adapt_lag("5x30", "0x30"),
        TICKS,
        at="13m",
    ),
    "AdaptRecordsRejected": Case(
        {MAPPED: "0+600x20", UNMAPPED: "0+7x20"},
        {MAPPED: "0+600x20", UNMAPPED: "0+5x20"},
        TICKS,
        fresh={MAPPED: "_x8 600x9", UNMAPPED: "_x8 7x9"},
    ),
}


def entries() -> dict[str, str]:
    """Return what docs/operations.md says under each heading of the third level."""
    text = (ROOT / "docs/operations.md").read_text()
    parts = re.split(r"^#{2,3} +(.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def group(alert: str, series: Series, at: str, *expected: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }


def fired(alert: str, labels: dict[str, str], value: str = "") -> dict[str, Any]:
    """Return an alert as Prometheus shows it; its text names no label that it does not have."""

    def filled_in(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda name: labels[name[1]], text)
        return text.replace("{{ $value }}", value)

    texts = RULES[alert]["annotations"]
    annotations = {name: filled_in(text) for name, text in texts.items()}
    return {"exp_labels": labels, "exp_annotations": annotations}


def samples(values: str) -> list[int | None]:
    """Return what a text in promtool's notation stands for; None where no sample is.

    >>> samples("_x2 0+5x2 7")
    [None, None, 0, 5, 10, 7]
    """
    found: list[int | None] = []
    for start, step, more in re.findall(r"(_|\d+)(?:\+(\d+))?(?:x(\d+))?", values):
        n = int(more or 0) + (start != "_" or not more)
        found += [None if start == "_" else int(start) + i * int(step or 0) for i in range(n)]
    return found


def restarting(series: Series) -> Series:
    """Return series of processes that restart each five minutes and are away for one of these."""
    made = {}
    for name, values in series.items():
        shown, counted_before = [], 0
        for minute, value in enumerate(samples(values)):
            if minute % 5 == 3 or value is None:
                counted_before = (value or 0) if re.search("_(total|bucket)(?={|$)", name) else 0
                shown.append("stale")
            else:
                shown.append(str(value - counted_before))
        made[name] = " ".join(shown)
    return made


@needs_promtool
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_must_and_not_when_it_need_not(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]
    shown = fired(alert, case.labels, case.value)
    check(
        tmp_path,
        alert,
        group(alert, case.fires, case.at, shown),
        group(alert, *case.begun_late(), shown),
        group(alert, restarting(case.fires), case.at, shown),
        group(alert, case.quiet, case.at),
    )


def check(tmp_path: Path, alert: str, *groups: dict[str, Any]) -> None:
    """Check an alert; alone, as promtool would otherwise evaluate all others, too."""
    rules, path = tmp_path / "rules.yml", tmp_path / "cases.yml"
    rules.write_text(json.dumps({"groups": [{"name": "one", "rules": [RULES[alert]]}]}))
    # Evaluated as often as there is a sample.
    cases = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": groups}
    path.write_text(json.dumps(cases))

    done = run(str(PROMTOOL), "test", "rules", path)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_transaction_that_only_an_archive_sees_fires_too(tmp_path: Path) -> None:
    series = open_s("0x20") | open_of_feedback_s("0x5 0+60x20")
    shown = fired("TransactionOpen", {"topic": "feedback"})
    check(tmp_path, "TransactionOpen", group("TransactionOpen", series, "10m", shown))


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_links_an_entry_that_says_what_it_means_how_to_look_and_what_to_do(
    alert: str,
) -> None:
    assert RULES[alert]["annotations"]["runbook_url"] == f"docs/operations.md#{alert.lower()}"
    said = re.findall(r"^- \*\*(.+?)\.\*\*", entries().get(alert, ""), re.MULTILINE)
    assert said == ["Means", "Look", "Do"]


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    alerts = {name for name, text in entries().items() if "- **Means.**" in text}
    assert alerts == RULES.keys()
