"""What is folded of what: the folds of each topic, and a Faust agent for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import faust

from contracts.keyspace import Keyspace
from contracts.messages import Rejection
from contracts.times import DAY_S
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from runtime.topology import Topology
from stream_processors.app import StreamProcessors
from stream_processors.bars.bars import BarsFold
from stream_processors.cooccurrences.counts import CountsFold
from stream_processors.decoding import changes, instruments, interactions, quotes
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import rules_of
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Fold, Folds
from stream_processors.partition.rules import Rules
from stream_processors.settings import Settings
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store, folding_text
from stream_processors.transport.batches import BatchSchema, RecordBatch
from stream_processors.transport.producer import Producer
from stream_processors.trending.trending import TrendingFold


class Resources(NamedTuple):
    """What the folds of a worker have, besides a partition's claim."""

    settings: Settings
    topology: Topology
    store: Store
    producer: Producer


@dataclass(frozen=True, slots=True)
class TopicFolds:
    """How the partitions of a topic are folded."""

    decode: Callable[..., tuple[Any, list[Rejection]]]
    folds: Sequence[Callable[[Claim, Resources], Fold[Any]]]
    index: Callable[[Keyspace, int], str] | None = None
    """the key of the set that indexes a partition's users, items or open bars, if it has one"""
    folding: Callable[[Settings], str] = lambda _: folding_text({})
    """the settings that affect stored state"""
    flush_interval_s: Callable[[Settings], float] = lambda settings: settings.flush_interval_s


def _bars(claim: Claim, of: Resources) -> BarsFold:
    return BarsFold(
        claim,
        of.producer,
        retention_minutes=of.settings.bars_retention_minutes,
        expire_s=round(of.settings.bars_expire_days * DAY_S),
        close_after_s=of.settings.bars_close_after_seconds,
    )


def _histories(claim: Claim, of: Resources) -> HistoriesFold:
    return HistoriesFold(claim, of.producer, of.topology, rules_of(of.settings))


FOLDS: Final[Mapping[Topic, TopicFolds]] = {
    QUOTES: TopicFolds(
        quotes.decode, [_bars], index=Keyspace.open_bars, folding=Settings.folding_of_bars
    ),
    INTERACTIONS: TopicFolds(
        interactions.decode,
        [_histories, lambda claim, _: TrendingFold(claim)],
        index=Keyspace.active,
        folding=Settings.folding_of_histories,
    ),
    COOCCURRENCES: TopicFolds(
        lambda batch, **_: changes.decode(batch),
        [lambda claim, of: CountsFold(claim, of.store)],
        index=Keyspace.items,
        flush_interval_s=lambda settings: settings.counts_flush_interval_s,
    ),
    INSTRUMENTS: TopicFolds(instruments.decode, [lambda claim, _: CatalogFold(claim)]),
}


def add_agents(app: StreamProcessors, rules: Mapping[str, Rules]) -> None:
    """Add an agent for each topic.

    It passes a batch on to its partition, which folds in a task of its own: so one whose Redis
    shard is unreachable does not delay the topic's others.
    """
    for name in rules:
        topic = app.topic(app.kafka.topic(name), schema=BatchSchema(), acks=True)

        @app.agent(topic, name=name)
        async def fold(batches: faust.StreamT[RecordBatch]) -> None:
            async for batch in batches:
                app.partitions.hand(batch)


def rules_of_topics(of: Resources) -> dict[str, Rules]:
    """Return each topic's folds, and how often they are written."""
    intake = Intake(of.settings.input_rules())
    return {topic.name: _rules(topic, its, of, intake) for topic, its in FOLDS.items()}


def _rules(topic: Topic, its: TopicFolds, of: Resources, intake: Intake) -> Rules:
    partitions = of.topology.of(topic)
    decode = partial(its.decode, placement=Placement(partitions), intake=intake)
    return Rules(
        topic=topic,
        partitions=partitions,
        flush_interval_s=its.flush_interval_s(of.settings),
        bad_records_max=of.settings.dead_letter_ratio_max,
        make_folds=lambda claim: Folds(decode, [fold(claim, of) for fold in its.folds]),
        folding=its.folding(of.settings),
        index=its.index and partial(its.index, of.store.keyspace),
    )
