"""A rolling restart under load: which partitions move, and how old the newest bars get.

Hypothesis: workers that are static members of their group (GROUP_INSTANCE_ID) can be restarted one
after the other without any partition going to another worker, and no quote waits for more than the
time that one worker is away.

Work: a feed of quotes whose delivery the broker has acknowledged, each with its offset and the
time; workers that share the partitions; each gets SIGTERM in turn, is started again, and the next
one follows when it folds again. A quote's freshness is the time from its acknowledgement until the
position in Redis is beyond it. A partition has moved if another member of the group has it than
before, and each claim of it raises its epoch: a restart of all claims each partition once.

Baseline: the same without GROUP_INSTANCE_ID, where each stop and each start rebalances all
partitions.
"""

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.text import Text

from benchmarks.harness import session
from benchmarks.harness.contender import RUN_WITHIN_S, ContenderError, started
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.publish import connected, produce
from benchmarks.harness.report import Report, computer, table
from benchmarks.harness.stage import Stage
from benchmarks.harness.workers import await_shared, running_workers
from contracts.keyspace import EPOCH_FIELD, NEXT_FIELD
from contracts.messages import Quote, encode, key_of
from contracts.topics import QUOTES, STREAMED
from infra.local.process import stop
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain

_SESSION_TIMEOUT_S: Final = 60
"""Longer than a worker takes to end and to start."""
_QUOTES_A_TICK: Final = 50
_TICK_S: Final = 0.05
_INSTRUMENTS: Final = 1_000
_LOOK_EVERY_S: Final = 0.1
_SETTLED_S: Final = 2.0

Partition = tuple[str, int]
"""topic, number"""


def rolling(
    workers: Annotated[int, typer.Option(min=2, max=8, help="restarted one after the other")] = 4,
    *,
    json: session.Json = False,
) -> None:
    """A rolling restart under load: partitions that move, and how old the newest bars get."""
    with session.on_stage() as stage:
        both = [roll(stage, workers, is_static=is_static) for is_static in (True, False)]
        columns = ("members", "workers", "partitions moved", "claims", "p50 s", "p99 s", "most s")
        rows = [
            (
                "static" if one["is_static"] else "dynamic",
                *(str(one[name]) for name in ("workers", "moved", "claims")),
                *(f"{one[f'freshness_{name}_s']:.1f}" for name in ("p50", "p99", "max")),
                f"{one['quotes']:,}",
            )
            for one in both
        ]
        figures = [{"name": "rolling", **one, **stage.servers._asdict()} for one in both]
        on = Text(", ".join((computer(), *stage.servers)), style="dim")
        printed = (table((*columns, "quotes"), rows), on)
        session.present(Report(figures, printed), json=json)


def roll(stage: Stage, n: int, *, is_static: bool) -> dict[str, Any]:
    """Restart each of n workers once, under load; return what became of partitions and quotes.

    Raises:
        ContenderError: a worker ended by itself, or the partitions were not shared out in time.
    """

    def settings(name: str) -> dict[str, str]:
        timeout = {"SESSION_TIMEOUT_S": str(_SESSION_TIMEOUT_S)}
        return {**timeout, "GROUP_INSTANCE_ID": name} if is_static else timeout

    namespace, ends = stage.fresh_namespace(), Event()
    with running_workers(stage, namespace, n, settings) as workers, ThreadPoolExecutor() as pool:
        await_shared(workers, namespace.topology)
        time.sleep(_SETTLED_S)  # a join that came late would share them out once more
        await_shared(workers, namespace.topology)
        members, epochs = _members(stage, namespace), _epochs(namespace)
        feed = pool.submit(_feed, stage, namespace, ends)
        try:
            began_s = time.monotonic()
            for place, worker in enumerate(workers):
                stop(worker)
                workers[place] = started(worker.command)
                await_shared(workers, namespace.topology)
            seconds = time.monotonic() - began_s
        finally:
            ends.set()
        freshness_s = feed.result()
        members_after, epochs_after = _members(stage, namespace), _epochs(namespace)
    p50_s, p99_s, max_s = np.quantile(freshness_s, [0.5, 0.99, 1]).tolist()
    return {
        "workers": n,
        "is_static": is_static,
        "quotes": len(freshness_s),
        "seconds": seconds,
        # Partitions that another worker had afterwards, and all claims since the start.
        "moved": sum(members_after.get(one) != member for one, member in members.items()),
        "claims": sum(epochs_after[one] != epoch for one, epoch in epochs.items()),
        "freshness_p50_s": p50_s,
        "freshness_p99_s": p99_s,
        "freshness_max_s": max_s,
    }


def _feed(stage: Stage, namespace: Namespace, ends: Event) -> list[float]:
    """Publish quotes until the end; return how long each took until the position was beyond it.

    Raises:
        ContenderError: one is not folded for a long time.
    """
    waiting: dict[int, deque[tuple[int, float]]] = defaultdict(deque)
    freshness_s: list[float] = []

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            waiting[message.partition()].append((message.offset(), time.monotonic()))

    producer = connected(stage.broker.address, on_delivery=delivered)
    number, looked_s = 0, 0.0
    while not ends.is_set() or any(waiting.values()):
        for _ in range(0 if ends.is_set() else _QUOTES_A_TICK):
            number += 1
            now_ms = time.time_ns() // 1_000_000
            quote = Quote(instrument_id=number % _INSTRUMENTS, price=1 + number % 7, ts=now_ms)
            produce(producer, QUOTES.name, key_of(quote), encode(quote))
        producer.poll(_TICK_S)
        if time.monotonic() - looked_s >= _LOOK_EVERY_S:
            looked_s = time.monotonic()
            for partition, position in enumerate(namespace.positions(QUOTES)):
                its = waiting[partition]
                while its and its[0][0] < int(position.get(NEXT_FIELD, 0)):
                    freshness_s.append(time.monotonic() - its.popleft()[1])
                if its and time.monotonic() - its[0][1] > RUN_WITHIN_S:
                    raise ContenderError(f"a quote was not folded within {RUN_WITHIN_S} s")
    return freshness_s


def _members(stage: Stage, namespace: Namespace) -> Mapping[Partition, str]:
    """Return who has which partition, by instance id, else by member id."""
    admin = brokers.admin(plain(stage.broker.address))
    (answer,) = admin.describe_consumer_groups([namespace.keys.consumer_group()]).values()
    return {
        (tp.topic, tp.partition): member.group_instance_id or member.member_id
        for member in answer.result().members
        for tp in member.assignment.topic_partitions
    }


def _epochs(namespace: Namespace) -> Mapping[Partition, str]:
    return {
        (topic.name, partition): str(position.get(EPOCH_FIELD))
        for topic in STREAMED
        for partition, position in enumerate(namespace.positions(topic))
    }
