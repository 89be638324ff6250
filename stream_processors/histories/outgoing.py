"""Splits changes of events into messages to each partition of `cooccurrences`. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.changes import EVENT_BYTES, ROW_BYTES, Blocks, TakenOut
from contracts.messages import Floats, Ints
from contracts.partitioning import are_in_row
from stream_processors.decoding.placement import ItemPartitions
from stream_processors.histories.fold import Change, Leaving

MESSAGE_BYTES: Final = 950_000
"""Size limit of a message at the widest numbers, to stay below Kafka's limit of 1 MB."""

PAIR_BYTES: Final = 4
"""Size charged for each entry of G that a leaving user changes: the message is short, but expensive
to read. So one message changes at most a quarter of a million, unless a single user changes
more."""


class Message(NamedTuple):
    """The content of one message."""

    own: Blocks
    mirrored: Blocks
    taken_out: Sequence[TakenOut]


def messages(
    changes: Sequence[Change | Leaving],
    partitions: ItemPartitions,
    enough_bytes: int,
    *,
    counts_holders: bool,
) -> list[Iterator[Message]]:
    """Return the messages to each partition, in the order in which they must be published.

    Args:
        changes: by ascending offset.
        partitions: where each item's row is.
        enough_bytes: a message of that size, at the widest numbers, gets no further offset. All
            changes of an offset in a partition are in one message.
        counts_holders: whether they include how many users have an item.
    """
    events = [change for change in changes if isinstance(change, Change)]
    leaving = [change for change in changes if isinstance(change, Leaving)]
    none = [Blocks.none()] * partitions.n
    own, mirrored = (
        _own_and_mirrored(_joined(events, counts_holders=counts_holders), partitions)
        if events
        else (none, none)
    )
    taken_out = _taken_out(leaving, partitions)
    return [
        _cut(Message(own[p], mirrored[p], taken_out[p]), enough_bytes) for p in range(partitions.n)
    ]


def _joined(events: Sequence[Change], *, counts_holders: bool) -> Blocks:
    """Return a block per event, with all pairs that the event changes."""
    return Blocks(
        offset=np.array([event.offset for event in events], np.int64),
        item=np.array([event.item for event in events], np.int64),
        rows=np.array([len(event.j) for event in events], np.int64),
        other=np.concatenate([event.j for event in events]),
        delta=np.concatenate([event.delta for event in events]),
        holders=np.array([event.holders for event in events]) if counts_holders else None,
    )


def _own_and_mirrored(
    whole: Blocks, partitions: ItemPartitions
) -> tuple[list[Blocks], list[Blocks]]:
    """Return each partition's share of the pairs in the row of the event's item, and of others."""
    is_own = are_in_row(np.repeat(whole.item, whole.rows), whole.other)
    own, mirrored = whole.entries_where(is_own), whole.entries_where(~is_own)
    mirrored = replace(mirrored, holders=None)
    of_own = np.repeat(partitions.of(own.item), own.rows)
    return (
        _shared_out(own, of_own, partitions.n),
        _shared_out(mirrored, partitions.of(mirrored.other), partitions.n),
    )


def _shared_out(whole: Blocks, partition: npt.NDArray[np.int16], n: int) -> list[Blocks]:
    """Return blocks of the entries of each of n partitions, (len(whole),)."""
    # Stable, so that within a partition each event's entries stay together, by ascending offset.
    order = np.argsort(partition, kind="stable")
    other, delta = whole.other[order], whole.delta[order]
    m = len(whole.rows)
    event = np.repeat(np.arange(m), whole.rows)
    rows = np.bincount(partition * np.int64(m) + event, minlength=n * m)
    shares: list[Blocks] = []
    start = 0
    for its in rows.reshape(n, m):
        some = np.flatnonzero(its)
        end = start + int(its.sum())
        shares.append(
            Blocks(
                whole.offset[some],
                whole.item[some],
                its[some],
                other[start:end],
                delta[start:end],
                whole.holders_where(some),
            )
        )
        start = end
    return shares


def _taken_out(leaving: Sequence[Leaving], partitions: ItemPartitions) -> list[list[TakenOut]]:
    """Return the leaving users who had items of each partition."""
    taken_out: list[list[TakenOut]] = [[] for _ in range(partitions.n)]
    for one in leaving:
        partition = partitions.of(one.item)
        for p in np.unique(partition).tolist():
            here = partition == p
            taken_out[p].append(
                TakenOut(one.offset, one.item[here], one.affinity[here], one.item, one.affinity)
            )
    return taken_out


def _cut(message: Message, enough_bytes: int) -> Iterator[Message]:
    """Yield messages, each starting at the offset where the previous one ended."""
    offset, size = _sizes(message)
    if not len(offset):
        return
    filled = np.cumsum(size)
    first = filled_before = 0
    while first < len(offset):
        last = int(np.searchsorted(filled, filled_before + enough_bytes))
        last = min(last, len(offset) - 1)
        yield _between(message, int(offset[first]), int(offset[last]))
        first, filled_before = last + 1, int(filled[last])


def _sizes(message: Message) -> tuple[Ints, Ints]:
    """Return each offset, ascending, and the maximum size of its changes in bytes.

    Leaving users count for more, see `PAIR_BYTES`.
    """
    leave = np.array([one.offset for one in message.taken_out], np.int64)
    leave_rows = np.array([len(one.i) + len(one.j) for one in message.taken_out], np.int64)
    offsets = np.concatenate([message.own.offset, message.mirrored.offset, leave])
    rows = np.concatenate([message.own.rows, message.mirrored.rows, leave_rows])
    distinct, which = np.unique(offsets, return_inverse=True)
    pairs = np.zeros(len(rows))
    pairs[len(rows) - len(leave) :] = [len(one) for one in message.taken_out]
    size = np.bincount(which, EVENT_BYTES + ROW_BYTES * rows + PAIR_BYTES * pairs, len(distinct))
    return distinct, size.astype(np.int64)


def _between(message: Message, first: int, last: int) -> Message:
    return Message(
        _blocks_between(message.own, first, last),
        _blocks_between(message.mirrored, first, last),
        [one for one in message.taken_out if first <= one.offset <= last],
    )


def _blocks_between(blocks: Blocks, first: int, last: int) -> Blocks:
    """Return the blocks of the offsets from the first to the last one."""
    start, end = np.searchsorted(blocks.offset, [first, last + 1])
    row_start, row_end = np.append(0, np.cumsum(blocks.rows))[[start, end]]
    other: Ints = blocks.other[row_start:row_end]
    delta: Floats = blocks.delta[row_start:row_end]
    return Blocks(
        blocks.offset[start:end],
        blocks.item[start:end],
        blocks.rows[start:end],
        other,
        delta,
        blocks.holders_where(slice(start, end)),
    )
