"""Quotes through Kafka, worker, Redis and HTTP, against third-party bars of the same feed."""

import csv
import gzip
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from contracts.bars import BarValue
from contracts.messages import Quote
from contracts.topics import QUOTES
from tests.integration.conftest import DATA, Pipeline, kill

QUOTES_FILE = DATA / "quotes.csv.gz"
BARS_FILE = DATA / "quotes_bars_1m.csv.gz"
LONG_RETENTION_MINUTES = 10_000

needs_data = pytest.mark.skipif(not QUOTES_FILE.exists(), reason=f"no real quotes at {DATA}")


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


def real_quotes() -> list[Quote]:
    with gzip.open(QUOTES_FILE, "rt") as file:
        return [
            Quote(
                instrument_id=int(row["instrument_id"]),
                price=float(row["price"]),
                ts=int(row["ts_ms"]),
            )
            for row in csv.DictReader(file)
        ]


def bars_in_redis(pipeline: Pipeline) -> dict[tuple[int, int], BarValue]:
    return {
        (instrument, start_s * 1000): bar
        for instrument in (1, 2)
        for start_s, bar in pipeline.bars(instrument).items()
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
    assert sum(bar.n for bar in bars_in_redis(pipeline).values()) == len(real_quotes())
