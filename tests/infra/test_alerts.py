"""infra/prometheus/alerts.yml: each alert fires when it must, with a runbook."""

import json
import re
import shutil
from dataclasses import dataclass, field
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


def counted(name: str, labels: dict[str, str]) -> Case:
    """Return the case of a counter that fires when it grows, also if it begins with what it has."""
    series = name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
    return Case(
        fires={series: "0x8 3x9"},
        fresh={series: "_x8 3x9"},
        quiet={series: "7x20"},
        labels=labels,
    )


def training(outcome: str) -> Case:
    """Return the case of runs of the trainer that end so, among others that end well."""

    def runs(values: str) -> Series:
        of = 'trainer_runs_total{job="trainer",instance="trainer:9102",outcome='
        return {f'{of}"{outcome}"}}': values, f'{of}"trained"}}': "0+1x20"}

    return Case(
        fires=runs("0x15 1x9"),
        fresh=runs("_x15 1x9"),
        quiet=runs("1x40"),
        at="20m",
        labels={"job": "trainer", "instance": "trainer:9102", "outcome": outcome},
    )


def decisions(what: str, values: str) -> Series:
    return {
        f'trainer_decisions_total{{what="{what}"}}': values,
        'trainer_decisions_total{what="published"}': "0+1x200",
    }


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


UP = 'up{job="api",instance="api-1:8000"}'
FOLDED = 'records_total{topic="quotes"}'
LAG_0, LAG_1 = (f'lag_records{{topic="quotes",partition="{n}"}}' for n in range(2))
HELD_0, HELD_1 = (f'records_held_back{{topic="quotes",partition="{n}"}}' for n in range(2))
OPEN_0, OPEN_1 = (f'open_transaction_seconds{{topic="quotes",partition="{n}"}}' for n in range(2))
ASSIGNED_1, ASSIGNED_2 = (f'partitions_assigned{{topic="quotes",instance="{n}"}}' for n in "12")
PARTITIONS_1, PARTITIONS_2 = (f'topic_partitions{{topic="quotes",instance="{n}"}}' for n in "12")
PARTITIONS = {PARTITIONS_1: "8x20", PARTITIONS_2: "8x20"}
STOPPED = 'partition_states{topic="quotes",state="stopped"}'
CLAIMING = 'partition_states{topic="quotes",state="claiming"}'
FLUSHING = 'partition_states{topic="quotes",state="flushing"}'
PASSING_1, PASSING_2 = (f'partition_passing_seconds{{topic="quotes",instance="{n}"}}' for n in "12")
FOLDING = 'partition_states{topic="quotes",state="folding"}'
KEYS_FILE = 'api_keys_file_broken{job="api",instance="api-1:8000"}'
QUOTES = {"topic": "quotes"}
ARCHIVE = {"job": "archive", "instance": "archive:9103"}
ARCHIVE_UP = 'up{job="archive",instance="archive:9103"}'
BEGAN = 'process_start_time_seconds{job="archive",instance="archive:9103"}'
ARCHIVE_LAG_0, ARCHIVE_LAG_1 = (
    f'archive_lag_records{{table="quotes",partition="{n}"}}' for n in range(2)
)
ARCHIVE_HELD_0, ARCHIVE_HELD_1 = (
    f'archive_records_held_back{{table="quotes",partition="{n}"}}' for n in range(2)
)
ARCHIVE_OPEN = 'archive_open_transaction_seconds{table="feedback",partition="0"}'
NONE_HELD = dict.fromkeys((HELD_0, HELD_1, ARCHIVE_HELD_0, ARCHIVE_HELD_1), "0x40")
BUFFERED = 'archive_buffered_bytes{job="archive",instance="archive:9103"}'
ROWS = 'archive_rows_total{job="archive",instance="archive:9103",table="quotes"}'
COMMITS_FAILED = 'archive_commits_failed_total{table="quotes"}'
MAINTAINED_1, MAINTAINED_2 = (
    f'archive_maintained_timestamp_seconds{{instance="{n}",table="quotes"}}' for n in range(2)
)
TABLE = {"table": "quotes"}
TICKS = {"topic": "shop.ticks"}
MAPPED = 'adapt_records_read_total{topic="shop.ticks",instance="adapt:9104"}'
UNMAPPED = 'adapt_records_rejected_total{topic="shop.ticks",instance="adapt:9104"}'
ADAPT_LAG_0, ADAPT_LAG_1 = (
    f'adapt_lag_records{{topic="shop.ticks",partition="{n}"}}' for n in range(2)
)

