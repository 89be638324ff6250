"""Runs of one API process that costs are measured on, and what keys take in the store."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.capacity.costs import KeyCosts
from benchmarks.capacity.measured.offered import Offered, get, offer, post
from benchmarks.harness.stage import Stage
from benchmarks.reads import data, paths
from benchmarks.reads.answered import Answered
from benchmarks.reads.scene import Asked, Scene
from benchmarks.reads.watch import Watch
from benchmarks.reads.wrk import Load
from runtime.redis.stores import Store, connect

OFFERING_CONNECTIONS: Final = 64
PUBLISHING_CONNECTIONS: Final = 32
_FRESH_A_SECOND: Final = 12_000
"""more than are answered"""
_KEYS_LOOKED_AT: Final = 2_000
_ROW: Final = 50_000
_US: Final = 1e6


@dataclass(frozen=True, slots=True)
class Offer:
    """What was offered to one process, and what it cost."""

    offered: Offered
    cpu_us: Mapping[str, float]
    """a request, of `server`, `store` and what `others` the machine did"""


def saturate(scene: Scene, server: Asked, connections: int, seconds: int) -> dict[str, Answered]:
    """Ask for each kind of read on so many connections; bars, similar, recommendations."""
    kinds = {one.name: one.paths for one in (paths.bars(scene.size), paths.similar(scene.size))}
    answered = {
        name: scene.ask(Load(its, connections, seconds), server) for name, its in kinds.items()
    }
    # No user twice: of so many there are, hardly any one asks again while an answer is kept.
    fresh = itertools.cycle(paths.batches(scene.size, _FRESH_A_SECOND * seconds))
    scene.ask(Load(next(fresh), connections, seconds), server)  # lists are read
    answered["recommendations"] = scene.ask(Load(next(fresh), connections, seconds), server)
    return answered


def offer_bars(scene: Scene, server: Asked, seconds: float, per_s: float | None) -> Offer:
    """Ask for bars at random moments, or on one connection as fast as it answers."""
    requests = [get(path) for path in paths.bars(scene.size).paths]
    connections = OFFERING_CONNECTIONS if per_s else 1
    scene.minutes.cover(seconds + 1)
    watch = Watch({"server": [server.pid], "store": [scene.store_pid]})
    offered = offer(server.port, requests, seconds, connections, per_s=per_s)
    server.settle()
    return _cost(offered, watch)


def publish_trades(stage: Stage, seconds: float) -> Offer:
    """Publish trades, a quote and an event each, as fast as they are acknowledged."""
    namespace = stage.fresh_namespace()
    with stage.api(namespace) as (pid, port):
        requests = [post("/add/request", body) for body in _trades()]
        offer(port, requests, 1.0, PUBLISHING_CONNECTIONS)  # connections to the broker are made
        watch = Watch({"server": [pid], "store": [stage.pids["store"]]})
        return _cost(offer(port, requests, seconds, PUBLISHING_CONNECTIONS), watch)


def weigh_keys(scene: Scene, short_pair_bytes: float) -> KeyCosts:
    """Return what the keys of the scene take, straight lines in their lengths."""
    with connect(scene.store.address, "tickrec-benchmarks") as store:
        name = scene.keyspace.namespace
        user_bytes, item_bytes = _line(store, f"{name}:history:*")
        bars = [store.memory_usage(key, samples=0) for key in _keys(store, f"{name}:bars:*")]
        lists = [
            store.memory_usage(key, samples=0) for key in _keys(store, f"{name}:model:*:similar:*")
        ]
        pair_bytes = _weigh_row(store, scene.keyspace.cooc(0, 0))
        length = int(store.hlen(next(_keys(store, f"{name}:bars:*"))))
    return KeyCosts(
        instrument_bytes=float(np.mean(lists)),
        bar_bytes=float(np.mean(bars)) / (length - 1),
        user_bytes=user_bytes,
        item_bytes=item_bytes,
        pair_bytes=pair_bytes,
        short_pair_bytes=short_pair_bytes,
    )


def _cost(offered: Offered, watch: Watch) -> Offer:
    n = len(offered.latency_s) + offered.failed
    return Offer(offered, {kind: s / n * _US for kind, s in watch.cpu_s().items()})


def _trades() -> list[bytes]:
    now_s = int(time.time())
    return [
        msgspec.json.encode(
            {"userid": data.user_id(n), "price": "15.55", "timestamp": now_s, "instrid": n % 500}
        )
        for n in range(10_000)
    ]


def _keys(store: Store, pattern: str) -> Iterator[Any]:
    return itertools.islice(store.scan_iter(match=pattern, count=10_000), _KEYS_LOOKED_AT)


def _weigh_row(store: Store, key: str) -> float:
    """Return what an entry takes in a row of counts that has all items, and drop the row."""
    store.hset(key, mapping={str(item): "12" for item in range(_ROW)})
    used = float(store.memory_usage(key, samples=0) or 0)
    store.delete(key)
    return used / _ROW


def _line(store: Store, pattern: str) -> tuple[float, float]:
    """Return what a hash takes without its fields, and what each field takes."""
    keys = list(_keys(store, pattern))
    used = [float(store.memory_usage(key, samples=0) or 0) for key in keys]
    fields = [float(store.hlen(key)) - 1 for key in keys]  # one is the offset
    slope, start = np.polyfit(fields, used, 1)
    return float(start), float(slope)
