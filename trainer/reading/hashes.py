"""Reads many hashes from Redis in blocks, prefetching the next one while a block is processed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, NamedTuple

import numpy as np
from redis.client import NEVER_DECODE

from contracts.messages import Ints
from runtime.redis.stores import Store
from trainer.counts.blocks import blocks
from trainer.reading.fields import Fields, fields_of
from trainer.reading.pipelines import WRONG_TYPE
from trainer.reading.replies import Replies, parse
from trainer.reading.wire import COST_OF_COMMAND, Wire
from trainer.stages import Stages

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
