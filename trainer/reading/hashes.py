"""Reads many hashes from Redis in blocks, as the raw bytes of its replies.

The next block is read while one is processed. A client makes a Python object of each field and
value: for the counts of millions of pairs, most of a run's time. Connections are made as the
store's own client makes them: to the same address, with its encryption, password and timeouts.

Redis processes all that has arrived from a client before it turns to another one. So commands go in
chunks of bounded cost, and the next is sent when the previous one is answered.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, NamedTuple

import hiredis
import numpy as np
import redis
from redis.client import NEVER_DECODE
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from contracts.messages import Ints
from runtime.redis.stores import Store
from trainer.counts.blocks import blocks
from trainer.reading.pipelines import WRONG_TYPE
from trainer.reading.replies import Bytes, Fields, Replies, fields_of, parse
from trainer.stages import Stages

Command = tuple[str, ...]
"""Its name, its key, what else there is."""

COST_PER_CHUNK: Final = 8_000
"""Fields that Redis is asked for at once: 0.6 ms of its time."""
COST_OF_COMMAND: Final = 10
"""What a command costs on top of its fields, in fields: 0.7 us."""
_ROOM: Final = 1 << 16
"""Bytes that are free before each receive."""


class Wire:
    """A connection to the store, or one to each node of a cluster."""

    def __init__(self, store: Store) -> None:
        self._store: Any = store
        self._connections: dict[str, Any] = {}

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.disconnect()

    def ask(self, commands: Sequence[Command], costs: Sequence[int]) -> tuple[Bytes, list[int]]:
        """Return the replies one after the other, and which command each belongs to.

        Args:
            commands: what to ask; asked again if a connection breaks.
            costs: of each command, in fields.

        Raises:
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: Redis is unreachable.
        """
        answers, order = _Received(), []
        for client, places in self._by_node(commands):
            connection = self._connection(client)
            of_places = np.array([costs[place] for place in places])
            for start, stop in blocks(of_places, COST_PER_CHUNK):
                chunk = places[start:stop]
                packed = b"".join(_pack(commands[place]) for place in chunk)
                connection.retry.call_with_retry(
                    lambda connection=connection, packed=packed: _exchange(
                        connection, packed, answers
                    ),
                    lambda _: None,
                )
                order += chunk
        return answers.whole(), order

    def _by_node(self, commands: Sequence[Command]) -> Iterator[tuple[redis.Redis, list[int]]]:
        """Yield a client of each node, and which commands go there."""
        if isinstance(self._store, redis.Redis):
            yield self._store, list(range(len(commands)))
            return
        places: dict[Any, list[int]] = {}
        for place, (_, key, *_) in enumerate(commands):
            places.setdefault(self._store.get_node_from_key(key), []).append(place)
        for node, its in places.items():
            yield self._store.get_redis_connection(node), its

    def _connection(self, client: redis.Redis) -> Any:
        pool = client.connection_pool
        address = repr(
            sorted((k, str(v)) for k, v in pool.connection_kwargs.items() if k in _PLACE)
        )
        if address not in self._connections:
            options = {k: v for k, v in pool.connection_kwargs.items() if k not in _NOT_FOR_BYTES}
            connection = _in_bytes(pool.connection_class)(**options)
            # Refused among other replies, it would be waited for.
            connection.retry.call_with_retry(lambda: _echo(connection), lambda _: None)
            self._connections[address] = connection
        return self._connections[address]


_PLACE: Final = frozenset({"host", "port", "path", "db"})
_NOT_FOR_BYTES: Final = frozenset({"maint_notifications_pool_handler"})
"""It would hand the pool's connections over while a server is maintained; ours is none of them."""

_pack: Final[Any] = hiredis.pack_command  # its stub knows commands of one word only


class _Received:
    """Bytes that have come so far."""

    def __init__(self) -> None:
        self._bytes = np.empty(4 * _ROOM, np.uint8)
        self.used = 0

    def room(self) -> memoryview:
        """Return where more bytes can go."""
        if len(self._bytes) - self.used < _ROOM:
            larger = np.empty(2 * len(self._bytes), np.uint8)
            larger[: self.used] = self._bytes[: self.used]
            self._bytes = larger
        return self._bytes.data[self.used :]

    def ends_with(self, end: bytes) -> bool:
        return self._bytes[max(0, self.used - len(end)) : self.used].tobytes() == end

    def whole(self) -> Bytes:
        return self._bytes[: self.used]


def _echo(connection: Any) -> None:
    """Return if the store does what `_exchange` needs."""
    connection.send_command("ECHO", "")
    connection.read_response()


def _exchange(connection: Any, packed: bytes, answers: _Received) -> None:
    """Send commands and append what comes back, or leave `answers` as it was.

    The reply to a final command, which no stored value can contain, marks the end.
    """
    token, before = secrets.token_hex(16), answers.used
    end = f"${len(token)}\r\n{token}\r\n".encode()
    try:
        connection.send_packed_command([packed + _pack(("ECHO", token))])
        while not answers.ends_with(end):
            answers.used += connection.receive(answers.room())
    except BaseException:
        answers.used = before
        # Replies that arrive later would be taken for answers to other commands.
        connection.disconnect()
        raise
    answers.used -= len(end)


