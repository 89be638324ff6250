"""The only code that writes values to Redis: chunked flushes of a claimed partition.

A chunk is one script call. It checks the partition's epoch and position before it writes; all its
keys share the partition's hash tag, so this works on a single node and on Redis Cluster. A script
blocks Redis and all its readers, so a chunk takes at most about a millisecond. So do reads: a
script stops when it has read enough, and is called again.
"""

import asyncio
import time
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    EPOCH_FIELD,
    FLUSH_FIELD,
    FOLDING_FIELD,
    INCARNATION_FIELD,
    LAST_FIELD,
    LINEAGE_FIELD,
    NEXT_FIELD,
    TOPIC_ID_FIELD,
    UPDATED_AT_FIELD,
)
from contracts.topics import Topic
from stream_processors import metrics
from stream_processors.store.chunks import Channel, Chunk, Group, Unwritten, chunks, each_part, pack
from stream_processors.store.scripts import COMMIT, READ, WRITE
from stream_processors.store.store import Position, Store

# The first replies show whether replies are long.
_GROUPS_READ_FIRST: Final = 64


class FencedError(RuntimeError):
    """Another worker claimed the partition: nothing was written."""


class StoreWentBackError(RuntimeError):
    """The store has an earlier state of the partition than this worker left."""


class StoreEmptiedError(RuntimeError):
    """The store no longer knows the partition."""


