"""The only code that writes to Redis: claims of partitions, and chunks of writes fenced by epoch.

A chunk is one script call. It compares the partition's epoch first and then writes; all its keys
share the partition's hash tag, so this holds on a single node and on Redis Cluster alike. A script
blocks Redis and every reader with it, so a chunk is kept under about a millisecond.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from redis.exceptions import NoScriptError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

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
from contracts.topics import Topic
from runtime.stores import UNAVAILABLE, AsyncStore
from stream_processors import metrics
from stream_processors.marks import incarnation_and_offset, mark
from stream_processors.positions import Claim, epoch_of, sources_of, where_to_resume
from stream_processors.transport import LogBounds

log = structlog.get_logger()

Answer = TypeVar("Answer")
Argument = str | int | float | bytes

# An epoch is also a time, so that a store which lost its data never gives the same one again.
_CLAIM: Final = f"""
local stored = tonumber(redis.call('HGET', KEYS[1], '{EPOCH_FIELD}') or 0)
redis.call('HSET', KEYS[1], '{EPOCH_FIELD}', math.max(stored + 1, tonumber(ARGV[1])))
return redis.call('HGETALL', KEYS[1])
"""
# Writes nothing unless epoch and position are those that the worker left; returns both.
# Lua cannot unpack much more than 4,000 at once; even, so that no HSET pair is split.
_WRITE: Final = f"""
local stored = redis.call('HMGET', KEYS[1], '{EPOCH_FIELD}', '{NEXT_FIELD}')
if stored[1] ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then
  return {{0, stored[1] or '', stored[2] or ''}}
end
local at = 3
while at <= #ARGV do
  local command, key, count = ARGV[at], KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
  local first, last = at + 3, at + 2 + count
  for from = first, last, 4000 do
    redis.call(command, key, unpack(ARGV, from, math.min(from + 3999, last)))
  end
  at = last + 1
