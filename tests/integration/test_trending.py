"""Events through Kafka, a worker that is killed, Redis and HTTP: each counts once."""

import time
from collections import Counter

import httpx
import pytest

from contracts.messages import Interaction
from contracts.topics import INTERACTIONS
from tests.integration.conftest import Pipeline, kill
from tests.patience import eventually

pytestmark = pytest.mark.slow

EVENTS = 6_000
USERS = 50
INSTRUMENTS = 40


def events_of_the_last_hours() -> list[Interaction]:
    """Half of the events within the last 50 minutes, the others 2 to 5 hours ago."""
    now_ms = time.time_ns() // 1_000_000
    return [
        Interaction(
            user_id=f"u{n % USERS}",
            instrument_id=n % 7 * n % INSTRUMENTS,
            ts=now_ms - (n % 50 * 60_000 if n % 2 else 7_200_000 + n % 180 * 60_000),
        )
        for n in range(EVENTS)
    ]


def test_trending_events_count_once_even_if_the_worker_is_killed(pipeline: Pipeline) -> None:
    events = events_of_the_last_hours()
    with pipeline.worker("tests.small_chunks", flush_interval_s="0.05", chunk_cost=10) as worker:
        pipeline.publish(events)
        pipeline.wait_for_position(INTERACTIONS, EVENTS // 4)
        kill(worker)
    with pipeline.worker():
        pipeline.wait_until_folded([INTERACTIONS])
    with pipeline.api() as address, httpx.Client(base_url=address) as client:
        check(client, "24h", Counter(event.instrument_id for event in events))
        lately = Counter(event.instrument_id for event in events[1::2])
        check(client, "1h", lately)


def check(client: httpx.Client, window: str, counts: Counter[int]) -> None:
    expected = sorted(((-n, item) for item, n in counts.items()))

    def is_known() -> bool:
        query = {"window": window, "n": 100}
        items = client.get("/v1/trending", params=query).raise_for_status().json()["items"]
        return [(-item["events"], item["instrument_id"]) for item in items] == expected

    eventually(is_known, f"the counts of the last {window} are {expected}")
