"""Runs one worker: `python -m stream_processors`. As many as there are cores or hosts may run."""

import asyncio
import gc
import logging
import sys
import threading
from functools import partial
from typing import Any, cast

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faust.types import TP
from mode import Worker
from redis.exceptions import RedisError

from contracts.keyspace import FOLDING_FIELD, Keyspace
from contracts.topics import BARS, INTERACTIONS, QUOTES, STREAMED
from runtime.kafka.rights import RightsError, rights
from runtime.kafka.tokens import TokenError
from runtime.logs import configure_logs
from runtime.redis.stores import check_kept_async, connect_async, is_away
from runtime.settings import SettingsError, read_settings
from runtime.topology import Topology, TopologyError
from runtime.tracing import Tracing, tracing_to
from stream_processors import metrics
from stream_processors.agents import Resources, add_agents, rules_of_topics
from stream_processors.app import StreamProcessors
from stream_processors.compiled import CODE
from stream_processors.health import Health, HealthServer
from stream_processors.last_resort import LastResort
from stream_processors.partition.dead_letters import DeadLetters
from stream_processors.partition.life import Partition
from stream_processors.partition.spans import UNRECORDED, Recorded
from stream_processors.settings import Settings
from stream_processors.store.memory import memory_warning
from stream_processors.store.store import FoldingError, Store, check_folding
from stream_processors.transport.consumer_thread import PartitionReader
from stream_processors.transport.log import Log, is_reachable
from stream_processors.transport.producer import Producer

log = structlog.get_logger()


def build(
    settings: Settings,
    store: Store,
    producer: Producer,
    topology: Topology,
    kafka_log: Log,
    tracing: Tracing,
) -> StreamProcessors:
    """Return the app."""
    rules = rules_of_topics(Resources(settings, topology, store, producer))

    def make(tp: TP, reader: PartitionReader) -> Partition:
        return Partition(
            rules[tp.topic],
            tp.partition,
            store=store,
            log=kafka_log,
            reader=reader,
            dead_letters=DeadLetters(producer, tp),
            spans=UNRECORDED if tracing.provider is None else Recorded(tracing, tp),
        )

    group = settings.kafka.topic(store.keyspace.consumer_group())
    app = StreamProcessors(settings, group, list(rules), make, kafka_log)
    add_agents(app, rules)
    return app


async def read_topology(store: Store, producer: Producer) -> Topology:
    """Return the partitions as noted in Redis, checked against the broker's.

    Raises:
        TopologyError: nothing is noted, or the broker has other numbers.
    """
    topology = Topology.from_hash(await store.hash_of(store.keyspace.topics()))
    for topic in STREAMED:
        topology.check(topic.name, await producer.partitions_of(topic.name))
        metrics.TOPIC_PARTITIONS.labels(topic.name).set(topology.of(topic))
        for counter in (
            metrics.RECORDS,
            metrics.REJECTED,
            metrics.REPLAYED,
            metrics.GAP,
            metrics.UNKNOWN_FIELDS,
        ):
            counter.labels(topic.name)  # `increase()` misses a counter's first value
    topology.check(BARS.name, await producer.partitions_of(BARS.name))
    return topology


async def check_state(settings: Settings, store: Store, topology: Topology) -> None:
    """Check that the state in Redis was folded with these settings, before any worker is fenced.

    An unreachable shard does not delay the partitions of others: its state is checked when its
    partitions are claimed.

    Raises:
        FoldingError: it was not.
    """
    asked = [
        (topic, partition, folding)
        for topic, folding in (
            (QUOTES, settings.folding_of_bars()),
            (INTERACTIONS, settings.folding_of_histories()),
        )
        for partition in range(topology.of(topic))
    ]
    keys = [store.keyspace.position(topic, partition) for topic, partition, _ in asked]
    stored = await asyncio.gather(*(_stored_folding(store, key) for key in keys))
    for (topic, partition, folding), its in zip(asked, stored, strict=True):
        check_folding(topic, partition, its, folding)


async def _stored_folding(store: Store, key: str) -> str | None:
    """Return the folding settings in a position; None if absent, or the shard is unreachable."""
    try:
        folding: Any = await store.client.hget(key, FOLDING_FIELD)
    except RedisError as error:
        if not is_away(error):
            raise
        log.warning("shard unreachable: settings not checked yet", key=key, error=str(error))
        return None
    return cast("str | None", folding)


async def check_memory(settings: Settings, store: Store, topology: Topology) -> None:
    """Log a warning if the bars will not fit; not while a shard is unreachable."""
    try:
        warning = await memory_warning(store, topology, settings.bars_retention_minutes)
    except RedisError as error:
        if not is_away(error):
            raise
        return
    if warning:
        log.warning(warning)


async def _connect(
    settings: Settings, tracing: Tracing
) -> tuple[StreamProcessors, Store, Producer]:
    """Create the clients and the app, in the event loop that the worker will run."""
    client = await connect_async(settings.redis_url, "tickrec-stream-processors")
    store = Store(client, Keyspace(settings.namespace))
    for warning in await store.patiently(check_kept_async, client):
        log.warning(warning)
    kafka_log = Log(settings.kafka)
    await kafka_log.check_rights(rights(settings.namespace)["workers"])
    producer = Producer(settings.kafka, tracing)
    await producer.start()
    try:
        topology = await read_topology(store, producer)
        await check_state(settings, store, topology)
        await check_memory(settings, store, topology)
    except BaseException:
        await producer.stop()
        raise
    return build(settings, store, producer, topology, kafka_log, tracing), store, producer


def main() -> None:
    """Run until SIGTERM; exit with 1 if it cannot continue: a restart recovers everything."""
    try:
        settings = read_settings(Settings)
    except SettingsError as error:
        sys.exit(str(error))
    configure_logs("stream_processors", settings)
    # A line for each timer that is late on a busy machine: lag and freshness show that better.
    logging.getLogger("mode.timers").setLevel(logging.WARNING)
    # While the group assigns partitions, which takes as long.
    threading.Thread(target=CODE.load, name="compiled").start()
    tracing = tracing_to(settings.otel_exporter_otlp_endpoint, "stream_processors")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app, store, producer = loop.run_until_complete(_connect(settings, tracing))
    except (
        *(TopologyError, FoldingError, RightsError, TokenError),
        *(RedisError, KafkaError, KafkaException),
    ) as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 (the message says it all)
        sys.exit(1)
    app.finalize()
    # Records are trees: searching them for cycles costs a tenth of the worker's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    health = Health(app, store)
    topics = {
        right.name for right in rights(settings.namespace)["workers"] if right.kind == "topic"
    }
    worker = Worker(
        HealthServer(app, health, store, producer.answers, settings),
        LastResort(health, partial(is_reachable, settings.kafka, topics)),
        app,
        loop=loop,
        override_logging=False,
        redirect_stdouts=False,
    )
    try:
        worker.execute_from_commandline()
    finally:
        tracing.close()
        log.info("worker stopped", producer=str(producer))


if __name__ == "__main__":
    main()
