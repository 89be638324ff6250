"""What is folded of what: a Faust agent per topic, and the folds that its partitions have.

| topic           | folds                                                                          |
|-----------------|--------------------------------------------------------------------------------|
| `quotes`        | minute bars, to Redis; closed ones also to the topic `bars`                    |
| `interactions`  | histories, to Redis, and changes of G, to `cooccurrences`; counts for trending |
| `cooccurrences` | the rows of G, to Redis                                                        |
| `instruments`   | the catalog, to Redis                                                          |
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import faust

from contracts.messages import Rejection
from contracts.times import DAY_S
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, Topic
from runtime.topology import Topology
from stream_processors.app import StreamProcessors
from stream_processors.bars.bars import BarsFold
from stream_processors.cooccurrences.counts import CountsFold
from stream_processors.decoding import changes, instruments, interactions, quotes
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.interactions import UserEvents
from stream_processors.decoding.placement import Placement
from stream_processors.decoding.quotes import Quotes
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import rules_of
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Folds
from stream_processors.partition.rules import Rules
from stream_processors.settings import Settings
from stream_processors.store.claims import Claim
from stream_processors.store.store import Store
from stream_processors.transport.batches import BatchSchema, RecordBatch
from stream_processors.transport.producer import Producer
from stream_processors.trending.trending import TrendingFold

R = TypeVar("R")
"""The valid records of a batch, as a topic's folds take them."""


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


def rules_of_topics(
    settings: Settings, topology: Topology, store: Store, producer: Producer
) -> dict[str, Rules]:
    """Return each topic's folds, and how often they are written."""
    intake, keyspace = Intake(settings.input_rules()), store.keyspace
    history_rules = rules_of(settings)

    def decoding(
        topic: Topic, decode: Callable[..., tuple[R, list[Rejection]]]
    ) -> Callable[[RecordBatch], tuple[R, list[Rejection]]]:
        return partial(decode, placement=Placement(topology.of(topic)), intake=intake)

    of_quotes = decoding(QUOTES, quotes.decode)
    of_events = decoding(INTERACTIONS, interactions.decode)
    of_instruments = decoding(INSTRUMENTS, instruments.decode)

    def folds_of_quotes(claim: Claim) -> Folds[Quotes]:
        bars = BarsFold(
            claim,
            producer,
            retention_minutes=settings.bars_retention_minutes,
            expire_s=round(settings.bars_expire_days * DAY_S),
            close_after_s=settings.bars_close_after_seconds,
        )
        return Folds(of_quotes, [bars])

    def folds_of_interactions(claim: Claim) -> Folds[UserEvents]:
        histories = HistoriesFold(claim, producer, topology, history_rules)
        return Folds(of_events, [histories, TrendingFold(claim)])

    def rules(topic: Topic, make_folds: Callable[[Claim], Folds[Any]], **more: Any) -> Rules:
        return Rules(
            topic=topic,
            partitions=topology.of(topic),
            bad_records_max=settings.dead_letter_ratio_max,
            make_folds=make_folds,
            **{"flush_interval_s": settings.flush_interval_s} | more,
        )

    every = (
        rules(
            QUOTES, folds_of_quotes, folding=settings.folding_of_bars(), index=keyspace.open_bars
        ),
        rules(
            INTERACTIONS,
            folds_of_interactions,
            folding=settings.folding_of_histories(),
            index=keyspace.active,
        ),
        rules(
            COOCCURRENCES,
            lambda claim: Folds(changes.decode, [CountsFold(claim, store)]),
            index=keyspace.items,
            flush_interval_s=settings.counts_flush_interval_s,
        ),
        rules(INSTRUMENTS, lambda claim: Folds(of_instruments, [CatalogFold(claim)])),
    )
    return {one.topic.name: one for one in every}
