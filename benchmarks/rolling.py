"""A rolling restart under load: which partitions move, and how old the newest bars get meanwhile.

Hypothesis: workers that are static members of their group (GROUP_INSTANCE_ID) can be restarted one
after the other without any partition going to another worker, and no quote waits for more than the
time that one worker is away.

Work: a feed of quotes whose delivery the broker has acknowledged, each with its offset and the
time; workers that share the partitions; each gets SIGTERM in turn, is started again, and the next
one follows when it folds again. A quote's freshness is the time from its acknowledgement until the
position in Redis is beyond it. A partition has moved if another member of the group has it than
before, and each claim of it raises its epoch: a restart of all claims each partition once.

Baseline: the same without GROUP_INSTANCE_ID, where each end and each start shares all partitions
out anew.
"""

import subprocess
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from benchmarks.crew import OURS, Crew, serving
from benchmarks.report import line
from benchmarks.stage import Stage
from contracts.keyspace import EPOCH_FIELD, NEXT_FIELD, Keyspace
from contracts.messages import Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES, STREAMED
from infra import broker as brokers
from infra.local.process import LOOPBACK, Command, free_port, start, stop
from runtime.topology import Topology

SESSION_TIMEOUT_S: Final = 60
"""Longer than a worker takes to end and to start."""
_QUOTES_A_TICK: Final = 50
_TICK_S: Final = 0.05
_INSTRUMENTS: Final = 1_000
_LOOK_EVERY_S: Final = 0.1
_SETTLED_S: Final = 2.0

Members = dict[tuple[str, int], str]
"""(topic, partition) -> the group's member that has it"""


class Rolled(NamedTuple):
    """How a rolling restart went."""

    workers: int
    is_static: bool
    quotes: int
    seconds: float
    moved: int
    """partitions that another worker had afterwards"""
    claims: int
    """of all partitions, while the workers were restarted"""
    freshness_p50_s: float
    freshness_p99_s: float
    freshness_max_s: float


@dataclass(frozen=True, slots=True)
class Restarts:
    """Rolling restarts with and without static membership."""

    rolled: list[Rolled]
    broker: str
    store: str

    def lines(self) -> str:
        """Return a line of JSON for each."""
        return "".join(
            line(name="rolling", **rolled._asdict(), broker=self.broker, store=self.store)
            for rolled in self.rolled
        )

    def show(self, console: Console) -> None:
        """Print a table."""
        table = Table("members", box=None, header_style="bold", title_justify="left")
        for name in ("workers", "partitions moved", "claims", "p50 s", "p99 s", "most s", "quotes"):
            table.add_column(name, justify="right")
        for one in self.rolled:
            table.add_row(
                "static" if one.is_static else "dynamic",
                str(one.workers),
                str(one.moved),
                str(one.claims),
                *(
                    f"{seconds:.1f}"
                    for seconds in (one.freshness_p50_s, one.freshness_p99_s, one.freshness_max_s)
                ),
                f"{one.quotes:,}",
            )
        console.print(table)
        console.print(f"{self.broker}, {self.store}")


