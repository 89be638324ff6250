"""Reads the topics and has their rows committed, until a stop is requested."""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import structlog

from archive import metrics
from archive.reading.broker import Broker, begin
from archive.reading.consumer import Batch, GroupConsumer, Partition
from archive.reading.records import Place, rows_of
from archive.service import Patience, State, StoppedError, is_retryable
from archive.settings import MIB, ArchiveSettings
from archive.stored_table import show_maintained
from archive.writing.table_writer import TableWriter
from runtime.kafka.broker import OpenTransactions

_POLL_S: Final = 0.1
_CONFIRM_EVERY_S: Final = 2.0
"""How often the topics' ids are checked: if a topic was recreated, what was read since then is
dropped, as it may be of either log."""
_LAG_EVERY_S: Final = 5.0
_MAINTAINED_EVERY_S: Final = 300.0
"""How often the tables are asked when they were last maintained, which another program does."""

log = structlog.get_logger(__name__)


class Archiver:
    """One process of the archive."""

    def __init__(
        self,
        settings: ArchiveSettings,
        writers: Iterable[TableWriter],
        broker: Broker,
        state: State,
        stop: threading.Event,
    ) -> None:
        self._settings, self._broker, self._state, self._stop = settings, broker, state, stop
        self._writers = {writer.table.topic.name: writer for writer in writers}
        self._rules = settings.input_rules()
        self._patiently = Patience(state, stop)
        self._to_begin: set[Partition] = set()
        """Partitions of ours to restart before reading on: part of what was read is gone."""
        self._confirmed_s = self._lag_s = time.monotonic()
        self._open_transactions = OpenTransactions[Partition]()
        self._maintained_s = -_MAINTAINED_EVERY_S
        self._consumer = GroupConsumer(settings.kafka, self._writers, self._assigned, self._revoked)

    def run(self) -> None:
        """Archive until a stop is requested; then commit what was read, and leave the group.

        Raises:
            ArchiveError: a table has unexpected columns or partitions.
            NotAllowedError: Kafka does not allow reading.
            Exception: as `is_retryable` knows it, if the last commit failed. Nothing is
                lost: the log still has what was not committed.
        """
        try:
            while not self._stop.is_set():
                self._read(_POLL_S)
                self._confirm_topics()
                for writer in self._due():
                    self._commit(writer)
                self._report()
            log.info("stops", buffered_bytes=self.buffered_bytes)
            for writer in self._writers.values():
                self._commit_confirmed(writer)
        except StoppedError as why:
            log.warning("stopped while it waited: the log has what is not committed", why=str(why))
        finally:
            self._consumer.close()

    @property
    def partitions(self) -> frozenset[Partition]:
        """Those that are read."""
        return frozenset(
            (topic, p) for topic, writer in self._writers.items() for p in writer.buffer.partitions
        )

    @property
    def buffered_bytes(self) -> int:
        """How many bytes the rows take that are read and not committed."""
        return sum(writer.buffer.nbytes for writer in self._writers.values())

    def _is_full(self) -> bool:
        return self.buffered_bytes >= self._settings.archive_buffer_mb * MIB

    def _due(self) -> list[TableWriter]:
        """Return the writers that are to commit now: all if memory is full."""
        interval_s = 0 if self._is_full() else self._settings.archive_flush_interval_s
        return [writer for writer in self._writers.values() if writer.is_due(interval_s)]

    def _commit(self, writer: TableWriter) -> None:
        """Commit when possible; until then, read on until memory is full."""
        self._begin(self._patiently(self._read_for, self._commit_confirmed, writer))

    def _commit_confirmed(self, writer: TableWriter, *, is_whole: bool = False) -> list[Partition]:
        """Commit what certainly belongs to the topic; return the partitions to restart.

        One commit, or as many as all of it takes if it is to be whole.
        """
        topic = writer.table.topic.name
        other = self._drop_unconfirmed([topic])
        refused = writer.commit_all() if is_whole else writer.commit()
        return other + [(topic, p) for p in refused if (topic, p) not in other]

    # Records.

    def _read(self, timeout_s: float) -> None:
        """Take what comes; nothing while memory is full."""
        self._consumer.pause(is_paused=self._is_full())
        read = self._consumer.read(timeout_s)
        self._state.beat()
        self._add(read.batches)
        for topic, _ in read.unreadable:
            metrics.REJECTED.labels(self._writers[topic].table.name).inc()
        if read.refused:
            self._begin_refused(read.refused)
        metrics.BUFFERED_BYTES.set(self.buffered_bytes)

    def _read_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and not self._stop.is_set():
            self._read(_POLL_S)

    def _add(self, batches: Sequence[Batch]) -> None:
        now_ms = time.time_ns() // 1_000_000
        for (topic, number), records in batches:
            writer = self._writers[topic]
            at = writer.buffer.position(number)
            if at is None or (topic, number) in self._to_begin:
                continue
            new = records
            if (records[0].offset() or 0) < at.next:
                # Records of a fetch from before the restart may still arrive.
                new = [record for record in records if (record.offset() or 0) >= at.next]
            if not new:
                continue
            rows = rows_of(writer.table, Place(at.log, number, at.counts), new, now_ms, self._rules)
            if rows.misplaced and (counts := self._counts_if_grown(writer, number, at.counts)):
                rows = rows_of(
                    writer.table, Place(at.log, number, counts), new, now_ms, self._rules
                )
            writer.buffer.add(number, rows.batch, (new[-1].offset() or 0) + 1)
            metrics.REJECTED.labels(writer.table.name).inc(rows.rejected)
            if rows.reason:
                place = {"topic": topic, "partition": number, "offset": new[0].offset()}
                log.warning("records rejected", **place, rejected=rows.rejected, reason=rows.reason)

    def _counts_if_grown(
        self, writer: TableWriter, number: int, counts: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """Return the numbers of partitions by which records are placed, if the topic got more."""
        topic = writer.table.topic.name
        partitions = self._patiently(self._wait, self._broker.partitions, topic)
        if partitions in counts:
            return None
        log.warning("a topic has another number of partitions", topic=topic, partitions=partitions)
        return writer.buffer.note_count(number, partitions).counts

    # Partitions.

    def _assigned(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        log.info("assigned", partitions=sorted(partitions))
        return self._begun(partitions)

    def _begin(self, partitions: Collection[Partition], *, is_refused: bool = False) -> None:
        """Restart partitions of ours from the table."""
        self._consumer.seek(self._begun(partitions, is_refused=is_refused))

    def _begin_refused(self, partitions: Collection[Partition]) -> None:
        """Begin partitions whose log has no record at the position.

        What was read of them is committed first: the log may no longer have it.
        """
        for topic in {topic for topic, _ in partitions}:
            writer = self._writers[topic]
            other = self._patiently(self._wait, self._commit_confirmed, writer, is_whole=True)
            self._begin([each for each in other if each not in partitions])
        self._begin(partitions, is_refused=True)

    def _begun(
        self, partitions: Collection[Partition], *, is_refused: bool = False
    ) -> dict[Partition, int]:
        numbers = defaultdict(list)
        for topic, number in partitions:
            numbers[topic].append(number)
        offsets: dict[Partition, int] = {}
        for topic, some in numbers.items():
            writer = self._writers[topic]
            found = self._patiently(
                self._wait, begin, writer, self._broker, some, is_refused=is_refused
            )
            offsets |= {(topic, number): offset for number, offset in found.items()}
        self._to_begin -= offsets.keys()
        self._state.has_begun = True
        return offsets

    def _wait(self, seconds: float) -> None:
        # No reading here: it would call back within a callback.
        self._state.beat()
        self._stop.wait(seconds)

    def _revoked(self, partitions: Collection[Partition], is_lost: bool) -> None:  # noqa: FBT001 (a call back)
        """Commit what was read of partitions before they go, if that can be done at once."""
        log.info("revoked", partitions=sorted(partitions), is_lost=is_lost)
        for topic in {topic for topic, _ in partitions}:
            try:
                if not is_lost:
                    # Of those that stay ours: they cannot begin during a rebalance.
                    self._to_begin.update(self._commit_confirmed(self._writers[topic]))
            except Exception as error:
                if not is_retryable(error):
                    raise
                log.warning("what was read is read again", topic=topic, why=str(error))
        self._to_begin.difference_update(partitions)
        for topic, number in partitions:
            writer = self._writers[topic]
            writer.buffer.drop(number)
            for gauge in (metrics.LAG, metrics.HELD_BACK, metrics.OPEN_TRANSACTION):
                gauge.remove(writer.table.name, str(number))

    # What the topics are.

    def _confirm_topics(self) -> None:
        """Note what was certainly read of the current topics."""
        if time.monotonic() - self._confirmed_s < _CONFIRM_EVERY_S:
            return
        self._confirmed_s = time.monotonic()
        other = self._patiently(self._wait, self._drop_unconfirmed, list(self._writers))
        self._begin(other)

    def _drop_unconfirmed(self, topics: Collection[str]) -> list[Partition]:
        """Return the partitions to restart; drop what may be of either log of a topic.

        What certainly belongs to the old log is committed. A missing topic begins when it is back,
        even if it is the same one, which the broker did not know for a moment.
        """
        ids = self._broker.topic_ids(topics)
        for topic in topics:
            buffer = self._writers[topic].buffer
            ours = {p: buffer.position(p) for p in buffer.partitions}
            if all(at is None or at.topic_id == ids.get(topic) for at in ours.values()):
                buffer.confirm()
                continue
            dropped = buffer.drop_unconfirmed()
            if topic in ids or dropped:
                log.error("a topic was recreated, or is gone", topic=topic, dropped=dropped)
            self._to_begin.update((topic, p) for p in ours)
            # All of it: the log that it is of is gone.
            self._writers[topic].commit_all()
        return [each for each in self._to_begin if each[0] in topics and each[0] in ids]

    def _report(self) -> None:
        self._report_maintained()
        if time.monotonic() - self._lag_s < _LAG_EVERY_S:
            return
        self._lag_s = time.monotonic()
        ends = self._consumer.ends()
        read = {(topic, p): self._read_to(topic, p) for topic, p in ends}
        held = {each: at.read for each, at in ends.items() if read[each] <= at.read < at.end}
        open_s = self._open_transactions.seconds(held, self._lag_s)
        for each, at in ends.items():
            lag = max(at.end - max(read[each], at.read), 0)
            labels = self._writers[each[0]].table.name, str(each[1])
            metrics.LAG.labels(*labels).set(lag)
            metrics.HELD_BACK.labels(*labels).set(lag if each in held else 0)
            metrics.OPEN_TRANSACTION.labels(*labels).set(open_s.get(each, 0))

    def _read_to(self, topic: str, number: int) -> int:
        at = self._writers[topic].buffer.position(number)
        return 0 if at is None else at.next

    def _report_maintained(self) -> None:
        if time.monotonic() - self._maintained_s < _MAINTAINED_EVERY_S:
            return
        self._maintained_s = time.monotonic()
        for writer in self._writers.values():
            try:
                show_maintained(writer.stored.checked(), writer.table)
            except Exception as error:
                if not is_retryable(error):
                    raise
                return  # the next commit says so as well, and an alert goes by what was read last
