"""The only code that writes values to Redis: chunked flushes of a claimed partition.

A chunk is one script call. It checks the partition's epoch and position before it writes; all its
keys share the partition's hash tag, so this works on a single node and on Redis Cluster. A script
blocks Redis and all its readers, so a chunk takes at most about a millisecond. So do reads: a
script stops when it has read enough, and is called again.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final

from contracts.changed_bars import encode_changed_bars
from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    CLOSED_FIELD,
    EPOCH_FIELD,
    FOLDING_FIELD,
    INCARNATION_FIELD,
    LAST_FIELD,
    LINEAGE_FIELD,
    NEXT_FIELD,
    NOT_WHOLE_YET_S,
    TOPIC_ID_FIELD,
    UPDATED_AT_FIELD,
    WHOLE_FIELD,
)
from contracts.topics import QUOTES, Topic
from stream_processors import metrics
from stream_processors.store.chunks import Chunk, Group, Groups, chunks, each_part, pack
from stream_processors.store.index import index_of
from stream_processors.store.marks import Applied, applied_of, fields_of
from stream_processors.store.scripts import COMMIT, READ, WRITE
from stream_processors.store.store import Position, Store

NO_MINUTE_CLOSED_S: Final = -60
"""The minute before all others, epoch s."""
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
        last: str = "",
        may_miss_records: bool = False,
    ) -> None:
        """Take the position as `Store.fence` returned it, and where to resume.

        With `may_miss_records`, data is incomplete before the next record to be read.
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
        self.sources = applied_of(position)
        """of counts: source partition -> up to where its changes are in Redis"""
        self.closed_s = int(position.get(CLOSED_FIELD, NO_MINUTE_CLOSED_S))
        """of quotes: start of the newest minute, epoch s, whose bars were published at the claim"""
        self.whole_s = NOT_WHOLE_YET_S if may_miss_records else int(position.get(WHOLE_FIELD, 0))
        """of quotes, as `contracts.keyspace.WHOLE_FIELD`"""
        self.keyspace = store.keyspace
        self._store = store
        self._epoch = position[EPOCH_FIELD]
        self._stored_next = position.get(NEXT_FIELD, "")
        self._folding = folding
        self._key = store.keyspace.position(topic, partition)
        self._index = index_of(store.keyspace, topic, partition) or self._key

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
            self._check(answer, expected=self._stored_next)
            _, its_answers, n = answer
            answers += its_answers
            first, at_once = first + n, 2 * n
        return answers

    async def write(
        self,
        groups: Groups,
        next_offset: int,
        *,
        last: str | None = None,
        sources: Mapping[int, Applied] | None = None,
        channel: str = "",
        closed_s: int | None = None,
    ) -> None:
        """Write the values and then the position, in chunks.

        Args:
            groups: each is applied atomically.
            next_offset: the new position.
            last: as the attribute, if it changed.
            sources: as the attribute, if it changed.
            channel: for the groups' `published` rows.
            closed_s: of quotes, as `contracts.keyspace.CLOSED_FIELD`.

        Raises:
            FencedError: the partition was assigned to another worker; nothing more was written.
            StoreWentBackError, StoreEmptiedError: the store lost earlier writes.
        """
        flush = f"{self._epoch}:{next_offset}"
        n = await self._write_chunks(groups, flush, next_offset, channel)
        self.last = self.last if last is None else last
        self.sources = dict(self.sources if sources is None else sources)
        fields = self._position_fields(next_offset, closed_s)
        answer = await self._run(COMMIT, [], n, flush, *fields)
        if answer[0] == -1:
            raise StoreWentBackError(f"{self._where()}: chunk {answer[1]} of a flush is missing")
        self._check(answer, expected=str(next_offset))
        self.next_offset, self._stored_next = next_offset, str(next_offset)

    async def _write_chunks(
        self, groups: Groups, flush: str, next_offset: int, channel: str
    ) -> int:
        """Write the values, sending each next chunk while one is being written; return how many."""
        n = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for some in each_part(groups):
                for chunk in chunks(some, self._store.chunk_cost):
                    n += 1
                    field = f"{CHUNK_FIELD_PREFIX}{n}"
                    before, writing = (
                        writing,
                        asyncio.ensure_future(
                            self._write_chunk(chunk, field, flush, next_offset, channel)
                        ),
                    )
                    await (before or asyncio.sleep(0))  # the new one is sent during that
            if writing:
                await writing
        except BaseException:
            if writing:
                writing.cancel()
            raise
        return n

    async def _write_chunk(
        self, chunk: Chunk, field: str, flush: str, next_offset: int, channel: str
    ) -> None:
        message = encode_changed_bars(chunk.published) if channel else b""
        answer = await self._run(
            WRITE, chunk.keys, field, flush, pack(chunk.commands), channel, message
        )
        self._check(answer, expected=str(next_offset))
        if answer[0] and answer[1]:
            self._store.report_unpublished(channel, answer[1])

    async def _run(self, script: str, keys: list[str], *arguments: str | int | bytes) -> Any:
        """Call a script that checks epoch and position first."""
        return await self._store.patiently(
            self._store.run,
            script,
            [self._key, self._index, *keys],
            self._epoch,
            self._stored_next,
            *arguments,
        )

    def _check(self, answer: list[Any], *, expected: str) -> None:
        """Check that a script found epoch and position as this worker left them.

        The expected new position is fine, too: then only a reply was lost.

        Raises:
            FencedError, StoreEmptiedError, StoreWentBackError: what it found instead.
        """
        if answer[0] == 1:
            return
        _, epoch, stored_next = answer
        if not epoch:
            raise StoreEmptiedError(
                f"{self._where()}: Redis lost its data. The worker ends; run `python -m "
                "operations.topics` and restart it: it folds the log from its beginning"
            )
        if int(epoch) > int(self._epoch):
            metrics.FENCED.inc()
            raise FencedError(f"{self._where()} is at epoch {epoch}, ours was {self._epoch}")
        if epoch != self._epoch or stored_next != expected:
            raise StoreWentBackError(
                f"{self._where()}: this worker left epoch {self._epoch} and next "
                f"{self._stored_next or 'none'}, now Redis has {epoch} and {stored_next or 'none'}"
            )

    def _position_fields(self, next_offset: int, closed_s: int | None) -> Iterable[str]:
        fields = {
            NEXT_FIELD: str(next_offset),
            INCARNATION_FIELD: str(self.incarnation),
            TOPIC_ID_FIELD: self.topic_id,
            LAST_FIELD: self.last,
            LINEAGE_FIELD: str(self.lineage),
            FOLDING_FIELD: self._folding,
            UPDATED_AT_FIELD: str(time.time_ns() // 1_000_000),
        }
        if closed_s is not None:
            fields[CLOSED_FIELD] = str(closed_s)
        if self.topic is QUOTES:
            fields[WHOLE_FIELD] = str(self.whole_s)
        fields |= fields_of(self.sources)
        return chain(*fields.items())

    def _where(self) -> str:
        return f"partition {self.partition} of {self.topic.name}"