class _Feed(threading.Thread):
    """Publishes quotes, and watches how long each takes until the position is beyond it."""

    def __init__(self, stage: Stage, keyspace: Keyspace, topology: Topology) -> None:
        super().__init__(name="feed", daemon=True)
        self._stage = stage
        self._keyspace = keyspace
        self._partitions = topology.quotes
        self._producer = Producer(
            {
                "bootstrap.servers": stage.broker.address,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "linger.ms": 5,
            }
        )
        self._waiting: dict[int, deque[tuple[int, float]]] = defaultdict(deque)
        self._ends = threading.Event()
        self.freshness_s: list[float] = []

    def run(self) -> None:
        """Publish and watch until `finish`, and then until all is folded."""
        number, looked_s = 0, 0.0
        while not self._ends.is_set() or any(self._waiting.values()):
            if not self._ends.is_set():
                for _ in range(_QUOTES_A_TICK):
                    number += 1
                    self._publish(number)
            self._producer.poll(_TICK_S)
            if time.monotonic() - looked_s >= _LOOK_EVERY_S:
                looked_s = time.monotonic()
                self._look()

    def finish(self) -> None:
        """Return when what was published is folded."""
        self._ends.set()
        self.join()

    def _publish(self, number: int) -> None:
        instrument = number % _INSTRUMENTS
        quote = Quote(instrument_id=instrument, price=1.0 + number % 7, ts=int(time.time() * 1000))
        self._producer.produce(
            QUOTES.name, encode(quote), key_of(quote), on_delivery=self._delivered
        )

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self._waiting[message.partition()].append((message.offset(), time.monotonic()))

    def _look(self) -> None:
        for partition in range(self._partitions):
            stored = self._stage.client.hget(self._keyspace.position(QUOTES, partition), NEXT_FIELD)
            waiting, now_s = self._waiting[partition], time.monotonic()
            while waiting and waiting[0][0] < int(stored or 0):
                self.freshness_s.append(now_s - waiting.popleft()[1])


def roll(stage: Stage, workers: int, *, is_static: bool) -> Rolled:
    """Restart each of some workers once, under load.

    Raises:
        ContenderError: a worker ended by itself, or the partitions were not shared out in time.
    """
    stage.client.flushall()
    for topic in STREAMED:
        stage.empty_topic(topic.name)
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    keyspace, topology = Keyspace(namespace), stage.make_topics(namespace)
    commands = [_command(stage, namespace, n, is_static=is_static) for n in range(1, workers + 1)]
    running = {command.name: (start(command), command) for command in commands}
    crew = Crew(running, [f"http://{LOOPBACK}:{c.environment['METRICS_PORT']}" for c in commands])
    feed = _Feed(stage, keyspace, topology)
    try:
        crew.await_shared(topology)
        time.sleep(_SETTLED_S)  # a join that came late would share them out once more
        crew.await_shared(topology)
        before, epochs = _members(stage, keyspace), _epochs(stage, keyspace, topology)
        feed.start()
        began_s = time.monotonic()
        for command in commands:
            _restart(running, command)
            crew.await_shared(topology)
        seconds = time.monotonic() - began_s
        feed.finish()
        after, claims = _members(stage, keyspace), _epochs(stage, keyspace, topology)
    finally:
        stop(*running.values())
    moved = sum(before[tp] != after.get(tp) for tp in before)
    p50, p99 = np.quantile(feed.freshness_s, [0.5, 0.99])
    return Rolled(
        workers,
        is_static,
        len(feed.freshness_s),
        seconds,
        moved,
        sum(epochs[tp] != epoch for tp, epoch in claims.items()),
        float(p50),
        float(p99),
        max(feed.freshness_s),
    )


def _command(stage: Stage, namespace: str, number: int, *, is_static: bool) -> Command:
    settings = {"METRICS_PORT": str(free_port()), "SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S)}
    if is_static:
        settings["GROUP_INSTANCE_ID"] = f"worker-{number}"
    return serving(stage, namespace, OURS, f"worker-{number}", settings)


def _restart(running: dict[str, tuple[subprocess.Popen[bytes], Command]], command: Command) -> None:
    stop(running[command.name])
    running[command.name] = start(command), command


def _members(stage: Stage, keyspace: Keyspace) -> Members:
    """Return who has which partition, by instance id, else by member id."""
    admin = brokers.admin(stage.broker.address)
    (answer,) = admin.describe_consumer_groups([keyspace.consumer_group()]).values()
    return {
        (tp.topic, tp.partition): member.group_instance_id or member.member_id
        for member in answer.result().members
        for tp in member.assignment.topic_partitions
    }


def _epochs(stage: Stage, keyspace: Keyspace, topology: Topology) -> Mapping[tuple[str, int], str]:
    return {
        (topic.name, p): str(stage.client.hget(keyspace.position(topic, p), EPOCH_FIELD))
        for topic in STREAMED
        for p in range(getattr(topology, topic.name))
    }
