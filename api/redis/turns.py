"""Rounds of many commands take turns, a few at a time; all others pass by.

A read that asks for a hundred keys keeps Redis and then this process busy for milliseconds.
Hundreds of them at once would have everybody wait for all of them, in the order of one connection.
Those that wait have asked for nothing yet, so one whose time is over meanwhile has cost little.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

COMMANDS_AT_ONCE: Final = 512
"""Of all rounds that have their turn: what Redis and this process work on for some 5 ms. Ordinary
reads of lists, of tens of commands, have room beside each other, however long a round trip is."""


class Waiting(Protocol):
    """What waits for its turn."""

    over: bool
    """whether it needs none any more"""

    def take_turn(self) -> None:
        """Send its commands; must not raise. It leaves when all are answered, or when it ends."""


class Turns:
    """Who has a turn, and who waits for one: first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Waiting, int]] = deque()
        self._under_way = 0
        """Commands."""

    def enter(self, one: Waiting, commands: int) -> None:
        """Let `one` take its turn with so many commands, now or later."""
        self._waiting.append((one, commands))
        self._next()

    def leave(self, commands: int) -> None:
        """End a turn; the next one begins when others have had theirs on the loop."""
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
