"""The servers and processes of one run, and its clock."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import Topic
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.chaos.feed import Feed
from tests.chaos.log import Log
from tests.chaos.messages import FOLLOWED
from tests.chaos.modes import Mode
from tests.chaos.servers.kafka import Kafka
from tests.chaos.servers.store import Single
from tests.chaos.worker import Worker

_POLL_S: Final = 0.05
FOLDED_WITHIN_S: Final = 180
"""How long faults may last, and workers need to catch up."""


class ChaosError(AssertionError):
    """Redis differs from the log, or never reached its end."""


class _Pending(NamedTuple):
    due_s: float
    fault: Iterator[float]
    holds: Collection[str]


@dataclass
class World:
    """What a run is made of."""

    folder: Path
    namespace: InitVar[str]
    mode: Mode
    topology: Topology
    kafka: Kafka
    store: Single
    workers: Sequence[Worker]
    """the first ones run from the beginning"""
    feed: Feed
    notes: list[str] = field(default_factory=list)

    def __post_init__(self, namespace: str) -> None:
        self.admin = brokers.Admin(plain(self.kafka.bootstrap_servers))
        self.log = Log(self.kafka.bootstrap_servers)
        self.keyspace = Keyspace(namespace)
        self.client = self.store.client()
        self._began_s = time.monotonic()
        self._pending: list[_Pending] = []

    def close(self) -> None:
        self.log.close()
        self.client.close()

    def wanted(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_wanted]

    def say(self, step: str) -> None:
        with (self.folder / "steps.log").open("a") as file:
            file.write(f"{time.monotonic() - self._began_s:7.2f} s  {step}\n")

    def note(self, what: str) -> None:
        """Note what is worth a look but breaks no guarantee."""
        self.notes.append(what)
        self.say(f"NOTE {what}")

    def reconnect(self) -> None:
        """Reconnect to the store, to learn which node has which keys now."""
        self.client.close()
        self.client = self.store.client()

    def note_topics(self) -> None:
        """Note the topics in the store, as `python -m operations.topics` does."""
        self.reconnect()
        self.client.hset(self.keyspace.topics(), mapping=self.topology.as_hash())

    def begin(self, fault: Iterator[float], holds: Collection[str]) -> None:
        """Begin a fault once no other one locks what it needs; it ends by itself."""
        free = f"{', '.join(sorted(holds))}: free for the next fault"
        self.wait_for(lambda: not self._held() & set(holds), free)
        self._continue(_Pending(0.0, fault, holds))

    def wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._move_on()

    def end_faults(self) -> None:
        self.wait_for(lambda: not self._pending, "every fault has ended")

    def until(self, condition: Callable[[], bool], within_s: float = math.inf) -> Iterator[float]:
        """Yield short waits until the condition holds or the time is over."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s and not condition():
            yield _POLL_S

    def await_load(self) -> None:
        """Return when the workers fold quotes and interactions."""
        self.wait_for(
            lambda: all(any(self.positions(t).values()) for t in FOLLOWED), "the workers fold"
        )

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds.

        Raises:
            ChaosError: it takes too long.
        """
        until_s = time.monotonic() + FOLDED_WITHIN_S
        while not condition():
            if time.monotonic() > until_s:
                raise ChaosError(f"not within {FOLDED_WITHIN_S} s: {what}\n{self._state()}")
            self._move_on()

    def partitions(self, topic: Topic) -> int:
        return int(self.topology.of(topic))

    def positions(self, topic: Topic) -> dict[int, int]:
        return {
            p: int(self.client.hget(self.keyspace.position(topic, p), NEXT_FIELD) or 0)
            for p in range(self.partitions(topic))
        }

    def ends(self, topic: Topic) -> dict[int, int]:
        """Return where the logs end, read up to there."""
        return self.log.read_on(topic, self.partitions(topic))

    def _held(self) -> set[str]:
        return {held for pending in self._pending for held in pending.holds}

    def _move_on(self) -> None:
        time.sleep(_POLL_S)
        for worker in self.workers:
            worker.supervise(self.say)
        due = [p for p in self._pending if p.due_s <= time.monotonic()]
        for pending in due:
            self._pending.remove(pending)
            self._continue(pending)

    def _continue(self, pending: _Pending) -> None:
        seconds = next(pending.fault, None)
        if seconds is not None:
            due_s = time.monotonic() + seconds
            self._pending.append(_Pending(due_s, pending.fault, pending.holds))

    def _state(self) -> str:
        lines = [f"{w.name}: {w.health()}" for w in self.wanted()]
        lines += [f"{t.name}: {self.positions(t)}" for t in FOLLOWED]
        return "\n".join(lines)
