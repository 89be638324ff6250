"""A user is added and removed, with each script call on a real store."""

from collections.abc import AsyncIterator

import pytest

from contracts.affinities import binary
from contracts.messages import Interaction, encode
from contracts.times import DAY_MS
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.topology import Topology
from stream_processors.histories.retention import _EVERY_S
from stream_processors.histories.rules import HistoryRules
from stream_processors.partition.fold import Fold
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import RecordBatch
from tests.stream_processors.claimed import claimed, connected
from tests.stream_processors.folding import fold_of_interactions, folds_of_changes
from tests.stream_processors.in_memory import InMemoryProducer, Published
from tests.stream_processors.records import batch_of

TOPOLOGY = Topology(quotes=1, interactions=1, cooccurrences=1)
RULES = HistoryRules(binary, cap=500, retention_days=10)
DAY = 20_000


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    async with connected(store_url, namespace) as store:
        yield store


async def flush(fold: Fold, claim: Claim, next_offset: int) -> None:
    unwritten = await fold.unwritten()
    await claim.write(unwritten, next_offset)
    fold.written()


def batch(topic: Topic, records: list[Published], first: int) -> RecordBatch:
    values = [(first + n, record.value) for n, record in enumerate(records)]
    keys = {first + n: record.key for n, record in enumerate(records)}
    headers = {first + n: record.headers for n, record in enumerate(records)}
    return batch_of(topic.name, 0, values, start=first, keys=keys, headers=headers)


async def test_nothing_is_left_of_a_user_who_is_inactive_for_too_long(store: Store) -> None:
    producer, clock_s = InMemoryProducer(), 0.0
    events, changes = await claimed(store, INTERACTIONS), await claimed(store, COOCCURRENCES)
    histories = fold_of_interactions(events, producer, TOPOLOGY, RULES, clock_s=lambda: clock_s)
    counts = folds_of_changes(changes, store)
    next_event = next_change = 0
    log = producer.logs[INTERACTIONS.name, 0]
    for user, item, day in (
        ("gone", 1, 0), ("gone", 2, 0), ("back", 2, 0), ("new", 2, 11), ("back", 3, 11),
    ):  # fmt: skip
        event = Interaction(user_id=user, instrument_id=item, ts=(DAY + day) * DAY_MS - day)
        log.append(Published(encode(event), None, []))
    for waited_s in (0, _EVERY_S, 0, 0):
        await histories.take(batch(INTERACTIONS, log[next_event:], next_event))
        next_event = len(log)
        clock_s += waited_s
        await flush(histories, events, next_event)
        published = producer.logs[COOCCURRENCES.name, 0]
        assert await counts.take(batch(COOCCURRENCES, published[next_change:], next_change)) == []
        next_change = len(published)
        await flush(counts, changes, next_change)
    client, keys = store.client, store.keyspace
    assert [record.key for record in log if record.value is None] == [b"gone"]
    assert await client.exists(keys.history(0, "gone"), keys.cooc(0, 1)) == 0
    assert set(await client.zrange(keys.active(0), 0, -1)) == {"back", "new"}
    assert await client.smembers(keys.items(0)) == {"2", "3"}
    rows = {item: await store.hash_of(keys.cooc(0, item)) for item in (2, 3)}
    assert {j: count for j, count in rows[2].items() if j != "off"} == {"2": "2"}
    assert {j: count for j, count in rows[3].items() if j != "off"} == {"2": "1", "3": "1"}
