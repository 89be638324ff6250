"""How a Python peer writes its bars: the newest of each, once a second, through one pipeline.

As `plain_faust` does it, but from a thread of its own, so that the last second is written though
no quote follows it. A bar is JSON in the hash of its instrument.
"""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import redis

from benchmarks.peers.progress import STARTED_FIELD, now_ms, progress_key, report
from contracts.keyspace import Keyspace

FLUSH_INTERVAL_S: Final = 1.0
_BARS_A_PIPELINE: Final = 1000

BarKey = tuple[int, int]
"""instrument, start of the minute in epoch seconds"""


class BarSink:
    """Keeps the newest value of each bar that changed, until it is written."""

    def __init__(self, store: redis.Redis, namespace: str) -> None:
        self._store = store
        self._keyspace = Keyspace(namespace)
        self._key = progress_key(namespace)
        self._lock = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._changed: dict[BarKey, Any] = {}
        self._done = 0
        self._written = 0
        self._started_ms = 0

    @classmethod
    def from_environment(cls) -> "BarSink":
        """Return the sink of the store and the namespace that the benchmark named."""
        store = redis.Redis.from_url(os.environ["REDIS_URL"])
        return cls(store, os.environ["NAMESPACE"])

    def start(self) -> None:
        """Write once a second from now on, until the process ends."""
        threading.Thread(target=self._write_forever, daemon=True).start()

    def begin(self) -> None:
        """Say when the first quote came, if this is the first: the benchmark reads its clocks."""
        if not self._started_ms:
            self._started_ms = now_ms()
            self._store.hset(self._key, STARTED_FIELD, self._started_ms)

    def put(self, bars: Mapping[BarKey, Any], quotes: int) -> None:
        """Take the newest bars, into which so many more quotes are folded."""
        with self._lock:
            self._changed.update(bars)
            self._done += quotes

    def write(self) -> None:
        """Write what changed, and then how many quotes that is."""
        with self._lock:
            changed, done = self._changed, self._done
            self._changed = {}
        bars = list(changed.items())
        for at in range(0, len(bars), _BARS_A_PIPELINE):
            with self._store.pipeline(transaction=False) as pipeline:
                for (instrument, minute_s), bar in bars[at : at + _BARS_A_PIPELINE]:
                    key = self._keyspace.bars(0, instrument)
                    pipeline.hset(key, str(minute_s), self._encode(bar))
                pipeline.execute()
        if self._started_ms and done != self._written:
            self._store.hset(self._key, items=report(self._started_ms, done))
            self._written = done

    def _write_forever(self) -> None:
        while True:
            time.sleep(FLUSH_INTERVAL_S)
            self.write()
