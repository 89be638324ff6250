"""The folds of a topic, as a partition has them."""

import time
from collections.abc import Callable

from runtime.topology import Topology
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import HistoryRules
from stream_processors.interactions import UserEvents, decode
from stream_processors.partition.fold import Folds
from stream_processors.store.claims import Claim
from stream_processors.transport.producer import Producer
from stream_processors.trending.trending import TrendingFold


def fold_of_interactions(
    claim: Claim,
    producer: Producer,
    topology: Topology,
    rules: HistoryRules,
    clock_s: Callable[[], float] = time.monotonic,
) -> Folds[UserEvents]:
    histories = HistoriesFold(claim, producer, topology, rules, clock_s)
    return Folds(decode, [histories, TrendingFold(claim)])