def _in_bytes(connection: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return the connection class with a way to receive bytes that are not parsed."""

    class InBytes(connection):  # type: ignore[misc, valid-type]
        def receive(self, room: memoryview) -> int:
            try:
                received = self._sock.recv_into(room)
            except TimeoutError as error:
                raise RedisTimeoutError("Redis did not answer in time") from error
            except OSError as error:
                raise RedisConnectionError(f"the connection to Redis broke: {error}") from error
            if not received:
                raise RedisConnectionError("Redis closed the connection")
            return int(received)

    return InBytes


FIELDS_PER_BLOCK: Final = 100_000
"""2 MB of replies, and ten times as much while they are parsed."""
LONG_ROW: Final = 5_000
"""Fields from which a hash is read in parts: HGETALL of more would block Redis for over 1 ms."""
_FIELDS_PER_SCAN: Final = 1_000
_LINE_END: Final = b"\r\n"
_KEYS_AT_ONCE: Final = 50_000
"""How many hashes' sizes are requested at once."""


class Block(NamedTuple):
    """Some hashes that follow each other."""

    start: int
    stop: int
    parts: list[Fields]
    """their fields, with places for rows; a row that changed may come twice, latest last"""
    wrong_type: dict[int, str]
    """place -> what Redis said, of keys that hold no hash"""


class Hashes:
    """Hashes by their places: the keys of a million need not be in memory together."""

    def __init__(self, store: Store, n: int, key_of: Callable[[int], str]) -> None:
        self._client: Any = store
        self._n = n
        self._key_of = key_of
        self._wire = Wire(store)
        self._wrong_type: dict[int, str] = {}

    def read(self, stages: Stages, title: str) -> Iterator[Block]:
        """Yield all of them, block by block.

        Raises:
            redis.exceptions.RedisError: Redis is unreachable.
        """
        with closing(self._wire), ThreadPoolExecutor(1) as reader:
            sizes = self._sizes()
            cuts = blocks(sizes + COST_OF_COMMAND, FIELDS_PER_BLOCK)
            reads = [reader.submit(self._block, sizes, *cut) for cut in cuts[:1]]
            for number, _ in enumerate(stages.each(cuts, title), start=1):
                block = reads.pop().result()
                reads += [reader.submit(self._block, sizes, *cut) for cut in cuts[number:][:1]]
                yield block

    def _sizes(self) -> Ints:
        """Return (n,) the number of fields of each hash."""
        sizes = np.zeros(self._n, np.int64)
        for start in range(0, self._n, _KEYS_AT_ONCE):
            places = range(start, min(start + _KEYS_AT_ONCE, self._n))
            commands = [("HLEN", self._key_of(place)) for place in places]
            answer, order = self._wire.ask(commands, [COST_OF_COMMAND] * len(commands))
            for place, line in zip(order, answer.tobytes().split(_LINE_END), strict=False):
                sizes[start + place] = self._size(start + place, line)
        return sizes

    def _size(self, place: int, line: bytes) -> int:
        if line.startswith(b":"):
            return int(line[1:])
        if line.startswith(f"-{WRONG_TYPE}".encode()):
            self._wrong_type[place] = line[1:].decode()
            return 0
        # The client knows where a key of a cluster went to, and what to raise.
        return int(self._client.hlen(self._key_of(place)))

    def _block(self, sizes: Ints, start: int, stop: int) -> Block:
        """Read some hashes."""
        block = Block(start, stop, [], {})
        for place in [place for place in self._wrong_type if start <= place < stop]:
            block.wrong_type[place] = self._wrong_type[place]
        asked = [place for place in range(start, stop) if place not in block.wrong_type]
        short = [place for place in asked if sizes[place] <= LONG_ROW]
        commands = [("HGETALL", self._key_of(place)) for place in short]
        answer, order = self._wire.ask(commands, (sizes[short] + COST_OF_COMMAND).tolist())
        self._take(block, parse(answer, [short[place] for place in order]))
        cursors = {place: 0 for place in asked if sizes[place] > LONG_ROW}
        while cursors:
            cursors = self._scan(block, cursors)
        return block

    def _scan(self, block: Block, cursors: dict[int, int]) -> dict[int, int]:
        """Read a part of each long hash; return the cursors."""
        places = list(cursors)
        commands = [
            ("HSCAN", self._key_of(place), str(cursor), "COUNT", str(_FIELDS_PER_SCAN))
            for place, cursor in cursors.items()
        ]
        answer, order = self._wire.ask(commands, [_FIELDS_PER_SCAN] * len(commands))
        replies = parse(answer, [places[place] for place in order], scanned=True)
        self._take(block, replies)
        return replies.cursors

    def _take(self, block: Block, replies: Replies) -> None:
        block.parts.append(replies.fields)
        for place, refusal in replies.refused.items():
            if refusal.startswith(WRONG_TYPE):
                block.wrong_type[place] = refusal
            else:
                block.parts.append(fields_of(place, self._through_the_client(place)))

    def _through_the_client(self, place: int) -> dict[bytes, bytes]:
        """Return a hash refused on the raw connection: the client follows cluster redirects."""
        found: dict[bytes, bytes] = {}
        cursor, key = None, self._key_of(place)
        while cursor != 0:
            answer: Any = self._client.execute_command(
                *("HSCAN", key, cursor or 0, "COUNT", _FIELDS_PER_SCAN), **{NEVER_DECODE: True}
            )
            cursor, some = answer
            found |= some
        return found
