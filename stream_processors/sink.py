"""The only code that writes to Redis: claims of partitions, and chunks of writes fenced by epoch.

A chunk is one script call. It compares the partition's epoch first and then writes; all its keys
share the partition's hash tag, so this holds on a single node and on Redis Cluster alike. A script
blocks Redis and every reader with it, so a chunk is kept under about a millisecond.
"""

import asyncio
import time
from collections.abc import Iterable
from itertools import chain
from typing import Any

import structlog
from redis.exceptions import NoScriptError

from contracts.commands import Commands, command, pack
from contracts.keyspace import (
    EPOCH_FIELD,
    INCARNATION_FIELD,
    LINEAGE_FIELD,
    NEXT_FIELD,
    TOPIC_ID_FIELD,
    UPDATED_AT_FIELD,
    Keyspace,
    source_field,
)
from contracts.topics import QUOTES, Topic
from runtime.stores import UNAVAILABLE, AsyncStore
from stream_processors import metrics
from stream_processors.commands import COST_OF_A_MS, chunks
from stream_processors.marks import incarnation_and_offset, mark
from stream_processors.patience import Patience
from stream_processors.positions import Claim, epoch_of, sources_of, where_to_resume
from stream_processors.scripts import CLAIM, READ, SHA, WRITE
from stream_processors.transport import LogBounds

log = structlog.get_logger()


class FencedError(RuntimeError):
    """Another worker was assigned the partition: nothing was written."""


class StoreLostError(RuntimeError):
    """The store no longer has the position that this worker left there."""


class Sink:
    """Claims partitions and writes what they fold, to one store."""

    def __init__(self, store: AsyncStore, keyspace: Keyspace) -> None:
        self.store = store
        self.keyspace = keyspace
        self._patiently = Patience("store", lambda error: isinstance(error, UNAVAILABLE))
        self._told_unpublished = False

    async def claim(self, topic: Topic, topic_id: str, partition: int, bounds: LogBounds) -> Claim:
        """Raise the partition's epoch and decide where to resume; say so if not at the position."""
        key = self.keyspace.position(topic, partition)
        position = await self._patiently(self._raise_epoch, key)
        resume = where_to_resume(position, bounds, topic_id)
        claim = Claim(
            topic=topic,
            partition=partition,
            epoch=epoch_of(position),
            incarnation=resume.incarnation,
            next_offset=resume.next_offset,
            topic_id=topic_id,
            lineage=int(position.get(LINEAGE_FIELD, position[EPOCH_FIELD])),
            stored_next=position.get(NEXT_FIELD, ""),
            sources={p: _mark(value) for p, value in sources_of(position).items()},
        )
        if resume.started_over and bounds.end > 0:
            metrics.STARTED_OVER.labels(resume.started_over).inc()
            log.warning(
                "folding a partition from the log's beginning",
                why=resume.started_over,
                topic=topic.name,
                partition=partition,
                position=position.get(NEXT_FIELD),
                log_end=bounds.end,
                incarnation=claim.incarnation,
            )
        if resume.missing:
            metrics.GAP.labels(topic.name).inc(resume.missing)
            log.error(
                "the log no longer reaches back to the position: records are missing",
                topic=topic.name,
                partition=partition,
                missing=resume.missing,
                earliest=bounds.earliest,
            )
        await self.write(claim, [], claim.next_offset)
        return claim

    async def write(
        self,
        claim: Claim,
        groups: Iterable[Commands],
        next_offset: int,
        sources: dict[int, int] | None = None,
    ) -> None:
        """Write the values and then the position, in chunks; waits out a store that is away.

        Args:
            claim: brought up to date when all is written.
            groups: commands that belong together: either all of a group are done or none.
            next_offset: the new position.
            sources: of cooccurrences: what is applied of each source partition, if it changed.

        Raises:
            FencedError: the partition was assigned to another worker; nothing more was written.
            StoreLostError: the store has another position than this worker left there.
        """
        sources = claim.sources if sources is None else sources
        await self._write_values(claim, groups, next_offset)
        key = self.keyspace.position(claim.topic, claim.partition)
        position = command("HSET", key, _position_fields(claim, next_offset, sources))
        await self._patiently(self._write_chunk, claim, position, next_offset)
        claim.next_offset, claim.stored_next = next_offset, str(next_offset)
        claim.sources = sources

    async def _write_values(
        self, claim: Claim, groups: Iterable[Commands], next_offset: int
    ) -> None:
        """Write the values, each chunk while the one before it is being done."""
        channel = self.keyspace.bars_changed(claim.partition) if claim.topic == QUOTES else ""
        before: asyncio.Future[None] | None = None
        for chunk in chunks(groups, COST_OF_A_MS):
            writing = asyncio.ensure_future(
                self._patiently(self._write_chunk, claim, chunk, next_offset, channel)
            )
            try:
                await (before or asyncio.sleep(0))  # it is sent meanwhile
            except BaseException:
                writing.cancel()
                raise
            before = writing
        if before:
            await before

    async def next_offset(self, topic: Topic, partition: int) -> int:
        """Return the position that Redis has, 0 if it has none."""
        position = await self.hash_of(self.keyspace.position(topic, partition))
        return int(position.get(NEXT_FIELD, 0))

    async def lineage(self, topic: Topic, partition: int) -> int | None:
        """Return the lineage that Redis has of a partition, None if it has none."""
        position = await self.hash_of(self.keyspace.position(topic, partition))
        return int(position[LINEAGE_FIELD]) if LINEAGE_FIELD in position else None

    async def hash_of(self, key: str) -> dict[str, str]:
        """Return a hash, empty if there is none; waits out a store that is away."""
        fields: dict[str, str] = await self._patiently(self.store.hgetall, key)  # type: ignore[arg-type]
        return fields

    async def read(
        self,
        claim: Claim,
        groups: Iterable[Commands],
        *,
        cost: int | None = None,
        still_mine: bool = False,
    ) -> list[Any]:
        """Return the answer to each command; waits out a store that is away.

        Args:
            claim: of the partition that has the keys.
            groups: commands that change nothing.
            cost: that one script call may have; less where answers are greater than questions.
            still_mine: check that the position is as this worker left it. Whoever publishes what
                follows from an answer needs this: only writes are fenced, and an answer of a store
                that lost its data would be believed.

        Raises:
            FencedError: the partition was assigned to another worker.
            StoreLostError: the store has another position than this worker left there.
        """
        answers: list[Any] = []
        for chunk in chunks(groups, cost or COST_OF_A_MS):
            more, (epoch, stored_next) = await self._patiently(self._run, READ, claim, pack(chunk))
            if still_mine:
                _check_position(claim, epoch or "", stored_next or "", expected=claim.stored_next)
            answers += more
        return answers

    async def _raise_epoch(self, key: str) -> dict[str, str]:
        now_us = time.time_ns() // 1_000
        flat = await self.store.eval(CLAIM, 1, key, now_us)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _write_chunk(
        self, claim: Claim, chunk: Commands, next_offset: int, channel: str = ""
    ) -> None:
        """Write a chunk, and publish it on a channel of the partition's slot if there is one."""
        done, *said = await self._run(
            WRITE, claim, claim.epoch, claim.stored_next, pack(chunk), channel
        )
        if not done:
            # Unless it had been written before, and only its answer was lost.
            _check_position(claim, *said, expected=str(next_offset))
        elif said != [""]:
            self._tell_unpublished(channel, *said)

    def _tell_unpublished(self, channel: str, error: str) -> None:
        metrics.UNPUBLISHED.inc()
        if not self._told_unpublished:
            self._told_unpublished = True
            log.warning(
                "bars are written but not published, so live streams stand still: Redis 7 or "
                "newer is needed, and a user who may publish on the channel",
                channel=channel,
                error=error,
            )

    async def _run(self, script: str, claim: Claim, *arguments: str | int | bytes) -> Any:
        """Call a script on a partition: its position is the key that says where in a cluster."""
        position = self.keyspace.position(claim.topic, claim.partition)
        try:
            return await self.store.evalsha(SHA[script], 1, position, *arguments)
        except NoScriptError:
            return await self.store.eval(script, 1, position, *arguments)


