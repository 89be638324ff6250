"""A shard of Redis: one thread that processes what has arrived, turn by turn. Simulated."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import simpy

from benchmarks.capacity.costs import StoreCosts
from benchmarks.capacity.simulated.cores import Cores, Steps

_US: Final = 1e-6


class Command(NamedTuple):
    """What a read asks of Redis."""

    cost_us: float
    answered: Callable[[], object]


class Shard:
    """Takes all writes that have come by the beginning of a turn, and answers them at its end.

    So the fixed costs are shared by the commands of a write, and by the writes of a turn; and one
    call of a script keeps everybody waiting.
    """

    def __init__(self, cores: Cores, costs: StoreCosts, wake_us: float = 0.0) -> None:
        self.busy_s = 0.0
        """work that was done"""
        self._cores = cores
        self._costs = costs
        self._wake_us = wake_us
        self._inbox: list[Sequence[Command]] = []
        self._woken = cores.env.event()
        cores.env.process(self._serve())

    def call(self, cost_us: float) -> simpy.Event:
        """Return what happens when a call of a script is answered."""
        done = self._cores.env.event()
        self.take([Command(cost_us, done.succeed)])
        return done

    def take(self, commands: Sequence[Command]) -> None:
        """Take commands that came in one write."""
        self._inbox.append(commands)
        if not self._woken.triggered:
            self._woken.succeed()

    def _serve(self) -> Steps:
        env, costs = self._cores.env, self._costs
        while True:
            if not self._inbox:
                self._woken = env.event()
                yield self._woken
                yield env.timeout(self._wake_us * _US)
            writes, self._inbox = self._inbox, []
            cost_us = costs.turn_us + len(writes) * costs.write_us
            cost_us += sum(command.cost_us for write in writes for command in write)
            self.busy_s += cost_us * _US
            yield self._cores.work(cost_us * _US)
            for write in writes:
                for command in write:
                    command.answered()
