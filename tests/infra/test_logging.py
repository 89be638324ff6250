"""infra/logging: what the pipelines ask for is what a program's line has."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run

LOGGING = Path(__file__).parents[2] / "infra/logging"
ELASTICSEARCH, CLOUDWATCH = LOGGING / "elasticsearch", LOGGING / "cloudwatch"
MAPPED: dict[str, Any] = json.loads((ELASTICSEARCH / "template.json").read_text())["template"][
    "mappings"
]
FILTER: dict[str, Any] = json.loads((CLOUDWATCH / "metric-filter.json").read_text())
QUERIES = (CLOUDWATCH / "queries.txt").read_text().split("\n\n")[1:]
OF_CLOUDWATCH = {"@timestamp"}
"""CloudWatch's own field, which it has of each line."""

FAILING = """
import logging
from runtime.logs import REQUEST_ID, configure_logs
from runtime.settings import SharedSettings
configure_logs("trainer", SharedSettings())
REQUEST_ID.set("3f2d118bed0c-000001e6")
particulars = {"what": "published", "generation": "g1", "why": "asked for"}
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a").exception("decided", extra=particulars)
"""


def fields(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the innermost values of an object by their dotted names."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        path = above + name
        found |= fields(inner, f"{path}.") if isinstance(inner, dict) else {path: inner}
    return found


@pytest.fixture(scope="module")
def line() -> dict[str, Any]:
    """A line with all that a line may have."""
    return fields(json.loads(run(sys.executable, "-c", FAILING).stderr))


def mapped(mapping: dict[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, inner in mapping["properties"].items():
        path = above + name
        found |= mapped(inner, f"{path}.") if "properties" in inner else {path: inner["type"]}
    return found


def test_elasticsearch_maps_each_field_and_takes_particulars_of_any_name(
    line: dict[str, Any],
) -> None:
    types = mapped(MAPPED)
    written = {"tickrec" if name.startswith("tickrec.") else name for name in line}
    assert types.keys() == written | {"event.dataset"}
    assert types["tickrec"] == "flattened"
    assert types["@timestamp"] == "date"
    assert MAPPED["dynamic"] is False


def test_the_metric_filter_finds_errors_by_fields_that_a_line_has(line: dict[str, Any]) -> None:
    (metric,) = FILTER["metricTransformations"]
    asked = re.findall(r"\$\.([\w.]+) = \"(\w+)\"", FILTER["filterPattern"])
    assert {name for name, _ in asked} == {"log.level"}
    assert line["log.level"] in {level for _, level in asked}
    assert {path.removeprefix("$.") for path in metric["dimensions"].values()} <= line.keys()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.splitlines()[0])
def test_a_query_asks_for_fields_that_a_line_has(query: str, line: dict[str, Any]) -> None:
    bare = re.sub(r'"[^"]*"|^#.*$', "", query, flags=re.MULTILINE)
    asked = set(re.findall(r"@\w+|\w+(?:\.\w+)+|\bmessage\b", bare))
    assert asked
    assert asked <= line.keys() | OF_CLOUDWATCH
