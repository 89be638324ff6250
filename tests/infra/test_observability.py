"""infra/prometheus and infra/grafana query metrics that the programs really expose."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import archive.metrics  # noqa: F401 (registers its metrics)
import producers.adapt.metrics  # noqa: F401 (registers its metrics)
import stream_processors.metrics
import trainer.telemetry  # noqa: F401 (registers its metrics)
from api.http.keys.file import Keys
from api.http.metrics import Metrics
from tests.commands import run

INFRA = Path(__file__).parents[2] / "infra"
DASHBOARD: dict[str, Any] = json.loads((INFRA / "grafana/dashboards/tickrec.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())
RECORDED: dict[str, Any] = yaml.safe_load((INFRA / "prometheus/click_through.yml").read_text())
PROMTOOL = shutil.which("promtool")

OF_TARGETS = {"job", "instance"}
"""Labels that Prometheus adds to each series of a process."""
WORDS = {
    *("sum", "max", "min", "rate", "increase", "max_over_time", "present_over_time", "time"),
    *("label_replace", "offset", "histogram_quantile", "by", "le", "or", "vector", "unless", "on"),
    "__rate_interval",
}


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for file in (ALERTS, RECORDED) for rule in rules_of(file)]
    return [*panels, *rules]


def rules_of(file: dict[str, Any]) -> list[dict[str, str]]:
    return [rule for group in file["groups"] for rule in group["rules"]]


def recorded() -> dict[str, set[str]]:
    """Return the series that Prometheus records, with the label that each name begins with."""
    return {rule["record"]: {rule["record"].partition(":")[0]} for rule in rules_of(RECORDED)}


def series(registry: CollectorRegistry) -> dict[str, set[str]]:
    exposed = {}
    for collector in list(registry._collector_to_names):
        for name in registry._collector_to_names[collector]:
            labels = labels_of(collector, name)
            exposed[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return exposed


def labels_of(collector: Any, name: str) -> set[str]:
    if hasattr(collector, "_labelnames"):
        return set(collector._labelnames)
    every = getattr(collector, "describe", collector.collect)()
    families = [family for family in every if name.startswith(family.name)]
    return {label for family in families for label in getattr(family, "_labelnames", ())}


def exposed() -> dict[str, set[str]]:
    assert stream_processors.metrics.RECORDS
    of_api = Metrics().registry
    Keys(frozenset(), None, of_api)
    programs = series(REGISTRY) | series(of_api)
    return programs | recorded() | {"up": OF_TARGETS}


def asked(expression: str) -> tuple[set[str], set[str]]:
    """Return the names of series and labels in an expression."""
    labels = set(re.findall(r"(\w+)\s*(?:=~|=|!=)\s*\"", expression))
    for group in re.findall(r"(?:by|on) \(([\w, ]+)\)", expression):
        labels |= set(group.replace(" ", "").split(","))
    bare = re.sub(
        r"\{[^}]*\}|\[[^\]]*\]|(?:by|on) \([\w, ]*\)|\"[^\"]*\"|offset \w+", "", expression
    )
    return set(re.findall(r"[a-z_][\w:]*", bare)) - WORDS, labels


@pytest.mark.parametrize("expression", expressions())
def test_every_queried_series_and_label_is_exposed(expression: str) -> None:
    metrics = exposed()
    names, labels = asked(expression)

    assert names
    assert names <= metrics.keys()
    assert labels <= set.union(OF_TARGETS, *(metrics[name] for name in names))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: it comes with Prometheus")
def test_prometheus_accepts_its_files_and_the_dashboards_expressions(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "1m")}
        for n, expression in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    config, recording = INFRA / "prometheus/prometheus.yml", INFRA / "prometheus/click_through.yml"
    for check, file in (("config", config), ("rules", recording), ("rules", path)):
        done = run(str(PROMTOOL), "check", check, file)
        assert done.returncode == 0, done.stdout + done.stderr
