"""A store in memory whose every step waits until the test lets it go."""

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from contracts.keyspace import EPOCH_FIELD, NEXT_FIELD
from stream_processors import scripts

Hashes = dict[str, dict[str, str]]
T = TypeVar("T")


@dataclass(slots=True)
class Turns:
    """What waits, by worker, in the order in which it came."""

    waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)
    forgotten: set[int] = field(default_factory=set)

    async def take(self, worker: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        if worker not in self.forgotten:
            self.waiting.append((worker, turn))
        await turn

    def give(self, place: int) -> None:
        _, turn = self.waiting.pop(place)
        if not turn.done():
            turn.set_result(None)

    async def until(self, work: Awaitable[T]) -> T:
        """Give turns, the last that was asked for first, until some work is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await settled()
            if not task.done():
                self.give(-1)
        return await task

    def forget(self, worker: int) -> None:
        """Let a worker wait for good: what it had begun does not come to its end."""
        self.forgotten.add(worker)
        self.waiting = [(w, turn) for w, turn in self.waiting if w != worker]


async def settled() -> None:
    """Return when every task waits for a turn or has ended."""
    loop: Any = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)
        if not loop._ready:
            return


@dataclass(slots=True)
class SimulatedStore:
    """One worker's client of the store: the commands that workers use, on dicts."""

    data: Hashes
    turns: Turns
    worker: int

    async def eval(self, script: str, _n_keys: int, *arguments: Any) -> Any:
        assert script == scripts.CLAIM
        position = self.data.setdefault(arguments[0], {})
        position[EPOCH_FIELD] = str(max(int(position.get(EPOCH_FIELD, 0)) + 1, int(arguments[1])))
        return list(itertools.chain(*position.items()))

    async def evalsha(self, sha: str, n_keys: int, position: str, *arguments: Any) -> list[Any]:
        assert n_keys == 1
        await self.turns.take(self.worker)
        held = self.data.get(position, {})
        stored = held.get(EPOCH_FIELD), held.get(NEXT_FIELD)
        if sha == scripts.SHA[scripts.READ]:
            return [self._each(arguments[0]), stored]
        assert sha == scripts.SHA[scripts.WRITE]
        epoch, stored_next, packed, _channel = arguments
        if (stored[0] or "", stored[1] or "") != (str(epoch), stored_next):
            answer: list[Any] = [0, stored[0] or "", stored[1] or ""]
        else:
            self._each(packed)
            answer = [1, ""]
        await self.turns.take(self.worker)
        return answer

    async def hgetall(self, key: str) -> dict[str, str]:
        await self.turns.take(self.worker)
        return dict(self.data.get(key, {}))

    def _each(self, packed: bytes) -> list[Any]:
        commands, answers, at = msgspec.msgpack.decode(packed), [], 0
        while at < len(commands):
            name, key, count = commands[at : at + 3]
            first, at = at + 3, at + 3 + count
            arguments = commands[first:at]
            assert all(isinstance(argument, str) for argument in arguments), "Lua rounds numbers"
            answers.append(self.execute(name, key, arguments))
        return answers

    def execute(self, command: str, key: str, arguments: list[str]) -> Any:  # noqa: C901 (a case a command)
        held = self.data.setdefault(key, {})
        match command:
            case "HSET":
                held.update(zip(arguments[::2], arguments[1::2], strict=True))
            case "HDEL":
                for name in arguments:
                    held.pop(name, None)
            case "HGET":
                return held.get(arguments[0])
            case "HMGET":
                return [held.get(name) for name in arguments]
            case "HGETALL":
                return list(itertools.chain(*held.items()))
            case "SADD":
                held.update(dict.fromkeys(arguments, ""))
            case "ZADD":
                greater, score, member = arguments
                assert greater == "GT"
                held[member] = str(max(int(score), int(held.get(member, score))))
            case "ZREMRANGEBYRANK":
                last = len(held) + int(arguments[1])
                for member in sorted(held, key=lambda m: int(held[m]))[: max(0, last + 1)]:
                    del held[member]
            case _:
                raise AssertionError(f"no worker uses {command}")
        return None
