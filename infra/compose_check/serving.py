"""Checks of nginx, the API and Prometheus."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from infra.compose_check.stack import Stack
from infra.compose_check.waiting import Problem
from infra.local.asking import connect_api
from infra.local.subjects import Subjects

JOBS: Final = ("worker", "trainer", "api", "archive", "maintenance", "adapt")
"""of infra/prometheus/prometheus.yml, each named as its service"""
_ROUND: Final = 30
"""requests: enough for each of a few processes to get some"""


@contextmanager
def client_of(stack: Stack, key: str) -> Iterator[httpx.Client]:
    """Open a client of the API, through nginx, with a key."""
    with connect_api(stack.api_url) as client:
        client.headers["X-API-Key"] = key
        yield client


def all_up(stack: Stack) -> Problem:
    """Check that Prometheus scrapes each container, and has no other target."""

    def problem() -> str | None:
        said = httpx.get(f"{stack.prometheus_url}/api/v1/targets", timeout=10).json()
        return not_up(said, Counter(one.service for one in stack.containers()))

    return problem


def not_up(said: dict[str, Any], running: Counter[str]) -> str | None:
    """Describe wrong targets, from Prometheus's report."""
    targets = said["data"]["activeTargets"]
    down = [f"{one['scrapeUrl']}: {one['lastError']}" for one in targets if one["health"] != "up"]
    if down:
        return "; ".join(down)
    seen = Counter(one["labels"]["job"] for one in targets)
    odd = [f"{job}: {seen[job]} of {running[job]}" for job in JOBS if seen[job] != running[job]]
    return f"targets that are up: {', '.join(odd)}" if odd else None


def spread(stack: Stack, client: httpx.Client) -> Problem:
    """Check that nginx sends requests to every process of the API, and to no other."""

    def problem() -> str | None:
        addresses = {one.address for one in stack.containers("api")}
        for _ in range(_ROUND):
            client.get("/v1/trending?n=1").raise_for_status()
        seen = upstreams(stack.compose("logs", "--no-log-prefix", f"--tail={_ROUND}", "nginx"))
        return None if seen == addresses else f"requests went to {seen}, not to {addresses}"

    return problem


def upstreams(log: str) -> set[str]:
    """Return the addresses that requests went to, from nginx's log."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    went = {line["tickrec"]["upstream"] for line in lines}
    return {one.rpartition(":")[0] for many in went for one in many.split(", ") if ":" in one}


def fresh(client: httpx.Client, subjects: Subjects, since_s: float) -> Problem:
    """Check that a quote from after a time (epoch seconds) can be read.

    How old the newest one is says more about a busy producer than about what is checked.
    """
    instrument = subjects.instrument_id

    def problem() -> str | None:
        said = client.get(f"/v1/quotes/latest?instruments={instrument}").raise_for_status().json()
        behind_s = since_s - said["quotes"][str(instrument)]["ts"] / 1000
        return None if behind_s < 0 else f"the newest quote is from {behind_s:.0f} s before"

    return problem
