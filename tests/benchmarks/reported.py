"""What a report says: its table as text, and its lines of JSON."""

import io
from typing import Any

import msgspec
from rich.console import Console

from benchmarks.harness.report import Report


def shown(report: Report) -> str:
    """Return the table and what stands below it, in one line."""
    out = io.StringIO()
    report.show(Console(file=out, width=200))
    return " ".join(out.getvalue().split())


def figures(report: Report) -> list[dict[str, Any]]:
    """Return the lines of JSON."""
    return [msgspec.json.decode(line) for line in report.lines().splitlines()]
