"""What is folded of what: a Faust agent per topic, and the folds that its partitions have.

| topic           | folds                                                                          |
|-----------------|--------------------------------------------------------------------------------|
| `quotes`        | minute bars, to Redis; closed ones also to the topic `bars`                    |
| `interactions`  | histories, to Redis, and changes of G, to `cooccurrences`; counts for trending |
| `cooccurrences` | the rows of G, to Redis                                                        |
| `instruments`   | the catalog, to Redis                                                          |
| `feedback`      | what users were shown without a click, to Redis                                |
"""

from collections.abc import Mapping
from functools import partial

import faust

from contracts.times import DAY_S
from contracts.topics import COOCCURRENCES, FEEDBACK, INSTRUMENTS, INTERACTIONS, QUOTES
from runtime.topology import Topology
from stream_processors.app import StreamProcessors
from stream_processors.bars.bars import BarsFold
from stream_processors.cooccurrences.counts import CountsFold
from stream_processors.decoding import changes, feedback, instruments, interactions, quotes
from stream_processors.decoding.changes import ChangesRecord
from stream_processors.decoding.feedback import Reacted
from stream_processors.decoding.instruments import InstrumentRecord
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.interactions import UserEvents
from stream_processors.decoding.placement import Placement
from stream_processors.decoding.quotes import Quotes
from stream_processors.histories.histories import HistoriesFold
from stream_processors.histories.rules import rules_of
from stream_processors.impressions.impressions import ImpressionsFold
from stream_processors.instruments.catalog import CatalogFold
from stream_processors.partition.fold import Folds
from stream_processors.partition.rules import Rules
from stream_processors.settings import Settings
from stream_processors.store.claims import Claim
from stream_processors.store.folding import folding_text
from stream_processors.store.store import Store
from stream_processors.transport import BatchSchema, RecordBatch
from stream_processors.transport.producer import Producer
from stream_processors.trending.trending import TrendingFold


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
    of_quotes = partial(quotes.decode, placement=Placement(topology.quotes), intake=intake)
    of_events = partial(
        interactions.decode, placement=Placement(topology.interactions), intake=intake
    )
    of_instruments = partial(
        instruments.decode, placement=Placement(topology.instruments), intake=intake
    )
    of_feedback = partial(feedback.decode, placement=Placement(topology.feedback), intake=intake)
    history_rules = rules_of(settings)

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

    def folds_of_changes(claim: Claim) -> Folds[list[ChangesRecord]]:
        return Folds(changes.decode, [CountsFold(claim, store)])

    def folds_of_instruments(claim: Claim) -> Folds[list[InstrumentRecord]]:
        return Folds(of_instruments, [CatalogFold(claim)])

    def folds_of_feedback(claim: Claim) -> Folds[list[Reacted]]:
        return Folds(of_feedback, [ImpressionsFold(claim)])

    bad_max, often_s = settings.dead_letter_ratio_max, settings.flush_interval_s
    every = [
        Rules(
            topic=QUOTES,
            partitions=topology.quotes,
            folding=settings.folding_of_bars(),
            flush_interval_s=often_s,
            bad_records_max=bad_max,
            make_folds=folds_of_quotes,
            index=keyspace.open_bars,
        ),
        Rules(
            topic=INTERACTIONS,
            partitions=topology.interactions,
            folding=settings.folding_of_histories(),
            flush_interval_s=often_s,
            bad_records_max=bad_max,
            make_folds=folds_of_interactions,
            index=keyspace.active,
        ),
        Rules(
            topic=COOCCURRENCES,
            partitions=topology.cooccurrences,
            folding=settings.folding_of_counts(),
            flush_interval_s=settings.counts_flush_interval_s,
            bad_records_max=bad_max,
            make_folds=folds_of_changes,
            index=keyspace.items,
        ),
        Rules(
            topic=INSTRUMENTS,
            partitions=topology.instruments,
            folding=folding_text({}),
            flush_interval_s=often_s,
            bad_records_max=bad_max,
            make_folds=folds_of_instruments,
            index=None,
        ),
        Rules(
            topic=FEEDBACK,
            partitions=topology.feedback,
            folding=folding_text({}),
            flush_interval_s=often_s,
            bad_records_max=bad_max,
            make_folds=folds_of_feedback,
            index=None,
        ),
    ]
    return {rules.topic.name: rules for rules in every}
