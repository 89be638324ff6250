"""Real quotes and events through Kafka, workers, Redis, trainer and HTTP.

Against third-party bars of the same feed, and scikit-learn's answer.
"""

import csv
import gzip
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from scipy.sparse import csr_array

from contracts.messages import Interaction
from contracts.topics import INTERACTIONS, QUOTES
from tests.integration.conftest import DATA, Pipeline, kill
from tests.oracles.cosine import cosine_similarity
from tests.oracles.gram import gram_matrix

QUOTES_FILE = DATA / "quotes.csv.gz"
BARS_FILE = DATA / "quotes_bars_1m.csv.gz"
LONG_RETENTION_MINUTES = 10_000

needs_data = pytest.mark.skipif(not QUOTES_FILE.exists(), reason=f"no real data at {DATA}")


class Prices(NamedTuple):
    open: float
    high: float
    low: float
    close: float


Bars = dict[tuple[int, int], Prices]


def reference() -> Bars:
    with gzip.open(BARS_FILE, "rt") as file:
        return {
            (int(row["instrument_id"]), int(row["minute_ms"])): Prices(
                *(float(row[name]) for name in Prices._fields)
            )
            for row in csv.DictReader(file)
        }


def bars_over_http(address: str, instrument: int) -> Iterator[tuple[int, Prices]]:
    """Page backwards through all bars of an instrument, 1,000 minutes at a time."""
    last_minute_ms = max(minute for of, minute in reference() if of == instrument)
    first_minute_ms = min(minute for of, minute in reference() if of == instrument)
    for end in range(last_minute_ms + 60_000, first_minute_ms, -60_000_000):
        answer = httpx.get(
            f"{address}/v1/instruments/{instrument}/bars", params={"limit": 1000, "end": end}
        )
        for bar in answer.raise_for_status().json()["bars"]:
            yield bar["t"], Prices(bar["o"], bar["h"], bar["l"], bar["c"])


@needs_data
def test_every_real_minute_equals_the_reference_to_the_last_digit_even_if_the_worker_is_killed(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker(bars_retention_minutes=LONG_RETENTION_MINUTES) as worker:
        pipeline.run("producers", "replay", "quotes", str(QUOTES_FILE), "--speed", "max")
        pipeline.wait_for_position(QUOTES, 1)
        kill(worker)
    with pipeline.worker(bars_retention_minutes=LONG_RETENTION_MINUTES), pipeline.api() as address:
        pipeline.wait_until_folded([QUOTES])
        served = {
            (instrument, minute): prices
            for instrument in (1, 2)
            for minute, prices in bars_over_http(address, instrument)
        }
    assert served == reference()
    with gzip.open(QUOTES_FILE, "rt") as file:
        n_quotes = sum(1 for _ in csv.DictReader(file))
    assert sum(bar.n for i in (1, 2) for bar in pipeline.bars(i).values()) == n_quotes


INTERACTIONS_FILE = DATA / "interactions.csv.gz"
EVENTS = 5_000
"""Of the file's 397,884: as many as the suite has time for."""


def real_events(n: int) -> list[Interaction]:
    with gzip.open(INTERACTIONS_FILE, "rt") as file:
        return [
            Interaction(
                user_id=row["user_id"],
                instrument_id=int(row["instrument_id"]),
                quantity=float(row["quantity"]),
                ts=int(row["ts_ms"]),
            )
            for row in islice(csv.DictReader(file), n)
        ]


def user_items(events: Sequence[Interaction]) -> tuple[csr_array, list[int]]:
    _, rows = np.unique([event.user_id for event in events], return_inverse=True)
    items, columns = np.unique([event.instrument_id for event in events], return_inverse=True)
    matrix = csr_array((np.ones(len(events)), (rows, columns)))
    return matrix.astype(bool).astype(float), items.tolist()


def gram_of(pipeline: Pipeline, items: Sequence[int]) -> np.ndarray:
    place = {item: k for k, item in enumerate(items)}
    gram = np.zeros((len(items), len(items)))
    for (i, j), count in pipeline.gram().items():
        gram[place[i], place[j]] = gram[place[j], place[i]] = count
    return gram


@needs_data
def test_real_similarities_equal_scikit_learns_and_are_served_even_if_the_worker_is_killed(
    pipeline: Pipeline,
) -> None:
    events = real_events(EVENTS)
    matrix, items = user_items(events)
    with pipeline.worker(history_cap=5000) as worker:
        pipeline.publish(events)
        pipeline.wait_for_position(INTERACTIONS, EVENTS // 10)
        kill(worker)
    with pipeline.worker(history_cap=5000):
        pipeline.wait_until_folded()

    gram = gram_of(pipeline, items)
    assert np.array_equal(gram, gram_matrix(matrix).toarray())
    norms = np.sqrt(np.diag(gram))
    cosine = gram / np.outer(norms, norms)
    assert np.abs(cosine - cosine_similarity(matrix.T)).max() < 1e-9

    pipeline.run("trainer", "once", item_model="cosine")
    with pipeline.api() as address, httpx.Client(base_url=address) as client:
        for k in range(0, len(items), 50):
            answer = client.get(f"/instruments/similar/{items[k]}").raise_for_status().json()
            assert answer["predicted_items"] == top_10(cosine, gram, items, k)


def top_10(cosine: np.ndarray, gram: np.ndarray, items: Sequence[int], k: int) -> list[str]:
    """The ten most similar; ties go to the higher count, then to the smaller id."""
    neighbors = [j for j in range(len(items)) if j != k and gram[k, j]]
    neighbors.sort(key=lambda j: (-round(cosine[k, j], 12), -gram[k, j], items[j]))
    return [str(items[j]) for j in neighbors[:10]]