end
return {{1}}
"""
_WRITE_SHA: Final = hashlib.sha1(_WRITE.encode(), usedforsecurity=False).hexdigest()

# A chunk's cost, in arguments: what Redis needs a millisecond for.
_CHUNK_COST: Final = 2_500
_OPERATION_COST: Final = 4


class FencedError(RuntimeError):
    """Another worker was assigned the partition: nothing was written."""


class StoreLostError(RuntimeError):
    """The store no longer has the position that this worker left there."""


class Operation(NamedTuple):
    """One Redis command on one key of a partition."""

    command: str
    key: str
    arguments: Sequence[Argument]


class Sink:
    """Claims partitions and writes what they fold, to one store."""

    def __init__(self, store: AsyncStore, keyspace: Keyspace) -> None:
        self.store = store
        self.keyspace = keyspace

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
        groups: Iterable[Sequence[Operation]],
        next_offset: int,
        sources: dict[int, int] | None = None,
    ) -> None:
        """Write the values and then the position, in chunks; waits out a store that is away.

        Args:
            claim: brought up to date when all is written.
            groups: operations that belong together: either all of a group are done or none.
            next_offset: the new position.
            sources: of cooccurrences: what is applied of each source partition, if it changed.

        Raises:
            FencedError: the partition was assigned to another worker; nothing more was written.
            StoreLostError: the store has another position than this worker left there.
        """
        sources = claim.sources if sources is None else sources
        position = Operation(
            "HSET",
            self.keyspace.position(claim.topic, claim.partition),
            _position_fields(claim, next_offset, sources),
        )
        for chunk in _chunks(chain(groups, [[position]])):
            await self._patiently(self._write_chunk, claim, chunk, next_offset)
        claim.next_offset, claim.stored_next = next_offset, str(next_offset)
        claim.sources = sources

    async def next_offset(self, topic: Topic, partition: int) -> int:
        """Return the position that Redis has, 0 if it has none."""
        key = self.keyspace.position(topic, partition)
        answer = (await self.read([("HGET", key, NEXT_FIELD)]))[0]
        return int(answer or 0)

    async def lineage(self, topic: Topic, partition: int) -> int | None:
        """Return the lineage that Redis has of a partition, None if it has none."""
        key = self.keyspace.position(topic, partition)
        answer = (await self.read([("HGET", key, LINEAGE_FIELD)]))[0]
        return None if answer is None else int(answer)

    async def read(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Return the answer to each command, sent in one go; waits out a store that is away."""
        return await self._patiently(self._pipelined, commands)

    async def read_claimed(self, claim: Claim, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """As `read`, of a partition whose position is still as this worker left it.

        Whoever publishes what follows from an answer needs this: only writes are fenced, and an
        answer of a store that lost its data would be believed.

        Raises:
            FencedError: the partition was assigned to another worker.
            StoreLostError: the store has another position than this worker left there.
        """
        key = self.keyspace.position(claim.topic, claim.partition)
        position = ("HMGET", key, EPOCH_FIELD, NEXT_FIELD)
        # Asked last: whatever was lost before or between the answers shows in it.
        *answers, (epoch, stored_next) = await self.read([*commands, position])
        _check_position(claim, epoch or "", stored_next or "", expected=claim.stored_next)
        return answers

    async def _pipelined(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        async with self.store.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute()
        return answers

    async def _raise_epoch(self, key: str) -> dict[str, str]:
        flat = await self._eval(_CLAIM, [key], [time.time_ns() // 1_000_000])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _write_chunk(
        self, claim: Claim, chunk: Sequence[Operation], next_offset: int
    ) -> None:
        position = self.keyspace.position(claim.topic, claim.partition)
        keys, arguments = _packed(position, chunk)
        arguments = [claim.epoch, claim.stored_next, *arguments]
        try:
            done, *stored = await self.store.evalsha(_WRITE_SHA, len(keys), *keys, *arguments)
        except NoScriptError:
            done, *stored = await self._eval(_WRITE, keys, arguments)
        if not done:
            # Unless it had been written before, and only its answer was lost.
            _check_position(claim, *stored, expected=str(next_offset))

    async def _eval(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        return await self.store.eval(script, len(keys), *keys, *arguments)

    async def _patiently(self, call: Callable[..., Awaitable[Answer]], *arguments: Any) -> Answer:
        """Call, again and again while the store is away."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UNAVAILABLE),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=_say,
        ):
            with attempt:
                return await call(*arguments)
        raise AssertionError("tenacity retries without end")


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


def _say(state: RetryCallState) -> None:
    if state.attempt_number % 10 == 1 and state.outcome:
        log.warning("the store is away, trying again", error=str(state.outcome.exception()))


def _position_fields(claim: Claim, next_offset: int, sources: dict[int, int]) -> list[Argument]:
    fields: list[Argument] = [
        NEXT_FIELD,
        next_offset,
        INCARNATION_FIELD,
        claim.incarnation,
        TOPIC_ID_FIELD,
        claim.topic_id,
        LINEAGE_FIELD,
        claim.lineage,
        UPDATED_AT_FIELD,
        time.time_ns() // 1_000_000,
    ]
    for source, applied in sources.items():
        incarnation, offset = incarnation_and_offset(applied)
        fields += (source_field(source), f"{incarnation}:{offset}")
    return fields


def _mark(value: str) -> int:
    incarnation, offset = value.split(":")
    return mark(int(incarnation), int(offset))


def _chunks(groups: Iterable[Sequence[Operation]]) -> Iterator[list[Operation]]:
    """Cut groups into chunks of about `_CHUNK_COST`; a greater group goes alone."""
    chunk: list[Operation] = []
    cost = 0
    for group in groups:
        its_cost = sum(_OPERATION_COST + len(operation.arguments) for operation in group)
        if chunk and cost + its_cost > _CHUNK_COST:
            yield chunk
            chunk, cost = [], 0
        chunk += group
        cost += its_cost
    if chunk:
        yield chunk


def _packed(position: str, chunk: Sequence[Operation]) -> tuple[list[str], list[Argument]]:
    """Return the script's KEYS, the position first, and the operations as arguments."""
    places = {position: 1}
    arguments: list[Argument] = []
    for operation in chunk:
        place = places.setdefault(operation.key, len(places) + 1)
        arguments += (operation.command, place, len(operation.arguments))
        arguments += operation.arguments
    return list(places), arguments