class Claim:
    """A partition owned by this worker until another one raises its epoch."""

    def __init__(
        self,
        store: Store,
        topic: Topic,
        partition: int,
        position: Position,
        *,
        next_offset: int,
        incarnation: int,
        topic_id: str,
        folding: str,
        index: str | None,
        last: str = "",
        starts_over: bool = False,
        may_miss_records: bool = False,
    ) -> None:
        """Take the position as `Store.fence` returned it, and where to resume.

        Args:
            store: that has the partition.
            topic: its topic.
            partition: its number.
            position: the folds' own fields among others.
            next_offset: where to resume.
            incarnation: the log's number.
            topic_id: the log's.
            folding: the settings that affect stored state.
            index: the key of the set that indexes the partition, if it has one.
            last: as the attribute.
            starts_over: the log is folded from its beginning.
            may_miss_records: data is incomplete before the next record to be read.
        """
        self.topic = topic
        self.partition = partition
        self.topic_id = topic_id
        self.incarnation = incarnation
        self.next_offset = next_offset
        """of the last flush"""
        self.last = last
        """the value of `contracts.keyspace.LAST_FIELD`"""
        self.lineage = int(position.get(LINEAGE_FIELD, position[EPOCH_FIELD]))
        """created when Redis had no position, see `contracts.keyspace.LINEAGE_FIELD`"""
        self.position = position
        """as it was at the claim"""
        self.starts_over = starts_over
        self.may_miss_records = may_miss_records
        self.keyspace = store.keyspace
        self._store = store
        self.epoch = position[EPOCH_FIELD]
        """raised by each claim, and never issued twice"""
        self._flush = position.get(FLUSH_FIELD, "")
        """epoch and number of the last one in Redis: unlike the position, it changes with each"""
        self._flushes = 0
        self._folding = folding
        self._key = store.keyspace.position(topic, partition)
        self._index = index or self._key

    async def read(self, questions: Iterable[Group], enough: int | None = None) -> list[Any]:
        """Return the reply to each of some read-only commands.

        How much one script call reads depends on the stored data: it stops after the group that
        reaches the limit, and the next call continues there.

        Args:
            questions: on keys of the partition.
            enough: values per call, if they are long.

        Raises:
            FencedError: the partition was assigned to another worker.
            StoreWentBackError, StoreEmptiedError: the replies would not reflect this worker's
            state.
        """
        groups, answers = list(questions), list[Any]()
        first, at_once, cost = 0, _GROUPS_READ_FIRST, self._store.chunk_cost
        while first < len(groups):
            chunk = next(chunks(groups[first : first + at_once], enough or cost))
            answer = await self._run(READ, chunk.keys, pack(chunk.commands), enough or cost)
            self._check(answer, expected=self._flush)
            _, its_answers, n = answer
            answers += its_answers
            first, at_once = first + n, 2 * n
        return answers

    async def write(
        self, unwritten: Unwritten, next_offset: int, *, last: str | None = None
    ) -> None:
        """Write the values and then the position, in chunks.

        Args:
            unwritten: each of its groups is applied atomically.
            next_offset: the new position.
            last: as the attribute, if it changed.

        Raises:
            FencedError: the partition was assigned to another worker; nothing more was written.
            StoreWentBackError, StoreEmptiedError: the store lost earlier writes.
        """
        self._flushes += 1
        flush = f"{self.epoch}:{self._flushes}"
        n = await self._write_chunks(unwritten, flush)
        self.last = self.last if last is None else last
        fields = {FLUSH_FIELD: flush, **self._position_fields(next_offset), **unwritten.fields}
        answer = await self._run(COMMIT, [], n, flush, *chain(*fields.items()))
        if answer[0] == -1:
            raise StoreWentBackError(f"{self._where()}: chunk {answer[1]} of a flush is missing")
        self._check(answer, expected=flush)
        self.next_offset, self._flush = next_offset, flush

    async def _write_chunks(self, unwritten: Unwritten, flush: str) -> int:
        """Write the values, sending each next chunk while one is being written; return how many."""
        n = 0
        writing: asyncio.Future[None] | None = None
        channel = unwritten.channel
        try:
            async for some in each_part(unwritten.groups):
                for chunk in chunks(some, self._store.chunk_cost):
                    n += 1
                    one = self._write_chunk(chunk, n, flush, channel)
                    before, writing = writing, asyncio.ensure_future(one)
                    await (before or asyncio.sleep(0))  # the new one is sent during that
            if writing:
                await writing
        except BaseException:
            if writing:
                writing.cancel()
            raise
        return n

    async def _write_chunk(self, chunk: Chunk, n: int, flush: str, channel: Channel | None) -> None:
        field = f"{CHUNK_FIELD_PREFIX}{n}"
        name, message = (channel.name, channel.encode(chunk.published)) if channel else ("", b"")
        fields = chunk.fields if any(chunk.fields) else ()
        answer = await self._run(
            WRITE, chunk.keys, field, flush, pack(chunk.commands), name, message, *fields
        )
        self._check(answer, expected=flush)
        if answer[0] and answer[1]:
            self._store.report_unpublished(name, answer[1])

    async def _run(self, script: str, keys: list[str], *arguments: str | int | bytes) -> Any:
        """Call a script that checks epoch and last flush first."""
        return await self._store.patiently(
            self._store.run,
            script,
            [self._key, self._index, *keys],
            self.epoch,
            self._flush,
            *arguments,
        )

    def _check(self, answer: list[Any], *, expected: str) -> None:
        """Check that a script found epoch and last flush as this worker left them.

        The expected new flush is fine, too: then only a reply was lost.

        Raises:
            FencedError, StoreEmptiedError, StoreWentBackError: what it found instead.
        """
        if answer[0] == 1:
            return
        _, epoch, last_flush = answer
        if not epoch:
            raise StoreEmptiedError(
                f"{self._where()}: Redis lost its data. The worker ends; run `python -m "
                "operations.topics` and restart it: it folds the log from its beginning"
            )
        if int(epoch) > int(self.epoch):
            metrics.FENCED.inc()
            raise FencedError(f"{self._where()} is at epoch {epoch}, ours was {self.epoch}")
        if epoch != self.epoch or last_flush != expected:
            raise StoreWentBackError(
                f"{self._where()}: this worker left epoch {self.epoch} and flush "
                f"{self._flush or 'none'}, now Redis has {epoch} and {last_flush or 'none'}"
            )

    def _position_fields(self, next_offset: int) -> dict[str, str]:
        return {
            NEXT_FIELD: str(next_offset),
            INCARNATION_FIELD: str(self.incarnation),
            TOPIC_ID_FIELD: self.topic_id,
            LAST_FIELD: self.last,
            LINEAGE_FIELD: str(self.lineage),
            FOLDING_FIELD: self._folding,
            UPDATED_AT_FIELD: str(time.time_ns() // 1_000_000),
        }

    def _where(self) -> str:
        return f"partition {self.partition} of {self.topic.name}"
