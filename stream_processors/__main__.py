"""Runs one worker: `python -m stream_processors`. As many as there are cores or hosts may run."""

import asyncio
import gc
import sys

import structlog
from aiokafka.errors import KafkaError
from mode import Worker
from pydantic import ValidationError
from redis.exceptions import RedisError

from contracts.keyspace import Keyspace
from runtime.logs import configure_logs
from runtime.stores import connect_async
from runtime.topology import TopologyError
from stream_processors.app import StreamProcessors, build, read_topology
from stream_processors.health import HealthServer
from stream_processors.publisher import Publisher
from stream_processors.settings import Settings
from stream_processors.sink import Sink

log = structlog.get_logger()


async def _connect(settings: Settings) -> tuple[StreamProcessors, Publisher]:
    """Make the clients and the app, in the loop that the worker will run."""
    store = await connect_async(settings.redis_url, "tickrec-stream-processors")
    sink = Sink(store, Keyspace(settings.namespace))
    publisher = Publisher(settings.kafka_bootstrap_servers)
    await publisher.start()
    try:
        topology = await read_topology(sink, publisher)
    except BaseException:
        await publisher.stop()
        raise
    return build(settings, sink, publisher, topology), publisher


def main() -> None:
    """Run until SIGTERM; exit with 1 when it cannot go on: a restart recovers everything."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(str(error))
    configure_logs("stream_processors", settings.log_level)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app, publisher = loop.run_until_complete(_connect(settings))
    except (TopologyError, RedisError, KafkaError) as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 (the message says it all)
        sys.exit(1)
    app.finalize()
    # Records are trees, not cycles: looking for cycles among them costs a tenth of the worker.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    worker = Worker(
        HealthServer(app, {"store": app.sink.store.ping, "broker": publisher.answers}, settings),
        app,
        loop=loop,
        override_logging=False,
        redirect_stdouts=False,
    )
    try:
        worker.execute_from_commandline()
    finally:
        log.info("worker stopped", producer=str(publisher))


if __name__ == "__main__":
    main()