def _check_position(claim: Claim, epoch: str, stored_next: str, *, expected: str) -> None:
    """Return if the store has the claim's epoch, and the expected position.

    Raises:
        FencedError: another worker claimed the partition.
        StoreLostError: the store went back to an earlier state, or lost all.
    """
    where = f"partition {claim.partition} of {claim.topic.name}"
    if epoch and int(epoch) > claim.epoch:
        metrics.FENCED.inc()
        raise FencedError(f"{where} is at epoch {epoch}, this worker's was {claim.epoch}")
    if epoch != str(claim.epoch) or stored_next != expected:
        raise StoreLostError(
            f"{where}: this worker left epoch {claim.epoch} and next {claim.stored_next} in its "
            f"position, now Redis has {epoch or 'none'} and {stored_next or 'none'}: it lost data. "
            "The worker ends; started again, it goes on from what Redis has"
        )


def _position_fields(claim: Claim, next_offset: int, sources: dict[int, int]) -> list[str]:
    fields = {
        NEXT_FIELD: str(next_offset),
        INCARNATION_FIELD: str(claim.incarnation),
        TOPIC_ID_FIELD: claim.topic_id,
        LINEAGE_FIELD: str(claim.lineage),
        UPDATED_AT_FIELD: str(time.time_ns() // 1_000_000),
    }
    for source, applied in sources.items():
        incarnation, offset = incarnation_and_offset(applied)
        fields[source_field(source)] = f"{incarnation}:{offset}"
    return list(chain(*fields.items()))


def _mark(value: str) -> int:
    incarnation, offset = value.split(":")
    return mark(int(incarnation), int(offset))
