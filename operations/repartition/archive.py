"""Records that Kafka has deleted and the archive has: a copy starts with these.

An archived row has the offset of its record, so a copy resumes among the rows as in a log, and each
is copied once.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from pyiceberg.table import Table

from contracts.archive import FEEDBACK_TABLE, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from contracts.topics import Topic
from operations.repartition.progress import Copied, CopyError, Offsets
from runtime.archive.catalog import ArchiveError, is_passing
from runtime.archive.config import ArchiveConfig
from runtime.archive.positions import PositionsError
from runtime.archive.records import ArchivedRecord, Span, records_of, sorted_rows
from runtime.archive.tables import positions_of, read_table
from runtime.kafka.broker import Admin

_TABLES: Final[Mapping[Topic, ArchiveTable]] = {
    table.topic: table for table in (QUOTES_TABLE, INTERACTIONS_TABLE, FEEDBACK_TABLE)
}
_CALL_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """Some records of a partition of an old topic, in log order."""

    partition: int
    records: list[ArchivedRecord]
    next_offset: int
    """after the last of them"""


@dataclass(frozen=True, slots=True)
class CopyArchive:
    """The archive of the old topics."""

    config: ArchiveConfig
    client: Admin

    @property
    def topics(self) -> Collection[Topic]:
        """The topics that are archived."""
        return _TABLES.keys()

    def missing(self, topic: Copied, begin: Offsets, earliest: Offsets) -> Iterator[Part]:
        """Yield the rows of a topic's table from `begin` on, before `earliest`.

        Raises:
            CopyError: the table is missing, cannot be read, or is that of another topic.
        """
        wanted = {
            one[1]: range(begin[one], earliest[one])
            for one in topic.old_partitions()
            if begin[one] < earliest[one]
        }
        if not wanted or topic.topic not in _TABLES:
            return
        table = _TABLES[topic.topic]
        try:
            found = read_table(self.config, table)
            if reached := self._reached(found, table, topic, wanted):
                yield from _parts(found, table, reached)
        except (ArchiveError, PositionsError) as error:
            raise CopyError(str(error)) from None
        except Exception as error:
            if not is_passing(error):
                raise
            raise CopyError(f"the archive cannot be read: {error}") from error

    def _reached(
        self, found: Table, table: ArchiveTable, topic: Copied, wanted: Mapping[int, range]
    ) -> dict[int, range]:
        """Return which of the wanted offsets the table covers.

        Raises:
            CopyError: its offsets are from another log.
        """
        positions, topic_id = positions_of(found, table), self._topic_id(topic.old_name)
        reached = {}
        for partition, offsets in wanted.items():
            if (position := positions.get(partition)) is None:
                continue
            if position.topic_id != topic_id or position.log:
                raise CopyError(
                    f"{topic.old_name} was recreated since the archive began, so its offsets do "
                    "not identify the archive's rows: fill the new topics by `python -m "
                    "producers replay --from-archive`"
                )
            if offsets.start < position.next:
                reached[partition] = range(offsets.start, min(offsets.stop, position.next))
        return reached

    def _topic_id(self, name: str) -> str:
        answers = self.client.describe_topics(TopicCollection([name]), request_timeout=_CALL_S)
        try:
            return str(answers[name].result().topic_id)
        except KafkaException as error:
            raise CopyError(f"Kafka does not describe {name}: {error}") from None


def _parts(found: Table, table: ArchiveTable, wanted: Mapping[int, range]) -> Iterator[Part]:
    """Yield the records at some offsets of some partitions, and the end of each."""
    with sorted_rows(found, table, Span(), "log") as (_, batches):
        for rows in batches:
            places = zip(rows.columns["partition"], rows.columns["offset"], strict=True)
            records = zip(places, records_of(table, rows), strict=True)
            for partition, its in groupby(records, lambda one: one[0][0]):
                offsets = wanted.get(partition, range(0))
                own = [(offset, record) for (_, offset), record in its if offset in offsets]
                if own:
                    yield Part(partition, [record for _, record in own], own[-1][0] + 1)
    for partition, offsets in wanted.items():
        yield Part(partition, [], offsets.stop)
