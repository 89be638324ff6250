"""Reads the workers' metrics for the status line."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, str], float]
"""(metric, topic) -> value; topic is empty without the label"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The sum of the workers' metrics at one time."""

    at_s: float
    quotes: float
    """folded so far"""
    interactions: float
    rejected: float
    lag_records: float
    """not folded yet, of all topics"""
    freshness_s: float
    """clock minus event time of the newest bar in Redis; NaN before the first"""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates between two readings."""

    quotes_per_s: float
    interactions_per_s: float


def scrape(urls: Iterable[str], client: httpx.Client) -> list[Samples]:
    """Return the samples of each worker that responds."""
    texts = []
    for url in urls:
        try:
            texts.append(client.get(f"{url}/metrics").raise_for_status().text)
        except httpx.HTTPError:
            # It is starting, or restarting: the supervisor knows.
            continue
    return [parse(text) for text in texts]


def parse(text: str) -> Samples:
    """Parse Prometheus's text format; samples are summed over all labels except `topic`."""
    samples: dict[tuple[str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name, sample.labels.get("topic", "")] += sample.value
    return samples


def read(workers: Iterable[Samples], at_s: float) -> Reading:
    """Add the workers up."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    freshest = math.nan
    for samples in workers:
        for key, value in samples.items():
            total[key] += value
        # Each worker knows only its own partitions: the one furthest behind counts.
        freshest = _later(freshest, samples.get(("freshness_seconds", "quotes"), math.nan))
    return Reading(
        at_s=at_s,
        quotes=total["records_total", "quotes"],
        interactions=total["records_total", "interactions"],
        rejected=sum(v for (name, _), v in total.items() if name == "records_rejected_total"),
        lag_records=sum(v for (name, _), v in total.items() if name == "lag_records"),
        freshness_s=freshest,
    )


def is_folded(workers: list[Samples]) -> bool:
    """Return whether the workers have all partitions, and their positions are at the logs' ends."""

    def total(metric: str) -> float:
        return sum(v for samples in workers for (name, _), v in samples.items() if name == metric)

    assigned, of_each = total("partitions_assigned"), total("topic_partitions")
    return assigned > 0 and assigned * len(workers) == of_each and not total("lag_records")


def rates(before: Reading, now: Reading) -> Rates:
    """Return the rates per second between two readings; a counter reset counts as 0.

    >>> first = Reading(10.0, 100, 5, 0, 0, 1.0)
    >>> rates(first, Reading(12.0, 1100, 6, 0, 0, 1.0))
    Rates(quotes_per_s=500.0, interactions_per_s=0.5)
    """
    elapsed = now.at_s - before.at_s
    return Rates(
        quotes_per_s=max(0.0, now.quotes - before.quotes) / elapsed,
        interactions_per_s=max(0.0, now.interactions - before.interactions) / elapsed,
    )


def _later(a: float, b: float) -> float:
    return a if math.isnan(b) else b if math.isnan(a) else max(a, b)
