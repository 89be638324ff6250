"""A simulation makes valid records in order, the same again, and goes on where it was killed."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import decode_interactions, decode_quotes
from contracts.partitioning import partition_of
from producers.batch import Record
from producers.resume import without_published
from producers.simulation import Plan, simulated
from producers.simulation.stream import STOCK_PER_USER

SEED = 11
LIVE_FROM_MS = 1_700_000_000_000
SMALL = Plan(
    instruments=20,
    users=30,
    quotes_per_s=30,
    events_per_s=5,
    backfill_s=10,
    duration_s=5,
    seed=SEED,
)


def test_a_plan_makes_the_same_records_again_and_another_seed_others() -> None:
    plans = (SMALL, SMALL, replace(SMALL, seed=SEED + 1))
    for first, second, other in zip(*(simulated(p, LIVE_FROM_MS) for p in plans), strict=True):
        assert first.records == second.records != other.records


plans = st.builds(
    Plan,
    instruments=st.integers(1, 40),
    users=st.integers(1, 40),
    quotes_per_s=st.floats(0, 60),
    events_per_s=st.floats(0, 20),
    backfill_s=st.integers(0, 5),
    duration_s=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)


@given(plans)
def test_every_record_is_valid_at_the_requested_rates_in_order(plan: Plan) -> None:
    batches = list(simulated(plan, LIVE_FROM_MS))
    values: dict[str, list[bytes]] = {"instruments": [], "quotes": [], "interactions": []}
    for batch in batches:
        assert len(batch.ts_ms) == len(batch.records) > 0
        for topic, _, value in batch.records:
            values[topic].append(value)
    assert len(values["instruments"]) == plan.instruments
    quotes, bad_quotes = decode_quotes(values["quotes"], LIVE_FROM_MS)
    events, bad_events = decode_interactions(values["interactions"], LIVE_FROM_MS)
    assert bad_quotes == bad_events == []
    seconds = plan.backfill_s + plan.duration_s  # type: ignore[operator]
    stock = STOCK_PER_USER * plan.users if plan.backfill_s else 0
    assert len(quotes) == int(seconds * plan.quotes_per_s)
    assert len(events) == int(seconds * plan.events_per_s) + stock
    for event in map(json.loads, values["interactions"]):
        is_trade = event.get("event", "trade") == "trade"
        assert ("price" in event) == ("quantity" in event) == is_trade
        assert not event["user_id"].isdigit(), "it could be taken for an instrument"
    start_ms = LIVE_FROM_MS - plan.backfill_s * 1000
    times = [ts for batch in batches for ts in batch.ts_ms.tolist()]
    assert times == sorted(times)
    live = times[plan.instruments :]
    assert all(start_ms <= ts < start_ms + seconds * 1000 for ts in live)
    assert live == [json.loads(r[2])["ts"] for batch in batches[1:] for r in batch.records]


@given(plan=plans, partitions=st.integers(1, 4), data=st.data())
def test_after_a_kill_nothing_is_published_again_or_missing(
    plan: Plan, partitions: int, data: st.DataObject
) -> None:
    def place_of(record: Record) -> tuple[str, int]:
        return record[0], partition_of(record[1], partitions)

    batches = list(simulated(plan, LIVE_FROM_MS))
    whole: dict[tuple[str, int], list[tuple[int, Record]]] = {}
    for batch in batches[1:]:
        for ts, record in zip(batch.ts_ms.tolist(), batch.records, strict=True):
            whole.setdefault(place_of(record), []).append((ts, record))
    newest = {
        place: data.draw(st.sampled_from([None, *(ts for ts, _ in records)]))
        for place, records in whole.items()
    }

    def newest_ms(topic: str, key: bytes) -> int | None:
        return newest.get((topic, partition_of(key, partitions)))

    catalog, *others = without_published(batches, lambda: newest_ms)

    assert catalog.records == batches[0].records
    published: dict[tuple[str, int], list[tuple[int, Record]]] = {
        place: [(ts, record) for ts, record in records if ts <= (newest[place] or 0)]
        for place, records in whole.items()
    }
    for batch in others:
        assert len(batch.records) == len(batch.ts_ms) > 0
        for ts, record in zip(batch.ts_ms.tolist(), batch.records, strict=True):
            published[place_of(record)].append((ts, record))
    assert published == whole
