"""An in-memory store whose every step waits for the test."""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from contracts.keyspace import CHUNK_FIELD_PREFIX, EPOCH_FIELD, FLUSH_FIELD, FOLDING_FIELD
from stream_processors.store import scripts
from stream_processors.store.chunks import ON_KEY

# Of msgpack: an integer of 4 bytes, a string whose length is in the second byte, and the bits of
# the first byte that have the length of a shorter one.
_UINT_32: Final = 0xCE
_STR_8: Final = 0xD9
_SHORTEST: Final = 0x1F

Hashes = dict[str, dict[str, str]]
T = TypeVar("T")


@dataclass(slots=True)
class Turns:
    """Waiting steps by worker, in order of arrival."""

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
        """Give turns, latest first, until some work is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await settled()
            if not task.done():
                self.give(-1)
        return await task

    def forget(self, worker: int) -> None:
        """Let a worker wait forever: its pending steps never finish."""
        self.forgotten.add(worker)
        self.waiting = [(w, turn) for w, turn in self.waiting if w != worker]


def unpacked(stream: bytes) -> list[str]:
    """Return arguments that were packed one after the other, as text."""
    arguments: list[str] = []
    while stream:
        if stream[0] == _UINT_32:
            size = 5
        else:
            size = 2 + stream[1] if stream[0] == _STR_8 else 1 + (stream[0] & _SHORTEST)
        arguments.append(str(msgspec.msgpack.decode(stream[:size])))
        stream = stream[size:]
    return arguments


async def settled() -> None:
    """Wait until every task waits for a turn or has ended."""
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
    look: Callable[[Hashes], None] = lambda _: None
    """called after each script"""

    async def evalsha(self, sha: str, n_keys: int, *rest: Any) -> list[Any]:
        keys, arguments = rest[:n_keys], rest[n_keys:]
        await self.turns.take(self.worker)
        position = self.data.setdefault(keys[0], {})
        script = next(script for script, its in scripts.SHA.items() if its == sha)
        answer = self._run(script, position, keys, arguments)
        self.look(self.data)
        await self.turns.take(self.worker)
        return answer

    def _run(
        self, script: str, position: dict[str, str], keys: Sequence[str], arguments: Sequence[Any]
    ) -> list[Any]:
        if script == scripts.CLAIM:
            now_us, folding = arguments
            assert position.get(FOLDING_FIELD, folding) == folding
            position[EPOCH_FIELD] = str(max(int(position.get(EPOCH_FIELD, 0)) + 1, int(now_us)))
            for name in [name for name in position if name.startswith(CHUNK_FIELD_PREFIX)]:
                del position[name]
            return [1, list(itertools.chain(*position.items()))]
        epoch, last_flush, *more = arguments
        stored = position.get(EPOCH_FIELD, ""), position.get(FLUSH_FIELD, "")
        if stored != (epoch, last_flush):
            return [0, *stored]
        if script == scripts.READ:
            return [1, *self.each(keys, *more)]
        if script == scripts.WRITE:
            field, flush, packed, _channel, _message, *fields = more
            self.each(keys, packed)
            for key, its_fields in zip(keys[2:] if fields else (), fields, strict=True):
                self.set(key, its_fields)
            position[field] = flush
            return [1, ""]
        assert script == scripts.COMMIT
        n, flush, *fields = more
        chunks = [f"{CHUNK_FIELD_PREFIX}{k}" for k in range(1, n + 1)]
        assert all(position.pop(chunk) == flush for chunk in chunks)
        position.update(zip(fields[::2], fields[1::2], strict=True))
        return [1]

    async def hgetall(self, key: str) -> dict[str, str]:
        await self.turns.take(self.worker)
        return dict(self.data.get(key, {}))

    def each(
        self, keys: Sequence[str], packed: bytes, enough: float = math.inf
    ) -> tuple[list[Any], int]:
        commands: list[Any] = msgspec.msgpack.decode(packed)
        answers: list[Any] = []
        at, key, group_end = 0, 1, 0
        while at < len(commands):
            if at >= group_end:
                if sum(len(a) if isinstance(a, list) else 1 for a in answers) >= enough:
                    break
                key, group_end, at = key + 1, at + 1 + commands[at], at + 1
                continue
            name, on, count = commands[at : at + 3]
            first, at = at + 3, at + 3 + count
            arguments = commands[first:at]
            assert all(isinstance(argument, str) for argument in arguments), "Lua rounds numbers"
            answers.append(self.execute(name, keys[key if on == ON_KEY else 1], arguments))
        return answers, key - 1

    def set(self, key: str, fields: bytes) -> None:
        if fields:
            self.execute("HSET", key, unpacked(fields))

    def execute(self, command: str, key: str, arguments: list[str]) -> Any:  # noqa: C901 (a case a command)
        held = self.data.setdefault(key, {})
        match command:
            case "HSET":
                held.update(zip(arguments[::2], arguments[1::2], strict=True))
            case "HDEL":
                for name in arguments:
                    held.pop(name, None)
            case "ZSCORE":
                return held.get(arguments[0])
            case "HMGET":
                return [held.get(name) for name in arguments]
            case "HKEYS":
                return list(held)
            case "HGETALL":
                return list(itertools.chain(*held.items()))
            case "SADD":
                held.update(dict.fromkeys(arguments, ""))
            case "ZADD":
                greater, score, member = arguments
                assert greater == "GT"
                held[member] = str(max(int(score), int(held.get(member, score))))
            case "ZREM" | "SREM":
                for member in arguments:
                    held.pop(member, None)
            case "DEL" | "UNLINK":
                held.clear()
            case "EXPIRE" | "EXPIREAT":
                pass
            case "ZRANGEBYSCORE" if "WITHSCORES" in arguments:
                low, high, _, limit, first, count = arguments
                assert (low[0], high, limit) == ("(", "+inf", "LIMIT")
                by_score = sorted(held, key=lambda m: (int(held[m]), m))
                above = [m for m in by_score if int(held[m]) > int(low[1:])]
                some = above[int(first) : int(first) + int(count)]
                return [part for m in some for part in (m, held[m])]
            case "ZREMRANGEBYSCORE":
                low, high = arguments
                assert low == "-inf"
                for member in [m for m in held if int(held[m]) <= int(high)]:
                    del held[member]
            case "ZRANGEBYSCORE":
                low, high, limit, first, count = arguments
                assert (low, limit, first) == ("-inf", "LIMIT", "0")
                by_score = sorted(held, key=lambda m: (int(held[m]), m))
                assert high.startswith("("), "the bound is excluded"
                return [m for m in by_score if int(held[m]) < float(high[1:])][: int(count)]
            case "ZREVRANGE":
                assert arguments == ["0", "0", "WITHSCORES"]
                newest = sorted(held, key=lambda m: (int(held[m]), m))[-1:]
                return [part for m in newest for part in (m, held[m])]
            case _:
                raise AssertionError(f"no worker uses {command}")
        return None
