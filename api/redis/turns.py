"""Rounds of many commands take turns, a few at a time; all others go ahead of them.

A read of a hundred keys keeps Redis and then this process busy for milliseconds. With hundreds of
them at once, every request would wait for all of them, as a connection answers in order. Rounds
that wait have sent nothing yet, so one that times out has cost little.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

COMMANDS_AT_ONCE: Final = 512
"""Commands of all rounds in progress: some 5 ms of work for Redis and this process. Ordinary reads
of lists, of tens of commands, fit in side by side, however long a round trip is."""


class Waiting(Protocol):
    """A round that waits for its turn."""

    over: bool
    """whether it no longer needs a turn"""

    def take_turn(self) -> None:
        """Send the commands; must not raise. Call `leave` when all are answered, or at the end."""


class Turns:
    """Rounds in progress and in the queue: first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Waiting, int]] = deque()
        self._under_way = 0
        """Commands."""

    def enter(self, one: Waiting, commands: int) -> None:
        """Let `one` take its turn with so many commands, now or later."""
        self._waiting.append((one, commands))
        self._next()

    def leave(self, commands: int) -> None:
        """End a turn; the next one begins after other tasks have run on the loop."""
        self._under_way -= commands
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            one, commands = self._waiting[0]
            if self._under_way and self._under_way + commands > COMMANDS_AT_ONCE:
                return
            self._waiting.popleft()
            if not one.over:
                self._under_way += commands
                one.take_turn()