CASES = {
    "ProgramAbsent": Case(
        fires={ARCHIVE_UP: "1x8 _x30", UP: "1x40"},
        quiet={ARCHIVE_UP: "1x8 0x30", UP: "1x40"},
        labels={"job": "archive"},
        at="25m",
    ),
    "ProcessDown": Case(
        fires={UP: "1x8 0x9"},
        quiet={UP: "1x9 0 1x9"},
        labels={"job": "api", "instance": "api-1:8000"},
    ),
    "ProcessRestarts": Case(
        fires={BEGAN: "0x3 200x3 400x3 800x20"},
        quiet={BEGAN: "0x3 200x3 400x20"},
        labels=ARCHIVE,
        at="20m",
    ),
    "FallingBehind": Case(
        fires={FOLDED: "0+600x20", LAG_0: "400x20", LAG_1: "300x20"} | NONE_HELD,
        quiet=NONE_HELD
        | {FOLDED: "0+600x20", LAG_0: "9300x20", HELD_0: "9000x20", LAG_1: "200x20"},
        labels=QUOTES,
    ),
    "TransactionOpen": Case(
        fires={OPEN_0: "0x5 0+60x20", OPEN_1: "0x20", ARCHIVE_OPEN: "0x20"},
        quiet={OPEN_0: "0 60 120 0x20", OPEN_1: "0x20", ARCHIVE_OPEN: "0x20"},
        labels=QUOTES,
    ),
    "PartitionsUnassigned": Case(
        fires={ASSIGNED_1: "4x20", ASSIGNED_2: "3x20"} | PARTITIONS,
        quiet={ASSIGNED_1: "4x20", ASSIGNED_2: "4x20"} | PARTITIONS,
        labels=QUOTES,
    ),
    "PartitionStopped": Case(
        fires={STOPPED: "0x8 1x9", FOLDING: "8x8 7x9"},
        quiet={STOPPED: "0x20", FOLDING: "8x20"},
        labels=QUOTES,
    ),
    "PartitionNotFolding": Case(
        # All are claimed, and stay so: nothing else of the worker shows it, not even its lag.
        fires={CLAIMING: "0x3 8x20", PASSING_1: "0x3 0+60x20", PASSING_2: "0x20"},
        quiet={FLUSHING: "1x20", PASSING_1: "0 60 120 0 30 90 0x20", PASSING_2: "1x20"},
        labels=QUOTES,
    ),
    "RecordsRejected": counted("records_rejected_total", QUOTES),
    "QuotesLate": counted("late_quotes_total", {}),
    "RecordsMissing": counted("records_missing_total", QUOTES),
    "TrainingFails": training("failed"),
    "DataRejected": training("rejected"),
    "ValuesCorrupt": Case(
        fires={"trainer_corrupt_values": "3x20"},
        quiet={"trainer_corrupt_values": "3x5 0x20"},
        value="3",
    ),
    "CanaryWithdrawn": Case(
        fires=decisions("withdrawn", "0x5 1x130"),
        fresh=decisions("withdrawn", "_x110 1x20"),
        quiet=decisions("withdrawn", "1x120"),
        labels={"what": "withdrawn"},
        at="120m",
    ),
    "CanaryRolledBack": Case(
        fires=decisions("rolled back", "0x15 1x9"),
        fresh=decisions("rolled back", "_x15 1x9"),
        quiet=decisions("rolled back", "1x40"),
        at="20m",
        labels={"what": "rolled back"},
    ),
    "KeysFileBroken": Case(
        fires={KEYS_FILE: "0x8 1x9"},
        quiet={KEYS_FILE: "0x9 1 0x9"},
        labels={"job": "api", "instance": "api-1:8000"},
    ),
    "ApiFails": Case(
        fires=requests("0+2x20", "0+98x20"),
        quiet=requests("0+1x20", "0+199x20"),
    ),
    "ApiSlow": Case(
        fires=answers("0+98x20", "0+100x20"),
        quiet=answers("0+100x20", "0+100x20"),
    ),
    "ArchiveReadsNothing": Case(
        fires={ARCHIVE_UP: "1x20"},
        quiet={ARCHIVE_UP: "1x20", ARCHIVE_LAG_0: "0x20"},
        labels={"job": "archive"},
    ),
    "ArchiveNotCommitting": Case(
        fires={BUFFERED: "900x40", ROWS: "0x4 100x4 200x30"},
        quiet={BUFFERED: "900x40", ROWS: "0x4 100x4 200x4 300x4 400x4 500x4 600x4"},
        labels=ARCHIVE,
        at="29m",
    ),
    "ArchiveCommitsFail": Case(
        fires={COMMITS_FAILED: "0+3x20"},
        quiet={COMMITS_FAILED: "0x4 3 6 9 12x20"},
        labels=TABLE,
        at="12m",
    ),
    "ArchiveFallingBehind": Case(
        fires={ROWS: "0+600x40", ARCHIVE_LAG_0: "5000x40", ARCHIVE_LAG_1: "4500x40"} | NONE_HELD,
        quiet=NONE_HELD
        | {ROWS: "0+600x40", ARCHIVE_LAG_0: "9000x40", ARCHIVE_LAG_1: "3500x40"}
        | {ARCHIVE_HELD_0: "4000x40"},
        labels=TABLE,
        at="40m",
    ),
    "ArchiveNotMaintained": Case(
        fires={MAINTAINED_1: "0x800", MAINTAINED_2: "60x800"},
        fresh={MAINTAINED_1: "_x721 0x100"},
        quiet={MAINTAINED_1: "0x800", MAINTAINED_2: "60x300 18000x500"},
        labels=TABLE,
        at="737m",
    ),
    "ArchiveRecordsRejected": counted("archive_records_rejected_total", TABLE),
    "ArchiveRecordsMissing": counted("archive_records_missing_total", TABLE),
    "AdaptFallingBehind": Case(
        fires={MAPPED: "0+600x20", ADAPT_LAG_0: "400x20", ADAPT_LAG_1: "300x20"},
        quiet={MAPPED: "0+600x20", ADAPT_LAG_0: "300x20", ADAPT_LAG_1: "200x20"},
        labels=TICKS,
    ),
    "AdaptNotCommitting": Case(
        fires={MAPPED: "0 600x30", ADAPT_LAG_0: "0x2 5x30", ADAPT_LAG_1: "0x30"},
        quiet={MAPPED: "0 600x9 601x9 602x9", ADAPT_LAG_0: "5x30", ADAPT_LAG_1: "0x30"},
        labels=TICKS,
        at="13m",
    ),
    "AdaptRecordsRejected": Case(
        fires={MAPPED: "0+600x20", UNMAPPED: "0+7x20"},
        fresh={MAPPED: "_x8 600x9", UNMAPPED: "_x8 7x9"},
        quiet={MAPPED: "0+600x20", UNMAPPED: "0+5x20"},
        labels=TICKS,
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
    series = {OPEN_0: "0x20", ARCHIVE_OPEN: "0x5 0+60x20"}
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
