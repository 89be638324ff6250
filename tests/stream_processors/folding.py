"""The folds of a topic, as a partition has them."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

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
from stream_processors.transport.producer import Producer
from stream_processors.trending.trending import TrendingFold


def decoding(decode: Callable[..., Any], partitions: int) -> Callable[..., Any]:
    return partial(decode, placement=Placement(partitions), intake=Intake())


def folds_of_quotes(
    claim: Claim, producer: Producer, partitions: int, **options: Any
) -> Folds[Quotes]:
    return Folds(decoding(quotes.decode, partitions), [BarsFold(claim, producer, **options)])


def fold_of_interactions(
    claim: Claim,
    producer: Producer,
    topology: Topology,
    rules: HistoryRules,
    clock_s: Callable[[], float] = time.monotonic,
) -> Folds[UserEvents]:
    histories = HistoriesFold(claim, producer, topology, rules, clock_s)
    decode = decoding(interactions.decode, topology.interactions)
    return Folds(decode, [histories, TrendingFold(claim)])


def folds_of_changes(claim: Claim, store: Store) -> Folds[list[ChangesRecord]]:
    return Folds(changes.decode, [CountsFold(claim, store)])


def folds_of_instruments(claim: Claim, partitions: int) -> Folds[list[InstrumentRecord]]:
    return Folds(decoding(instruments.decode, partitions), [CatalogFold(claim)])
