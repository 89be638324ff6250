"""Pipelines requests to Redis, and returns the raw bytes of its replies.

A client makes a Python object of each field and value: for the counts of millions of pairs, most of
a run's time. Connections are made as the store's own client makes them: to the same address, with
its encryption, password and timeouts.

Redis processes all that has arrived from a client before it turns to another one. So commands go in
chunks of bounded cost, and the next is sent when the previous one is answered.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import hiredis
import numpy as np
import redis
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.redis.stores import Store
from trainer.counts.blocks import blocks
from trainer.reading.fields import Bytes

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
