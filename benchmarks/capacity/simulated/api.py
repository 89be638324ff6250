"""API processes and their clients. Simulated.

A process works in turns: it takes all that has arrived, requests and answers of Redis, and sends
the commands of all of them to each shard in one write. So under load more requests share the fixed
cost of a turn. It caches the pointer to the model as long as ours does. Service times are drawn
from measured ones, and now and then a process stalls for a while, as observed.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import simpy

from api.models.generations import POINTER_KEPT_S
from benchmarks.capacity.costs import ReadCosts, Request
from benchmarks.capacity.simulated.cores import Cores, Steps, Thread
from benchmarks.capacity.simulated.shards import Command, Shard

_US: Final = 1e-6
_ASKING: Final = 0.5
"""of what a request costs a process or its client, until it is sent on; the rest is answering"""
_POINTERS_SHARD: Final = 0
_DRAWN: Final = 1 << 16


@dataclass(slots=True)
class Call:
    """A request under way."""

    kind: Request
    shard: int
    answered: Callable[[], object]
    missing: int = 0
    """answers of Redis that it waits for"""
    is_read: bool = False
    """all of them came"""


class Noise:
    """Multiples of the mean service time, drawn from those that were measured."""

    def __init__(self, shape: Sequence[float], rng: np.random.Generator) -> None:
        self._drawn: list[float] = rng.choice(np.asarray(shape), _DRAWN).tolist()
        self._at = 0

    def __call__(self) -> float:
        """Return the next one."""
        self._at = (self._at + 1) % _DRAWN
        return self._drawn[self._at]


class Api:
    """One process."""

    def __init__(
        self, cores: Cores, costs: ReadCosts, shards: Sequence[Shard], rng: np.random.Generator
    ) -> None:
        self.busy_s = 0.0
        self._env = cores.env
        self._cores = cores
        self._costs = costs
        self._shards = shards
        self._noise = Noise(costs.shape, rng)
        self._inbox: list[Call] = []
        self._pointer_asked_s = -math.inf
        self._woken = self._env.event()
        self._thread = Thread(cores)
        self._env.process(self._serve())
        if costs.stalls_per_s:
            self._env.process(self._stall(rng))

    def ask(self, call: Call) -> None:
        """Take a request."""
        self._take(call)

    def _take(self, call: Call) -> None:
        self._inbox.append(call)
        if not self._woken.triggered:
            self._woken.succeed()

    def _serve(self) -> Steps:
        while True:
            if not self._inbox:
                self._woken = self._env.event()
                yield self._woken
                yield self._env.timeout(self._costs.wake_us * _US)
            calls, self._inbox = self._inbox, []
            yield self._work(self._costs.turn_us)
            asked: dict[int, list[Command]] = defaultdict(list)
            pointed: list[Call] = []
            for call in calls:
                if call.is_read:
                    yield self._work(call.kind.api_us * (1 - _ASKING) * self._noise())
                    call.answered()
                    continue
                yield self._work(call.kind.api_us * _ASKING * self._noise())
                if not call.kind.store_us:
                    self._hear_of_broker(call)
                    continue
                asks = call.kind.is_pointed and not self._keeps_pointer
                call.missing = 1 + asks
                asked[call.shard].append(Command(call.kind.store_us, partial(self._hear, [call])))
                if asks:
                    pointed.append(call)
            if pointed:
                cost_us = min(call.kind.store_us for call in pointed)
                hear = partial(self._hear_pointer, pointed, self._env.now)
                asked[_POINTERS_SHARD].append(Command(cost_us, hear))
            for shard, commands in asked.items():
                self._shards[shard].take(commands)

    def _hear_of_broker(self, call: Call) -> None:
        """Let a request that asks nothing of Redis be answered; the broker is not simulated."""
        call.is_read = True
        self._take(call)

    @property
    def _keeps_pointer(self) -> bool:
        return self._env.now < self._pointer_asked_s + POINTER_KEPT_S

    def _hear_pointer(self, calls: Sequence[Call], asked_s: float) -> None:
        """Take the pointer, which these waited for, and keep it."""
        self._pointer_asked_s = asked_s
        self._hear(calls)

    def _hear(self, calls: Sequence[Call]) -> None:
        """Take an answer that these waited for."""
        for call in calls:
            call.missing -= 1
            if not call.missing:
                call.is_read = True
                self._take(call)

    def _work(self, cost_us: float) -> simpy.Event:
        self.busy_s += cost_us * _US
        return self._thread.run(cost_us * _US)

    def _stall(self, rng: np.random.Generator) -> Steps:
        while True:
            yield self._env.timeout(rng.exponential(1 / self._costs.stalls_per_s))
            yield self._thread.run(float(rng.choice(self._costs.stalls_us)) * _US)


class Clients:
    """Ask API processes, and note how long each request took; their own work is a thread's."""

    def __init__(
        self,
        apis: Sequence[Api],
        mix: Sequence[Request],
        shards: Sequence[float],
        rng: np.random.Generator,
        own: Thread | None = None,
        own_us: float = 0.0,
    ) -> None:
        """Ask in turn for each of a mix, of shards by their shares; `own_us` of work a request."""
        self.answered = 0
        self.latency_s: list[float] = []
        """of reads"""
        self.answered_at_s: list[float] = []
        """of reads"""
        self._env: simpy.Environment = apis[0]._env  # noqa: SLF001
        self._apis = apis
        self._mix = mix
        self._rng = rng
        self._drawn: list[int] = rng.choice(len(shards), _DRAWN, p=np.asarray(shards)).tolist()
        self._own = own
        self._own_us = own_us
        self._asked = 0

    def arrive(self, per_s: float) -> None:
        """Ask at random moments, whether or not what was asked before is answered: open."""
        self._env.process(self._arrive(per_s))

    def wait_in_turn(self, connections: int) -> None:
        """Ask on so many connections, each again when it has its answer: a closed loop."""
        for _ in range(connections):
            self._begin(self._env.now, again=True)

    def _arrive(self, per_s: float) -> Steps:
        while True:
            yield self._env.timeout(self._rng.exponential(1 / per_s))
            self._begin(self._env.now, again=False)

    def _begin(self, due_s: float, *, again: bool) -> None:
        self._env.process(self._ask(due_s, again=again))

    def _ask(self, due_s: float, *, again: bool) -> Steps:
        if self._own is not None and not again:
            yield self._own.run(self._own_us * _ASKING * _US)
        self._asked += 1
        number = self._asked
        done = self._env.event()
        call = Call(self._mix[number % len(self._mix)], self._drawn[number % _DRAWN], done.succeed)
        self._apis[number % len(self._apis)].ask(call)
        yield done
        if self._own is not None:
            # Who asks again does so when it has read the answer.
            yield self._own.run(self._own_us * (1 if again else 1 - _ASKING) * _US)
        self.answered += 1
        if call.kind.store_us:
            self.latency_s.append(self._env.now - due_s)
            self.answered_at_s.append(self._env.now)
        if again:
            self._begin(self._env.now, again=True)
