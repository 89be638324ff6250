"""The folds of a topic, as a partition has them, and batches of user events."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from contracts.affinities import binary
from contracts.messages import Interaction, encode
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import INTERACTIONS
from runtime.topology import Topology
from stream_processors.bars.bars import BarsFold
from stream_processors.cooccurrences.counts import CountsFold
from stream_processors.decoding import changes, instruments, interactions, quotes
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.decoding.instruments import InstrumentRecord
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.interactions import UserEvents
from stream_processors.decoding.placement import Placement
from stream_processors.decoding.quotes import Quotes
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import HistoryRules
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import RecordBatch
from stream_processors.transport.producer import Producer
from tests.stream_processors.in_memory import InMemoryClaim, InMemoryProducer
from tests.stream_processors.records import batch_of
from tests.stream_processors.simulated_store import Hashes

BINARY = HistoryRules(binary, cap=500)
UserEvent = Interaction | Tombstone | None
"""None stands for an invalid record."""


def decoding(decode: Callable[..., Any], partitions: int) -> Callable[..., Any]:
    return partial(decode, placement=Placement(partitions), intake=Intake())


def folds_of_quotes(
    claim: Claim, producer: Any, partitions: int = 1, **changed: Any
) -> Folds[Quotes]:
    """Return bars alone, with some arguments changed."""
    usual = {"retention_minutes": 60, "expire_s": 60, "close_after_s": 10}
    fold = BarsFold(claim, producer, **(usual | changed))
    return Folds(decoding(quotes.decode, partitions), [fold])


def fold_of_interactions(
    claim: Claim,
    producer: Producer,
    topology: Topology,
    rules: HistoryRules,
    clock_s: Callable[[], float] = time.monotonic,
) -> Folds[UserEvents]:
    """Return histories alone, with these rules."""
    histories = HistoriesFold(claim, producer, topology, rules, clock_s)
    return Folds(decoding(interactions.decode, topology.interactions), [histories])


def folds_of_changes(claim: Claim, store: Store) -> Folds[list[ChangesRecord]]:
    return Folds(changes.decode, [CountsFold(claim, store)])


def folds_of_instruments(claim: Claim, partitions: int) -> Folds[list[InstrumentRecord]]:
    return Folds(decoding(instruments.decode, partitions), [CatalogFold(claim)])


def histories_in_memory(
    data: Hashes,
    rules: HistoryRules = BINARY,
    producer: Any = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> tuple[Folds[UserEvents], InMemoryClaim]:
    """Return the fold of a topic's only partition, and its claim on a dict as the store."""
    claim = InMemoryClaim(data, INTERACTIONS)
    its_producer = producer or InMemoryProducer()
    fold = fold_of_interactions(claim.as_claim(), its_producer, Topology(1, 1, 1), rules, clock_s)
    return fold, claim


def batch_of_events(log: Sequence[UserEvent], first: int, end: int) -> RecordBatch:
    """Return the records of a log at the offsets `[first, end)`."""
    values = [(offset, *published(log[offset])) for offset in range(first, min(end, len(log)))]
    return batch_of(INTERACTIONS.name, 0, values, start=first)


def published(event: UserEvent) -> tuple[Any, ...]:
    """Return an event's value; of a removal its key and headers, too."""
    if isinstance(event, Tombstone):
        return None, *encode_tombstone(event)
    return (b"{}" if event is None else encode(event),)
