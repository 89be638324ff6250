"""How far the archive's tables go: the positions in a snapshot's summary. Pure.

An Iceberg commit is one snapshot: its rows and the positions after them take effect together, or
not at all. Every snapshot that we make carries the positions of all partitions. So do the table's
properties, for when another engine has rewritten the files and then expired our snapshots.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from contracts.archive import ArchiveTable
from contracts.log_position import LogPosition

POSITIONS_PROPERTY: Final = "tickrec.positions"
"""JSON: partition -> `Position`."""
ROWS_PROPERTY: Final = "tickrec.rows"
"""Of a table: how many rows it has at the positions in its properties; these hold for no others."""
RANGES_PROPERTY: Final = "tickrec.ranges"
"""JSON: partition -> `Range`, of what a snapshot added; none if it only rewrote what was there."""


class Position(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where a partition resumes in the log."""

    topic_id: str
    """Kafka's id of the topic: a recreated one has another"""
    log: int
    """0 for the first log of a partition, one more each time its offsets started over"""
    next: int
    """the offset after the last record that the table covers"""
    counts: tuple[int, ...] = ()
    """the numbers of partitions the topic has had while this one was read: a record may belong here
    by any of them"""

    @property
    def place(self) -> LogPosition:
        """The position without its topic; the archive counts logs by itself."""
        return LogPosition(self.log, self.next)


class Range(msgspec.Struct, frozen=True, gc=False):
    """Which records of a partition a snapshot added: `start <= offset < end`."""

    log: int
    start: int
    end: int


class Moved(NamedTuple):
    """A step of a partition: valid only where the table's position is still `before`."""

    before: Position | None
    """None: the table has nothing of the partition"""
    start: int
    """the first offset that was read; above `before.next` where the log had dropped records"""
    after: Position

    def added(self) -> Range:
        """Return the records of the step.

        >>> Moved(Position("a", 0, 7), 7, Position("a", 0, 9)).added()
        Range(log=0, start=7, end=9)
        """
        return Range(self.after.log, self.start, self.after.next)


Positions = Mapping[int, Position]
"""partition -> position"""


class PositionsError(RuntimeError):
    """Positions of a table are missing, or cannot be read."""


class MovedOnError(RuntimeError):
    """A table's position is not the one from which a step begins: another process wrote."""

    def __init__(self, partitions: Mapping[int, tuple[Position | None, Position | None]]) -> None:
        """Take partition -> the position that the step begins from, and that of the table."""
        self.partitions = partitions
        described = "; ".join(
            f"partition {p}: begins from {_described(ours)}, the table is at {_described(theirs)}"
            for p, (ours, theirs) in sorted(partitions.items())
        )
        super().__init__(f"the table has moved on: {described}")


_decode: Final = msgspec.json.Decoder(dict[int, Position]).decode


def encode_positions(positions: Positions) -> str:
    """Return positions as stored in a summary.

    >>> encode_positions({0: Position("AAB", 0, 17)})
    '{"0":{"topic_id":"AAB","log":0,"next":17}}'
    """
    return msgspec.json.encode({p: positions[p] for p in sorted(positions)}).decode()


def decode_positions(text: str) -> dict[int, Position]:
    """Return the positions of a summary.

    Raises:
        PositionsError: they cannot be decoded.
    """
    try:
        return _decode(text)
    except msgspec.MsgspecError as error:
        raise PositionsError(f"{POSITIONS_PROPERTY} is {text!r:.200}: {error}") from None


def encode_ranges(moved: Mapping[int, Moved]) -> str:
    """Return what a snapshot adds, as stored in its summary."""
    return msgspec.json.encode({p: moved[p].added() for p in sorted(moved)}).decode()


def stepped(positions: Positions, moved: Mapping[int, Moved]) -> dict[int, Position]:
    """Return the positions after a step of some partitions.

    Raises:
        MovedOnError: a partition is not where its step begins; nothing may be written then.
    """
    elsewhere = {
        p: (before, positions.get(p))
        for p, (before, _, _) in moved.items()
        if positions.get(p) != before
    }
    if elsewhere:
        raise MovedOnError(elsewhere)
    return {**positions, **{p: step.after for p, step in moved.items()}}


def positions_in(
    table: ArchiveTable,
    summaries: Sequence[Mapping[str, str]],
    properties: Mapping[str, str],
    rows: int | None,
) -> dict[int, Position]:
    """Return a table's positions.

    Others that rewrite the table leave no positions: those of the snapshot before still hold.

    Args:
        table: for the error.
        summaries: of its snapshots, the current one first.
        properties: of the table: they count if none of our snapshots is left.
        rows: how many it has; None if that is unknown.

    Raises:
        PositionsError: there are snapshots, but no positions: where to resume is unknown.
    """
    for summary in summaries:
        if (text := summary.get(POSITIONS_PROPERTY)) is not None:
            return decode_positions(text)
    if not summaries:
        return {}
    if rows is not None and properties.get(ROWS_PROPERTY) == str(rows):
        return decode_positions(properties[POSITIONS_PROPERTY])
    raise PositionsError(
        f"no snapshot of table {table.name} has {POSITIONS_PROPERTY}, and its properties have none "
        f"for {rows} rows, so how far it goes is unknown: roll the table back to a snapshot of the "
        "archive's, or drop the table"
    )


def _described(position: Position | None) -> str:
    return "nothing" if position is None else f"{position.next} of log {position.log}"
