"""Events to histories and counts, one by one: `python -m benchmarks.peers.plain_interactions`.

librdkafka fetches, redis-py reads the user's history and writes the counts of pairs and the history
in one pipeline without MULTI, then comes the next event. Counts are integers, so HINCRBY adds them
where they are. What ours avoids: here a crash counts an event twice or not at all, a bad record
ends it, histories grow without a cap, and two workers may interleave.
"""

import signal
import threading

import msgspec
import redis
from confluent_kafka import Consumer

from benchmarks.peers.progress import now_ms, progress_key, report
from contracts.affinities import HistoryEntry
from contracts.keyspace import Keyspace
from contracts.messages import Interaction
from contracts.partitioning import row_of
from contracts.topics import INTERACTIONS
from runtime.settings import SharedSettings

_EVENTS_A_REPORT = 100

_decode = msgspec.json.Decoder(Interaction).decode
_encode = msgspec.json.Encoder().encode


class Counts:
    """Folds events into one store."""

    def __init__(self, store: redis.Redis, keyspace: Keyspace) -> None:
        self._store = store
        self._keyspace = keyspace

    def add(self, event: Interaction) -> None:
        """Count an event."""
        item = event.instrument_id
        history_key = self._keyspace.history(0, event.user_id)
        history = [int(name) for name in self._store.hkeys(history_key)]
        with self._store.pipeline(transaction=False) as pipeline:
            if item not in history:
                for other in (*history, item):
                    row = row_of(item, other)
                    column = other if row == item else item
                    pipeline.hincrby(self._keyspace.cooc(0, row), str(column), 1)
                pipeline.sadd(self._keyspace.items(0), item)
            pipeline.hset(history_key, str(item), _encode(HistoryEntry(r=1, t=event.ts)))
            pipeline.zadd(self._keyspace.active(0), {event.user_id: event.ts}, gt=True)
            pipeline.execute()


def main() -> None:
    """Fold events until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = SharedSettings()
    keyspace = Keyspace(settings.namespace)
    store = redis.Redis.from_url(settings.redis_url)
    counts = Counts(store, keyspace)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": f"{settings.namespace}-plain-interactions",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([INTERACTIONS.name])
    done = reported = started_ms = 0
    while not stopping.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            started_ms = started_ms or now_ms()
            counts.add(_decode(message.value() or b""))
            done += 1
        if done - reported >= _EVENTS_A_REPORT or (message is None and done > reported):
            store.hset(progress_key(settings.namespace), items=report(started_ms, done))
            reported = done
    consumer.close()


if __name__ == "__main__":
    main()
