"""Quotes that will make no bar are counted in the answer that accepts them."""

import contextlib
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from api.events.lateness import LIVE_MS, Folded, late_of
from contracts.bars import BarValue
from contracts.keyspace import FOLDING_FIELD, Keyspace
from contracts.messages import Quote
from contracts.partitioning import instrument_partition
from contracts.times import MINUTE_MS
from contracts.topics import QUOTES
from infra.local.process import Server, running
from runtime.kafka.config import plain
from stream_processors.bars.fold import BAR
from stream_processors.bars.table import NO_MINUTE, BarTable
from tests.examples import examples
from tests.stream_processors.bars.plain_bars import columns_of

from .conftest import NOW_MS, RUNNING_S, TOPOLOGY, Filled, Serve

INSTRUMENT, RETAINED_MINUTES = 4, 60
BAR_NOW = BarValue(1, 2, 0.5, 1.5, 3, 4, 5, 0, 1, (0, 0))


quotes = st.builds(
    lambda instrument, minute: Quote(instrument_id=instrument, price=1, ts=minute * MINUTE_MS),
    st.integers(0, 1),
    st.integers(0, 9),
)


@examples(200)
@given(st.lists(quotes, max_size=6), st.lists(quotes, min_size=1, max_size=6), st.integers(1, 4))
def test_late_is_what_a_worker_drops_as_late(
    log: list[Quote], request: list[Quote], retention: int
) -> None:
    table = BarTable(retention, renew_after_s=1)

    def late(quote: Quote) -> int:
        columns = columns_of([quote])
        keys = table.keys(columns.instrument_id, columns.ts_ms)
        missing = table.missing(keys)
        table.insert(missing, [NO_MINUTE] * len(missing), np.empty(0, BAR))
        return table.add(keys, columns, columns.ts_ms)[0]

    for quote in log:
        late(quote)
    newest_ms = {i: max((q.ts for q in log if q.instrument_id == i), default=0) for i in (0, 1)}
    reach_ms = (retention - 1) * MINUTE_MS
    folded = {instrument_id: Folded(ms, reach_ms) for instrument_id, ms in newest_ms.items()}
    assert late_of(request, folded).count == sum(map(late, request))


async def post(client: httpx.AsyncClient, *ages_ms: int) -> dict[str, object]:
    quotes = [
        {"type": "quote", "instrument_id": INSTRUMENT, "price": 1.5, "ts": NOW_MS - age}
        for age in ages_ms
    ]
    answer = await client.post("/v1/events", json=quotes)
    assert answer.status_code == 202, answer.text
    return msgspec.json.decode(answer.content, type=dict[str, object])


@pytest.fixture
def folding(filled: Filled) -> None:
    """Have workers retain an hour of bars, of which one instrument has its newest now."""
    position = filled.keys.position(QUOTES, instrument_partition(INSTRUMENT, TOPOLOGY.quotes))
    text = f'{{"bars_retention_minutes":{RETAINED_MINUTES}}}'
    filled.store.hset(position, FOLDING_FIELD, text)


@pytest.mark.usefixtures("topology", "folding")
async def test_the_answer_counts_them_and_says_from_when_on_bars_are_retained(
    writing: httpx.AsyncClient, filled: Filled
) -> None:
    age = RETAINED_MINUTES * MINUTE_MS
    assert await post(writing, age) == {"quotes": 1, "interactions": 0, "late": 0}
    filled.bars(INSTRUMENT, {RUNNING_S: BAR_NOW})
    assert await post(writing, 0, age, LIVE_MS, age - MINUTE_MS, 2 * age) == {
        "quotes": 5,
        "interactions": 0,
        "late": 2,
        "why_late": "bars of instrument 4 are retained from 2021-08-15T20:08Z on, "
        "BARS_RETENTION_MINUTES before its newest quote; older quotes make no bar",
    }


@pytest.mark.usefixtures("topology")
async def test_without_redis_it_is_not_known(
    serve: Serve, broker: str, where: dict[str, Any], own_store: Server
) -> None:
    where["redis_url"] = own_store.address
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(own_store))
        keys, store = Keyspace(where["namespace"]), Redis.from_url(own_store.address)
        store.hset(keys.topics(), mapping=TOPOLOGY.as_hash())
        async with serve(kafka=plain(broker), **where) as client:
            assert await post(client, MINUTE_MS) == {"quotes": 1, "interactions": 0, "late": 0}
            stack.close()
            answer = await post(client, LIVE_MS + 1)
    assert answer == {"quotes": 1, "interactions": 0, "late": None}
