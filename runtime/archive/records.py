"""The rows of a table as the records that they were. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.archive import (
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    PLACE,
    QUOTES_TABLE,
    ArchiveTable,
)
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.tombstones import Tombstone, encode_tombstone
from runtime.archive.rows import Rows

Fields = Mapping[str, Any]
"""A row's columns but for its place in the log; times in epoch ms."""


class ArchivedRecord(NamedTuple):
    """A record."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def _quote(fields: Fields) -> ArchivedRecord:
    quote = Quote(**fields)
    return ArchivedRecord(key_of(quote), encode(quote))


def _interaction(fields: Fields) -> ArchivedRecord:
    if fields["event"] == ERASED:
        tombstone = Tombstone(fields["user_id"], fields["last_event_before"], fields["erased_at"])
        key, headers = encode_tombstone(tombstone)
        return ArchivedRecord(key, None, headers)
    event = Interaction(**{name: fields[name] for name in Interaction.__struct_fields__})
    return ArchivedRecord(key_of(event), encode(event))


def _feedback(fields: Fields) -> ArchivedRecord:
    feedback = Feedback(**fields)
    return ArchivedRecord(feedback_key(feedback), encode_feedback(feedback))


_RECORD: Final[Mapping[str, Callable[[Fields], ArchivedRecord]]] = {
    QUOTES_TABLE.name: _quote,
    INTERACTIONS_TABLE.name: _interaction,
    FEEDBACK_TABLE.name: _feedback,
}


def records_of(table: ArchiveTable, rows: Rows) -> Iterator[ArchivedRecord]:
    """Yield the record of each row of `quotes`, `interactions` or `feedback`."""
    names = [column.name for column in table.columns if column.name not in PLACE]
    record = _RECORD[table.name]
    for values in zip(*(rows.columns[name] for name in names), strict=True):
        yield record(dict(zip(names, values, strict=True)))
