"""The key of a removed user leaves Redis, and comes back as that of a new one; on a real store."""

from collections.abc import AsyncIterator

import pytest

from contracts.messages import Interaction
from contracts.tombstones import Tombstone
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors.store.store import Store
from tests.stream_processors.claimed import claimed, connected
from tests.stream_processors.folding import BINARY, UserEvent, batch_of_events, fold_of_interactions
from tests.stream_processors.in_memory import InMemoryProducer

LOG: list[UserEvent] = [
    Interaction(user_id="A", instrument_id=1, ts=0),
    Tombstone("A"),
    Interaction(user_id="A", instrument_id=2, ts=1),
]


class Worker:
    """Folds the log, in flushes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.key = store.keyspace.history(0, "A")

    async def start(self) -> None:
        self.claim = await claimed(self.store, INTERACTIONS)
        one = Topology(1, 1, 1)
        self.fold = fold_of_interactions(self.claim, InMemoryProducer(), one, BINARY)  # type: ignore[arg-type]

    async def take(self, first: int, end: int) -> None:
        assert await self.fold.take(batch_of_events(LOG, first, end)) == []
        await self.flush(end)

    async def flush(self, end: int) -> None:
        await self.claim.write(await self.fold.unwritten(), end)
        self.fold.written()

    async def stored(self) -> tuple[set[str], int]:
        """The fields of the history, and in how many s it expires; -1: never, -2: there is none."""
        fields = set(await self.store.hash_of(self.key))
        return fields, await self.store.client.ttl(self.key)


@pytest.fixture
async def worker(store_url: str, namespace: str) -> AsyncIterator[Worker]:
    async with connected(store_url, namespace) as store:
        worker = Worker(store)
        await worker.start()
        await worker.take(0, 2)
        yield worker


async def test_the_next_flush_deletes_it_even_if_no_record_arrives(worker: Worker) -> None:
    assert (await worker.stored())[0] == {"off", "erased"}
    assert worker.fold.is_due
    await worker.flush(2)
    assert await worker.stored() == (set(), -2)
    assert not worker.fold.is_due


async def test_it_expires_if_the_worker_ends_before(worker: Worker) -> None:
    await worker.start()
    assert not worker.fold.is_due
    fields, expires_in_s = await worker.stored()
    assert fields == {"off", "erased"}
    assert 0 < expires_in_s <= INTERACTIONS.retention_h * 3_600


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_user_who_comes_back_does_not_expire(worker: Worker, *, restarted: bool) -> None:
    if restarted:
        await worker.start()
    await worker.take(2, 3)
    assert await worker.stored() == ({"off", "erased", "2"}, -1)
